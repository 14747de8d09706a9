"""What the rows of one document say, as a record with a canonical answer."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.document_types import is_document_type
from data_tools.sources.flat_fields import answer_of
from data_tools.sources.reading import shown
from data_tools.sources.table import Cell, is_filled
from data_tools.sources.table_documents import DocumentRow, TableDocument
from data_tools.sources.table_pages import as_pages
from data_tools.sources.table_values import Conventions, read_cell


def read_table_document(path: Path, document: TableDocument, conventions: Conventions) -> Reading:
    """Read what the rows of a document say.

    Returns:
        A record; or a rejection that names each cell that cannot be read, or both values that contradict each other.
    """
    first = document.rows[0].line
    try:
        images, pdf = as_pages(document.folder, document.files)
    except ValueError as error:
        return Rejection(str(path), first, document.document_id, "image", str(error))
    problems: list[str] = []
    fields = _agreed(document.rows, conventions, problems)
    items = _line_items(document.rows, conventions, problems)
    unused = set(document.unused)
    if "tax_rate" in fields and _is_partial(document.rows, "tax_rate"):
        del fields["tax_rate"]
        unused.add("tax_rate of some rows")
    if "document_type" in fields and not is_document_type(fields["document_type"]):
        # What kinds of documents are called in accounts (KR, ER) is no word of an invoice.
        unused.add(f"document_type {shown(fields.pop('document_type'))}")
    if items:
        unused |= _without_place(items, fields.get("tax_amount"))
        fields["line_items"] = items
    try:
        if problems:
            raise ValueError("; ".join(problems)[:2000])
        answer = answer_of(fields)
    except (ValueError, ArithmeticError) as error:
        return Rejection(str(path), first, document.document_id, "canonical", str(error))
    return DocumentRecord(
        document_id=document.document_id,
        source=str(path),
        line=first,
        images=images,
        ocr=None,
        answer=answer,
        reviewed=True,
        group=document.document_id,
        unused_keys=tuple(sorted(unused)),
        pdf=pdf,
    )


def _agreed(rows: Sequence[DocumentRow], conventions: Conventions, problems: list[str]) -> dict[str, Any]:
    """The fields of a document that its rows agree on; a blank cell says nothing."""
    found: dict[str, tuple[Any, int]] = {}
    for row in rows:
        for name, cell in row.fields.items():
            value = _read(name, cell, row.line, conventions, problems)
            if value is None:
                continue
            known, line = found.setdefault(name, (value, row.line))
            if known != value:
                problems.append(
                    f"{name}: {shown(str(known))} in line {line}, {shown(str(value))} in line {row.line}; rows of one "
                    "document must agree"
                )
    return {name: value for name, (value, _) in found.items()}


def _is_partial(rows: Sequence[DocumentRow], name: str) -> bool:
    """Whether a field is blank in some rows that are not blank in all fields of the document, below the first row."""
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
    """Take tax out of line items if it has no place in the answer, and tell what was taken.

    The answer has one row of tax for each rate: amounts beside some line items only, or that do not add up to the
    `stated` tax, make no row; nor do several rates without amounts.
    """
    taken = set()
    amounts = [item["tax_amount"] for item in items if "tax_amount" in item]
    total = sum(amounts, Decimal(0))
    if amounts and (len(amounts) < len(items) or (stated is not None and total != stated)):
        taken.add("tax_amount")
        amounts = []
    rates = {item.get("tax_rate") for item in items}
    if rates != {None} and (None in rates or (len(rates) > 1 and not amounts)):
        taken.add("tax_rate")
    for item in items:
        for name in taken:
            item.pop(name, None)
    return {f"{name} of line items" for name in taken}
