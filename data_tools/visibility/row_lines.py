"""The lines of each row of a table, as a page of their own in which its values are searched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cached_property

from data_tools.visibility.boxes import Line
from data_tools.visibility.page_text import PageText
from data_tools.visibility.spellings import dates_in, days_of_months_in, repaired_numbers
from data_tools.visibility.table import ItemTable

# Maximum number of lines of a row below or above its line.
_MOST_LINES = 4
# Maximum number of lines above a row to search for the date of the rows above, and of lines with one date.
_LINES_ABOVE = 60
_MAX_PLACES = 200


class LineDates:
    """The dates of lines: full ones, and days of a month without a year."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._known: dict[int, tuple[frozenset[date], frozenset[tuple[int, int]]]] = {}

    def of(self, place: int) -> tuple[frozenset[date], frozenset[tuple[int, int]]]:
        """Return the dates of a line, and the days (month, day) that it prints without a year."""
        if place not in self._known:
            text = repaired_numbers(self._lines[place].text)
            self._known[place] = dates_in(text), days_of_months_in(text)
        return self._known[place]

    @cached_property
    def _with_date(self) -> tuple[dict[date, list[int]], dict[tuple[int, int], list[int]]]:
        """The lines with each date, and with each day of a month."""
        full: dict[date, list[int]] = {}
        days: dict[tuple[int, int], list[int]] = {}
        for place in range(len(self._lines)):
            own, own_days = self.of(place)
            for found in own:
                full.setdefault(found, []).append(place)
            for day in own_days:
                days.setdefault(day, []).append(place)
        return full, days

    def places(self, value: str) -> Iterator[tuple[int, bool]]:
        """Yield the lines that print an ISO date, and whether they print its year."""
        expected = _date(value)
        if expected is None:
            return
        full, days = self._with_date
        known = full.get(expected, [])
        yield from ((place, True) for place in known[:_MAX_PLACES])
        more = days.get((expected.month, expected.day), [])
        yield from ((place, False) for place in more[:_MAX_PLACES] if place not in known)


class RowLines:
    """The lines of each row, from its own line to the next row or the end of the table.

    Attributes:
        page: the whole page.
        is_free: whether the values of a row may be anywhere on the page.
    """

    def __init__(
        self,
        table: ItemTable,
        page: PageText,
        texts: Sequence[str],
        anchors: Sequence[int | None],
        *,
        is_free: bool,
    ) -> None:
        self.page, self.is_free = page, is_free
        self._table, self._anchors = table, anchors
        self._owner = {place: number for number, place in enumerate(anchors) if place is not None}
        for number, (text, place) in enumerate(zip(texts, anchors, strict=True)):
            # A text that begins in another line than the numbers is found by the side of the other rows' texts.
            if place is not None and table.has_words(text, place):
                table.claim({"description": text}, place, number, self._owner)
        self._dates = LineDates(table.lines)

    @cached_property
    def _lines_by_owner(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for place, owner in self._owner.items():
            found[owner].append(place)
        return found

    def page_of(self, number: int, *, is_above: bool) -> PageText | None:
        """Return the lines of a row as a page, with the lines that belong to no row below it, or above it.

        The whole page is returned if the values may be anywhere; None if the row is not on the page.
        """
        if self._anchors[number] is None:
            return self.page if self.is_free else None
        return _as_page([self._table.lines[place] for place in self.lines_of(number, is_above=is_above)])

    def lines_of(self, number: int, *, is_above: bool) -> list[int]:
        """Return the lines of a row, with the lines that belong to no row below it, or above it."""
        anchor = self._anchors[number]
        if anchor is None:
            return []
        own = set(self._lines_by_owner[number])
        return sorted(own.union(self._free(anchor, number, -1 if is_above else 1)))

    def head(self, *, is_above: bool) -> PageText | None:
        """Return the line above the first row as a page; None if it has numbers."""
        places = [place for number in range(len(self._anchors)) for place in self.lines_of(number, is_above=is_above)]
        first = min(places, default=0) - 1
        return None if first < 0 or self._table.numbers(first) else _as_page([self._table.lines[first]])

    def shows_date(self, value: str, page: PageText, number: int) -> bool:
        """Return whether a row shows a date of which the page prints the year elsewhere, or only in a row above it."""
        expected, anchor = _date(value), self._anchors[number]
        if expected is None or anchor is None:
            return False
        text = repaired_numbers(page.text)
        full, days = dates_in(text), days_of_months_in(text)
        if not full and not days:
            # Several rows of one day print it once.
            above = (self._dates.of(place) for place in range(anchor - 1, max(anchor - _LINES_ABOVE, 0) - 1, -1))
            full, days = next((found for found in above if found[0] or found[1]), (full, days))
            if expected in full:
                return True
        return (expected.month, expected.day) in days and expected.year in self._years

    @cached_property
    def _years(self) -> frozenset[int]:
        numbers = {int(number) for number in self.page.numbers if len(number) == 4 and number.isdigit()}
        return frozenset(numbers | {found.year for found in self.page.dates})

    def _free(self, anchor: int, number: int, step: int) -> Iterator[int]:
        """Yield the lines next to a row that belong to no other."""
        lines = self._table.lines
        for place in range(anchor + step, anchor + (_MOST_LINES + 1) * step, step):
            if not 0 <= place < len(lines) or self._owner.get(place, number) != number:
                return
            if self._table.ends_table(place) or lines[place].page != lines[anchor].page:
                return
            yield place


def _date(value: str) -> date | None:
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _as_page(lines: Iterable[Line]) -> PageText:
    found = tuple(lines)
    text = f" {' '.join(line.text for line in found)} "
    cells = [cell for line in found for cell in line.cells]
    if not cells:
        return PageText(text, "\n".join(line.text for line in found))
    boxes = [[cell.x0, cell.y0, cell.x1, cell.y1] for cell in cells]
    return PageText(text, {"tokens": [cell.text for cell in cells], "bboxes": boxes})
