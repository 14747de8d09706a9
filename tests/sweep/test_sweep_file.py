"""A sweep file becomes one project for each run, or an error with the problems of all runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.sweep.sweep_file import load_sweep

PROJECT = """
model: {model_name_or_path: ./model}
lora: {r: 16}
training: {device: cpu, learning_rate: 1.0e-3}
data: {sources: [{kind: training_examples, path: ./lines.jsonl}]}
output_dir: ./elsewhere
"""
SWEEP = """
project: {folder}/project.yaml
output_dir: {folder}/runs
set: [training.max_steps=5]
runs:
  - {{name: plain}}
  - {{name: rank-4, set: [lora.r=4, lora.lora_alpha=8]}}
"""


def write(folder: Path, sweep: str = SWEEP) -> Path:
    (folder / "project.yaml").write_text(PROJECT)
    path = folder / "sweep.yaml"
    path.write_text(sweep.format(folder=folder))
    return path


def test_each_run_has_its_changes_and_folder(tmp_path: Path) -> None:
    _, (plain, small) = load_sweep(write(tmp_path))
    assert (plain.project.lora.r, small.project.lora.r, small.project.lora.alpha) == (16, 4, 8)
    assert plain.project.training.max_steps == small.project.training.max_steps == 5
    assert [run.project.output_dir.name for run in (plain, small)] == ["plain", "rank-4"]
    assert small.changes == ("lora.r=4", "lora.lora_alpha=8")


def test_written_project_is_the_project_of_the_run(tmp_path: Path) -> None:
    _, runs = load_sweep(write(tmp_path))
    for run in runs:
        run.project_file.parent.mkdir(parents=True)
        run.project_file.write_text(run.project_text())
        assert load_project(run.project_file) == run.project


@pytest.mark.parametrize("name", ["7", "null", "1e3", "yes"])
def test_run_name_stays_text(tmp_path: Path, name: str) -> None:
    _, (run,) = load_sweep(write(tmp_path, SWEEP.split("runs:")[0] + f"runs: [{{{{name: '{name}'}}}}]\n"))
    assert (run.project.run_name, run.project.output_dir) == (name, tmp_path / "runs" / name)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ("[]", "runs: List should have at least 1 item"),
        ("[{name: ../out}]", "runs[0].name: String should match pattern"),
        ("[{name: a/b}]", "runs[0].name: String should match pattern"),
        ("[{name: .hidden}]", "runs[0].name: String should match pattern"),
        ("[{name: a}, {name: A}]", "names must be unique, found more than once: a"),
        ("[{name: a, sets: []}]", "runs[0].sets: unknown key"),
        ("[{name: a, set: lora.r=4}]", "runs[0].set: Input should be a valid list"),
    ],
)
def test_rejects_a_bad_list_of_runs(tmp_path: Path, runs: str, message: str) -> None:
    sweep = SWEEP.split("runs:")[0].format(folder=tmp_path) + f"runs: {runs}\n"
    with pytest.raises(UsageError) as caught:
        load_sweep(write(tmp_path, sweep.replace("{", "{{").replace("}", "}}")))
    assert message in str(caught.value)


def test_suggests_a_key_for_a_misspelt_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_sweep(write(tmp_path, SWEEP.replace("output_dir", "output_dirs")))
    assert "sweep.yaml:3 output_dirs: unknown key\n    → did you mean output_dir?" in str(caught.value)


def test_reports_the_problems_of_all_runs_at_once(tmp_path: Path) -> None:
    wrong = SWEEP.replace("lora.r=4", "lora.rank=4") + "  - {{name: odd, set: [training.max_steps=0, nonsense]}}\n"
    with pytest.raises(UsageError) as caught:
        load_sweep(write(tmp_path, wrong))
    message = str(caught.value)
    assert "run rank-4: --set lora.rank: unknown key" in message
    assert "run odd: --set nonsense: expected section.key=value" in message


def test_renamed_key_gets_its_line_once(tmp_path: Path) -> None:
    text = SWEEP.replace("set: [", "set: ['export.forms=[native]', ", 1)
    line = next(number for number, each in enumerate(text.splitlines(), 1) if "export.forms" in each)
    with pytest.raises(UsageError) as caught:
        load_sweep(write(tmp_path, text))
    message = str(caught.value)
    assert message.count("is now called export.formats") == 1
    assert f"sweep.yaml:{line} " in message


def test_rejects_another_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a sweep file: expected project, output_dir and runs"):
        load_sweep(write(tmp_path, "- a list\n"))


def test_key_of_a_run_replaces_the_common_one(tmp_path: Path) -> None:
    sweep = SWEEP.replace("[training.max_steps=5]", "[training.max_steps=5, lora.r=8]")
    _, (plain, small) = load_sweep(write(tmp_path, sweep))
    assert (plain.project.lora.r, small.project.lora.r) == (8, 4)


def test_run_without_lora_drops_lora_keys(tmp_path: Path) -> None:
    sweep = SWEEP.replace("[lora.r=4, lora.lora_alpha=8]", "[lora.enabled=false]")
    _, (_, full) = load_sweep(write(tmp_path, sweep))
    assert full.project.lora.model_fields_set == {"enabled"}
