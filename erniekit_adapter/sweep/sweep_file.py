"""The sweep file: one project, and what each run changes in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, model_validator

from erniekit_adapter.errors import AdapterError, Problem, UsageError
from erniekit_adapter.project.loading import load_file, load_project
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.section import FilePath, Section

PROJECT_FILE = "project.yaml"
_EXPECTED = "sweep file: expected project, output_dir and runs"

Change = Annotated[str, Field(description="section.key=value, as with --set")]


class SweepRun(Section):
    """A run: its name, which is its folder's, and what it changes in the project."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    changes: list[Change] = Field([], alias="set")


class SweepFile(Section):
    """Runs of one project; the first is the one that the others are held against."""

    project: FilePath
    output_dir: FilePath
    changes: list[Change] = Field([], alias="set", description="what all runs change in the project")
    runs: list[SweepRun] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> SweepFile:
        # Folders of names that differ in case alone are one folder on some disks.
        counts = Counter(run.name.lower() for run in self.runs)
        if repeated := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"runs: a name can be given once, found again: {', '.join(repeated)}")
        return self


@dataclass(frozen=True)
class Run:
    """A run that is ready to start.

    Attributes:
        name: of the run.
        changes: what it alone changes, in words of the sweep file.
        project: the project with all changes; its `output_dir` is the run's own folder.
    """

    name: str
    changes: tuple[str, ...]
    project: Project

    @property
    def project_file(self) -> Path:
        """Where the project is written down, so that every stage of the run can be repeated by hand."""
        return self.project.output_dir / PROJECT_FILE

    def project_text(self) -> str:
        """The project as YAML, with the keys that were given."""
        return yaml.safe_dump(self.project.model_dump(mode="json", exclude_unset=True), sort_keys=False)


def load_sweep(path: Path) -> tuple[SweepFile, list[Run]]:
    """Read a sweep file and make the project of every run.

    Raises:
        UsageError: what is wrong with the sweep file, or with the projects of all its runs.
    """
    sweep = load_file(path, SweepFile, _EXPECTED)
    runs, problems = [], []
    for run in sweep.runs:
        own = [f"output_dir={_quoted(str(sweep.output_dir / run.name))}", f"run_name={_quoted(run.name)}"]
        try:
            project = load_project(sweep.project, [*_replaced(sweep.changes, run.changes), *run.changes, *own])
        except AdapterError as error:
            problems += list(_of_run(run.name, error))
        else:
            runs.append(Run(run.name, tuple(run.changes), project))
    if problems:
        raise UsageError(dict.fromkeys(problems))
    return sweep, runs


def _replaced(common: list[str], own: list[str]) -> list[str]:
    """Return the changes of all runs without those whose key a run gives itself."""
    keys = {change.partition("=")[0].strip() for change in own}
    return [change for change in common if change.partition("=")[0].strip() not in keys]


def _quoted(text: str) -> str:
    """Text that stays text in YAML, were it `7` or `null`."""
    return yaml.safe_dump(text, default_style='"', width=10_000).strip()


def _of_run(name: str, error: AdapterError) -> Iterator[Problem]:
    for problem in error.problems:
        yield Problem(f"run {name}: {problem.where}", problem.what, problem.remedy)
