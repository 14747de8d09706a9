"""Finding a text that wraps in its table cell on a page without boxes: other columns' words are between its parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from data_tools.visibility.page_text import PageText

# A text may be broken in this many places, with at most this many words of other columns in between.
_MAX_BREAKS = 4
_MAX_GAP_WORDS = 12
# Of those words, this many may be others than numbers and short units: a row has few texts beside its description.
_MAX_GAP_TEXTS = 2
_UNIT_LETTERS = 3
# So many may be in columns to the left of one that is the last of its line, as in two addresses side by side.
_MAX_TEXTS_TO_THE_LEFT = 6
# A part of a text is longer than this, or the word behind the break is any word that begins alike.
_MIN_PART_LETTERS = 3
_MIN_LETTERS = 8
# How often a text is begun on a page, and the longest that is looked for.
_MAX_BEGINNINGS = 50
_MAX_LETTERS = 400


class _Wanted(NamedTuple):
    """A text that is looked for: its letters without blanks, and where its words end in them."""

    letters: str
    ends: frozenset[int]

    @property
    def length(self) -> int:
        """The number of letters."""
        return len(self.letters)

    def goes_on(self, word: str, at: int) -> bool:
        """Whether a word follows at a place; a number only as a whole: 3 is no beginning of 33."""
        return self.letters.startswith(word, at) and (not word.isdigit() or at + len(word) in self.ends)


def is_wrapped(words: Sequence[str], page: PageText) -> bool:
    """Whether the letters of a text are on the page in their order, broken where a line ends.

    Each part but the first begins a line, perhaps behind a column to the left; a word may be hyphenated.
    """
    letters = "".join(words)
    if not _MIN_LETTERS <= len(letters) <= _MAX_LETTERS or (len(words) < 2 and len(letters) < 2 * _MIN_LETTERS):
        return False
    wanted = _Wanted(letters, frozenset(accumulate(map(len, words))))
    printed, starts_line, places = page.line_words
    ends = range(_MIN_PART_LETTERS, len(letters) + 1)
    beginnings = [place for end in ends for place in places.get(letters[:end], ())]
    return any(_goes_on(wanted, printed, starts_line, place) for place in beginnings[:_MAX_BEGINNINGS])


def _goes_on(wanted: _Wanted, printed: Sequence[str], starts_line: Sequence[bool], place: int) -> bool:
    """Whether the rest of a text follows its first word, which is at `place`."""
    at = breaks = 0
    while at < wanted.length:
        if place < len(printed) and wanted.goes_on(printed[place], at):
            at += len(printed[place])
            place += 1
            continue
        breaks += 1
        found = _behind_gap(wanted, at, printed, starts_line, place)
        if breaks > _MAX_BREAKS or found is None:
            return False
        place = found
    return True


def _behind_gap(
    wanted: _Wanted, at: int, printed: Sequence[str], starts_line: Sequence[bool], place: int
) -> int | None:
    """The word that goes on with a text behind the words of other columns."""
    texts, line_began = 0, False
    is_last_column = place < len(printed) and starts_line[place]
    for other in range(place, min(place + _MAX_GAP_WORDS + 1, len(printed))):
        word = printed[other]
        line_began = line_began or starts_line[other]
        is_last_column = is_last_column and (other == place or not starts_line[other])
        is_near = texts <= _MAX_GAP_TEXTS or (is_last_column and _ends_line(wanted, at, printed, starts_line, other))
        if line_began and is_near and wanted.goes_on(word, at) and _is_enough(wanted, at, printed, other):
            return other
        texts += len(word) > _UNIT_LETTERS and not word.isdigit()
        if texts > (_MAX_TEXTS_TO_THE_LEFT if is_last_column else _MAX_GAP_TEXTS):
            return None
    return None


def _ends_line(wanted: _Wanted, at: int, printed: Sequence[str], starts_line: Sequence[bool], place: int) -> bool:
    """Whether the words from a place on go on with a text, up to the end of their line."""
    while place < len(printed) and at < wanted.length and wanted.goes_on(printed[place], at):
        at += len(printed[place])
        place += 1
        if place == len(printed) or starts_line[place]:
            return True
    return False


def _is_enough(wanted: _Wanted, at: int, printed: Sequence[str], place: int) -> bool:
    """Whether the words from a place on go on with a text long enough to be a part of it, or to its last number."""
    end = at
    while place < len(printed) and end - at < _MIN_PART_LETTERS and wanted.goes_on(printed[place], end):
        end += len(printed[place])
        place += 1
    return end - at >= _MIN_PART_LETTERS or (end == wanted.length and wanted.letters[at:end].isdigit())
