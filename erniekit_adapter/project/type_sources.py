"""Check that the sources of a project fit its document type: kinds, labels, and columns of tables."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.field_names import FieldNames, field_list, unknown_labels
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.schema import AnySource, Project
from erniekit_adapter.project.table_source import TableSource

# The column with the file of the page, in every document type.
FILE_COLUMN = "file"


def source_problems(project: Project) -> list[Problem]:
    """Return a problem for each key of a source that does not fit the project's document type.

    Raises:
        UsageError: no such type, or its files are wrong.
    """
    document_type = project.documents
    found: list[Problem] = []
    for key, source in project.named_sources.items():
        found += _problems(key.removesuffix(".path"), source, document_type)
    return found


def _problems(key: str, source: AnySource, document_type: DocumentType) -> Iterator[Problem]:
    if isinstance(source, TableSource):
        for name in source.columns.unknown() if document_type is INVOICE else ():
            yield Problem(f"{key}.columns.{name}", "unknown key", _nearest(name))
        for name in source.columns.given() if document_type is not INVOICE else ():
            if finding := column_problem(document_type, name):
                yield Problem(f"{key}.columns.{name}", finding, columns_hint(document_type))
    elif document_type is not INVOICE:
        if source.kind == "einvoice":
            yield Problem(f"{key}.kind", *not_einvoice(document_type))
        if unknown := unknown_labels(document_type, getattr(source, "labels", {})):
            hint = f"the fields are {field_list(document_type.fields.values())}"
            yield Problem(f"{key}.labels", f"no such field: {', '.join(unknown)[:300]}", hint)


def not_einvoice(document_type: DocumentType) -> tuple[str, str]:
    """Return finding and hint for a source of e-invoices in a project with another document type."""
    return (
        f"e-invoices are invoices, and document_type is {document_type.name}",
        "remove this source, or set document_type: invoice in a project of its own",
    )


def column_problem(document_type: DocumentType, name: str) -> str | None:
    """Return why a table cannot have a column for a field; None if it can."""
    if name == FILE_COLUMN:
        return None
    found = FieldNames(document_type).by_path(name)
    if len(found) != 1:
        return "can mean several fields" if found else "no such field"
    table = found[0].table if "[]." in found[0].path else None
    if table not in (None, document_type.line_items):
        return f"a field of {table}; the rows of a table can only be rows of {document_type.line_items}"
    return None


def columns_hint(document_type: DocumentType) -> str:
    """Return the fields that the columns of a table can have."""
    return f"the fields are {FILE_COLUMN}, {field_list(document_type.fields.values())}"


def _nearest(name: str) -> str:
    fields = list(TableSource.model_fields["columns"].annotation.model_fields)  # type: ignore[union-attr]
    matches = difflib.get_close_matches(name, fields, n=1, cutoff=0.75)
    return f"did you mean {matches[0]}?" if matches else "remove it"
