"""Records of a table for a declared document type: the rows of one document, read as its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_tools.records import RecordOrRejection
from data_tools.sources.declared.content import nested
from data_tools.sources.tables.cells import Cell
from data_tools.sources.tables.documents import DocumentRow, TableDocument, agreed_values
from data_tools.sources.tables.names import LINE_ITEM_PREFIX
from data_tools.sources.tables.pages import as_pages
from data_tools.sources.tables.type_columns import fields_of_columns
from data_tools.sources.tables.type_values import read_type_cell
from data_tools.sources.tables.values import Conventions
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.field_names import inner_path, shown_path


def read_type_document(
    path: Path, document: TableDocument, conventions: Conventions, document_type: DocumentType
) -> RecordOrRejection:
    """Read the rows of a document of a declared type.

    Returns:
        A record, or a rejection that names each unreadable cell and each contradiction.
    """
    try:
        pages = as_pages(document.folder, document.files)
    except ValueError as error:
        return document.rejection(path, "image", error)
    reader = _RowReader(document_type, conventions)
    content = agreed_values(document.rows, reader.read, reader.problems)
    rows = [row for row in map(reader.line_item, document.rows) if row]
    if rows and document_type.line_items is not None:
        content[document_type.line_items] = rows
    try:
        if reader.problems:
            raise ValueError("; ".join(reader.problems)[:2000])
        answer = document_type.read_content(nested(content))
    except (ValueError, ArithmeticError) as error:
        return document.rejection(path, "canonical", error)
    return document.record(path, pages, answer, document.unused)


class _RowReader:
    """Reads the cells of a document's rows, and collects their problems."""

    def __init__(self, document_type: DocumentType, conventions: Conventions) -> None:
        self.fields = fields_of_columns(document_type)
        self.conventions = conventions
        self.problems: list[str] = []

    def line_item(self, row: DocumentRow) -> dict[str, Any]:
        """Return the line item of a row; empty if all of its cells are blank."""
        named = ((f"{LINE_ITEM_PREFIX}{name}", cell) for name, cell in row.line_item.items())
        read = ((name, self.read(name, cell, row.line)) for name, cell in named)
        return nested({inner_path(self.fields[name]): value for name, value in read if value is not None})

    def read(self, name: str, cell: Cell, line: int) -> Any:
        """Return the value of a cell; None if it is blank, or a problem."""
        field = self.fields[name]
        try:
            return read_type_cell(field, cell, self.conventions, name)
        except (ValueError, ArithmeticError) as error:
            self.problems.append(f"line {line}: {shown_path(field)}: {error}")
            return None
