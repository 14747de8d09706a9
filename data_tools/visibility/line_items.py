"""Line items that a page shows: their values are looked for in the row of their description.

The usual row prints description, quantity, price and total one after the other; nothing else is prepared for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from data_tools.visibility.numbers import is_printed
from data_tools.visibility.page_text import PageText
from data_tools.visibility.spellings import plain_number
from data_tools.visibility.table import AMOUNTS, Row, Table
from data_tools.visibility.text import shows_text

# A row without its description needs this many of quantity, unit price and total.
_LEAST_NUMBERS = 2


def drop_unseen_items(items: list[dict[str, Any]], page: PageText, others: Mapping[str, Any]) -> set[str]:
    """Take out of line items, in place, what the page does not show, and items of which it shows only scraps.

    Args:
        items: rows with description, quantity, unit_price and total as far as they are known.
        page: what the request shows.
        others: the financial summary, whose amounts explain a number that is found elsewhere.

    Returns:
        The names of the fields that were taken out.
    """
    doubtful = [item for item in items if not _is_one_after_the_other(item, page.text)]
    if not doubtful:
        return set()
    table, numbers = Table(page), _numbers(items, others)
    unseen: set[str] = set()
    for item, row in zip(items, table.rows(items), strict=True):
        if any(item is other for other in doubtful):
            unseen |= _drop(item, row, table, page, numbers)
    items[:] = [item for item in items if item]
    return unseen


def _is_one_after_the_other(item: Mapping[str, Any], text: str) -> bool:
    """Whether a text prints all of an item's values in their order, with nothing in between but an x."""
    try:
        begin, end = f" {item['description']} {item['quantity']}", f" {item['unit_price']} {item['total']} "
    except KeyError:
        return False
    place = text.find(begin)
    behind = place + len(begin)
    return place >= 0 and (text.startswith(end, behind) or text.startswith(f" x{end}", behind) or begin + end in text)


def _drop(item: dict[str, Any], row: Row | None, table: Table, page: PageText, numbers: Counter[str]) -> set[str]:
    description = item.get("description")
    is_named = description is not None and (f" {description} " in page.text or shows_text(description, page))
    amounts = {name: item[name] for name in AMOUNTS if name in item}
    if not is_named:
        row = table.row_by_numbers(item)
    if row is None:
        shown = {name for name, value in amounts.items() if is_printed(plain_number(value), page)}
    else:
        shown = {name for name, value in amounts.items() if row.shows(name, value)}
    gone = set(amounts) - shown
    if description is not None and not is_named:
        gone.add("description")
    if not is_named and _is_scraps(amounts, shown, row, numbers):
        gone |= shown
    for name in gone:
        del item[name]
    return {f"line_items[].{name}" for name in gone}


def _is_scraps(amounts: Mapping[str, Decimal], shown: set[str], row: Row | None, numbers: Mapping[str, int]) -> bool:
    """Whether too little is found of a row without its description: few numbers, or only those of other values.

    A quantity alone is no evidence: any page has a 1 or a 2 somewhere.
    """
    if len(shown) < _LEAST_NUMBERS:
        return True
    if row is not None and len(shown) == len(AMOUNTS):
        return False
    own = Counter(map(plain_number, amounts.values()))
    evidence = (plain_number(amounts[name]) for name in shown if name != "quantity")
    return all(numbers[number] > own[number] for number in evidence)


def _numbers(items: Sequence[Mapping[str, Any]], others: Mapping[str, Any]) -> Counter[str]:
    """How often each number is a value of a row or of the summary."""
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
