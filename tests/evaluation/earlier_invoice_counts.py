"""Counts of an invoice's values as they were before document types, to compare with the present ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from pydantic import BaseModel
from scipy.optimize import linear_sum_assignment

from erniekit_adapter.documents.invoice.answer import Answer, Charge, Discount, LineItem, Tax
from erniekit_adapter.metrics import Counts

Cells = tuple[Any, ...]

_BLOCKS = ("vendor_block", "client_info", "financial_summary", "payment_terms")
_TABLES = {
    "line_items": LineItem,
    "financial_summary.taxes": Tax,
    "financial_summary.discounts": Discount,
    "financial_summary.charges": Charge,
}
_COLUMNS = {table: tuple(name for name in part.model_fields if name != "confidence") for table, part in _TABLES.items()}


def count_fields(expected: Answer, answer: Answer | None) -> tuple[dict[str, Counts], int, int]:
    """Return the counts by field and column, the number of expected line items, and of those that are exact."""
    counted: dict[str, Counts] = {}
    expected_fields, found_fields = _fields(expected), _fields(answer)
    for name in expected_fields.keys() | found_fields.keys():
        counted[name] = _compare(expected_fields.get(name), found_fields.get(name))
    rows_expected = rows_exact = 0
    expected_tables, found_tables = _tables(expected), _tables(answer)
    for table, columns in _COLUMNS.items():
        for row, found in _assign_rows(expected_tables[table], found_tables[table], len(columns)):
            for column, cell, found_cell in zip(columns, row, found, strict=True):
                if (counts := _compare(cell, found_cell)) != Counts():
                    name = f"{table}.{column}"
                    counted[name] = counted.get(name, Counts()) + counts
            rows_exact += table == "line_items" and row == found
        rows_expected += len(expected_tables[table]) if table == "line_items" else 0
    return counted, rows_expected, rows_exact


def _compare(expected: object, found: object) -> Counts:
    if expected == found:
        return Counts(true_positives=int(expected is not None))
    return Counts(0, int(found is not None), int(expected is not None))


def _fields(answer: Answer | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if answer is None:
        return found
    if answer.structured_data.document_type not in (None, "invoice"):
        found["document_type"] = answer.structured_data.document_type
    for block in _BLOCKS:
        for name, value in getattr(answer.structured_data, block) or ():
            path = f"{block}.{name}"
            if name != "confidence" and path not in _COLUMNS and (normal := _normalized(value)) is not None:
                found[path] = normal
    return found


def _tables(answer: Answer | None) -> dict[str, list[Cells]]:
    if answer is None:
        return {table: [] for table in _COLUMNS}
    summary = answer.summary
    parts = (answer.lines, summary.taxes or [], summary.discounts or [], summary.charges or [])
    return {table: _rows(part) for table, part in zip(_COLUMNS, parts, strict=True)}


def _rows(parts: Sequence[BaseModel]) -> list[Cells]:
    rows = [tuple(_normalized(value) for name, value in part if name != "confidence") for part in parts]
    filled = [row for row in rows if any(cell is not None for cell in row)]
    return sorted(filled, key=lambda row: [(cell is not None, str(cell)) for cell in row])


def _normalized(value: object) -> Any:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).split()) or None
    return value.normalize() if isinstance(value, Decimal) else value


def _assign_rows(expected: list[Cells], found: list[Cells], width: int) -> Iterator[tuple[Cells, Cells]]:
    exact_weight = min(len(expected), len(found)) + 1
    gain = np.zeros((len(expected), len(found)), dtype=np.int64)
    for i, row in enumerate(expected):
        for j, other in enumerate(found):
            agreeing = sum(a is not None and a == b for a, b in zip(row, other, strict=True))
            gain[i, j] = agreeing * exact_weight + (row == other)
    chosen = linear_sum_assignment(gain, maximize=True)
    partner = dict(zip(chosen[0].tolist(), chosen[1].tolist(), strict=True))
    empty: Cells = (None,) * width
    for i, row in enumerate(expected):
        yield row, found[partner[i]] if i in partner else empty
    taken = set(partner.values())
    yield from ((empty, row) for j, row in enumerate(found) if j not in taken)
