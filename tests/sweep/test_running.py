"""Runs of a sweep, one after the other; a failed run is reported and does not stop the others.

Small programs replace the stages; tests/toolkit/test_docs.py runs a sweep with ERNIEKit.
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
from erniekit_adapter.sweep.sweep_file import SweepRun

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


def make_run(folder: Path, name: str, steps: int = 5) -> SweepRun:
    project = Project.model_validate(
        {
            "model": {"model_name_or_path": "./model"},
            "training": {"max_steps": steps, "device": "cpu"},
            "output_dir": str(folder / name),
        }
    )
    return SweepRun(name, (f"training.max_steps={steps}",), project)


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
def test_runs_every_stage_of_every_run(tmp_path: Path) -> None:
    assert run_all([make_run(tmp_path, "one"), make_run(tmp_path, "two")], quiet()) == []
    assert ran(tmp_path, "one") == ran(tmp_path, "two") == "build train export evaluate "


def test_failed_run_does_not_stop_the_others(tmp_path: Path, failing: Callable[[str], None]) -> None:
    failing("one")
    (failure,) = run_all([make_run(tmp_path, "one"), make_run(tmp_path, "two")], quiet())
    assert (failure.run, failure.exit_code) == ("one", 7)
    assert (ran(tmp_path, "one"), ran(tmp_path, "two")) == ("build train ", "build train export evaluate ")


def test_second_sweep_skips_finished_runs(tmp_path: Path, failing: Callable[[str], None]) -> None:
    runs = [make_run(tmp_path, "one"), make_run(tmp_path, "two")]
    failing("two")
    run_all(runs, quiet())
    failing("")
    assert run_all(runs, quiet()) == []
    assert ran(tmp_path, "one") == "build train export evaluate "
    assert ran(tmp_path, "two") == "build train build train export evaluate "


@pytest.mark.usefixtures("failing")
def test_shares_the_answers_of_the_base_model(tmp_path: Path) -> None:
    run_all([make_run(tmp_path, "one"), make_run(tmp_path, "two")], quiet())
    assert (tmp_path / "two" / "evaluation" / "base.jsonl").read_text() == "one"


@pytest.mark.usefixtures("failing")
def test_restart_is_needed_for_other_settings(tmp_path: Path) -> None:
    run_all([make_run(tmp_path, "one")], quiet())
    with pytest.raises(UsageError, match="holds a run with other settings"):
        run_all([make_run(tmp_path, "one", steps=6)], quiet())
    assert run_all([make_run(tmp_path, "one", steps=6)], quiet(), restart=True) == []
    assert ran(tmp_path, "one") == "build train export evaluate "


@pytest.mark.usefixtures("failing")
def test_killed_sweep_restart_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_keeps_a_foreign_run_folder(tmp_path: Path, restart: bool) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="was not made by erniekit-adapter"):
        run_all([make_run(tmp_path, "one")], quiet(), restart=restart)
    assert (tmp_path / "one" / "thesis.txt").read_text() == "years of work"


def test_stages_are_the_commands_of_the_user(tmp_path: Path) -> None:
    shown = [" ".join(command[1:]) for command in stages(tmp_path / "project.yaml")]
    assert shown == [
        f"-m erniekit_adapter {verb} {tmp_path}/project.yaml"
        for verb in ("data build", "train", "export --allow-unchecked", "evaluate")
    ]
