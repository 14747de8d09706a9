"""Search for a text that wraps in its table cell, on a page without boxes, with words of other columns in between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from data_tools.visibility.page_text import PageText

# Maximum number of line breaks in a text, and of words of other columns at each.
_MAX_BREAKS = 4
_MAX_GAP_WORDS = 12
# Maximum number of these words that are not numbers or short units: a row has few texts beside its description.
_MAX_GAP_TEXTS = 2
_UNIT_LETTERS = 3
# The same for columns to the left of the last column, as with two addresses side by side.
_MAX_TEXTS_TO_THE_LEFT = 6
# Minimum letters of a part of a text; a shorter part would match any word with the same beginning.
_MIN_PART_LETTERS = 3
_MIN_LETTERS = 8
# Maximum number of starts of a text on a page, and maximum length of a text to search for.
_MAX_BEGINNINGS = 50
_MAX_LETTERS = 400


class _SearchText(NamedTuple):
    """The text to search for: its letters without blanks, and the ends of its words in them."""

    letters: str
    ends: frozenset[int]

    @property
    def length(self) -> int:
        """Number of letters."""
        return len(self.letters)

    def continues_with(self, word: str, at: int) -> bool:
        """Return whether the text continues with a word; a number must be complete: 3 does not match 33."""
        return self.letters.startswith(word, at) and (not word.isdigit() or at + len(word) in self.ends)


def is_wrapped(words: Sequence[str], page: PageText) -> bool:
    """Return whether the letters of a text are on the page in order, broken at line ends.

    Each part except the first begins a line, possibly after a column to the left; a word can be hyphenated.
    """
    letters = "".join(words)
    if not _MIN_LETTERS <= len(letters) <= _MAX_LETTERS or (len(words) < 2 and len(letters) < 2 * _MIN_LETTERS):
        return False
    text = _SearchText(letters, frozenset(accumulate(map(len, words))))
    printed, starts_line, places = page.line_words
    ends = range(_MIN_PART_LETTERS, len(letters) + 1)
    beginnings = [place for end in ends for place in places.get(letters[:end], ())]
    return any(_continues(text, printed, starts_line, place) for place in beginnings[:_MAX_BEGINNINGS])


def _continues(text: _SearchText, printed: Sequence[str], starts_line: Sequence[bool], place: int) -> bool:
    """Return whether the rest of a text follows its first word, which is at `place`."""
    at = breaks = 0
    while at < text.length:
        if place < len(printed) and text.continues_with(printed[place], at):
            at += len(printed[place])
            place += 1
            continue
        breaks += 1
        found = _after_gap(text, at, printed, starts_line, place)
        if breaks > _MAX_BREAKS or found is None:
            return False
        place = found
    return True


def _after_gap(
    text: _SearchText, at: int, printed: Sequence[str], starts_line: Sequence[bool], place: int
) -> int | None:
    """Return the position where the text continues after words of other columns; None if it does not."""
    texts, line_began = 0, False
    is_last_column = place < len(printed) and starts_line[place]
    for other in range(place, min(place + _MAX_GAP_WORDS + 1, len(printed))):
        word = printed[other]
        line_began = line_began or starts_line[other]
        is_last_column = is_last_column and (other == place or not starts_line[other])
        is_near = texts <= _MAX_GAP_TEXTS or (is_last_column and _ends_line(text, at, printed, starts_line, other))
        if line_began and is_near and text.continues_with(word, at) and _is_enough(text, at, printed, other):
            return other
        texts += len(word) > _UNIT_LETTERS and not word.isdigit()
        if texts > (_MAX_TEXTS_TO_THE_LEFT if is_last_column else _MAX_GAP_TEXTS):
            return None
    return None


def _ends_line(text: _SearchText, at: int, printed: Sequence[str], starts_line: Sequence[bool], place: int) -> bool:
    """Return whether the text continues from a position up to the end of the line."""
    while place < len(printed) and at < text.length and text.continues_with(printed[place], at):
        at += len(printed[place])
        place += 1
        if place == len(printed) or starts_line[place]:
            return True
    return False


def _is_enough(text: _SearchText, at: int, printed: Sequence[str], place: int) -> bool:
    """Return whether the text continues from a position with enough letters, or with its last number."""
    end = at
    while place < len(printed) and end - at < _MIN_PART_LETTERS and text.continues_with(printed[place], end):
        end += len(printed[place])
        place += 1
    return end - at >= _MIN_PART_LETTERS or (end == text.length and text.letters[at:end].isdigit())
