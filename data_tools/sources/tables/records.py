"""Records of a table: the rows of one document read as a canonical answer."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from data_tools.records import RecordOrRejection
from data_tools.sources.answers.document_types import is_document_type
from data_tools.sources.answers.flat_fields import answer_of
from data_tools.sources.files.json_values import shown
from data_tools.sources.tables.cells import Cell, is_filled
from data_tools.sources.tables.documents import DocumentRow, TableDocument, agreed_values
from data_tools.sources.tables.pages import as_pages
from data_tools.sources.tables.values import Conventions, read_cell


def read_table_document(path: Path, document: TableDocument, conventions: Conventions) -> RecordOrRejection:
    """Read the rows of a document.

    Returns:
        A record, or a rejection that names each unreadable cell and each contradiction.
    """
    try:
        pages = as_pages(document.folder, document.files)
    except ValueError as error:
        return document.rejection(path, "image", error)
    problems: list[str] = []
    fields = agreed_values(
        document.rows, lambda name, cell, line: _read(name, cell, line, conventions, problems), problems
    )
    items = _line_items(document.rows, conventions, problems)
    unused = set(document.unused)
    if "tax_rate" in fields and _is_partial(document.rows, "tax_rate"):
        del fields["tax_rate"]
        unused.add("tax_rate of some rows")
    if "document_type" in fields and not is_document_type(fields["document_type"]):
        # Codes of document types in accounting (KR, ER) are not on an invoice.
        unused.add(f"document_type {shown(fields.pop('document_type'))}")
    if items:
        unused |= _without_place(items, fields.get("tax_amount"))
        fields["line_items"] = items
    try:
        if problems:
            raise ValueError("; ".join(problems)[:2000])
        answer = answer_of(fields)
    except (ValueError, ArithmeticError) as error:
        return document.rejection(path, "canonical", error)
    return document.record(path, pages, answer, unused)


def _is_partial(rows: Sequence[DocumentRow], name: str) -> bool:
    """Return whether a field is blank in some rows, below the first, that have other fields of the document."""
    filled = [{key for key, cell in row.fields.items() if is_filled(cell) and key != "invoice_number"} for row in rows]
    return any(name not in keys for keys in filled) and (name not in filled[0] or any(filled[1:]))


def _read(name: str, cell: Cell, line: int, conventions: Conventions, problems: list[str]) -> Any:
    try:
        return read_cell(name, cell, conventions)
    except (ValueError, ArithmeticError) as error:
        problems.append(f"line {line}: {name}: {error}")
        return None


def _line_items(rows: Sequence[DocumentRow], conventions: Conventions, problems: list[str]) -> list[dict[str, Any]]:
    items = []
    for row in rows:
        read = {name: _read(name, cell, row.line, conventions, problems) for name, cell in row.line_item.items()}
        if item := {name: value for name, value in read.items() if value is not None}:
            items.append(item)
    return items


def _without_place(items: Sequence[dict[str, Any]], stated: Decimal | None) -> set[str]:
    """Remove tax without a place in the answer from line items, and return the names that were removed.

    The answer has one tax row for each rate. Amounts of some line items only, amounts that do not add up to the
    `stated` tax, and several rates without amounts cannot be such rows.
    """
    removed = set()
    amounts = [item["tax_amount"] for item in items if "tax_amount" in item]
    total = sum(amounts, Decimal(0))
    if amounts and (len(amounts) < len(items) or (stated is not None and total != stated)):
        removed.add("tax_amount")
        amounts = []
    rates = {item.get("tax_rate") for item in items}
    if rates != {None} and (None in rates or (len(rates) > 1 and not amounts)):
        removed.add("tax_rate")
    for item in items:
        for name in removed:
            item.pop(name, None)
    return {f"{name} of line items" for name in removed}
