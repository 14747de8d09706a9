"""`translate` shows the settings that `train` uses; the toolkit is a fake, `fake_erniekit.py`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from training_examples import make_project, write_examples, write_model

from erniekit_adapter.backends.settings import values
from erniekit_adapter.backends.translation import settings_of
from erniekit_adapter.errors import UsageError
from erniekit_adapter.files import write_json
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.expected import expected_run
from erniekit_adapter.training.run import TrainOptions
from erniekit_adapter.training.settings_file import settings_text
from erniekit_adapter.training.stage import train

VERSION = "1.0.1"


pytestmark = pytest.mark.usefixtures("faked")


def expected(project: Project) -> dict[str, Any]:
    return values(settings_of(project, expected_run(project, VERSION).context))


def trained_settings(project: Project) -> dict[str, Any]:
    settings: dict[str, Any] = train(project, TrainOptions(), Console(file=io.StringIO()))["settings"]
    return settings


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="model copy for a CPU"),
        pytest.param({"lora": {"lora_dropout": 0.1}}, id="initial adapter"),
        pytest.param({"lora": {"target_modules": ["o_proj"]}}, id="targets"),
        pytest.param({"val_split_ratio": 0.2}, id="evaluation share"),
    ],
)
def test_expected_settings_equal_those_of_train(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_model(tmp_path / "model")
    write_examples(tmp_path / "run" / "data", train=5)
    project = make_project(tmp_path, **changes)
    assert expected_run(project, VERSION).left_open == {}
    before = expected(project)
    assert before == trained_settings(project)


def test_expects_no_evaluation_without_eval_examples(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    write_examples(tmp_path / "run" / "data", evaluation=0)
    assert expected(make_project(tmp_path))["do_eval"] is False


@pytest.mark.parametrize(("train_examples", "eval_examples"), [(1, 0), (7, 3), (4_000, 90)])
def test_marks_open_settings_before_make_data(tmp_path: Path, train_examples: int, eval_examples: int) -> None:
    write_model(tmp_path / "model")
    project = make_project(tmp_path)
    early = expected_run(project, VERSION)
    before = values(settings_of(project, early.context))
    write_examples(tmp_path / "run" / "data", train=train_examples, evaluation=eval_examples)
    after = expected(project)
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    assert changed <= set(early.left_open)
    assert set(early.left_open) == {"num_samples_each_epoch", "do_eval", "evaluation_strategy"}


def test_evaluation_is_known_without_a_split_ratio(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    assert set(expected_run(make_project(tmp_path, val_split_ratio=0.0), VERSION).left_open) == {
        "num_samples_each_epoch"
    }


def test_marks_the_path_of_a_missing_model(tmp_path: Path) -> None:
    assert "model_name_or_path" in expected_run(make_project(tmp_path), VERSION).left_open


def test_open_settings_are_comments_in_the_file(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    early = expected_run(project, VERSION)
    text = settings_text(settings_of(project, early.context), left_open=early.left_open)
    assert set(yaml.safe_load(text)).isdisjoint(early.left_open)
    for key in early.left_open:
        assert f"\n#   {key} " in text


def with_settings(data: Path, **settings: Any) -> None:
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["settings"] |= settings
    write_json(data / "manifest.json", manifest)


@pytest.mark.parametrize(
    ("made_with", "message"),
    [
        ({"eval_ratio": 0.3}, r"training.val_split_ratio \(0.3, now 0.1\)"),
        ({"seed": 7}, r"data.seed \(7, now 42\)"),
        ({"max_samples": 5}, r"dataset.max_samples \(5, now None\)"),
        ({"tasks": {"analysis": 0.0, "extraction": 1.0, "validation": 0.0}}, r"data.tasks \("),
    ],
)
def test_rejects_examples_of_other_settings_by_key(tmp_path: Path, made_with: dict[str, Any], message: str) -> None:
    write_model(tmp_path / "model")
    with_settings(write_examples(tmp_path / "run" / "data"), **made_with)
    project = make_project(tmp_path)
    assert "num_samples_each_epoch" in expected_run(project, VERSION).left_open
    with pytest.raises(UsageError, match=message):
        trained_settings(project)


def test_rejects_a_warm_up_longer_than_the_run(tmp_path: Path) -> None:
    """Three examples in three epochs give nine steps at most."""
    write_model(tmp_path / "model")
    write_examples(tmp_path / "run" / "data", train=3)
    project = make_project(tmp_path, max_steps=None, warmup_steps=9)
    with pytest.raises(UsageError, match=r"training\.warmup_steps: found 9; the run has 9 steps at most"):
        expected(project)
    with pytest.raises(UsageError, match=r"training\.warmup_steps: found 9"):
        trained_settings(project)


@pytest.mark.parametrize(("warmup_steps", "noted"), [(0, False), (2, False), (3, True), (8, True)])
def test_notes_a_warm_up_that_packing_may_outlast(tmp_path: Path, warmup_steps: int, noted: bool) -> None:
    """Three examples of 300 tokens fit in one pack of 1,024: three epochs have 3 to 9 steps."""
    write_model(tmp_path / "model")
    data = write_examples(tmp_path / "run" / "data", train=3)
    manifest = json.loads((data / "manifest.json").read_text())
    counted = {"tokens_counted": {"lines": 3, "tokens": 900}, "tokens": {"up to 512": 3}, "written": 4}
    write_json(data / "manifest.json", {**manifest, **counted})
    project = make_project(tmp_path, max_steps=None, max_seq_length=1024, warmup_steps=warmup_steps)
    console = Console(file=io.StringIO(), width=400)
    train(project, TrainOptions(), console)
    assert isinstance(console.file, io.StringIO)
    assert ("the run has 3 to 9 steps" in console.file.getvalue()) == noted
