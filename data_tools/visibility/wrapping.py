"""Finding a text that wraps in its table cell on a page without boxes: other columns' words are between its parts."""

from __future__ import annotations

from collections.abc import Sequence

from data_tools.visibility.page_text import PageText

# A text may be broken in this many places, with at most this many words of other columns in between.
_MAX_BREAKS = 4
_MAX_GAP_WORDS = 12
# Of those words, this many may be others than numbers and short units: a row has few texts beside its description.
_MAX_GAP_TEXTS = 2
_UNIT_LETTERS = 3
# A part of a text is longer than this, or the word behind the break is any word that begins alike.
_MIN_PART_LETTERS = 3
_MIN_LETTERS = 8
# How often a text is begun on a page, and the longest that is looked for.
_MAX_BEGINNINGS = 50
_MAX_LETTERS = 400


def is_wrapped(words: Sequence[str], page: PageText) -> bool:
    """Whether the letters of a text are on the page in their order, broken where a line ends.

    Each part but the first begins a line, perhaps behind a column to the left; a word may be hyphenated.
    """
    wanted = "".join(words)
    if not _MIN_LETTERS <= len(wanted) <= _MAX_LETTERS or (len(words) < 2 and len(wanted) < 2 * _MIN_LETTERS):
        return False
    printed, starts_line, places = page.line_words
    beginnings = [place for end in range(_MIN_PART_LETTERS, len(wanted) + 1) for place in places.get(wanted[:end], ())]
    return any(_goes_on(wanted, printed, starts_line, place) for place in beginnings[:_MAX_BEGINNINGS])


def _goes_on(wanted: str, printed: Sequence[str], starts_line: Sequence[bool], place: int) -> bool:
    """Whether the rest of a text follows its first word, which is at `place`."""
    at = breaks = 0
    while at < len(wanted):
        if place < len(printed) and wanted.startswith(printed[place], at):
            at += len(printed[place])
            place += 1
            continue
        breaks += 1
        found = _behind_gap(wanted, at, printed, starts_line, place)
        if breaks > _MAX_BREAKS or found is None:
            return False
        place = found
    return True


def _behind_gap(wanted: str, at: int, printed: Sequence[str], starts_line: Sequence[bool], place: int) -> int | None:
    """The word that goes on with a text behind the words of other columns."""
    texts, line_began = 0, False
    for other in range(place, min(place + _MAX_GAP_WORDS + 1, len(printed))):
        word = printed[other]
        line_began = line_began or starts_line[other]
        if line_began and wanted.startswith(word, at) and _is_enough(wanted, at, word):
            return other
        texts += len(word) > _UNIT_LETTERS and not word.isdigit()
        if texts > _MAX_GAP_TEXTS:
            return None
    return None


def _is_enough(wanted: str, at: int, word: str) -> bool:
    return len(word) >= _MIN_PART_LETTERS or (at + len(word) == len(wanted) and word.isdigit())
