"""The line of a page on which each row of a table begins: the line with most of the row's values.

Values of a row can be in the lines after its line, or before it; the side is the same for all rows of a table.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

from data_tools.visibility.page_text import normal_words
from data_tools.visibility.plan import ValueSearch, value_in
from data_tools.visibility.row_lines import LineDates
from data_tools.visibility.spellings import numbers_in, plain_number, without_dates
from data_tools.visibility.table import ItemTable
from erniekit_adapter.documents.rules.context import number_of

# Evidence of a value for a line; a text distinguishes rows best.
_TEXT, _IDENTIFIER, _DATE, _DAY, _NUMBER, _RATE = 2.0, 2.0, 1.2, 1.1, 1.0, 0.5
# The same for a value in the next lines, as a factor.
_NEAR, _NEAR_LINES = 0.8, 3
_LEAST_SHARE = 0.34
# Rows have another order than the page if that explains this much more.
_OTHER_ORDER = 1.25
# Maximum number of pairs of rows and lines that are compared in all orders.
_MAX_PAIRS = 400_000
_MAX_PLACES = 200
# Minimum number of numbers and dates in a line that is a row.
_ROW = 2
_NUMBER_TOKEN = re.compile(r"\d[\d.,'’]*")
_UNSPACED = "\u2e80"

Evidence = Mapping[int, float]


class RowPlaces(NamedTuple):
    """The line of each row, None if no line has a value of it; and whether its other lines are above this line."""

    anchors: list[int | None]
    is_above: bool


def row_places(rows: Sequence[Any], columns: Sequence[ValueSearch], table: ItemTable) -> RowPlaces | None:
    """Return the lines of the rows; None if the page has no rows, but each value in a line of its own.

    Rows are assigned in the order of the page, unless another order explains more values.
    """
    index = LineIndex(table)
    found = [[index.evidence(search, value_in(row, search.keys)) for search in columns] for row in rows]
    if not table.has_rows and not any(index.is_row(place) for row in found for own in row for place in own):
        return None
    sides = []
    for step in (1, -1):
        scores = [_with_neighbours(row, step) for row in found]
        anchors = _assigned(scores, len(table.lines))
        sides.append((_sum(scores, anchors), RowPlaces(anchors, step < 0)))
    return max(sides, key=lambda side: side[0])[1]


class LineIndex:
    """The lines of a page by the values that they print."""

    def __init__(self, table: ItemTable) -> None:
        self.table, self.dates = table, LineDates(table.lines)

    def is_row(self, place: int) -> bool:
        """Return whether a line has several numbers and dates."""
        text = self.table.lines[place].text
        dates = sum(map(bool, self.dates.of(place)))
        return dates + len(_NUMBER_TOKEN.findall(without_dates(text))) >= _ROW

    def evidence(self, search: ValueSearch, value: Any) -> Evidence:
        """Return the lines that show a value, or a part of a text, with the evidence."""
        return {} if value is None else dict(self._evidence(search, value))

    def _evidence(self, search: ValueSearch, value: Any) -> Iterator[tuple[int, float]]:
        kind, number = search.field.kind, number_of(value)
        if kind in ("amount", "quantity") and number is not None:
            places = self.table.lines_with_number.get(plain_number(number), ())
            yield from ((place, _NUMBER) for place in places[:_MAX_PLACES])
        elif kind == "rate" and number is not None:
            percent = plain_number(number if search.field.is_percent else number.scaleb(2))
            yield from ((place, _RATE) for place in self._rates.get(percent, ())[:_MAX_PLACES])
        elif kind == "date":
            yield from ((place, _DATE if is_full else _DAY) for place, is_full in self.dates.places(value))
        elif kind in ("text", "address", "identifier"):
            weight = _IDENTIFIER if kind == "identifier" else _TEXT
            yield from ((place, weight * share) for place, share in self._shares(str(value)))

    def _shares(self, value: str) -> Iterator[tuple[int, float]]:
        """Yield the lines with the share of a text's words that they have."""
        ordered = normal_words(value)
        words = frozenset(ordered)
        shared: Counter[int] = Counter()
        for word in words:
            shared.update(self.table.lines_with_word.get(word, ())[:_MAX_PLACES])
        if any(word[0] >= _UNSPACED for word in words):
            # Words of scripts without blanks are joined to their neighbours.
            letters = "".join(ordered)
            places = (place for place, text in enumerate(self._joined) if letters in text)
            shared.update(dict.fromkeys(islice(places, _MAX_PLACES), len(words)))
        for place, count in shared.items():
            share = min(count / len(words), 1.0)
            if share >= _LEAST_SHARE:
                yield place, share

    @cached_property
    def _joined(self) -> list[str]:
        """The words of each line without blanks."""
        return ["".join(normal_words(line.text)) for line in self.table.lines]

    @cached_property
    def _rates(self) -> dict[str, list[int]]:
        """The lines that print each number, also as a percentage."""
        found: dict[str, list[int]] = {}
        for place, line in enumerate(self.table.lines):
            for number in numbers_in(line.text):
                found.setdefault(number, []).append(place)
        return found


def _with_neighbours(row: Sequence[Evidence], step: int) -> Evidence:
    """Return the evidence of each line for a row, with that of values in the next lines on one side."""
    scores: dict[int, float] = defaultdict(float)
    for place in {place for own in row for place in own}:
        for own in row:
            near = (own.get(place + step * away, 0.0) for away in range(1, _NEAR_LINES + 1))
            scores[place] += own.get(place) or _NEAR * max(near)
    return scores


def _assigned(scores: Sequence[Evidence], lines: int) -> list[int | None]:
    by_score = _by_score(scores)
    if len(scores) * lines > _MAX_PAIRS:
        return by_score
    in_order = _in_order(scores, lines)
    return by_score if _sum(scores, by_score) > _OTHER_ORDER * _sum(scores, in_order) else in_order


def _by_score(scores: Sequence[Evidence]) -> list[int | None]:
    """Return the lines with the most evidence first, each for one row."""
    found: list[int | None] = [None] * len(scores)
    taken: set[int] = set()
    pairs = ((-score, number, place) for number, own in enumerate(scores) for place, score in own.items())
    for _, number, place in sorted(pairs):
        if found[number] is None and place not in taken:
            found[number] = place
            taken.add(place)
    return found


def _in_order(scores: Sequence[Evidence], lines: int) -> list[int | None]:
    """Return increasing lines with the most evidence together."""
    best = [[0.0] * (lines + 1)]
    for own in scores:
        above, current = best[-1], [0.0] * (lines + 1)
        for place in range(lines):
            most = max(above[place + 1], current[place])
            evidence = own.get(place)
            current[place + 1] = max(most, above[place] + evidence) if evidence else most
        best.append(current)
    found: list[int | None] = [None] * len(scores)
    place = lines
    for number in range(len(scores), 0, -1):
        while place and best[number][place] == best[number][place - 1]:
            place -= 1
        if place and best[number][place] > best[number - 1][place]:
            found[number - 1] = place - 1
            place -= 1
    return found


def _sum(scores: Sequence[Evidence], places: Sequence[int | None]) -> float:
    return sum(own[place] for own, place in zip(scores, places, strict=True) if place is not None)
