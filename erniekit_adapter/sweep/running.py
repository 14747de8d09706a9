"""Run after run, stage after stage: each by the command that a user would type, on a project file of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from erniekit_adapter.backends.process import run_attached
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.evaluation.stage import STAMP_SUFFIX
from erniekit_adapter.files import empty_folder, read_bytes, refuse_foreign_folder, write_text
from erniekit_adapter.locks import lock_of, using
from erniekit_adapter.project.schema import Project
from erniekit_adapter.sweep.sweep_file import PROJECT_FILE, Run

_RESULTS = "results.json"
_BASE_ANSWERS = "base.jsonl"


@dataclass(frozen=True)
class Failure:
    """A run that ended early.

    Attributes:
        run: its name.
        command: the stage's command line.
        exit_code: what it ended with.
    """

    run: str
    command: str
    exit_code: int

    def problem(self) -> Problem:
        """What to tell the user; the stage itself has said what was wrong."""
        return Problem(f"run {self.run}", f"exit code {self.exit_code} of: {self.command}", "see its message above")


def stages(project_file: Path) -> list[list[str]]:
    """The command lines that take a project from documents to results."""
    python = [sys.executable, "-m"]
    # A sweep compares runs, wherever it runs; the bundle that goes into service is exported where it can be proven.
    verbs = [
        [*python, "erniekit_adapter", *verb, str(project_file)]
        for verb in (("train",), ("export", "--allow-unproven"), ("evaluate",))
    ]
    return [[*python, "data_tools", "build", "--project", str(project_file)], *verbs]


def run_all(runs: Sequence[Run], console: Console, *, restart: bool = False) -> list[Failure]:
    """Take every run to its results; one that fails does not keep the others from running.

    Args:
        restart: begin every run anew, those that were finished included.

    Raises:
        UsageError: a run's folder holds a run of another project, or something that no sweep wrote.
    """
    _check_folders(runs, restart)
    failures = []
    for number, run in enumerate(runs, start=1):
        console.print(f"── run {number} of {len(runs)}: {run.name} {' '.join(run.changes)}".rstrip())
        if restart:
            _begin_again(run.project, console)
        if (run.project.evaluation_dir / _RESULTS).is_file():
            console.print("finished before")
            continue
        run.project.output_dir.mkdir(parents=True, exist_ok=True)
        write_text(run.project_file, run.project_text())
        _share_base_answers(run, runs)
        if failure := _run_stages(run, console):
            failures.append(failure)
            console.print(str(failure.problem()))
    return failures


def _check_folders(runs: Sequence[Run], restart: bool) -> None:
    problems = []
    for run in runs:
        refuse_foreign_folder(run.project.output_dir, PROJECT_FILE)
        if run.project_file.is_file() and not restart and read_bytes(run.project_file) != run.project_text().encode():
            what = "holds a run with other settings"
            problems.append(Problem(str(run.project_file), what, "give the run another name, or begin with --restart"))
    if problems:
        raise UsageError(problems)


def _begin_again(project: Project, console: Console) -> None:
    """Empty a run's folder, unless a stage works there; its project file stays as the sign that it is ours."""
    folders = [project.data_dir, project.training_dir, project.bundle_dir, project.evaluation_dir]
    with using("sweep", writes=folders, on_note=console.print):
        empty_folder(project.output_dir, keep={PROJECT_FILE, *(lock_of(folder).name for folder in folders)})


def _run_stages(run: Run, console: Console) -> Failure | None:
    for command in stages(run.project_file):
        shown = " ".join(["python", *command[1:]])
        console.print(f"$ {shown}")
        exit_code = run_attached(command)
        if exit_code:
            return Failure(run.name, shown, exit_code)
    return None


def _share_base_answers(run: Run, runs: Sequence[Run]) -> None:
    """Put another run's answers of the base model where evaluate looks; it uses them where they are the same."""
    ours = run.project.evaluation_dir
    for other in runs:
        theirs = other.project.evaluation_dir
        files = [theirs / _BASE_ANSWERS, (theirs / _BASE_ANSWERS).with_suffix(STAMP_SUFFIX)]
        if theirs != ours and (theirs / _RESULTS).is_file() and all(file.is_file() for file in files):
            ours.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy2(file, ours / file.name)
            return
