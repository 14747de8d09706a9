"""Settings that `translate` shows and `train` gives are equal; the toolkit is a fake, `fake_erniekit.py`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from training_examples import make_project, write_lines, write_model

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
    return values(settings_of(project, expected_run(project, VERSION).facts))


def trained(project: Project) -> dict[str, Any]:
    settings: dict[str, Any] = train(project, TrainOptions(), Console(file=io.StringIO()))["settings"]
    return settings


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="the model's copy for a CPU"),
        pytest.param({"lora": {"lora_dropout": 0.1}}, id="an initial adapter"),
        pytest.param({"lora": {"target_modules": ["o_proj"]}}, id="targets"),
        pytest.param({"val_split_ratio": 0.2}, id="a share of documents"),
    ],
)
def test_after_make_data_it_is_what_train_uses(tmp_path: Path, asked: dict[str, Any]) -> None:
    write_model(tmp_path / "model")
    write_lines(tmp_path / "run" / "data", train=5)
    project = make_project(tmp_path, **asked)
    assert expected_run(project, VERSION).left_open == {}
    before = expected(project)
    assert before == trained(project)


def test_no_line_to_evaluate_is_known_after_make_data(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    write_lines(tmp_path / "run" / "data", evaluation=0)
    assert expected(make_project(tmp_path))["do_eval"] is False


@pytest.mark.parametrize(("train_lines", "eval_lines"), [(1, 0), (7, 3), (4_000, 90)])
def test_before_make_data_all_that_may_change_is_marked(tmp_path: Path, train_lines: int, eval_lines: int) -> None:
    write_model(tmp_path / "model")
    project = make_project(tmp_path)
    early = expected_run(project, VERSION)
    before = values(settings_of(project, early.facts))
    write_lines(tmp_path / "run" / "data", train=train_lines, evaluation=eval_lines)
    after = expected(project)
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    assert changed <= set(early.left_open)
    assert set(early.left_open) == {"num_samples_each_epoch", "do_eval", "evaluation_strategy"}


def test_no_share_to_evaluate_is_known_before_make_data(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    assert set(expected_run(make_project(tmp_path, val_split_ratio=0.0), VERSION).left_open) == {
        "num_samples_each_epoch"
    }


def test_a_model_that_is_not_there_is_marked(tmp_path: Path) -> None:
    assert "model_name_or_path" in expected_run(make_project(tmp_path), VERSION).left_open


def test_what_is_not_known_is_no_setting_in_the_file(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    early = expected_run(project, VERSION)
    text = settings_text(settings_of(project, early.facts), left_open=early.left_open)
    assert set(yaml.safe_load(text)).isdisjoint(early.left_open)
    for key in early.left_open:
        assert f"\n#   {key} " in text


def with_settings(data: Path, **settings: Any) -> None:
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["settings"] |= settings
    write_json(data / "manifest.json", manifest)


@pytest.mark.parametrize(
    ("made_with", "said"),
    [
        ({"eval_ratio": 0.3}, r"training.val_split_ratio \(0.3, now 0.1\)"),
        ({"seed": 7}, r"data.seed \(7, now 42\)"),
        ({"max_samples": 5}, r"dataset.max_samples \(5, now None\)"),
        ({"tasks": {"analysis": 0.0, "extraction": 1.0, "validation": 0.0}}, r"data.tasks \("),
    ],
)
def test_lines_of_other_settings_are_refused_by_key(tmp_path: Path, made_with: dict[str, Any], said: str) -> None:
    write_model(tmp_path / "model")
    with_settings(write_lines(tmp_path / "run" / "data"), **made_with)
    project = make_project(tmp_path)
    assert "num_samples_each_epoch" in expected_run(project, VERSION).left_open
    with pytest.raises(UsageError, match=said):
        trained(project)


def test_a_warm_up_longer_than_the_run_is_refused_with_lines(tmp_path: Path) -> None:
    """Of 3 lines in 3 epochs come 9 steps at most."""
    write_model(tmp_path / "model")
    write_lines(tmp_path / "run" / "data", train=3)
    project = make_project(tmp_path, max_steps=None, warmup_steps=9)
    with pytest.raises(UsageError, match=r"training\.warmup_steps: found 9; the run has 9 steps at most"):
        expected(project)
    with pytest.raises(UsageError, match=r"training\.warmup_steps: found 9"):
        trained(project)


@pytest.mark.parametrize(("warmup_steps", "noted"), [(0, False), (2, False), (3, True), (8, True)])
def test_a_warm_up_that_packing_may_outlast_is_noted(tmp_path: Path, warmup_steps: int, noted: bool) -> None:
    """Three lines of 300 tokens fill one pack of 1,024: in 3 epochs 3 to 9 steps."""
    write_model(tmp_path / "model")
    data = write_lines(tmp_path / "run" / "data", train=3)
    manifest = json.loads((data / "manifest.json").read_text())
    counted = {"tokens_counted": {"lines": 3, "tokens": 900}, "tokens": {"up to 512": 3}, "written": 4}
    write_json(data / "manifest.json", {**manifest, **counted})
    project = make_project(tmp_path, max_steps=None, max_seq_length=1024, warmup_steps=warmup_steps)
    console = Console(file=io.StringIO(), width=400)
    train(project, TrainOptions(), console)
    assert isinstance(console.file, io.StringIO)
    assert ("the run has 3 to 9 steps" in console.file.getvalue()) == noted
