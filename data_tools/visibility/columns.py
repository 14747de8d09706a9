"""Columns of a table: numbers of a line, head with the column names, and assignment of numbers to columns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, product

from data_tools.visibility.boxes import Line
from data_tools.visibility.labels import Column, column_heads
from data_tools.visibility.page_text import words_of
from data_tools.visibility.spellings import (
    THOUSANDS,
    joined_numbers_in,
    numbers_in,
    own_numbers,
    repaired_numbers,
    without_dates,
)

# Minimum number of column names in the head of a table.
_HEADS = 2
_NEAR_CHARACTERS = 24
# A longer line is a page without line breaks.
_MAX_LINE_CHARACTERS = 2_000
# Maximum number of columns of taxes with different ways to fill them.
_MAX_TAXES = 4
# Maximum number of other numbers before the quantity.
_MAX_LEFT = 2
_CENT = Decimal("0.01")
_DIGIT = re.compile(r"[0-9]")
_NUMERIC: tuple[Column, ...] = ("quantity", "price", "tax", "total")


@dataclass(frozen=True)
class Number:
    """A number in a line: possible values, left and right edge, and the words before and after it."""

    readings: tuple[str, ...]
    x0: float
    x1: float
    before: str = ""
    after: str = ""

    def is_part_of(self, other: Number) -> bool:
        """Return whether another number contains the digits of this one."""
        return self is not other and other.x0 <= self.x0 and self.x1 <= other.x1

    def is_same(self, described: Number) -> bool:
        """Return whether this is a number of a description: equal, and with the same word before or after it."""
        if self.readings != described.readings:
            return False
        return bool(
            (described.before and self.before == described.before)
            or (described.after and self.after == described.after)
            or not (described.before or described.after)
        )


@dataclass(frozen=True)
class Head:
    """The head of a table: columns from left to right with their edges."""

    columns: tuple[tuple[Column, float, float], ...]


def numbers_of(line: Line) -> list[Number]:
    """Return the numbers of a line, also with misread digits repaired, and with blank-separated thousands joined."""
    if len(line.text) > _MAX_LINE_CHARACTERS or not _DIGIT.search(line.text):
        return []
    text = without_dates(line.text)
    found: dict[tuple[int, int], Number] = {}
    repaired = repaired_numbers(text)
    for version in (text,) if repaired == text else (text, repaired):
        # Each letter becomes one digit, so the positions stay the same.
        for start, end, readings in own_numbers(version):
            if (start, end) not in found:
                found[start, end] = _number(line, start, end, readings)
        for group in THOUSANDS.finditer(version):
            if not line.is_close(*group.span()):
                continue
            joined = tuple(joined_numbers_in(group[0]) - numbers_in(group[0]))
            found.setdefault(group.span(), _number(line, *group.span(), joined))
    return [found[place] for place in sorted(found)]


def _number(line: Line, start: int, end: int, readings: tuple[str, ...]) -> Number:
    before = words_of(line.text[max(start - _NEAR_CHARACTERS, 0) : start])
    after = words_of(line.text[end : end + _NEAR_CHARACTERS])
    return Number(readings, *line.span(start, end), before[-1] if before else "", after[0] if after else "")


def head_of(line: Line) -> Head | None:
    """Return the head of a table in a line, which must have no numbers; None if the line is not a head."""
    columns: list[tuple[Column, float, float]] = []
    for kind, start, end in column_heads(line.text):
        columns.append((kind, *line.span(start, end)))
    kinds = {kind for kind, _, _ in columns}
    if len(kinds) < _HEADS or (not kinds & {"quantity", "price"} and "description" not in kinds):
        return None
    return Head(tuple(columns))


def assigned_by_order(head: Head, numbers: Sequence[Number], begin: int | None) -> Iterator[tuple[Column, Number]]:
    """Yield the numbers of a line without boxes with their columns, as far as the order determines them.

    Args:
        head: head of the table.
        numbers: numbers of the line, without those of its description.
        begin: start of the line's description; None if it is unknown.
    """
    kinds = [kind for kind, _, _ in head.columns if kind in _NUMERIC or kind == "description"]
    sides = [(kinds, list(numbers))]
    if begin is not None and kinds.count("description") == 1:
        at = kinds.index("description")
        before, after = ([n for n in numbers if n.x0 < begin], [n for n in numbers if n.x0 >= begin])
        sides = [(kinds[:at], before), (kinds[at + 1 :], after)]
    for columns, own in sides:
        yield from _in_order([kind for kind in columns if kind != "description"], own)
    if len(sides) > 1 and not sides[0][0]:
        # Row numbers and article numbers.
        yield from (("description", number) for number in sides[0][1])


def _in_order(columns: Sequence[Column], numbers: list[Number]) -> Iterator[tuple[Column, Number]]:
    kinds = [kind for kind in columns if kind != "tax"]
    # `10 338,29` can be one number or two.
    parts = [number for number in numbers if not any(other.is_part_of(number) for other in numbers)]
    wholes = [number for number in numbers if not any(number.is_part_of(other) for other in numbers)]
    for own in (parts, wholes):
        if len(own) == len(kinds) + 1 and own[0].x0 == 0:
            # Row number.
            del own[0]
    fitting = [own for own in (parts, wholes) if len(own) == len(kinds)]
    with_taxes = [found for own in (parts, wholes) for found in _with_taxes(columns, kinds, own)]
    # Numbers of columns that the head does not name are left of the quantity: `500 g`.
    shorter = [own[left:] for own in (parts, wholes) for left in range(1, _MAX_LEFT + 1)]
    further = [found for own in shorter for found in _with_taxes(columns, kinds, own)]
    multiplied = [found for found in (*with_taxes, *further) if _is_multiplied(found)]
    if multiplied and all(found == multiplied[0] for found in multiplied):
        chosen = multiplied[0]
    elif with_taxes and fitting:
        # One number and no tax, or two numbers and a tax: the columns are not known.
        return
    elif len(fitting) == 1 or (fitting and parts == wholes):
        chosen = list(zip(kinds, fitting[0], strict=True))
    elif len(wholes) > len(kinds) and columns[-1:] == ["total"]:
        # Discounts or codes are in between; the last column is still the last.
        chosen = [("total", wholes[-1])]
    else:
        return
    for kind, number in chosen:
        near = (other for other in numbers if number.is_part_of(other) or other.is_part_of(number))
        yield from ((kind, own) for own in (number, *near))


def _with_taxes(
    columns: Sequence[Column], kinds: Sequence[Column], numbers: Sequence[Number]
) -> Iterator[list[tuple[Column, Number]]]:
    """Yield the ways to assign all numbers if some columns of taxes have an amount, and others a rate or nothing."""
    filled = len(numbers) - len(kinds)
    taxes = [place for place, kind in enumerate(columns) if kind == "tax"]
    if not 0 < filled <= len(taxes) <= _MAX_TAXES:
        return
    seen: list[list[Column]] = []
    for chosen in combinations(taxes, filled):
        own = [kind for place, kind in enumerate(columns) if kind != "tax" or place in chosen]
        if own not in seen:
            seen.append(own)
            yield list(zip(own, numbers, strict=True))


def _is_multiplied(assigned: Sequence[tuple[Column, Number]]) -> bool:
    """Return whether quantity × price = total."""
    values = [
        [Decimal(reading) for kind, number in assigned if kind == name for reading in number.readings]
        for name in ("quantity", "price", "total")
    ]
    return any(abs(quantity * price - total) <= _CENT for quantity, price, total in product(*values))


def assigned_by_boxes(head: Head, numbers: Sequence[Number]) -> Iterator[tuple[Column, Number]]:
    """Yield each number of a line with its column: the nearest by an edge or the middle.

    If a column has several numbers, those that are farther away than the nearest one by more than its width belong to a
    column that the head does not name.
    """
    found: dict[int, list[tuple[float, Number]]] = defaultdict(list)
    for number in numbers:
        away = sorted((_distance(number, x0, x1), place) for place, (_, x0, x1) in enumerate(head.columns))
        kinds = [head.columns[place][0] for _, place in away]
        # A number between two columns can be in either.
        if len(away) == 1 or 2 * away[0][0] <= away[1][0] or kinds[0] == kinds[1]:
            found[away[0][1]].append((away[0][0], number))
    for place, near in found.items():
        least, nearest = min(near, key=lambda pair: pair[0])
        most = least + nearest.x1 - nearest.x0
        for distance, number in near:
            if distance <= most:
                # Digits separated by a blank can also be one number.
                for own in (number, *(other for other in numbers if number.is_part_of(other))):
                    yield head.columns[place][0], own


def _distance(number: Number, x0: float, x1: float) -> float:
    middles = abs(number.x0 + number.x1 - x0 - x1) / 2
    return min(abs(number.x0 - x0), abs(number.x1 - x1), middles)
