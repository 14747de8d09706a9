"""Are a project's sources there?"""

from __future__ import annotations

from erniekit_adapter.errors import Problem
from erniekit_adapter.project.schema import AnnotationsSource, AnySource, EInvoiceSource, Project
from erniekit_adapter.project.table_source import TableSource


def unusable_source(source: AnySource) -> str | None:
    """What is wrong with a source's path: e-invoices and annotations may be a folder, everything else is a file."""
    path = source.path
    if path.is_file() or (path.is_dir() and isinstance(source, (EInvoiceSource, AnnotationsSource))):
        return None
    return "is no regular file" if path.exists() else "no such file"


def missing_sources(project: Project) -> list[Problem]:
    """Every source that cannot be read, by the key that names it; test sources are sources as well."""
    problems = []
    for key, source in project.named_sources.items():
        if what := unusable_source(source):
            problems.append(Problem(key, f"{source.path}: {what}", "correct the path"))
        pages = source.documents if isinstance(source, TableSource) else None
        if pages is not None and not pages.is_dir():
            place = f"{key.removesuffix('.path')}.documents"
            problems.append(Problem(place, f"{pages}: no such folder", "name the folder of the pages"))
    return problems
