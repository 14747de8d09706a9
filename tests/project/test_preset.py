"""A preset: another project file whose keys hold where this one gives none; and where each key was given."""

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


def test_what_the_project_says_wins_and_what_it_leaves_out_is_the_preset_s(tmp_path: Path) -> None:
    project = load_project(write(tmp_path))
    assert (project.training.max_steps, project.training.seed) == (20, 7)
    assert (project.lora.r, project.output_dir) == (32, Path("own"))


def test_a_list_is_taken_as_a_whole(tmp_path: Path) -> None:
    assert load_project(write(tmp_path)).lora.target_modules == ["down_proj"]


def test_an_override_wins_over_both(tmp_path: Path) -> None:
    assert load_project(write(tmp_path), ["training.seed=1", "training.max_steps=3"]).training.seed == 1


def test_a_preset_lies_beside_the_file_that_names_it_wherever_the_command_runs(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "preset.yaml").write_text(PRESET)
    (tmp_path / "deep" / "own.yaml").write_text(OWN.replace("./preset.yaml", "../preset.yaml"))
    assert load_project(tmp_path / "deep" / "own.yaml").training.seed == 7


def test_each_key_is_known_by_the_file_and_line_that_gave_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    _, places = load_project_with_places(path, ["lora.r=4"])
    assert places["training.max_steps"] == f"{path}:5"
    assert places["training.seed"] == f"{tmp_path}/preset.yaml:6"
    assert places["lora.r"] == "--set"
    assert "training.learning_rate" not in places


def test_a_written_down_project_holds_the_preset_s_keys_and_no_preset(tmp_path: Path) -> None:
    dumped = load_project(write(tmp_path)).model_dump(mode="json", exclude_unset=True)
    assert "preset" not in dumped
    assert dumped["training"] == {"seed": 7, "max_steps": 20}


def test_what_is_wrong_in_a_preset_is_told_with_its_own_line(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, preset=PRESET.replace("seed: 7", "sed: 7").replace("r: 32", "r: many")))
    assert f"{tmp_path}/preset.yaml:6 training.sed: unknown key" in said
    assert f"{tmp_path}/preset.yaml:3 lora.r: " in said


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("preset: ./other.yaml\n" + PRESET, "has a preset of its own"),
        ("- a list\n", "is no project file"),
        ("", "is no project file"),
        ("a: [\n", "not YAML"),
    ],
)
def test_what_can_be_no_preset_is_refused_with_the_line_that_names_it(tmp_path: Path, preset: str, said: str) -> None:
    found = refusal(write(tmp_path, preset=preset))
    assert f"{tmp_path}/own.yaml:1 preset" in found
    assert said in found


def test_a_preset_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    assert "preset.yaml" in refusal(tmp_path / "own.yaml")


def test_a_problem_of_a_key_gets_the_line_of_the_key_or_of_the_section_or_the_file() -> None:
    places = {"training.seed": "a.yaml:4", "lora": "a.yaml:2"}
    problems = [
        Problem("project training.seed", "x"),
        Problem("project lora.r", "x"),
        Problem("project dpo.beta", "x"),
        Problem("more.yaml adam_beta2", "x"),
    ]
    assert [problem.where for problem in placed(problems, Path("a.yaml"), places)] == [
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
def test_another_trainer_s_word_for_a_key_is_understood_before_its_spelling_is(
    tmp_path: Path, wrong: str, right: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"model: {{model_name_or_path: ./base}}\noutput_dir: ./o\n{wrong}\n")
    assert f"unknown key\n    → did you mean {right}?" in refusal(path)


def test_lora_keys_of_a_preset_go_if_lora_is_switched_off(tmp_path: Path) -> None:
    (tmp_path / "preset.yaml").write_text(PRESET)
    (tmp_path / "own.yaml").write_text(OWN.partition("lora:")[0] + "lora: {enabled: false}\n")
    project, places = load_project_with_places(tmp_path / "own.yaml")
    assert project.lora.model_fields_set == {"enabled"}
    assert [key for key in places if key.startswith("lora.")] == ["lora.enabled"]
