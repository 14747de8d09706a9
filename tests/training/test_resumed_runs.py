"""Runs that are resumed, extended, restarted or refused as another run; the toolkit is a fake."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from training_examples import interrupted, make_project, trained, write_examples, write_model

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.training.metrics_file import read_metrics

pytestmark = pytest.mark.usefixtures("faked")


def test_max_hours_ends_a_run_that_can_be_resumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "slow after 5")
    with pytest.raises(AdapterError) as error:
        trained(make_project(folder, max_hours=2 / 3600))
    problem = error.value.problems[0]
    assert problem.finding == "ended after 0.000555556 hours (training.max_hours)"
    assert problem.hint == f"the same command continues from {folder}/run/training/output/checkpoint-4"
    monkeypatch.delenv("FAKE_ERNIEKIT")
    manifest, _ = trained(make_project(folder, max_hours=1))
    assert (manifest["started"], manifest["steps"]) == ("resume", 6)
    assert "already trained" in trained(make_project(folder))[1]


def test_names_and_removes_damaged_measurements(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    metrics = folder / "run" / "training" / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"loss": 6.5, "st')
    manifest, output = trained(make_project(folder))
    assert manifest["started"] == "resume"
    assert "metrics.jsonl: unreadable lines were removed: 3" in output
    assert [found["step"] for found in read_metrics(metrics) if "loss" in found] == [2, 4, 6]


def test_does_not_resume_from_a_truncated_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder, save_steps=2), monkeypatch, after=5)
    state = folder / "run" / "training" / "output" / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:10])
    # The toolkit would resume from the highest step, complete or not.
    manifest, output = trained(make_project(folder, save_steps=2))
    assert "resuming from" in output
    assert "checkpoint-2" in output
    assert manifest["steps"] == 6
    assert [found["step"] for found in read_metrics(state.parents[2] / "metrics.jsonl") if "loss" in found] == [2, 4, 6]


def test_run_killed_at_its_end_trains_no_extra_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder, save_steps=3), monkeypatch, after=6)
    manifest, output = trained(make_project(folder, save_steps=3))
    assert "checkpoint-3" in output
    assert manifest["steps"] == 6


def test_removes_checkpoints_that_are_not_finite(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    monkeypatch.setenv("FAKE_ERNIEKIT", "nan weights")
    with pytest.raises(AdapterError, match=r"the last checkpoint with finite weights is .*/output/checkpoint-4$"):
        trained(make_project(folder, save_steps=5))
    assert [path.name for path in (folder / "run" / "training" / "output").glob("checkpoint-*")] == ["checkpoint-4"]


def test_rejects_a_finished_run_without_weights(folder: Path) -> None:
    trained(make_project(folder))
    shutil.rmtree(folder / "run" / "training" / "output")
    with pytest.raises(AdapterError, match="its weights are missing"):
        trained(make_project(folder))


def test_finished_run_is_not_trained_again(folder: Path) -> None:
    first, _ = trained(make_project(folder))
    (folder / "run" / "training" / "train.log").unlink()
    again, output = trained(make_project(folder))
    assert again == first
    assert "already trained" in output
    assert not (folder / "run" / "training" / "train.log").exists()


def test_restart_trains_from_the_start(folder: Path) -> None:
    trained(make_project(folder))
    leftover = folder / "run" / "training" / "output" / "leftover"
    leftover.touch()
    manifest, output = trained(make_project(folder), restart=True)
    assert manifest["started"] == "new"
    assert "already trained" not in output
    assert not leftover.exists()


def test_rejects_other_settings_of_a_finished_run(folder: Path) -> None:
    trained(make_project(folder))
    with pytest.raises(UsageError) as error:
        trained(make_project(folder, learning_rate=1e-3, seed=7))
    assert error.value.problems[0].finding == (
        "holds a run with other learning_rate (0.0002, now 0.001); seed (42, now 7)"
    )
    assert "--restart" in error.value.problems[0].hint


@pytest.mark.parametrize(
    ("change", "key"),
    [({"learning_rate": 1e-3}, "learning_rate (0.0002, now 0.001)"), ({"lora": {"r": 4}}, "lora_rank (2, now 4)")],
)
def test_rejects_other_settings_after_a_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], key: str
) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    with pytest.raises(UsageError) as error:
        trained(make_project(folder, **change))
    assert key in str(error.value)


RECORDS = {"logging_steps": 1, "save_steps": 3, "save_total_limit": 2, "eval_steps": 2, "use_tensorboard": True}


@pytest.mark.parametrize(("key", "value"), RECORDS.items())
def test_settings_of_logging_may_change(folder: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    assert trained(make_project(folder, **{key: value}))[0]["started"] == "resume"


def test_run_name_may_change(folder: Path) -> None:
    trained(make_project(folder))
    assert "already trained" in trained(make_project(folder).model_copy(update={"run_name": "other"}))[1]


def test_extends_a_finished_run(folder: Path) -> None:
    trained(make_project(folder))
    manifest, output = trained(make_project(folder, max_steps=10))
    assert (manifest["started"], manifest["steps"]) == ("resume", 10)
    assert "the run is extended" in output
    assert "already trained" in trained(make_project(folder, max_steps=10))[1]


def test_killed_extension_stays_unfinished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(make_project(folder))
    interrupted(make_project(folder, max_steps=10), monkeypatch, after=9)
    assert not (folder / "run" / "training" / "manifest.json").exists()
    assert trained(make_project(folder, max_steps=10))[0]["steps"] == 10


def test_extends_a_run_in_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder, lora={"lora_dropout": 0.1}), monkeypatch, after=5)
    manifest, _ = trained(make_project(folder, lora={"lora_dropout": 0.1}, max_steps=10))
    assert (manifest["started"], manifest["settings"]["max_steps"], manifest["steps"]) == ("new_part", 6, 10)


@pytest.mark.parametrize("max_steps", [5, None])
def test_rejects_fewer_steps_than_were_trained(folder: Path, max_steps: int | None) -> None:
    trained(make_project(folder))
    with pytest.raises(UsageError, match="max_steps"):
        trained(make_project(folder, max_steps=max_steps))


def test_rejects_an_extension_without_a_checkpoint(folder: Path) -> None:
    trained(make_project(folder, save_steps=100))
    with pytest.raises(UsageError, match=r"has no checkpoint to continue from: training\.save_steps"):
        trained(make_project(folder, max_steps=10))


def test_settings_may_change_before_a_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=3)
    assert trained(make_project(folder, learning_rate=1e-3))[0]["settings"]["learning_rate"] == 1e-3


def test_rejects_other_examples_and_another_model(folder: Path) -> None:
    trained(make_project(folder))
    write_examples(folder / "run" / "data", train=4)
    shutil.rmtree(folder / "model")
    write_model(folder / "model", rope_theta=1)
    with pytest.raises(UsageError, match="holds a run with other data; base model"):
        trained(make_project(folder))


def test_interrupted_run_is_resumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    manifest, output = trained(make_project(folder))
    assert manifest["started"] == "resume"
    assert "resuming from" in output
    assert "checkpoint-4" in output
    assert [
        found["step"] for found in read_metrics(folder / "run" / "training" / "metrics.jsonl") if "loss" in found
    ] == [2, 4, 6]


def test_run_with_dropout_is_resumed_in_a_new_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(folder, lora={"lora_dropout": 0.1})
    interrupted(project, monkeypatch, after=5)
    manifest, output = trained(project)
    training = folder / "run" / "training"
    assert (manifest["started"], manifest["settings"]["max_steps"]) == ("new_part", 2)
    assert manifest["settings"]["lora_path"] == str(training / "earlier-1" / "checkpoint-4")
    assert "4 of 6 steps done" in output
    assert [found["step"] for found in read_metrics(training / "metrics.jsonl") if "loss" in found] == [2, 4, 6]


def test_run_without_a_checkpoint_starts_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=3)
    manifest, _ = trained(make_project(folder))
    assert manifest["started"] == "new"
    assert (folder / "run" / "training" / "train.log").read_text().count("Total optimization steps") == 1
