"""Rows of a page's table of line items: which lines belong to an item, and what each of their columns prints."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from data_tools.visibility.boxes import Line
from data_tools.visibility.labels import OTHER_AMOUNTS, TOTALS, Column, column_heads, label_pattern, may_be_head
from data_tools.visibility.page_text import PageText, words_of
from data_tools.visibility.spellings import (
    joined_numbers_in,
    numbers_in,
    own_numbers,
    plain_number,
    repaired_numbers,
    without_dates,
)

AMOUNTS: dict[str, Column] = {"quantity": "quantity", "unit_price": "price", "total": "total"}
# A line has this share of a description's words, or is none of its lines.
_LEAST_SHARE = 0.34
# Lines that belong to one item: above the one that has most of its words, and below.
_LINES_ABOVE, _LINES_BELOW = 2, 4
# A head of a table names this many columns.
_HEADS = 2
# The line with a description's first words counts as if it had this many more.
_BEGINNING = 3
# A first word of this many letters tells rows apart without the second.
_LONG_WORD = 5
_SUMMARY = (*TOTALS, *OTHER_AMOUNTS)
_NEAR_CHARACTERS = 24
# A word or number in more lines than this is looked at in the first of them.
_MAX_PLACES = 500
# A longer line is a whole page without line breaks.
_MAX_LINE_CHARACTERS = 2_000
# A line with this many numbers is a row of a table.
_ROW = 2
# Words up to this length are units, or too common to tell lines apart.
_UNIT_LETTERS = 3
_DIGIT = re.compile(r"[0-9]")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?:[.,]\d{1,2})?(?!\d)")
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


@dataclass(frozen=True)
class Row:
    """What the page prints in the row of an item.

    Attributes:
        numbers: all numbers of its lines, the description's left out.
        by_column: numbers in each column of the table's head, as far as they can be told apart.
        has_description: whether its lines were found by the description.
    """

    numbers: frozenset[str]
    by_column: Mapping[Column, frozenset[str]]
    has_description: bool = True

    def shows(self, field: str, value: Any) -> bool:
        """Whether the row prints a value of a field, and its column nothing else."""
        plain = plain_number(value)
        column = self.by_column.get(AMOUNTS[field])
        return plain in self.numbers and (not column or plain in column)


class Table:
    """The lines of a page, to be asked for the rows of line items."""

    def __init__(self, page: PageText) -> None:
        self.lines = page.lines
        self.words = [frozenset(words_of(line.text)) for line in self.lines]
        self._known: dict[int, list[Number]] = {}
        self._with_word: dict[str, list[int]] = defaultdict(list)
        for place, words in enumerate(self.words):
            for word in words:
                self._with_word[word].append(place)
        # Single words or cells, one after the other, are no rows.
        self._has_rows = any(line.cells for line in self.lines) or any(
            len(self.numbers(place)) >= _ROW for place in range(len(self.lines))
        )
        self._heads = [
            _head(line) if may_be_head(words) and not self.numbers(place) else None
            for place, (line, words) in enumerate(zip(self.lines, self.words, strict=True))
        ]

    def numbers(self, place: int) -> list[Number]:
        """The numbers of a line."""
        if place not in self._known:
            self._known[place] = _numbers(self.lines[place])
        return self._known[place]

    @cached_property
    def _with_number(self) -> dict[str, list[int]]:
        """For each number the lines that print it."""
        found: dict[str, list[int]] = defaultdict(list)
        for place in range(len(self.lines)):
            for reading in {reading for number in self.numbers(place) for reading in number.readings}:
                found[reading].append(place)
        return found

    def rows(self, items: Sequence[Mapping[str, Any]]) -> list[Row | None]:
        """The row of each item, in order; None if it cannot be told where an item is."""
        if not self._has_rows:
            return [None] * len(items)
        anchors: list[int | None] = []
        taken: set[int] = set()
        for item in items:
            anchor = self._anchor(item, taken)
            anchors.append(anchor)
            if anchor is not None:
                taken.add(anchor)
        owner = {anchor: number for number, anchor in enumerate(anchors) if anchor is not None}
        for number, (item, anchor) in enumerate(zip(items, anchors, strict=True)):
            if anchor is not None:
                self._claim(item, anchor, number, owner)
        return [
            None if anchor is None else self._row(item, anchor, number, owner)
            for number, (item, anchor) in enumerate(zip(items, anchors, strict=True))
        ]

    def row_by_numbers(self, item: Mapping[str, Any]) -> Row | None:
        """The row that prints at least two numbers of an item whose description the page does not print."""
        wanted = Counter(plain_number(item[field]) for field in AMOUNTS if field in item)
        places = Counter(place for reading in wanted for place in self._with_number.get(reading, ())[:_MAX_PLACES])
        for place in sorted(places):
            numbers = self.numbers(place)
            if sum((wanted & Counter(_first_known(number, wanted) for number in numbers)).values()) < _ROW:
                continue
            if not _is_summary(self.lines[place].text):
                readings = frozenset(reading for number in numbers for reading in number.readings)
                return Row(readings, self._by_column([(place, numbers)]), has_description=False)
        return None

    def _anchor(self, item: Mapping[str, Any], taken: set[int]) -> int | None:
        """The line with most of a description's words; of equal ones that with most of the item's numbers."""
        ordered = words_of(str(item.get("description") or ""))
        if not ordered:
            return None
        words = _long_words(ordered) or frozenset(ordered)
        begin = f" {' '.join(ordered[: 1 if len(ordered[0]) >= _LONG_WORD else 2])} "
        shared: Counter[int] = Counter()
        for word in words:
            shared.update(self._with_word.get(word, ())[:_MAX_PLACES])
        wanted = {plain_number(item[field]) for field in AMOUNTS if field in item}
        best, found = (0, -1), None
        for place, count in sorted(shared.items()):
            if place in taken or count < _LEAST_SHARE * len(words):
                continue
            near = {reading for number in self.numbers(place) for reading in number.readings} & wanted
            begins = begin in f" {' '.join(words_of(self.lines[place].text))} "
            score = (count + (_BEGINNING if begins else 0), len(near))
            if score > best:
                best, found = score, place
        return found

    def _claim(self, item: Mapping[str, Any], anchor: int, number: int, owner: dict[int, int]) -> None:
        """Note which lines around its anchor print more of an item's description, and those in between."""
        words = _long_words(words_of(str(item["description"])))
        for step in (-1, 1):
            between: list[int] = []
            for place in range(anchor + step, anchor + (_LINES_BELOW + 1) * step, step):
                if not 0 <= place < len(self.lines) or owner.get(place, number) != number or self._ends_table(place):
                    break
                own = _long_words(self.words[place])
                if own and 2 * len(own & words) >= len(own):
                    owner.update(dict.fromkeys((*between, place), number))
                between.append(place)

    def _ends_table(self, place: int) -> bool:
        return self._heads[place] is not None or _is_summary(self.lines[place].text)

    def _row(self, item: Mapping[str, Any], anchor: int, number: int, owner: Mapping[int, int]) -> Row | None:
        words = frozenset(words_of(str(item["description"])))
        own = [anchor]
        for step, most in ((-1, _LINES_ABOVE), (1, _LINES_BELOW)):
            own += self._neighbours(anchor, step, most, number, owner)
        wanted = {plain_number(item[field]) for field in AMOUNTS if field in item}
        chosen: list[tuple[int, list[Number]]] = []
        known: set[str] = set()
        has_row = False
        for place in sorted(own, key=lambda place: abs(place - anchor)):
            has_words = place == anchor or bool(self.words[place] & words)
            numbers = self._besides_description(place, item) if has_words else self.numbers(place)
            if not has_words and (wanted <= known or (has_row and len(numbers) >= _ROW)):
                continue
            has_row = has_row or len(numbers) >= _ROW
            chosen.append((place, numbers))
            known.update(reading for number in numbers for reading in number.readings)
        if not known:
            return None
        return Row(frozenset(known), self._by_column(chosen))

    def _neighbours(self, anchor: int, step: int, most: int, number: int, owner: Mapping[int, int]) -> Iterator[int]:
        """Lines above or below that may belong to an item: up to another item, a head, a sum, or another page."""
        for place in range(anchor + step, anchor + (most + 1) * step, step):
            if not 0 <= place < len(self.lines) or owner.get(place, number) != number or self._ends_table(place):
                return
            if self.lines[place].page != self.lines[anchor].page:
                return
            yield place

    def _besides_description(self, place: int, item: Mapping[str, Any]) -> list[Number]:
        """The numbers of a line without those of the item's description, which have its words beside them."""
        described = _numbers(Line(str(item["description"])))
        if not described:
            return self.numbers(place)
        return [number for number in self.numbers(place) if not any(number.is_same(other) for other in described)]

    def _by_column(self, lines: Sequence[tuple[int, list[Number]]]) -> dict[Column, frozenset[str]]:
        """The numbers of each column, from the nearest head above; nothing if they cannot be told apart."""
        head = next((head for head in reversed(self._heads[: lines[0][0]]) if head), None)
        if head is None:
            return {}
        found: dict[Column, set[str]] = defaultdict(set)
        for place, numbers in lines:
            for kind, number in _assigned(head, numbers, has_boxes=bool(self.lines[place].cells)):
                found[kind].update(number.readings)
        return {kind: frozenset(readings) for kind, readings in found.items()}


