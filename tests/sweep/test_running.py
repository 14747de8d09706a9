"""Runs go one after the other; a failing one is told and does not keep the others from running.

The stages here are small programs that stand for the real ones: tests/toolkit/test_docs.py runs a sweep with ERNIEKit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project
from erniekit_adapter.sweep import running
from erniekit_adapter.sweep.running import run_all, stages
from erniekit_adapter.sweep.sweep_file import Run

STAGE = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1]).parent
(folder / "ran").open("a").write(sys.argv[2] + " ")
if folder.name == sys.argv[3] and sys.argv[2] == "train":
    sys.exit(7)
if sys.argv[2] == "evaluate":
    (folder / "evaluation").mkdir(exist_ok=True)
    for name in ("results.json", "base.jsonl", "base.made-from.json"):
        path = folder / "evaluation" / name
        path.exists() or path.write_text(folder.name)
"""


def make_run(folder: Path, name: str, steps: int = 5) -> Run:
    project = Project.model_validate(
        {
            "model": {"model_name_or_path": "./model"},
            "training": {"max_steps": steps, "device": "cpu"},
            "output_dir": str(folder / name),
        }
    )
    return Run(name, (f"training.max_steps={steps}",), project)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_failing(name: str) -> None:
        def made(project_file: Path) -> list[list[str]]:
            verbs = ("build", "train", "export", "evaluate")
            return [[sys.executable, "-c", STAGE, str(project_file), verb, name] for verb in verbs]

        monkeypatch.setattr(running, "stages", made)

    set_failing("")
    return set_failing


def ran(folder: Path, name: str) -> str:
    return (folder / name / "ran").read_text()


def quiet() -> Console:
    return Console(file=StringIO(), width=200)


@pytest.mark.usefixtures("failing")
def test_every_run_goes_through_every_stage_on_its_own_project_file(tmp_path: Path) -> None:
    assert run_all([make_run(tmp_path, "one"), make_run(tmp_path, "two")], quiet()) == []
    assert ran(tmp_path, "one") == ran(tmp_path, "two") == "build train export evaluate "


def test_a_failing_run_is_told_and_the_others_run(tmp_path: Path, failing: Callable[[str], None]) -> None:
    failing("one")
    (failure,) = run_all([make_run(tmp_path, "one"), make_run(tmp_path, "two")], quiet())
    assert (failure.run, failure.exit_code) == ("one", 7)
    assert (ran(tmp_path, "one"), ran(tmp_path, "two")) == ("build train ", "build train export evaluate ")


def test_a_second_sweep_runs_only_what_is_not_finished(tmp_path: Path, failing: Callable[[str], None]) -> None:
    runs = [make_run(tmp_path, "one"), make_run(tmp_path, "two")]
    failing("two")
    run_all(runs, quiet())
    failing("")
    assert run_all(runs, quiet()) == []
    assert ran(tmp_path, "one") == "build train export evaluate "
    assert ran(tmp_path, "two") == "build train build train export evaluate "


@pytest.mark.usefixtures("failing")
def test_the_base_models_answers_are_handed_on(tmp_path: Path) -> None:
    run_all([make_run(tmp_path, "one"), make_run(tmp_path, "two")], quiet())
    assert (tmp_path / "two" / "evaluation" / "base.jsonl").read_text() == "one"


@pytest.mark.usefixtures("failing")
def test_a_run_with_other_settings_is_never_overwritten_unasked(tmp_path: Path) -> None:
    run_all([make_run(tmp_path, "one")], quiet())
    with pytest.raises(UsageError, match="holds a run with other settings"):
        run_all([make_run(tmp_path, "one", steps=6)], quiet())
    assert run_all([make_run(tmp_path, "one", steps=6)], quiet(), restart=True) == []
    assert ran(tmp_path, "one") == "build train export evaluate "


@pytest.mark.usefixtures("failing")
def test_a_restart_that_is_killed_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "one")
    assert run_all([run], quiet()) == []

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(running, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            run_all([run], quiet(), restart=True)
    assert run_all([run], quiet(), restart=True) == []


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, restart: bool) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not of our making"):
        run_all([make_run(tmp_path, "one")], quiet(), restart=restart)
    assert (tmp_path / "one" / "thesis.txt").read_text() == "years of work"


def test_the_stages_are_the_commands_that_a_user_types(tmp_path: Path) -> None:
    shown = [" ".join(command[1:]) for command in stages(tmp_path / "project.yaml")]
    assert shown[0] == f"-m data_tools build --project {tmp_path}/project.yaml"
    assert shown[1:] == [
        f"-m erniekit_adapter {verb} {tmp_path}/project.yaml"
        for verb in ("train", "export --allow-unproven", "evaluate")
    ]
