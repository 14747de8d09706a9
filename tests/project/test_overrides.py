"""Values of the command line replace values of the project file."""

from __future__ import annotations

from pathlib import Path

import pytest
from project_file_examples import LEAST, problems, written

from erniekit_adapter.project.loading import (
    load_project,
)


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.seed=1", "training.seed=2"],
        ["training.seed=1", "training.seed=1"],
        ["lora.r=8", "lora={lora_alpha: 16}"],
        ["lora={r: 8}", "lora.r=9"],
        ["data.sources=[]", "data.sources=[]"],
    ],
)
def test_refuses_conflicting_overrides(tmp_path: Path, overrides: list[str]) -> None:
    first, second = overrides
    message = problems(tmp_path, LEAST, *overrides)
    assert f"--set {second}: conflicts with --set {first}" in message


@pytest.mark.parametrize(
    "overrides",
    [["training.seed=1", "data.seed=1"], ["lora={r: 8}", "lora.lora_alpha=16"], ["lora.r=8", "lora.rslora=true"]],
)
def test_accepts_overrides_of_different_keys(tmp_path: Path, overrides: list[str]) -> None:
    load_project(written(tmp_path, LEAST), overrides)


LORA = LEAST + "lora: {r: 8, lora_alpha: 4}\n"


@pytest.mark.parametrize(
    ("text", "overrides", "given"),
    [
        (LORA, ["lora.enabled=false"], {"enabled"}),
        (LORA, ["lora.enabled=false", "lora.r=4"], {"enabled", "r"}),
        (LORA, ["lora.enabled=true"], {"enabled", "r", "lora_alpha"}),
        (LEAST + "lora: {enabled: false, r: 8}\n", [], {"enabled", "r"}),
        (LEAST + "lora: {enabled: false, r: 8}\n", ["lora.lora_alpha=4"], {"enabled", "r", "lora_alpha"}),
    ],
)
def test_disabling_lora_removes_inherited_lora_keys(
    tmp_path: Path, text: str, overrides: list[str], given: set[str]
) -> None:
    """Keys given together with `enabled: false` stay, for check to refuse."""
    assert load_project(written(tmp_path, text), overrides).lora.model_fields_set == given


def test_overrides_replace_values_of_the_file(tmp_path: Path) -> None:
    overrides = ["training.max_steps=5", "lora.target_modules=[o_proj]", "training.learning_rate=1e-3", "run_name=a=b"]
    project = load_project(written(tmp_path, LEAST + "training: {max_steps: 9, seed: 7}\n"), overrides)
    assert (project.training.max_steps, project.training.seed) == (5, 7)
    assert project.training.learning_rate == pytest.approx(1e-3)
    assert project.lora.modules == {"o_proj"}
    assert project.run_name == "a=b"


def test_override_with_null_removes_a_value(tmp_path: Path) -> None:
    path = written(tmp_path, LEAST + "training: {max_steps: 9}\n")
    assert load_project(path, ["training.max_steps=null"]).training.max_steps is None


def test_overrides_can_make_a_whole_project(tmp_path: Path) -> None:
    project = load_project(written(tmp_path, ""), ["model.model_name_or_path=./m", "output_dir=./o"])
    assert project.output_dir == Path("o")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.max_steps", "--set training.max_steps: expected section.key=value"),
        ("=5", "--set =5: expected section.key=value"),
        ("training.=5", "--set training.=5: expected section.key=value"),
        ("training..seed=5", "--set training..seed=5: expected section.key=value"),
        ("training.seed=[", "--set training.seed=[: the value is not YAML"),
        ("training.seed=ten", "--set training.seed: Input should be a valid integer; found 'ten'"),
        ("training.learning_rat=1", "--set training.learning_rat: unknown key → did you mean training.learning_rate?"),
    ],
)
def test_refuses_malformed_overrides(tmp_path: Path, override: str, message: str) -> None:
    assert problems(tmp_path, LEAST, override) == message


@pytest.mark.parametrize("value", ["2025-13-45", "[" * 1500], ids=["no date", "deep"])
def test_refuses_impossible_yaml_values_in_overrides(tmp_path: Path, value: str) -> None:
    assert "--set run_name" in problems(tmp_path, LEAST, f"run_name={value}")
