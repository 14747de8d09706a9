"""Check that each number of a row has a place of its own: one number on the page is not the value of two columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from data_tools.visibility.plan import TableSearch, ValueSearch, value_in
from data_tools.visibility.spellings import plain_number
from data_tools.visibility.table import AMOUNTS, ItemRow, ItemTable
from erniekit_adapter.documents.rules.context import number_of


def without_place(
    row: Mapping[str, Any], table: TableSearch, item: ItemRow | None, lines: Sequence[int], page: ItemTable
) -> set[str]:
    """Return the paths of a row's numbers that the page prints in another column, or less often than the row has them.

    Args:
        row: the values that the lines of the row show.
        table: the search for the table.
        item: the numbers of the row by the columns of line items; None without them.
        lines: the lines of the row on the page.
        page: the lines of the page.
    """
    found: set[str] = set()
    columns = _columns_by_number(row, table)
    for plain, searches in columns.items():
        printed = _count(plain, lines, page)
        if not printed:
            continue
        taken = sum(plain in item.by_column.get(kind, ()) for kind in AMOUNTS.values()) if item else 0
        others = [search for search in searches if search in table.others]
        if others and printed <= taken:
            found.update(search.field.path for search in others)
        elif len(searches) > printed:
            found.update(search.field.path for search in searches if not _is_total_of_one(search, row, table))
    return found


def _columns_by_number(row: Mapping[str, Any], table: TableSearch) -> dict[str, list[ValueSearch]]:
    found: dict[str, list[ValueSearch]] = {}
    for search in table.columns:
        number = number_of(value_in(row, search.keys)) if search.field.kind in ("amount", "quantity") else None
        if number is not None:
            found.setdefault(plain_number(number), []).append(search)
    return found


def _count(plain: str, lines: Sequence[int], page: ItemTable) -> int:
    """Return how often some lines print a number."""
    return sum(plain in number.readings for line in lines for number in page.numbers(line))


def _is_total_of_one(search: ValueSearch, row: Mapping[str, Any], table: TableSearch) -> bool:
    """Return whether a value is the total of a quantity of 1, for which pages print no price."""
    quantity = table.items.get("quantity")
    is_one = quantity is not None and number_of(value_in(row, quantity.keys)) == Decimal(1)
    return is_one and search is table.items.get("line_total")