def _numbers(line: Line) -> list[Number]:
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
        for group in _THOUSANDS.finditer(version):
            joined = tuple(joined_numbers_in(group[0]) - numbers_in(group[0]))
            found.setdefault(group.span(), _number(line, *group.span(), joined))
    return [found[place] for place in sorted(found)]


def _number(line: Line, start: int, end: int, readings: tuple[str, ...]) -> Number:
    before = words_of(line.text[max(start - _NEAR_CHARACTERS, 0) : start])
    behind = words_of(line.text[end : end + _NEAR_CHARACTERS])
    return Number(readings, *line.span(start, end), before[-1] if before else "", behind[0] if behind else "")


def _long_words(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word for word in words if len(word) > _UNIT_LETTERS and not word.isdigit())


def _first_known(number: Number, wanted: Counter[str]) -> str:
    return next((reading for reading in number.readings if reading in wanted), "")


def _head(line: Line) -> Head | None:
    """The head of a table in a line without numbers, which only the rows below it have; None if it is no head."""
    columns: list[tuple[Column, float, float]] = []
    for kind, start, end in column_heads(line.text):
        columns.append((kind, *line.span(start, end)))
    kinds = {kind for kind, _, _ in columns}
    if len(kinds) < _HEADS or (not kinds & {"quantity", "price"} and "description" not in kinds):
        return None
    return Head(tuple(columns))


