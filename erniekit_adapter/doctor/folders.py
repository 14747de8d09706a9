"""The project file, the lines, and the folder that the toolkit runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from erniekit_adapter.backends.installed import Toolkit
from erniekit_adapter.backends.keytable import TOOLKIT_NAMES
from erniekit_adapter.doctor.check import Check, ok, shown, skipped, wrong
from erniekit_adapter.doctor.model import IMAGE_KINDS
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import real_folder
from erniekit_adapter.project.model_folder import model_kind
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.sources import missing_sources


def project_checks(project: Project, toolkit: Toolkit | None) -> Iterator[Check]:
    """What the project asks and its toolkit, in the version that is installed, cannot do."""
    from erniekit_adapter.backends.translation import facts_before_training, problems_of_project

    try:
        problems = problems_of_project(project, facts_before_training(project, toolkit.version if toolkit else None))
    except AdapterError as error:
        problems = list(error.problems)
    if not problems:
        yield ok(f"the project file asks nothing that {TOOLKIT_NAMES[project.backend]} cannot do")
    for problem in problems:
        yield wrong(f"{problem.where}: {problem.what}", problem.remedy or "correct the project file")


def data_checks(project: Project) -> Iterator[Check]:
    """Are there lines, and are they the ones that the data stage wrote; or else their sources."""
    from erniekit_adapter.training.lines import read_data_manifest

    if not (project.data_dir / "manifest.json").is_file():
        if missing := missing_sources(project):
            named = "; ".join(f"{problem.where}: {problem.what}" for problem in missing)
            yield wrong(f"sources that are not there: {named}", "correct their paths")
        elif not project.sources:
            yield wrong(
                "the project names no documents: neither dataset.path nor data.sources",
                "name one (docs/data.md), then run make data",
            )
        else:
            yield skipped("lines are not made yet", "run make data")
        return
    try:
        splits = read_data_manifest(project)["by_split"]
        counted = ", ".join(f"{name} {lines}" for name, lines in splits.items())
    except AdapterError as error:
        yield from (
            wrong(f"{each.where}: {each.what}", each.remedy or "run make data again") for each in error.problems
        )
    except (KeyError, TypeError, AttributeError):
        path = project.data_dir / "manifest.json"
        yield wrong(f"{shown(path)} is not a manifest that the data stage wrote", "run make data again")
    else:
        yield ok(f"lines: {counted}; they are what the data stage wrote")


def folder_checks(project: Project) -> Iterator[Check]:
    """The toolkit runs in `output_dir/training` and writes there; image readers write `download_tmp` as well."""
    try:
        folder = existing_parent(real_folder(project.output_dir))
        for stage_folder in (project.data_dir, project.training_dir, project.bundle_dir, project.evaluation_dir):
            real_folder(stage_folder)
    except UsageError as error:
        yield from (wrong(f"{problem.where}: {problem.what}", problem.remedy) for problem in error.problems)
        return
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_RDONLY:
        yield wrong(f"{shown(folder)} cannot be written, and the toolkit works there", "set another output_dir")
    lines = str(project.data_dir.absolute())
    odd = [name for name, found in (("a blank", any(map(str.isspace, lines))), ("a comma", "," in lines)) if found]
    if not odd:
        return
    what = f"the path of the lines has {' and '.join(odd)} ({lines})"
    if model_kind(project.model.model_name_or_path) in IMAGE_KINDS:
        yield wrong(f"{what}: readers of images cannot open that", "set an output_dir without them")
    elif project.backend == "erniekit":
        yield skipped(f"{what}: ERNIEKit strips blanks and splits at commas, so it is given a relative path")


def existing_parent(folder: Path) -> Path:
    """The folder itself, or the nearest above it that is there."""
    return next(parent for parent in (folder, *Path(os.path.realpath(folder)).parents) if parent.is_dir())
