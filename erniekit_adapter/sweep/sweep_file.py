"""The sweep file: a project, and the changes of each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, model_validator

from erniekit_adapter.errors import AdapterError, Problem, UsageError
from erniekit_adapter.project.loading import load_file, load_project, read_yaml
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.section import FilePath, Section
from erniekit_adapter.yaml_files import Key

PROJECT_FILE = "project.yaml"
_EXPECTED = "sweep file: expected project, output_dir and runs"

Change = Annotated[str, Field(description="section.key=value, as with --set")]


class RunEntry(Section):
    """A run in the sweep file: its name, which is also its folder's, and its changes to the project."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    changes: list[Change] = Field([], alias="set")


class SweepFile(Section):
    """Runs of one project; the others are compared with the first."""

    project: FilePath
    output_dir: FilePath
    changes: list[Change] = Field([], alias="set", description="changes of all runs")
    runs: list[RunEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> SweepFile:
        # On some disks, folder names that differ only in case are the same folder.
        counts = Counter(run.name.lower() for run in self.runs)
        if repeated := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"runs: names must be unique, found more than once: {', '.join(repeated)}")
        return self


@dataclass(frozen=True)
class SweepRun:
    """A run that is ready to start.

    Attributes:
        name: name of the run.
        changes: its own changes, as written in the sweep file.
        project: the project with all changes; its `output_dir` is the run's folder.
    """

    name: str
    changes: tuple[str, ...]
    project: Project

    @property
    def project_file(self) -> Path:
        """Path of the run's project file, with which every stage can be repeated by hand."""
        return self.project.output_dir / PROJECT_FILE

    def project_text(self) -> str:
        """Return the project as YAML, with the keys that were given."""
        return yaml.safe_dump(self.project.model_dump(mode="json", exclude_unset=True), sort_keys=False)


def load_sweep(path: Path) -> tuple[SweepFile, list[SweepRun]]:
    """Read a sweep file and create the project of every run.

    Raises:
        UsageError: problems of the sweep file, or of the projects of all runs.
    """
    sweep = load_file(path, SweepFile, _EXPECTED)
    places = read_yaml(path).lines
    runs, problems = [], []
    for index, run in enumerate(sweep.runs):
        own = [f"output_dir={_quoted(str(sweep.output_dir / run.name))}", f"run_name={_quoted(run.name)}"]
        try:
            project = load_project(sweep.project, [*_replaced(sweep.changes, run.changes), *run.changes, *own])
        except AdapterError as error:
            problems += [_placed(each, sweep, index, places) for each in error.problems]
        else:
            runs.append(SweepRun(run.name, tuple(run.changes), project))
    if problems:
        raise UsageError(dict.fromkeys(problems))
    return sweep, runs


def _replaced(common: list[str], own: list[str]) -> list[str]:
    """Return the changes of all runs, except those whose key the run sets itself."""
    keys = {change.partition("=")[0].strip() for change in own}
    return [change for change in common if change.partition("=")[0].strip() not in keys]


def _quoted(text: str) -> str:
    """Return text as a YAML string, even if it looks like `7` or `null`."""
    return yaml.safe_dump(text, default_style='"', width=10_000).strip()


def _placed(problem: Problem, sweep: SweepFile, index: int, places: Mapping[Key, str]) -> Problem:
    """Return a problem of a run with file and line of the change that caused it; without one, with the run's name.

    Args:
        problem: the problem of the run's project.
        sweep: the sweep file's content.
        index: of the run.
        places: `file:line` of each key in the sweep file.
    """
    run = sweep.runs[index]
    own = ((("runs", index, "set", place), change) for place, change in enumerate(run.changes))
    common = ((("set", place), change) for place, change in enumerate(sweep.changes))
    key = problem.location.removeprefix("--set ").partition("=")[0].strip()
    if problem.location.startswith("--set "):
        for place, change in (*own, *common):
            name = change.partition("=")[0].strip()
            if f"{name}.".startswith(f"{key}.") or f"{key}.".startswith(f"{name}."):
                of_run = f"run {run.name}: " if place[0] == "runs" else ""
                return replace(problem, location=f"{places[place]} {of_run}{problem.location}")
    return replace(problem, location=f"run {run.name}: {problem.location}")