def _is_summary(text: str) -> bool:
    """Whether a line begins with the label of a sum or a tax."""
    return label_pattern(_SUMMARY).match(text.lstrip(" *|-:.(")) is not None


def _assigned(head: Head, numbers: Sequence[Number], *, has_boxes: bool) -> Iterator[tuple[Column, Number]]:
    """Each number with its column: the nearest by an edge or the middle, or by order if there are no boxes."""
    if not has_boxes:
        kinds = [kind for kind in head.numeric if kind != "tax"]
        own = list(numbers)
        if any(number.is_part_of(other) for number in own for other in own):
            # `10 338,29` may be one number or two.
            return
        if len(own) == len(kinds) + 1 and own[0].x0 == 0:
            # The number of the row.
            del own[0]
        if len(kinds) == len(own):
            yield from zip(kinds, own, strict=True)
        return
    for number in numbers:
        away = sorted((_distance(number, x0, x1), kind) for kind, x0, x1 in head.columns)
        # Between two columns: it can be in either.
        if len(away) == 1 or 2 * away[0][0] <= away[1][0] or away[0][1] == away[1][1]:
            yield away[0][1], number


def _distance(number: Number, x0: float, x1: float) -> float:
    middles = abs(number.x0 + number.x1 - x0 - x1) / 2
    return min(abs(number.x0 - x0), abs(number.x1 - x1), middles)
