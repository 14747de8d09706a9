"""Finding texts, identifiers and addresses on a page, also with letters that OCR misread."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from rapidfuzz import fuzz, process
from rapidfuzz.distance import Levenshtein

from data_tools.visibility.page_text import (
    FOLDED,
    OWN_WORD_DIGITS,
    OWN_WORD_LETTERS,
    PageText,
    blurred,
    normal_words,
    words_of,
)
from data_tools.visibility.spellings import without_compatibility_forms
from data_tools.visibility.wrapping import is_wrapped

# Measured on 500 synthetic invoices: with one letter of a text misread (swapped for a look-alike, lost, or a stroke or
# blank too many), 99.9 % of names, addresses, descriptions and notes are found, with two 88 %; of texts of other
# invoices 0.03 %. A text that agrees by _LIKENESS of 100 is compared letter by letter; these shares of it and of each
# word may be misread, and one letter in any case. Numbers may not.
_LIKENESS = 75.0
_MISREADS_OF_TEXT, _MISREADS_OF_WORD = 0.2, 0.34
_MIN_LIKE_CHARACTERS, _MAX_LIKE_CHARACTERS = 5, 200
_MAX_PAGE_CHARACTERS = 100_000
# From here a word may be joined to others.
_GLUED_WORD_LETTERS = 6
# Lines of an address may be in any order: this share of its words has to be on the page, and all its numbers.
_ADDRESS_SHARE = 0.8
# Columns break up a text of this many words: all of them have to be on the page.
_LONG_TEXT_WORDS = 6


def shows_text(value: str, page: PageText) -> bool:
    """Whether a text is on the page: with letters misread, in other cases and marks, wrapped or hyphenated."""
    if shows_identifier(value, page):
        return True
    words = normal_words(value)
    if _is_like(words, page) or (len(words) >= _LONG_TEXT_WORDS and _has_words(words, page, share=1)):
        return True
    if page.columns is not None:
        return shows_text(value, page.columns)
    return is_wrapped(words, page)


def shows_identifier(value: str, page: PageText) -> bool:
    """Whether letters and digits of a text are on the page in their order, but for what OCR always confuses."""
    words = normal_words(value)
    letters = "".join(words)
    if not letters:
        return bool(value.strip()) and value.strip() in page.text
    if letters.isdigit() and len(words) == 1 and len(letters) <= OWN_WORD_DIGITS:
        return re.search(rf"(?<![0-9])(?<![0-9][.,]){letters}(?![0-9]|[.,][0-9])", page.text) is not None
    if f" {' '.join(words)} " in page.spaced:
        return True
    return (len(letters) > OWN_WORD_LETTERS or _is_unspaced(letters)) and _is_within(letters, page)


def _is_unspaced(text: str) -> bool:
    """Whether a text begins in a script that puts no blanks between words, as Chinese and Japanese."""
    return text[0] >= "\u2e80"


def _is_within(letters: str, page: PageText) -> bool:
    """Whether letters follow each other on the page, whatever stands between; numbers at the ends have to be whole."""
    wanted, folded = letters.translate(FOLDED), page.folded
    start = folded.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        cut_before = wanted[0].isdigit() and folded[start - 1 : start].isdigit() and start not in page.word_edges
        cut_after = wanted[-1].isdigit() and folded[end : end + 1].isdigit() and end not in page.word_edges
        if not cut_before and not cut_after:
            return True
        start = folded.find(wanted, start + 1)
    return False


def _is_like(words: Sequence[str], page: PageText) -> bool:
    """Whether some place of the page says the text with a few letters misread, and with the same numbers."""
    unclear = blurred(" ".join(words)).split()
    return _is_like_part(words, page.repaired_spaced) or _is_like_part(unclear, page.blurred)


def _is_like_part(words: Sequence[str], text: str) -> bool:
    wanted, text = " ".join(words), text[:_MAX_PAGE_CHARACTERS]
    # Of two texts, the shorter one would be looked for in the longer one.
    if not _MIN_LIKE_CHARACTERS <= len(wanted) <= min(len(text), _MAX_LIKE_CHARACTERS):
        return False
    place = fuzz.partial_ratio_alignment(wanted, text, score_cutoff=_LIKENESS)
    if place is None:
        return False
    if _is_unspaced(wanted):
        found = text[place.dest_start : place.dest_end].split()
    else:
        found = _whole_words(text, place.dest_start, place.dest_end)
    if [word for word in words if word.isdigit()] != [word for word in found if word.isdigit()]:
        return False
    misread = [edit.src_pos for edit in Levenshtein.editops(wanted, " ".join(found))]
    if len(misread) > _misreads_allowed(len(wanted), _MISREADS_OF_TEXT):
        return False
    start = 0
    for word in words:
        end = start + len(word)
        if sum(start <= position < end for position in misread) > _misreads_allowed(len(word), _MISREADS_OF_WORD):
            return False
        start = end + 1
    return True


def _whole_words(text: str, start: int, end: int) -> list[str]:
    """The words of a text, with blanks around each, of which at least half lies between two positions."""
    first, last = text.rfind(" ", 0, start + 1) + 1, text.find(" ", end - 1)
    found = text[first : last if last >= 0 else len(text)].split()
    if len(found) > 1 and 2 * (start - first) > len(found[0]):
        del found[0]
    if len(found) > 1 and 2 * (last - end) > len(found[-1]):
        del found[-1]
    return found


def _misreads_allowed(characters: int, share: float) -> int:
    return max(1, int(characters * share))


def shows_address(value: str, page: PageText) -> bool:
    """Whether an address is on the page, its lines in any order and without its country."""
    if shows_text(value, page):
        return True
    plain = without_compatibility_forms(value)
    # What an answer says of the country in short need not be printed.
    countries = {code.casefold() for code in re.findall(r"\b[A-Z]{2}\b", plain) if code in _country_codes()}
    words = [word for word in words_of(plain) if word not in countries]
    return bool(words) and _has_words(words, page, _ADDRESS_SHARE)


def _has_words(words: Sequence[str], page: PageText, share: float) -> bool:
    """Whether the page has all the numbers and such a share of the other words, anywhere."""
    if any(word not in page.words for word in words if word.isdigit()):
        return False
    others = [word for word in words if not word.isdigit()]
    return sum(_has_word(word, page) for word in others) >= share * len(others)


def _has_word(word: str, page: PageText) -> bool:
    if word in page.words:
        return True
    if len(word) <= OWN_WORD_LETTERS:
        return False
    if len(word) >= _GLUED_WORD_LETTERS and word.translate(FOLDED) in page.folded:
        return True
    allowed = _misreads_allowed(len(word), _MISREADS_OF_WORD)
    return process.extractOne(word, page.long_words, scorer=Levenshtein.distance, score_cutoff=allowed) is not None


@cache
def _country_codes() -> frozenset[str]:
    from babel import Locale

    return frozenset(code for code in map(str, Locale.parse("en").territories) if len(code) == 2 and code.isalpha())
