"""Run the stages of every run with the commands that a user would type, each run with its own project file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from erniekit_adapter.backends.processes.process import run_attached
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.evaluation.stage import STAMP_SUFFIX
from erniekit_adapter.files import empty_folder, read_bytes, refuse_foreign_folder, write_text
from erniekit_adapter.locks import lock_of, using
from erniekit_adapter.project.schema import Project
from erniekit_adapter.sweep.sweep_file import PROJECT_FILE, SweepRun

_RESULTS = "results.json"
_BASE_ANSWERS = "base.jsonl"


@dataclass(frozen=True)
class FailedRun:
    """A run that ended early.

    Attributes:
        run: its name.
        command: the command line of the stage.
        exit_code: its exit code.
    """

    run: str
    command: str
    exit_code: int

    def problem(self) -> Problem:
        """Return the problem to print after the stage's own error message."""
        return Problem(f"run {self.run}", f"exit code {self.exit_code} of: {self.command}", "see its message above")


def stages(project_file: Path) -> list[list[str]]:
    """Return the command lines from documents to results."""
    program = [sys.executable, "-m", "erniekit_adapter"]
    # A sweep only compares runs; the bundle of the chosen run is exported again with a parity check.
    verbs = [
        [*program, *verb, str(project_file)] for verb in (("train",), ("export", "--allow-unchecked"), ("evaluate",))
    ]
    return [[*program, "data", "build", str(project_file)], *verbs]


def run_all(runs: Sequence[SweepRun], console: Console, *, restart: bool = False) -> list[FailedRun]:
    """Run every stage of every run; a failed run does not stop the others.

    Args:
        runs: the runs, in order.
        console: where the progress is printed.
        restart: start every run again, even if it is finished.

    Returns:
        The failed runs.

    Raises:
        UsageError: a run's folder holds a run of another project, or other files.
    """
    _check_folders(runs, restart)
    failures = []
    for number, run in enumerate(runs, start=1):
        console.print(f"── run {number} of {len(runs)}: {run.name} {' '.join(run.changes)}".rstrip())
        if restart:
            clear_run(run.project, console)
        if (run.project.evaluation_dir / _RESULTS).is_file():
            console.print("already finished")
            continue
        run.project.output_dir.mkdir(parents=True, exist_ok=True)
        write_text(run.project_file, run.project_text())
        _share_base_answers(run, runs)
        if failure := _run_stages(run, console):
            failures.append(failure)
            console.print(str(failure.problem()))
    return failures


def _check_folders(runs: Sequence[SweepRun], restart: bool) -> None:
    problems = []
    for run in runs:
        refuse_foreign_folder(run.project.output_dir, PROJECT_FILE)
        if run.project_file.is_file() and not restart and read_bytes(run.project_file) != run.project_text().encode():
            finding = "holds a run with other settings"
            problems.append(
                Problem(str(run.project_file), finding, "give the run another name, or start with --restart")
            )
    if problems:
        raise UsageError(problems)


def clear_run(project: Project, console: Console) -> None:
    """Empty the folder of a run, unless a stage uses it; its project file stays and marks the folder as ours."""
    folders = [project.data_dir, project.training_dir, project.bundle_dir, project.evaluation_dir]
    with using("sweep", writes=folders, on_note=console.print):
        empty_folder(project.output_dir, keep={PROJECT_FILE, *(lock_of(folder).name for folder in folders)})


def _run_stages(run: SweepRun, console: Console) -> FailedRun | None:
    for command in stages(run.project_file):
        shown = " ".join(["erniekit-adapter", *command[3:]])
        console.print(f"$ {shown}")
        exit_code = run_attached(command)
        if exit_code:
            return FailedRun(run.name, shown, exit_code)
    return None


def _share_base_answers(run: SweepRun, runs: Sequence[SweepRun]) -> None:
    """Copy the base model's answers of another run to this one; evaluate uses them if they apply."""
    own_dir = run.project.evaluation_dir
    for other in runs:
        other_dir = other.project.evaluation_dir
        files = [other_dir / _BASE_ANSWERS, (other_dir / _BASE_ANSWERS).with_suffix(STAMP_SUFFIX)]
        if other_dir != own_dir and (other_dir / _RESULTS).is_file() and all(file.is_file() for file in files):
            own_dir.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy2(file, own_dir / file.name)
            return
