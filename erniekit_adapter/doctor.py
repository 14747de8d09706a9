"""Is this machine ready for this project: a line for each thing that has to be so, with a remedy where it is not."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from erniekit_adapter.backends.erniekit import local_model_dir, project_problems
from erniekit_adapter.backends.installed import Candidate, candidates
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.sources import missing_sources

MIN_FREE_GIB = 5
_MARKS = {"ok": "✓", "wrong": "✗", "skipped": "⊘"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: ok, wrong, or not to be judged yet."""

    state: Literal["ok", "wrong", "skipped"]
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{_MARKS[self.state]} {self.what}" + (f"\n    → {self.remedy}" if self.remedy else "")


def examine(project: Project) -> Iterator[Check]:
    """Look at everything that training needs, without loading any of it."""
    yield _python()
    yield from _toolkit()
    yield from _project(project)
    yield _model(project)
    yield _data(project)
    yield _disk(project.output_dir)
    yield _host()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 10) <= sys.version_info[:2] <= (3, 12):
        return Check("ok", f"Python {version}")
    return Check("wrong", f"Python {version}", "use Python 3.10, 3.11 or 3.12")


def _toolkit() -> Iterator[Check]:
    """Every place where ERNIEKit may be, up to the one that is used."""
    tried: list[Candidate] = []
    for candidate in candidates():
        if candidate.toolkit:
            yield from (Check("skipped", f"{each.found_by}: {each.problem}") for each in tried)
            toolkit = candidate.toolkit
            paddle = toolkit.versions.get("paddlepaddle-gpu") or toolkit.versions.get("paddlepaddle")
            formers = toolkit.versions.get("paddleformers")
            what = f"ERNIEKit {toolkit.version} ({toolkit.found_by}), paddle {paddle}, paddleformers {formers}"
            yield Check("ok", what)
            return
        tried.append(candidate)
        if candidate.found_by.startswith("ERNIEKIT_"):
            break
    for each in tried:
        yield Check("wrong", f"{each.found_by}: {each.problem}", "run make setup-erniekit, or see docs/cluster.md")


def _project(project: Project) -> Iterator[Check]:
    problems = project_problems(project)
    if not problems:
        yield Check("ok", "the project file asks nothing that ERNIEKit cannot do")
    for problem in problems:
        yield Check("wrong", f"{problem.where}: {problem.what}", problem.remedy)


def _model(project: Project) -> Check:
    from erniekit_adapter.project.model_folder import check_model_dir

    folder, name = local_model_dir(project), project.model.model_name_or_path
    try:
        check_model_dir(folder, name)
    except AdapterError as error:
        return Check("wrong", "; ".join(problem.what for problem in error.problems), error.problems[0].remedy)
    return Check("ok", f"model {folder}: weights, tokenizer and configuration are there")


def _data(project: Project) -> Check:
    from erniekit_adapter.training.stage import read_data_manifest

    if not (project.data_dir / "manifest.json").is_file():
        if missing := missing_sources(project):
            named = "; ".join(f"{problem.where}: {problem.what}" for problem in missing)
            return Check("wrong", f"sources that are not there: {named}", "correct their paths")
        return Check("skipped", "lines are not made yet", "run make data")
    try:
        splits = read_data_manifest(project)["by_split"]
    except AdapterError as error:
        return Check("wrong", "; ".join(str(problem) for problem in error.problems))
    return Check("ok", f"lines: {', '.join(f'{name} {lines}' for name, lines in splits.items())}")


def _disk(output_dir: Path) -> Check:
    folder = next(parent for parent in (output_dir, *output_dir.resolve().parents) if parent.is_dir())
    free_gib = shutil.disk_usage(folder).free / 2**30
    if free_gib < MIN_FREE_GIB:
        return Check(
            "wrong", f"{free_gib:.1f} GiB free in {folder}", f"checkpoints and a merge want {MIN_FREE_GIB} GiB"
        )
    return Check("ok", f"{free_gib:.0f} GiB free in {folder}")


def _host() -> Check:
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        return Check("skipped", f"this machine's name {name} resolves to nothing", "only several machines need it")
    if address == "127.0.1.1":
        return Check("skipped", f"{name} is 127.0.1.1: several machines would wait for each other for ever",
                     "give it its network address in /etc/hosts before training on more than one")  # fmt: skip
    return Check("ok", f"{name} is {address}")
