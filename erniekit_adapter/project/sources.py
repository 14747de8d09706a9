"""Are a project's sources there?"""

from __future__ import annotations

from erniekit_adapter.errors import Problem
from erniekit_adapter.project.schema import Project


def missing_sources(project: Project) -> list[Problem]:
    """Every source that is no file, by the key that names it; test sources are sources as well."""
    return [
        Problem(key, f"{path}: {'is no regular file' if path.exists() else 'no such file'}", "correct the path")
        for key, path in project.source_paths.items()
        if not path.is_file()
    ]
