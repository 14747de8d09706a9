"""The train stage around its toolkit.

The toolkit is a fake, `fake_erniekit.py`: it stands in for what the tests in tests/toolkit do with the real ERNIEKit.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from safetensors.numpy import save_file
from training_examples import interrupted, make_project, model_tensors, trained, write_lines, write_model

from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.project.toolkit_sections import ErniekitSection
from erniekit_adapter.training import base_weights, stage
from erniekit_adapter.training.following import read_metrics
from erniekit_adapter.training.run import TrainOptions
from erniekit_adapter.training.stage import train

pytestmark = pytest.mark.usefixtures("faked")


def test_a_run_leaves_settings_log_metrics_and_a_manifest(folder: Path) -> None:
    manifest, said = trained(make_project(folder))
    training = folder / "run" / "training"
    assert {"settings.yaml", "train.log", "metrics.jsonl", "run.json", "manifest.json"} <= {
        f.name for f in training.iterdir()
    }
    assert json.loads((training / "manifest.json").read_text()) == manifest
    assert (manifest["steps"], manifest["first_loss"], manifest["last_loss"]) == (6, 1.875, 1.625)
    assert (manifest["last_eval_loss"], manifest["trainable_parameters"]) == (6.268, 1024)
    assert (manifest["adapter"], manifest["started"]) == ("output", "new")
    assert f"log: {training}/train.log" in said


def test_the_settings_that_erniekit_reads_are_those_in_the_manifest(folder: Path) -> None:
    manifest, _ = trained(make_project(folder))
    assert yaml.safe_load((folder / "run" / "training" / "settings.yaml").read_text()) == manifest["settings"]


def test_a_failure_gives_exit_code_cause_and_the_place_of_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "fail")
    with pytest.raises(AdapterError) as error:
        trained(make_project(folder))
    problem = error.value.problems[0]
    assert problem.what == "exit code 3: the toolkit's environment lacks the package tensorboardX"
    assert problem.remedy == f"the whole log is {folder}/run/training/train.log"
    assert "Traceback" in (folder / "run" / "training" / "train.log").read_text()
    assert not (folder / "run" / "training" / "manifest.json").exists()


def test_a_killed_toolkit_is_reported_with_where_it_continues(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "killed after 5")
    with pytest.raises(AdapterError) as error:
        trained(make_project(folder))
    problem = error.value.problems[0]
    assert problem.what.startswith("killed by SIGKILL")
    assert problem.remedy.startswith(f"the same command continues from {folder}/run/training/output/checkpoint-4; ")


def test_a_run_ends_after_its_hours_and_continues_with_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "slow after 5")
    with pytest.raises(AdapterError) as error:
        trained(make_project(folder, max_hours=2 / 3600))
    problem = error.value.problems[0]
    assert problem.what == "ended after 0.000555556 hours (training.max_hours)"
    assert problem.remedy == f"the same command continues from {folder}/run/training/output/checkpoint-4"
    monkeypatch.delenv("FAKE_ERNIEKIT")
    manifest, _ = trained(make_project(folder, max_hours=1))
    assert (manifest["started"], manifest["steps"]) == ("resume", 6)
    assert "already trained" in trained(make_project(folder))[1]


def test_ctrl_c_says_what_the_run_continues_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "slow after 5")
    console = Console(file=io.StringIO(), width=400)

    def interrupt(line: str) -> None:
        if "global_step: 4" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr(stage.Follower, "take", lambda self, line: interrupt(line))
    with pytest.raises(KeyboardInterrupt):
        train(make_project(folder, save_steps=2), TrainOptions(), console)
    assert isinstance(console.file, io.StringIO)
    assert "interrupted by Ctrl-C: the same command continues from" in console.file.getvalue()


def test_damaged_measurements_are_named_and_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    metrics = folder / "run" / "training" / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"loss": 6.5, "st')
    manifest, said = trained(make_project(folder))
    assert manifest["started"] == "resume"
    assert "metrics.jsonl: lines that cannot be read are left out: 3" in said
    assert [found["step"] for found in read_metrics(metrics) if "loss" in found] == [2, 4, 6]


def test_a_checkpoint_that_was_cut_off_is_not_resumed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder, save_steps=2), monkeypatch, after=5)
    state = folder / "run" / "training" / "output" / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:10])
    # The toolkit would take the checkpoint with the highest number, whole or not.
    manifest, said = trained(make_project(folder, save_steps=2))
    assert "resuming from" in said
    assert "checkpoint-2" in said
    assert manifest["steps"] == 6
    assert [found["step"] for found in read_metrics(state.parents[2] / "metrics.jsonl") if "loss" in found] == [2, 4, 6]


def test_a_run_killed_at_its_end_takes_no_step_too_many(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder, save_steps=3), monkeypatch, after=6)
    manifest, said = trained(make_project(folder, save_steps=3))
    assert "checkpoint-3" in said
    assert manifest["steps"] == 6


def test_a_silent_toolkit_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "silent")
    with pytest.raises(AdapterError, match=r"said nothing for 0\.01 minutes and was ended"):
        trained(make_project(folder), stall_minutes=0.01)


def test_a_run_that_wrote_no_weights_is_no_success(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "no weights")
    with pytest.raises(AdapterError, match="ended well and wrote no weights"):
        trained(make_project(folder))


@pytest.mark.parametrize(
    ("behaviour", "finding"),
    [
        ("nan", "the training diverged: the loss is nan from step 2 on"),
        ("guessing", "the loss is 2.398 at step 4, and a model that guesses every token has 2.398"),
        ("nan weights", "the trained weights are NaN or infinite: 6 of 6 values of peft_model"),
    ],
)
def test_a_diverged_run_fails(folder: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, finding: str) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", behaviour)
    with pytest.raises(AdapterError) as error:
        trained(make_project(folder, save_steps=6))
    assert finding in error.value.problems[0].what
    assert "lower training.learning_rate (now 0.0002)" in error.value.problems[0].remedy
    assert not (folder / "run" / "training" / "manifest.json").exists()


def test_one_nan_that_a_run_recovers_from_is_allowed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERNIEKIT", "nan once")
    assert trained(make_project(folder))[0]["last_loss"] == 1.5


def test_checkpoints_that_are_not_finite_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    monkeypatch.setenv("FAKE_ERNIEKIT", "nan weights")
    with pytest.raises(AdapterError, match=r"the last checkpoint with finite weights is .*/output/checkpoint-4$"):
        trained(make_project(folder, save_steps=5))
    assert [path.name for path in (folder / "run" / "training" / "output").glob("checkpoint-*")] == ["checkpoint-4"]


def test_a_base_model_with_one_nan_is_refused(folder: Path) -> None:
    tensors = model_tensors()
    tensors["ernie.norm.weight"][3] = float("nan")
    save_file(tensors, folder / "model" / "model.safetensors", metadata={"format": "np"})
    with pytest.raises(UsageError, match=r"1 of 8 values of model\.safetensors ernie\.norm\.weight"):
        trained(make_project(folder))


def test_files_beside_the_base_model_are_not_its_weights(folder: Path) -> None:
    save_file({"a": np.full(3, np.nan, np.float32)}, folder / "model" / "other.safetensors")
    assert trained(make_project(folder))[0]["steps"] == 6


def test_restart_reads_the_base_model_only_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(make_project(folder))
    monkeypatch.setattr(base_weights, "not_finite", lambda *_: pytest.fail("the weights are read again"))
    assert trained(make_project(folder), restart=True)[0]["started"] == "new"


def test_a_finished_run_without_weights_is_not_called_trained(folder: Path) -> None:
    trained(make_project(folder))
    shutil.rmtree(folder / "run" / "training" / "output")
    with pytest.raises(AdapterError, match="its weights are gone"):
        trained(make_project(folder))


def test_a_run_shorter_than_its_logging_interval_is_a_run(folder: Path) -> None:
    assert trained(make_project(folder, max_steps=3, logging_steps=10))[0]["adapter"] == "output"


def test_a_finished_run_is_not_trained_again(folder: Path) -> None:
    first, _ = trained(make_project(folder))
    (folder / "run" / "training" / "train.log").unlink()
    again, said = trained(make_project(folder))
    assert again == first
    assert "already trained" in said
    assert not (folder / "run" / "training" / "train.log").exists()


def test_restart_trains_anew(folder: Path) -> None:
    trained(make_project(folder))
    leftover = folder / "run" / "training" / "output" / "leftover"
    leftover.touch()
    manifest, said = trained(make_project(folder), restart=True)
    assert manifest["started"] == "new"
    assert "already trained" not in said
    assert not leftover.exists()


def test_a_finished_run_with_other_settings_is_refused_and_the_key_is_named(folder: Path) -> None:
    trained(make_project(folder))
    with pytest.raises(UsageError) as error:
        trained(make_project(folder, learning_rate=1e-3, seed=7))
    assert error.value.problems[0].what == (
        "holds a run with other learning_rate (0.0002, now 0.001); seed (42, now 7)"
    )
    assert "--restart" in error.value.problems[0].remedy


@pytest.mark.parametrize(
    ("change", "named"),
    [({"learning_rate": 1e-3}, "learning_rate (0.0002, now 0.001)"), ({"lora": {"r": 4}}, "lora_rank (2, now 4)")],
)
def test_a_changed_setting_after_a_checkpoint_is_refused_and_the_key_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], named: str
) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    with pytest.raises(UsageError) as error:
        trained(make_project(folder, **change))
    assert named in str(error.value)


RECORDS = {"logging_steps": 1, "save_steps": 3, "save_total_limit": 2, "eval_steps": 2, "use_tensorboard": True}


@pytest.mark.parametrize(("key", "value"), RECORDS.items())
def test_what_a_run_records_may_change(folder: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    assert trained(make_project(folder, **{key: value}))[0]["started"] == "resume"


def test_another_name_is_the_same_run(folder: Path) -> None:
    trained(make_project(folder))
    assert "already trained" in trained(make_project(folder).model_copy(update={"run_name": "other"}))[1]


def test_a_finished_run_becomes_longer(folder: Path) -> None:
    trained(make_project(folder))
    manifest, said = trained(make_project(folder, max_steps=10))
    assert (manifest["started"], manifest["steps"]) == ("resume", 10)
    assert "the run becomes longer" in said
    assert "already trained" in trained(make_project(folder, max_steps=10))[1]


def test_a_longer_run_that_is_killed_stays_unfinished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(make_project(folder))
    interrupted(make_project(folder, max_steps=10), monkeypatch, after=9)
    assert not (folder / "run" / "training" / "manifest.json").exists()
    assert trained(make_project(folder, max_steps=10))[0]["steps"] == 10


def test_a_run_in_parts_becomes_longer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder, lora={"lora_dropout": 0.1}), monkeypatch, after=5)
    manifest, _ = trained(make_project(folder, lora={"lora_dropout": 0.1}, max_steps=10))
    assert (manifest["started"], manifest["settings"]["max_steps"], manifest["steps"]) == ("go_on", 6, 10)


@pytest.mark.parametrize("max_steps", [5, None])
def test_a_finished_run_cannot_become_shorter(folder: Path, max_steps: int | None) -> None:
    trained(make_project(folder))
    with pytest.raises(UsageError, match="max_steps"):
        trained(make_project(folder, max_steps=max_steps))


def test_a_finished_run_without_checkpoint_cannot_become_longer(folder: Path) -> None:
    trained(make_project(folder, save_steps=100))
    with pytest.raises(UsageError, match=r"has no checkpoint to continue from: training\.save_steps"):
        trained(make_project(folder, max_steps=10))


def test_before_the_first_checkpoint_settings_may_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=3)
    assert trained(make_project(folder, learning_rate=1e-3))[0]["settings"]["learning_rate"] == 1e-3


def test_other_lines_and_another_model_are_another_run(folder: Path) -> None:
    trained(make_project(folder))
    write_lines(folder / "run" / "data", train=4)
    shutil.rmtree(folder / "model")
    write_model(folder / "model", rope_theta=1)
    with pytest.raises(UsageError, match="holds a run with other data; base model"):
        trained(make_project(folder))


def test_an_interrupted_run_resumes_from_its_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=5)
    manifest, said = trained(make_project(folder))
    assert manifest["started"] == "resume"
    assert "resuming from" in said
    assert "checkpoint-4" in said
    assert [
        found["step"] for found in read_metrics(folder / "run" / "training" / "metrics.jsonl") if "loss" in found
    ] == [2, 4, 6]


def test_a_run_with_targets_of_its_own_goes_on_in_a_new_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(folder, lora={"lora_dropout": 0.1})
    interrupted(project, monkeypatch, after=5)
    manifest, said = trained(project)
    training = folder / "run" / "training"
    assert (manifest["started"], manifest["settings"]["max_steps"]) == ("go_on", 2)
    assert manifest["settings"]["lora_path"] == str(training / "earlier-1" / "checkpoint-4")
    assert "4 of 6 steps done" in said
    assert [found["step"] for found in read_metrics(training / "metrics.jsonl") if "loss" in found] == [2, 4, 6]


def test_dropout_starts_from_an_adapter_of_ours(folder: Path) -> None:
    manifest, _ = trained(make_project(folder, lora={"lora_dropout": 0.1}))
    adapter = Path(manifest["settings"]["lora_path"])
    assert json.loads((adapter / "lora_config.json").read_text())["lora_dropout"] == 0.1
    assert "lora_path" not in trained(make_project(folder), restart=True)[0]["settings"]


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(make_project(folder), monkeypatch, after=3)
    manifest, _ = trained(make_project(folder))
    assert manifest["started"] == "new"
    assert (folder / "run" / "training" / "train.log").read_text().count("Total optimization steps") == 1


def test_on_cpu_the_model_gets_the_key_that_attention_needs_there(folder: Path) -> None:
    manifest, _ = trained(make_project(folder))
    used = Path(manifest["settings"]["model_name_or_path"])
    assert used == folder / "run" / "training" / "model"
    assert json.loads((used / "config.json").read_text())["scale_qk_coeff"] == 1.0
    assert (used / "model.safetensors").resolve() == folder / "model" / "model.safetensors"
    assert "scale_qk_coeff" not in json.loads((folder / "model" / "config.json").read_text())


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_of_somebody_else_is_left_alone_even_by_restart(folder: Path, restart: bool) -> None:
    thesis = folder / "run" / "training" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.touch()
    with pytest.raises(UsageError, match="not of our making"):
        trained(make_project(folder), restart=restart)
    assert thesis.exists()


def test_what_the_toolkit_cannot_do_is_told_before_lines_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="VL-SFT is for models that take images"):
        trained(make_project(tmp_path, stage="VL-SFT"))


def test_without_lines_the_data_stage_is_asked_for(folder: Path) -> None:
    shutil.rmtree(folder / "run" / "data")
    with pytest.raises(UsageError, match=r"there are no lines here yet\n.*run make data first"):
        trained(make_project(folder))


def test_lines_that_were_edited_are_refused(folder: Path) -> None:
    with (folder / "run" / "data" / "train.jsonl").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(UsageError, match=r"train\.jsonl: is not what the data stage wrote"):
        trained(make_project(folder))


def test_no_line_for_training_is_refused_since_the_toolkit_would_hang(folder: Path) -> None:
    write_lines(folder / "run" / "data", train=0)
    with pytest.raises(UsageError, match="no document fell to training"):
        trained(make_project(folder))


def test_lines_for_longer_packs_are_refused_since_the_toolkit_would_hang(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"lines of up to 1024 tokens, and training\.max_seq_length is 512"):
        trained(make_project(folder, max_seq_length=512))


def test_lines_measured_with_another_tokenizer_are_refused(folder: Path) -> None:
    write_lines(folder / "run" / "data", tokenizer=b"other pieces")
    with pytest.raises(UsageError, match="measured with another tokenizer"):
        trained(make_project(folder))


def test_without_a_model_folder_its_download_is_told(folder: Path) -> None:
    shutil.rmtree(folder / "model")
    with pytest.raises(UsageError) as error:
        trained(make_project(folder))
    assert f"no model in the folder {folder}/model" in str(error.value)
    assert "hf download" in str(error.value)


def test_every_missing_file_of_a_model_is_told_at_once(folder: Path) -> None:
    for name in ("tokenizer.model", "tokenizer_config.json", "model.safetensors"):
        (folder / "model" / name).unlink()
    with pytest.raises(UsageError) as error:
        trained(make_project(folder))
    assert [problem.what.removeprefix(f"{folder}/model ") for problem in error.value.problems] == [
        "lacks tokenizer.model",
        "lacks tokenizer_config.json",
        "has no safetensors weights",
    ]


def test_torch_weights_are_refused(folder: Path) -> None:
    shutil.rmtree(folder / "model")
    write_model(folder / "model", torch_dtype="bfloat16")
    with pytest.raises(UsageError, match="holds torch weights"):
        trained(make_project(folder))


def test_extra_keys_come_from_the_user_s_file_and_are_part_of_the_run(folder: Path) -> None:
    more = folder / "more.yaml"
    more.write_text("adam_beta2: 0.95\n")
    project = make_project(folder).model_copy(update={"erniekit": ErniekitSection(erniekit_config_path=more)})
    assert trained(project)[0]["settings"]["adam_beta2"] == 0.95
    more.write_text("adam_beta2: 0.9\n")
    with pytest.raises(UsageError, match=r"adam_beta2 \(0\.95, now 0\.9\)"):
        trained(project)


def test_lines_for_a_model_that_sees_pages_are_refused(folder: Path) -> None:
    path = folder / "run" / "data" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["settings"]["form"] = "erniekit-vl"
    path.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"data\.format erniekit-vl, and stage SFT of erniekit reads erniekit"):
        trained(make_project(folder))
