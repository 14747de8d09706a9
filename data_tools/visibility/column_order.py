"""Check that the values of a table are in one order in all rows: values of other rows or columns are found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import combinations
from typing import Any

from data_tools.visibility.plan import ValueSearch, value_in
from data_tools.visibility.row_places import LineIndex
from data_tools.visibility.spellings import plain_number, without_compatibility_forms
from data_tools.visibility.table import ItemTable
from erniekit_adapter.documents.rules.context import number_of

# The first character of scripts without blanks between words.
_UNSPACED = "\u2e80"
# Line and distance from its left edge.
Position = tuple[int, float]


def misplaced(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[ValueSearch],
    lines: Sequence[Sequence[int]],
    table: ItemTable,
) -> list[set[str]]:
    """Return the paths of each row's values that are in another order than in most rows.

    Without a majority, the values of all these rows are returned, because one of them must be wrong.

    Args:
        rows: the rows with the values that their lines show.
        columns: the columns of the table.
        lines: the lines of each row on the page.
        table: the lines of the page.
    """
    found: list[set[str]] = [set() for _ in rows]
    if len(rows) < 2 or not any(lines):
        return found
    index = LineIndex(table)
    places = [dict(_positions(row, columns, own, index)) for row, own in zip(rows, lines, strict=True)]
    paths = [search.field.path for search in columns]
    for first, second in combinations(paths, 2):
        orders = [_order(own.get(first), own.get(second)) for own in places]
        left, right = orders.count(-1), orders.count(1)
        if not left or not right:
            continue
        for number, order in enumerate(orders):
            if (order == -1 and left <= right) or (order == 1 and right <= left):
                found[number] |= {first, second}
    return found


def _positions(
    row: Mapping[str, Any], columns: Sequence[ValueSearch], lines: Sequence[int], index: LineIndex
) -> Iterator[tuple[str, Position]]:
    """Yield the position of each value that the lines of its row print once."""
    for search in columns:
        value = value_in(row, search.keys)
        found = list(_places(search, value, lines, index)) if value is not None else []
        if len(found) == 1:
            yield search.field.path, found[0]


def _places(search: ValueSearch, value: Any, lines: Sequence[int], index: LineIndex) -> Iterator[Position]:
    number, kind, table = number_of(value), search.field.kind, index.table
    if kind in ("amount", "quantity") and number is not None:
        plain = plain_number(number)
        yield from ((line, each.x0) for line in lines for each in table.numbers(line) if plain in each.readings)
    elif kind == "rate" and number is not None:
        pattern = _percentage(search, number)
        for line in lines:
            own = table.lines[line]
            yield from ((line, own.span(*match.span())[0]) for match in pattern.finditer(own.text))
    elif kind == "text":
        # A text that wraps has no single position.
        label = " ".join(without_compatibility_forms(str(value)).split())
        for line in lines if label else ():
            own = table.lines[line]
            # As whole words: the unit `m` is not the m of `mm`.
            yield from ((line, own.span(found.start(), found.end())[0]) for found in _words(label).finditer(own.text))
    elif kind == "date":
        yield from ((line, 0.0) for line, _ in index.dates.places(value) if line in lines)


def has_percentage(search: ValueSearch, value: Any, text: str) -> bool:
    """Return whether a text has a rate with a percent sign."""
    number = number_of(value)
    return number is not None and _percentage(search, number).search(text) is not None


def _percentage(search: ValueSearch, number: Decimal) -> re.Pattern[str]:
    percent = plain_number(number if search.field.is_percent else number.scaleb(2))
    digits = re.escape(percent).replace(r"\.", "[.,]")
    zeros = "0*" if "." in percent else "(?:[.,]0+)?"
    return re.compile(rf"(?<![0-9.,]){digits}{zeros}\s?%")


@lru_cache(maxsize=512)
def _words(text: str) -> re.Pattern[str]:
    begin = r"(?<![^\W_])" if text[0] < _UNSPACED else ""
    end = r"(?![^\W_])" if text[-1] < _UNSPACED else ""
    return re.compile(f"{begin}{re.escape(text)}{end}", re.IGNORECASE)


def _order(first: Position | None, second: Position | None) -> int:
    """Return -1 if the first value is printed before the second one, 1 if after it, 0 if that is unknown."""
    if first is None or second is None or first == second:
        return 0
    return -1 if first < second else 1
