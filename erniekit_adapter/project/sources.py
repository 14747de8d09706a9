"""Check that the files of a project's sources exist."""

from __future__ import annotations

from erniekit_adapter.errors import Problem
from erniekit_adapter.files import similar_path
from erniekit_adapter.project.schema import Project


def missing_sources(project: Project) -> list[Problem]:
    """Return a problem for each source that cannot be read, including test sources, by its key."""
    problems = []
    for key, source in project.named_sources.items():
        if finding := source.path_problem():
            near = None if source.path.exists() else similar_path(source.path)
            hint = f"did you mean {near}?" if near else "correct the path"
            problems.append(Problem(key, f"{source.path}: {finding}", hint))
        for name, folder in source.folders().items():
            if name in source.required_folder_keys and not folder.is_dir():
                location = f"{key.removesuffix('.path')}.{name}"
                problems.append(Problem(location, f"{folder}: no such folder", "set it to the folder of the pages"))
    return problems
