"""The project file, the training examples, and the folder that the toolkit runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from erniekit_adapter.architectures.families import takes_images
from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES
from erniekit_adapter.backends.environments.installed import Toolkit
from erniekit_adapter.backends.translation import context_before_training, problems_of_project
from erniekit_adapter.doctor.check import Check, ok, shown, skipped, wrong
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import real_folder
from erniekit_adapter.project.model_folder import model_kind
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.sources import missing_sources
from erniekit_adapter.training.examples import read_data_manifest

_BUILD = "erniekit-adapter data build PROJECT"


def project_checks(project: Project, toolkit: Toolkit | None) -> Iterator[Check]:
    """Check that the installed version of the toolkit supports every setting of the project file."""
    try:
        problems = problems_of_project(project, context_before_training(project, toolkit.version if toolkit else None))
    except AdapterError as error:
        problems = list(error.problems)
    if not problems:
        yield ok(f"{TOOLKIT_NAMES[project.backend]} supports all settings of the project file")
    for problem in problems:
        yield wrong(f"{problem.location}: {problem.finding}", problem.hint or "correct the project file")


def data_checks(project: Project) -> Iterator[Check]:
    """Check that the training examples are those of the data stage, or that their sources exist."""
    if not (project.data_dir / "manifest.json").is_file():
        if missing := missing_sources(project):
            named = "; ".join(f"{problem.location}: {problem.finding}" for problem in missing)
            yield wrong(f"missing sources: {named}", "correct their paths")
        elif not project.sources:
            yield wrong(
                "the project names no documents: neither dataset.path nor data.sources",
                f"name a source (docs/data.md), then run {_BUILD}",
            )
        else:
            yield skipped("no training examples yet", f"run {_BUILD}")
        return
    try:
        splits = read_data_manifest(project)["by_split"]
        counted = ", ".join(f"{name} {count}" for name, count in splits.items())
    except AdapterError as error:
        yield from (
            wrong(f"{each.location}: {each.finding}", each.hint or f"run {_BUILD} again") for each in error.problems
        )
    except (KeyError, TypeError, AttributeError):
        path = project.data_dir / "manifest.json"
        yield wrong(f"{shown(path)} is not a manifest of the data stage", f"run {_BUILD} again")
    else:
        yield ok(f"training examples: {counted}; unchanged since the data stage")


def folder_checks(project: Project) -> Iterator[Check]:
    """Check `output_dir`: the toolkit runs and writes in `output_dir/training`, readers of images in `download_tmp`."""
    try:
        folder = existing_parent(real_folder(project.output_dir))
        for stage_folder in (project.data_dir, project.training_dir, project.bundle_dir, project.evaluation_dir):
            real_folder(stage_folder)
    except UsageError as error:
        yield from (wrong(f"{problem.location}: {problem.finding}", problem.hint) for problem in error.problems)
        return
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_RDONLY:
        yield wrong(f"{shown(folder)} is not writable, and the toolkit writes there", "set another output_dir")
    data_dir = str(project.data_dir.absolute())
    odd = [
        name for name, found in (("a blank", any(map(str.isspace, data_dir))), ("a comma", "," in data_dir)) if found
    ]
    if not odd:
        return
    finding = f"the path of the training examples contains {' and '.join(odd)} ({data_dir})"
    if takes_images(model_kind(project.model.model_name_or_path)):
        yield wrong(f"{finding}: the toolkits' readers of images cannot open it", "set an output_dir without them")
    elif project.backend == "erniekit":
        yield skipped(f"{finding}: ERNIEKit strips blanks and splits at commas, so it gets a relative path")


def existing_parent(folder: Path) -> Path:
    """Return the folder, or the nearest folder above it that exists."""
    return next(parent for parent in (folder, *Path(os.path.realpath(folder)).parents) if parent.is_dir())
