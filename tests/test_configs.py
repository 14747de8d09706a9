"""Every project file in configs/ loads and translates, so that nobody copies one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from erniekit_adapter.backends.erniekit import facts_before_training, train_settings, values
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.sweep.sweep_file import load_sweep
from erniekit_adapter.training.settings_file import settings_text

FOLDER = Path(__file__).resolve().parents[1] / "configs"
CONFIGS, SWEEPS = sorted(FOLDER.glob("*.yaml")), sorted((FOLDER / "sweeps").glob("*.yaml"))


def test_there_are_project_files_to_copy() -> None:
    assert {"demo-cpu.yaml", "ernie-0.3b-lora.yaml"} <= {path.name for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_project_file_of_ours_translates_for_both_complete_releases(path: Path) -> None:
    project = load_project(path)
    made = train_settings(project, facts_before_training(project))
    assert yaml.safe_load(settings_text(made)) == values(made)
    assert made["run_name"].value == project.run_name


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_project_file_of_ours_names_sources_and_an_output_folder_of_its_own(path: Path) -> None:
    project = load_project(path)
    assert project.sources
    others = [load_project(other).output_dir for other in CONFIGS if other != path]
    assert project.output_dir not in others


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_run_of_a_sweep_file_of_ours_translates(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER.parent)
    _, runs = load_sweep(path)
    assert len(runs) > 1
    for run in runs:
        train_settings(run.project, facts_before_training(run.project))


def test_the_sweep_files_of_ours_write_into_different_folders() -> None:
    folders = [yaml.safe_load(path.read_text())["output_dir"] for path in SWEEPS]
    assert len({*folders}) == len(folders) >= 3
