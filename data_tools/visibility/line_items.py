"""Removal of line item values that a page does not show: values are searched in the row of their description.

In the usual row description, quantity, price and total follow each other; this case needs no preparation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from data_tools.visibility.numbers import is_printed
from data_tools.visibility.page_text import PageText
from data_tools.visibility.spellings import plain_number
from data_tools.visibility.table import AMOUNTS, ItemRow, ItemTable
from data_tools.visibility.text import shows_text

# Minimum number of values among quantity, unit price and total for a row without its description.
_LEAST_NUMBERS = 2


def drop_unseen_items(items: list[dict[str, Any]], page: PageText, others: Mapping[str, Any]) -> set[str]:
    """Remove from line items, in place, values that the page does not show, and rows of which it shows too little.

    Args:
        items: rows with the known values among description, quantity, unit_price and total.
        page: text of the page in the request.
        others: financial summary, whose amounts can explain a number that is found elsewhere.

    Returns:
        The names of the removed fields.
    """
    doubtful = [item for item in items if not _is_printed_in_order(item, page.text)]
    if not doubtful:
        return set()
    table, numbers = ItemTable(page), _numbers(items, others)
    unseen: set[str] = set()
    for item, row in zip(items, table.rows(items), strict=True):
        if any(item is other for other in doubtful):
            unseen |= {f"line_items[].{name}" for name in _drop(item, row, table, page, numbers)[0]}
    items[:] = [item for item in items if item]
    return unseen


def drop_unseen_roles(
    items: list[dict[str, Any]], table: ItemTable, page: PageText, others: Any
) -> list[ItemRow | None]:
    """Remove values from line items in the same way, but keep empty rows.

    Returns:
        The row of each item on the page; None if it is unknown.
    """
    numbers = _numbers(items, others)
    rows: list[ItemRow | None] = []
    for item, row in zip(items, table.rows(items), strict=True):
        found = row
        if not _is_printed_in_order(item, page.text):
            _, found = _drop(item, row, table, page, numbers)
        rows.append(found)
    return rows


def _is_printed_in_order(item: Mapping[str, Any], text: str) -> bool:
    """Return whether a text has all values of an item in order, with only an x in between."""
    try:
        begin, end = f" {item['description']} {item['quantity']}", f" {item['unit_price']} {item['total']} "
    except KeyError:
        return False
    place = text.find(begin)
    end_of_quantity = place + len(begin)
    return place >= 0 and (
        text.startswith(end, end_of_quantity) or text.startswith(f" x{end}", end_of_quantity) or begin + end in text
    )


def _drop(
    item: dict[str, Any], row: ItemRow | None, table: ItemTable, page: PageText, numbers: Counter[str]
) -> tuple[set[str], ItemRow | None]:
    """Remove values from a line item; return their names, and its row on the page."""
    description = item.get("description")
    is_named = description is not None and (f" {description} " in page.text or shows_text(description, page))
    amounts = {name: item[name] for name in AMOUNTS if name in item}
    if not is_named:
        row = table.row_by_numbers(item)
    if row is None:
        shown = {name for name, value in amounts.items() if is_printed(plain_number(value), page)}
    else:
        shown = {name for name, value in amounts.items() if row.shows(name, value)}
    removed = set(amounts) - shown
    if description is not None and not is_named:
        removed.add("description")
    if not is_named and _is_too_little(amounts, shown, row, numbers):
        removed |= shown
    for name in removed:
        del item[name]
    return removed, row


def _is_too_little(
    amounts: Mapping[str, Decimal], shown: set[str], row: ItemRow | None, numbers: Mapping[str, int]
) -> bool:
    """Return whether too few values are found of a row without its description, or only values of other rows.

    A quantity is not evidence: almost every page has a 1 or a 2.
    """
    if len(shown) < _LEAST_NUMBERS:
        return True
    if row is not None and len(shown) == len(AMOUNTS):
        return False
    own = Counter(map(plain_number, amounts.values()))
    evidence = (plain_number(amounts[name]) for name in shown if name != "quantity")
    return all(numbers[number] > own[number] for number in evidence)


def _numbers(items: Sequence[Mapping[str, Any]], others: Any) -> Counter[str]:
    """Count how often each number is a value of a row or of the summary."""
    found = Counter(plain_number(row[name]) for row in items for name in AMOUNTS if name in row)
    waiting: list[Any] = [others]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, (int, Decimal)):
            found[plain_number(Decimal(value))] += 1
    return found
