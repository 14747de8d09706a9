"""Rows of the line item table of a page: the lines of each item, and the numbers in each column."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from data_tools.visibility.boxes import Line
from data_tools.visibility.columns import Head, Number, assigned_by_boxes, assigned_by_order, head_of, numbers_of
from data_tools.visibility.labels import OTHER_AMOUNTS, TOTALS, Column, label_pattern, may_be_head
from data_tools.visibility.page_text import PageText, normal_words, words_of
from data_tools.visibility.spellings import plain_number, without_compatibility_forms
from erniekit_adapter.documents.fields import Role

AMOUNTS: dict[str, Column] = {"quantity": "quantity", "unit_price": "price", "total": "total"}
# Roles of columns by the name that they have in line items here.
ROLE_NAMES: dict[str, Role] = {
    "description": "description",
    "quantity": "quantity",
    "unit_price": "unit_price",
    "total": "line_total",
}
# Minimum share of a description's words in each of its lines.
_LEAST_SHARE = 0.34
# Maximum number of lines of an item above and below the line with most of its words.
_LINES_ABOVE, _LINES_BELOW = 2, 4
# The line with the first words of a description counts as if it had this many more words.
_BEGINNING = 3
# A first word of this many letters identifies a row without the second word.
_LONG_WORD = 5
_SUMMARY = (*TOTALS, *OTHER_AMOUNTS)
# Maximum number of lines per word or number to search.
_MAX_PLACES = 500
# Minimum number of numbers in a row of a table.
_ROW = 2
# Words up to this length are units, or too common to distinguish lines.
_UNIT_LETTERS = 3


@dataclass(frozen=True)
class ItemRow:
    """Numbers that the page prints in the row of an item.

    Attributes:
        numbers: all numbers of its lines, without those of the description.
        by_column: numbers in each column of the head, as far as they can be assigned.
        free: numbers that may not be in a column of quantities, prices and totals.
        has_description: whether its lines were found by the description.
        anchor: its line with most of the description, or with its numbers.
    """

    numbers: frozenset[str]
    by_column: Mapping[Column, frozenset[str]]
    free: frozenset[str]
    has_description: bool = True
    anchor: int = 0

    def shows(self, field: str, value: Any) -> bool:
        """Return whether the row prints a value of a field in its column or, if that is empty, in no other column."""
        plain = plain_number(value)
        return plain in (self.by_column.get(AMOUNTS[field]) or self.free)


class ItemTable:
    """The lines of a page, to search for the rows of line items."""

    def __init__(self, page: PageText) -> None:
        self.lines = page.lines
        if all(len(line.cells) <= 1 for line in self.lines):
            # Each line is one box, which does not give the positions of its numbers.
            self.lines = tuple(Line(line.text, page=line.page) for line in self.lines)
        self.words = [frozenset(words_of(line.text)) for line in self.lines]
        self._known: dict[int, list[Number]] = {}
        self.lines_with_word: dict[str, list[int]] = defaultdict(list)
        for place, words in enumerate(self.words):
            for word in words:
                self.lines_with_word[word].append(place)
        # A sequence of single words or cells has no rows.
        self.has_rows = any(line.cells for line in self.lines) or any(
            len(self.numbers(place)) >= _ROW for place in range(len(self.lines))
        )
        self._heads = [
            head_of(line) if may_be_head(words) and not self.numbers(place) else None
            for place, (line, words) in enumerate(zip(self.lines, self.words, strict=True))
        ]

    def numbers(self, place: int) -> list[Number]:
        """Return the numbers of a line."""
        if place not in self._known:
            self._known[place] = numbers_of(self.lines[place])
        return self._known[place]

    @cached_property
    def lines_with_number(self) -> dict[str, list[int]]:
        """Lines that print each number."""
        found: dict[str, list[int]] = defaultdict(list)
        for place in range(len(self.lines)):
            for reading in {reading for number in self.numbers(place) for reading in number.readings}:
                found[reading].append(place)
        return found

    def rows(self, items: Sequence[Mapping[str, Any]]) -> list[ItemRow | None]:
        """Return the row of each item, in order; None if its position is unknown."""
        if not self.has_rows:
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
                self.claim(item, anchor, number, owner)
        is_below = self._has_numbers_below(owner) or self._all_have_numbers_below(items, anchors, owner)
        return [
            None if anchor is None else self._row(item, anchor, number, owner, is_below=is_below)
            for number, (item, anchor) in enumerate(zip(items, anchors, strict=True))
        ]

    def _has_numbers_below(self, owner: Mapping[int, int]) -> bool:
        """Return whether some item can have its numbers only below its description, and none only above it.

        The line on the other side belongs to another item, or has no numbers.
        """
        sides: set[int] = set()
        for place, number in owner.items():
            if self.numbers(place):
                continue
            near = {step: next(self._neighbours(place, step, 1, number, owner), None) for step in (-1, 1)}
            free = [step for step, other in near.items() if other is not None and self.numbers(other)]
            sides.update(free if len(free) == 1 else ())
        return sides == {1}

    def _all_have_numbers_below(
        self, items: Sequence[Mapping[str, Any]], anchors: Sequence[int | None], owner: Mapping[int, int]
    ) -> bool:
        """Return whether every item without numbers in its line has them in the next line of text."""
        places = [
            anchor + 1
            for item, anchor in zip(items, anchors, strict=True)
            if anchor is not None and len(self._besides_description(anchor, item)) < _ROW
        ]
        return bool(places) and all(
            place < len(self.lines)
            and place not in owner
            and not self.lines[place].cells
            and self.lines[place].page == self.lines[place - 1].page
            and not self.ends_table(place)
            and len(self.numbers(place)) >= _ROW
            for place in places
        )

    def row_by_numbers(self, item: Mapping[str, Any]) -> ItemRow | None:
        """Return the row with at least two numbers of an item whose description is not on the page."""
        expected = Counter(plain_number(item[field]) for field in AMOUNTS if field in item)
        places = Counter(
            place for reading in expected for place in self.lines_with_number.get(reading, ())[:_MAX_PLACES]
        )
        for place in sorted(places):
            numbers = self.numbers(place)
            if sum((expected & Counter(_first_known(number, expected) for number in numbers)).values()) < _ROW:
                continue
            if not _is_summary(self.lines[place].text):
                return self._row_of_lines([(place, numbers)], (), has_description=False)
        return None

    def _anchor(self, item: Mapping[str, Any], taken: set[int]) -> int | None:
        """Return the line with most of a description's words; of equal ones the one with most of the item's numbers."""
        ordered = normal_words(str(item.get("description") or ""))
        if not ordered:
            return None
        words = _long_words(ordered) or frozenset(ordered)
        begin = f" {' '.join(ordered[: 1 if len(ordered[0]) >= _LONG_WORD else 2])} "
        is_unspaced = ordered[0][0] >= "\u2e80"
        shared: Counter[int] = Counter()
        for word in words:
            shared.update(self.lines_with_word.get(word, ())[:_MAX_PLACES])
        if is_unspaced:
            # Words that begin with the first word, because blanks between words are optional.
            longer = (word for word in self.lines_with_word if word != ordered[0] and word.startswith(ordered[0]))
            shared.update(place for word in longer for place in self.lines_with_word[word][:_MAX_PLACES])
        expected = {plain_number(item[field]) for field in AMOUNTS if field in item}
        best, found = (0, -1), None
        for place, count in sorted(shared.items()):
            if place in taken:
                continue
            line = f" {' '.join(words_of(self.lines[place].text))} "
            begins = begin in line or (is_unspaced and f" {ordered[0]}" in line)
            # A wrapped text often has few words in each of its lines.
            is_part = count > 1 and 2 * count >= len(_long_words(self.words[place]))
            if not (begins or is_part or count >= _LEAST_SHARE * len(words)):
                continue
            near = {reading for number in self.numbers(place) for reading in number.readings} & expected
            score = (count + (_BEGINNING if begins else 0), len(near))
            if score > best:
                best, found = score, place
        return found

    def has_words(self, text: str, place: int) -> bool:
        """Return whether a line has a word of a text that is not a unit."""
        return not _long_words(normal_words(text)).isdisjoint(self.words[place])

    def claim(self, item: Mapping[str, Any], anchor: int, number: int, owner: dict[int, int]) -> None:
        """Assign to an item the lines around its anchor that print more of its description, and those in between."""
        words = _long_words(normal_words(str(item["description"])))
        for step in (-1, 1):
            between: list[int] = []
            for place in range(anchor + step, anchor + (_LINES_BELOW + 1) * step, step):
                if not 0 <= place < len(self.lines) or owner.get(place, number) != number or self.ends_table(place):
                    break
                own = _long_words(self.words[place])
                if own and 2 * len(own & words) >= len(own):
                    owner.update(dict.fromkeys((*between, place), number))
                between.append(place)

    def ends_table(self, place: int) -> bool:
        """Return whether a line is the head of a table, or begins with the label of a sum."""
        return self._heads[place] is not None or _is_summary(self.lines[place].text)

    def _row(
        self, item: Mapping[str, Any], anchor: int, number: int, owner: Mapping[int, int], *, is_below: bool
    ) -> ItemRow | None:
        words = frozenset(normal_words(str(item["description"])))
        own = [anchor]
        sides = ((-1, _LINES_ABOVE), (1, _LINES_BELOW))
        # Of lines at the same distance, the first one has the numbers.
        for step, most in reversed(sides) if is_below else sides:
            own += self._neighbours(anchor, step, most, number, owner)
        expected = {plain_number(item[field]) for field in AMOUNTS if field in item}
        chosen: list[tuple[int, list[Number]]] = []
        known: set[str] = set()
        has_row = False
        for place in sorted(own, key=lambda place: abs(place - anchor)):
            has_words = place == anchor or bool(self.words[place] & words)
            numbers = self._besides_description(place, item) if has_words else self.numbers(place)
            if not has_words and expected <= known:
                continue
            if not has_words and has_row and len(numbers) >= _ROW:
                numbers = self._in_empty_columns(place, numbers, chosen)
            has_row = has_row or len(numbers) >= _ROW
            chosen.append((place, numbers))
            known.update(reading for number in numbers for reading in number.readings)
        return self._row_of_lines(chosen, words) if known else None

    def _row_of_lines(
        self, lines: Sequence[tuple[int, list[Number]]], words: Collection[str], *, has_description: bool = True
    ) -> ItemRow:
        """Return the row of some lines, with numbers assigned to the columns of the nearest head above."""
        columns, free = self._by_column(lines, words)
        readings = frozenset(reading for _, numbers in lines for number in numbers for reading in number.readings)
        return ItemRow(readings, columns, free, has_description, lines[0][0])

    def _in_empty_columns(
        self, place: int, numbers: list[Number], above: Sequence[tuple[int, list[Number]]]
    ) -> list[Number]:
        """Return wrapped numbers: from a line of numbers only, those whose column is empty so far."""
        if not self.lines[place].cells or _long_words(self.words[place]):
            return []
        head = self._head_of(above)
        filled, _ = self._by_column(above, ())
        return [number for kind, number in assigned_by_boxes(head, numbers) if not filled.get(kind)] if head else []

    def _neighbours(self, anchor: int, step: int, most: int, number: int, owner: Mapping[int, int]) -> Iterator[int]:
        """Yield neighbours that may belong to an item, up to another item, a head, a sum, or a new page."""
        for place in range(anchor + step, anchor + (most + 1) * step, step):
            if not 0 <= place < len(self.lines) or owner.get(place, number) != number or self.ends_table(place):
                return
            if self.lines[place].page != self.lines[anchor].page:
                return
            yield place

    def _besides_description(self, place: int, item: Mapping[str, Any]) -> list[Number]:
        """Return the numbers of a line that are not in the item's description (same value, same neighbouring word)."""
        described = numbers_of(Line(without_compatibility_forms(str(item["description"]))))
        if not described:
            return self.numbers(place)
        return [number for number in self.numbers(place) if not any(number.is_same(other) for other in described)]

    def _head_of(self, lines: Sequence[tuple[int, list[Number]]]) -> Head | None:
        return next((head for head in reversed(self._heads[: lines[0][0]]) if head), None)

    def _by_column(
        self, lines: Sequence[tuple[int, list[Number]]], words: Collection[str]
    ) -> tuple[dict[Column, frozenset[str]], frozenset[str]]:
        """Return the numbers of each column, and the numbers that may not be in an amount column."""
        head = self._head_of(lines)
        found: dict[Column, set[str]] = defaultdict(set)
        free: set[str] = set()
        for place, numbers in lines:
            line = self.lines[place]
            if head is None:
                assigned = []
            elif line.cells:
                assigned = list(assigned_by_boxes(head, numbers))
            else:
                assigned = list(assigned_by_order(head, numbers, _first_place(line.text, words)))
            sorted_in = [number for kind, number in assigned if kind in AMOUNTS.values() or not line.cells]
            for kind, number in assigned:
                found[kind].update(number.readings)
            for number in numbers:
                if not any(number is other or number.is_part_of(other) for other in sorted_in):
                    free.update(number.readings)
        return {kind: frozenset(readings) for kind, readings in found.items()}, frozenset(free)


def _long_words(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word for word in words if len(word) > _UNIT_LETTERS and not word.isdigit())


def _first_known(number: Number, expected: Counter[str]) -> str:
    return next((reading for reading in number.readings if reading in expected), "")


def _is_summary(text: str) -> bool:
    """Return whether a line begins with the label of a sum or a tax."""
    return label_pattern(_SUMMARY).match(text.lstrip(" *|-:.(")) is not None


def _first_place(text: str, words: Collection[str]) -> int | None:
    """Return the position of the first long word of a description in a line, or None."""
    low = text.casefold()
    places = [low.find(word) for word in words if len(word) > _UNIT_LETTERS and not word.isdigit()]
    return min((place for place in places if place >= 0), default=None)
