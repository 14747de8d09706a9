"""Presets, and the place of each key."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.project.loading import load_project, load_project_with_places, placed

PRESET = """\
model: {model_name_or_path: ./base}
lora:
  r: 32
  target_modules: [o_proj, down_proj]
training:
  seed: 7
  max_steps: 10
output_dir: ./preset
"""
OWN = """\
preset: ./preset.yaml
lora:
  target_modules: [down_proj]
training:
  max_steps: 20
output_dir: ./own
"""


def write(folder: Path, own: str = OWN, preset: str = PRESET) -> Path:
    (folder / "preset.yaml").write_text(preset)
    (folder / "own.yaml").write_text(own)
    return folder / "own.yaml"


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as error:
        load_project(path)
    return str(error.value)


def test_project_overrides_its_preset(tmp_path: Path) -> None:
    project = load_project(write(tmp_path))
    assert (project.training.max_steps, project.training.seed) == (20, 7)
    assert (project.lora.r, project.output_dir) == (32, Path("own"))


def test_lists_are_not_merged(tmp_path: Path) -> None:
    assert load_project(write(tmp_path)).lora.target_modules == ["down_proj"]


def test_override_replaces_both(tmp_path: Path) -> None:
    assert load_project(write(tmp_path), ["training.seed=1", "training.max_steps=3"]).training.seed == 1


def test_preset_path_is_relative_to_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "preset.yaml").write_text(PRESET)
    (tmp_path / "deep" / "own.yaml").write_text(OWN.replace("./preset.yaml", "../preset.yaml"))
    assert load_project(tmp_path / "deep" / "own.yaml").training.seed == 7


def test_places_have_the_file_and_line_of_each_key(tmp_path: Path) -> None:
    path = write(tmp_path)
    _, places = load_project_with_places(path, ["lora.r=4"])
    assert places["training.max_steps"] == f"{path}:5"
    assert places["training.seed"] == f"{tmp_path}/preset.yaml:6"
    assert places["lora.r"] == "--set"
    assert "training.learning_rate" not in places


def test_dumped_project_contains_the_preset_keys(tmp_path: Path) -> None:
    dumped = load_project(write(tmp_path)).model_dump(mode="json", exclude_unset=True)
    assert "preset" not in dumped
    assert dumped["training"] == {"seed": 7, "max_steps": 20}


def test_problem_of_a_preset_has_its_line(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, preset=PRESET.replace("seed: 7", "sed: 7").replace("r: 32", "r: many")))
    assert f"{tmp_path}/preset.yaml:6 training.sed: unknown key" in message
    assert f"{tmp_path}/preset.yaml:3 lora.r: " in message


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("preset: ./other.yaml\n" + PRESET, "has a preset itself"),
        ("- a list\n", "not a project file"),
        ("", "not a project file"),
        ("a: [\n", "not YAML"),
    ],
)
def test_refuses_files_that_cannot_be_presets(tmp_path: Path, preset: str, message: str) -> None:
    found = refusal(write(tmp_path, preset=preset))
    assert f"{tmp_path}/own.yaml:1 preset" in found
    assert message in found


def test_missing_preset_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    assert "preset.yaml" in refusal(tmp_path / "own.yaml")


def test_problem_gets_the_line_of_its_nearest_key() -> None:
    places = {"training.seed": "a.yaml:4", "lora": "a.yaml:2"}
    problems = [
        Problem("project training.seed", "x"),
        Problem("project lora.r", "x"),
        Problem("project dpo.beta", "x"),
        Problem("more.yaml adam_beta2", "x"),
    ]
    assert [problem.location for problem in placed(problems, Path("a.yaml"), places)] == [
        "a.yaml:4 training.seed",
        "a.yaml:2 lora.r",
        "a.yaml dpo.beta",
        "more.yaml adam_beta2",
    ]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("training: {gradient_checkpointing: true}", "training.recompute"),
        ("training: {batch_size: 2}", "training.per_device_train_batch_size"),
        ("training: {lora_dropout: 0.1}", "lora.lora_dropout"),
        ("lora: {rank: 8}", "lora.r"),
        ("parallel: {tensor_parallel_degree: 2}", "parallel.tensor"),
        ("training: {learning_rat: 2e-4}", "training.learning_rate"),
    ],
)
def test_names_of_other_trainers_have_priority(tmp_path: Path, wrong: str, right: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"model: {{model_name_or_path: ./base}}\noutput_dir: ./o\n{wrong}\n")
    assert f"unknown key\n    → did you mean {right}?" in refusal(path)


def test_disabled_lora_removes_preset_lora_keys(tmp_path: Path) -> None:
    (tmp_path / "preset.yaml").write_text(PRESET)
    (tmp_path / "own.yaml").write_text(OWN.partition("lora:")[0] + "lora: {enabled: false}\n")
    project, places = load_project_with_places(tmp_path / "own.yaml")
    assert project.lora.model_fields_set == {"enabled"}
    assert [key for key in places if key.startswith("lora.")] == ["lora.enabled"]
