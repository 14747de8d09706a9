"""Cells of a table read as values of a declared document type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from data_tools.sources.declared.signs import without_mark
from data_tools.sources.declared.values import ReadingContext, is_missing, read_value, without_sign
from data_tools.sources.tables.cells import Cell, CellFault
from data_tools.sources.tables.values import Conventions, NamesByNotation, read_amount, read_date
from erniekit_adapter.documents.fields import Field


def names_by_notation(fields: Mapping[str, Field]) -> NamesByNotation:
    """Return the columns whose values have several notations, by their names."""

    def of_kinds(*kinds: str) -> frozenset[str]:
        return frozenset(name for name, field in fields.items() if field.kind in kinds)

    return NamesByNotation(of_kinds("date"), of_kinds("rate"), of_kinds("amount", "quantity"))


def read_type_cell(field: Field, cell: Cell, conventions: Conventions, name: str) -> Any:
    """Read a cell as the value of a field; None if it is blank.

    Args:
        field: the field.
        cell: the cell.
        conventions: how the table writes dates and numbers.
        name: name of the column's field in the conventions.

    Raises:
        ValueError: the value is invalid or ambiguous; the message names the setting that decides.
    """
    if isinstance(cell, CellFault):
        raise ValueError(f"cell {cell.cell_name} has {cell.reason}")
    if is_missing(field, cell):
        return None
    if field.path.endswith("[]"):
        return [read_value(field, _text(cell), ReadingContext())]
    if field.kind == "date":
        return read_date(cell, conventions.date_orders.get(name)).isoformat()
    if field.kind in ("amount", "quantity"):
        return read_amount(_number(field, cell), conventions.decimal_mark)
    if field.kind == "rate":
        return _rate(field, cell, conventions)
    return read_value(field, _text(cell), ReadingContext())


def _number(field: Field, cell: Cell) -> Cell:
    plain: Any = without_sign(without_mark(field, cell))
    return plain.strip(" xX×*") if field.kind == "quantity" and isinstance(plain, str) else plain


def _rate(field: Field, cell: Cell, conventions: Conventions) -> Any:
    text = cell.strip() if isinstance(cell, str) else ""
    if text.endswith("%"):
        return read_value(field, f"{read_amount(text[:-1], conventions.decimal_mark)}%", ReadingContext())
    number = read_amount(cell, conventions.decimal_mark)
    if conventions.percent and 0 < abs(number) < 1:
        raise ValueError(f"{number} is a fraction or a percentage: others in its column are above 1; write {number}%")
    return read_value(field, f"{number}%" if conventions.percent else number, ReadingContext())


def _text(cell: Cell) -> object:
    """Return a cell as text; a line break inside it counts as a blank, because the page breaks lines elsewhere."""
    if isinstance(cell, date):
        return cell.isoformat()
    return " ".join(cell.split()) if isinstance(cell, str) else cell
