"""Folders that each stage locks: stages that would disturb each other do not run at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from data_tools.build_settings import settings_of
from data_tools.pipeline.build import build
from erniekit_adapter.bundle.export import export
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.evaluation.stage import evaluate
from erniekit_adapter.locks import using
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import Project
from erniekit_adapter.sweep.running import clear_run
from erniekit_adapter.training.run import TrainOptions
from erniekit_adapter.training.stage import train

PROJECT = """
model: {model_name_or_path: baidu/ERNIE-4.5-0.3B-Paddle}
dataset: {path: lines.jsonl}
output_dir: run
"""
CONSOLE = Console(quiet=True)
STAGES: dict[str, Callable[[Project], object]] = {
    "data build": lambda project: build(project.sources, project.data_dir, settings_of(project)),
    "train": lambda project: train(project, TrainOptions(), CONSOLE),
    "export": lambda project: export(project, CONSOLE),
    "evaluate": lambda project: evaluate(project, CONSOLE),
    "sweep": lambda project: clear_run(project, CONSOLE),
}
# Folders that each stage writes and reads.
WRITES = {
    "data build": ["data"],
    "train": ["training"],
    "export": ["bundle"],
    "evaluate": ["evaluation", "bundle"],
    "sweep": ["data", "training", "bundle", "evaluation"],
}
READS = {"train": ["data"], "export": ["training"], "evaluate": ["data", "training"]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.jsonl").touch()
    (tmp_path / "project.yaml").write_text(PROJECT)
    return load_project(tmp_path / "project.yaml", [])


def is_refused(project: Project, stage: str) -> bool:
    try:
        STAGES[stage](project)
    except AdapterError as error:
        return "is in use by" in str(error)
    return False


@pytest.mark.parametrize("running", STAGES)
@pytest.mark.parametrize("second", STAGES)
def test_stages_that_share_a_folder_exclude_each_other(project: Project, running: str, second: str) -> None:
    writes, reads = set(WRITES[second]), set(READS.get(second, []))
    disturbs = writes & {*WRITES[running], *READS.get(running, [])} or reads & set(WRITES[running])
    folders = {
        "writes": [project.output_dir / name for name in WRITES[running]],
        "reads": [project.output_dir / name for name in READS.get(running, [])],
    }
    with using(running, writes=folders["writes"], reads=folders["reads"]):
        assert is_refused(project, second) is bool(disturbs)


@pytest.mark.parametrize("stage", STAGES)
def test_failed_stage_leaves_no_folder(project: Project, stage: str) -> None:
    assert not is_refused(project, stage)
    assert not project.output_dir.exists() or {path.name for path in project.output_dir.iterdir()} <= {"data-rejected"}
