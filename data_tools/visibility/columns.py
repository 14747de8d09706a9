"""Columns of a table: the numbers of a line, the head that names its columns, and which number is in which."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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

# A head of a table names this many columns.
_HEADS = 2
_NEAR_CHARACTERS = 24
# A longer line is a whole page without line breaks.
_MAX_LINE_CHARACTERS = 2_000
_DIGIT = re.compile(r"[0-9]")
_NUMERIC: tuple[Column, ...] = ("quantity", "price", "tax", "total")


@dataclass(frozen=True)
class Number:
    """A number in a line: its readings, its left and right edge, and the words before and behind it."""

    readings: tuple[str, ...]
    x0: float
    x1: float
    before: str = ""
    behind: str = ""

    def is_part_of(self, other: Number) -> bool:
        """Whether another number has this one's digits as a part."""
        return self is not other and other.x0 <= self.x0 and self.x1 <= other.x1

    def is_same(self, described: Number) -> bool:
        """Whether this is a number of a description: equal, and with the same word before or behind it."""
        if self.readings != described.readings:
            return False
        return bool(
            (described.before and self.before == described.before)
            or (described.behind and self.behind == described.behind)
            or not (described.before or described.behind)
        )


@dataclass(frozen=True)
class Head:
    """The head of a table: its columns from left to right with their edges."""

    columns: tuple[tuple[Column, float, float], ...]

    @property
    def numeric(self) -> list[Column]:
        """Its columns of numbers."""
        return [kind for kind, _, _ in self.columns if kind in _NUMERIC]


def numbers_of(line: Line) -> list[Number]:
    """The numbers of a line, with misread digits repaired, and with thousands that blanks separate also joined."""
    if len(line.text) > _MAX_LINE_CHARACTERS or not _DIGIT.search(line.text):
        return []
    text = without_dates(line.text)
    found: dict[tuple[int, int], Number] = {}
    repaired = repaired_numbers(text)
    for version in (text,) if repaired == text else (text, repaired):
        # Letters become digits one by one, so that every character keeps its place.
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
    behind = words_of(line.text[end : end + _NEAR_CHARACTERS])
    return Number(readings, *line.span(start, end), before[-1] if before else "", behind[0] if behind else "")


def head_of(line: Line) -> Head | None:
    """The head of a table in a line without numbers, which only the rows below it have; None if it is no head."""
    columns: list[tuple[Column, float, float]] = []
    for kind, start, end in column_heads(line.text):
        columns.append((kind, *line.span(start, end)))
    kinds = {kind for kind, _, _ in columns}
    if len(kinds) < _HEADS or (not kinds & {"quantity", "price"} and "description" not in kinds):
        return None
    return Head(tuple(columns))


def assigned_by_order(head: Head, numbers: Sequence[Number], begin: int | None) -> Iterator[tuple[Column, Number]]:
    """Each number of a line without boxes with its column, as far as their order tells it.

    Args:
        head: the head of the table.
        numbers: the numbers of the line, without those of its description.
        begin: where the line's description begins; None if that is not known.
    """
    kinds = [kind for kind, _, _ in head.columns if kind in _NUMERIC or kind == "description"]
    sides = [(kinds, list(numbers))]
    if begin is not None and kinds.count("description") == 1:
        at = kinds.index("description")
        before, behind = ([n for n in numbers if n.x0 < begin], [n for n in numbers if n.x0 >= begin])
        sides = [(kinds[:at], before), (kinds[at + 1 :], behind)]
    for columns, own in sides:
        yield from _in_order([kind for kind in columns if kind != "description"], own)
    if len(sides) > 1 and not sides[0][0]:
        # Numbers of rows and articles.
        yield from (("description", number) for number in sides[0][1])


def _in_order(columns: Sequence[Column], numbers: list[Number]) -> Iterator[tuple[Column, Number]]:
    kinds = [kind for kind in columns if kind != "tax"]
    parts = [number for number in numbers if not any(other.is_part_of(number) for other in numbers)]
    wholes = [number for number in numbers if not any(number.is_part_of(other) for other in numbers)]
    # `10 338,29` may be one number or two.
    for own in (parts, wholes):
        if len(own) == len(kinds) + 1 and own[0].x0 == 0:
            # The number of the row.
            del own[0]
    fitting = [own for own in (parts, wholes) if len(own) == len(kinds)]
    if len(fitting) == 1 or (fitting and parts == wholes):
        chosen = list(zip(kinds, fitting[0], strict=True))
    elif len(wholes) > len(kinds) and columns[-1:] == ["total"]:
        # With discounts or codes in between; the last column is still the last.
        chosen = [("total", wholes[-1])]
    else:
        return
    for kind, number in chosen:
        near = (other for other in numbers if number.is_part_of(other) or other.is_part_of(number))
        yield from ((kind, own) for own in (number, *near))


def assigned_by_boxes(head: Head, numbers: Sequence[Number]) -> Iterator[tuple[Column, Number]]:
    """Each number of a line with its column: the nearest by an edge or the middle.

    Of several numbers in one column those that are farther from it than the nearest one by more than that one's
    width are in a column that the head does not name.
    """
    found: dict[int, list[tuple[float, Number]]] = defaultdict(list)
    for number in numbers:
        away = sorted((_distance(number, x0, x1), place) for place, (_, x0, x1) in enumerate(head.columns))
        kinds = [head.columns[place][0] for _, place in away]
        # Between two columns: it can be in either.
        if len(away) == 1 or 2 * away[0][0] <= away[1][0] or kinds[0] == kinds[1]:
            found[away[0][1]].append((away[0][0], number))
    for place, near in found.items():
        least, nearest = min(near, key=lambda pair: pair[0])
        most = least + nearest.x1 - nearest.x0
        for distance, number in near:
            if distance <= most:
                # Digits with a blank between may also be one number.
                for own in (number, *(other for other in numbers if number.is_part_of(other))):
                    yield head.columns[place][0], own


def _distance(number: Number, x0: float, x1: float) -> float:
    middles = abs(number.x0 + number.x1 - x0 - x1) / 2
    return min(abs(number.x0 - x0), abs(number.x1 - x1), middles)
