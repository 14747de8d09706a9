"""Search for texts, identifiers and addresses on a page, including letters that OCR misread."""

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

# Measured on 500 synthetic invoices: with one misread letter of a text (a similar letter, a lost one, an extra stroke
# or blank), 99.9 % of names, addresses, descriptions and notes are found, with two 88 %; of the texts of other
# invoices 0.03 %. Texts with a likeness of _LIKENESS of 100 or more are compared letter by letter: at most these shares
# of the text and of each word may be misread, but always one letter. Digits may not.
_LIKENESS = 75.0
_MISREADS_OF_TEXT, _MISREADS_OF_WORD = 0.2, 0.34
_MIN_LIKE_CHARACTERS, _MAX_LIKE_CHARACTERS = 5, 200
_MAX_PAGE_CHARACTERS = 100_000
# Minimum length of a word that may be joined to others.
_GLUED_WORD_LETTERS = 6
# Lines of an address can be in any order: this share of its words must be on the page, and all its numbers.
_ADDRESS_SHARE = 0.8
# Minimum number of words of a text that columns may split: all of them must be on the page.
_LONG_TEXT_WORDS = 6


def shows_text(value: str, page: PageText) -> bool:
    """Return whether a text is on the page, possibly misread, in other case or punctuation, wrapped or hyphenated."""
    if shows_identifier(value, page):
        return True
    words = normal_words(value)
    if _is_like(words, page) or (len(words) >= _LONG_TEXT_WORDS and _has_words(words, page, share=1)):
        return True
    if page.columns is not None:
        return shows_text(value, page.columns)
    return is_wrapped(words, page)


def shows_identifier(value: str, page: PageText) -> bool:
    """Return whether the letters and digits of a text are on the page in order, except for usual OCR confusions."""
    words = normal_words(value)
    letters = "".join(words)
    if not letters:
        signs = without_compatibility_forms(value).strip()
        return bool(signs) and signs in page.text
    if letters.isdigit() and len(words) == 1 and len(letters) <= OWN_WORD_DIGITS:
        return re.search(rf"(?<![0-9])(?<![0-9][.,]){letters}(?![0-9]|[.,][0-9])", page.text) is not None
    if f" {' '.join(words)} " in page.spaced:
        return True
    return (len(letters) > OWN_WORD_LETTERS or _is_unspaced(letters)) and _is_contained(letters, page)


def _is_unspaced(text: str) -> bool:
    """Return whether a text begins in a script without blanks between words, such as Chinese and Japanese."""
    return text[0] >= "\u2e80"


def _is_contained(letters: str, page: PageText) -> bool:
    """Return whether letters follow each other on the page, ignoring gaps; numbers at the ends must be complete."""
    expected, folded = letters.translate(FOLDED), page.folded
    start = folded.find(expected)
    while start >= 0:
        end = start + len(expected)
        cut_before = expected[0].isdigit() and folded[start - 1 : start].isdigit() and start not in page.word_edges
        cut_after = expected[-1].isdigit() and folded[end : end + 1].isdigit() and end not in page.word_edges
        if not cut_before and not cut_after:
            return True
        start = folded.find(expected, start + 1)
    return False


def _is_like(words: Sequence[str], page: PageText) -> bool:
    """Return whether the page has the text with a few misread letters and the same numbers."""
    unclear = blurred(" ".join(words)).split()
    return _is_like_part(words, page.repaired_spaced) or _is_like_part(unclear, page.blurred)


def _is_like_part(words: Sequence[str], text: str) -> bool:
    expected, text = " ".join(words), text[:_MAX_PAGE_CHARACTERS]
    # The alignment would search for the shorter text in the longer one.
    if not _MIN_LIKE_CHARACTERS <= len(expected) <= min(len(text), _MAX_LIKE_CHARACTERS):
        return False
    place = fuzz.partial_ratio_alignment(expected, text, score_cutoff=_LIKENESS)
    if place is None:
        return False
    if _is_unspaced(expected):
        found = text[place.dest_start : place.dest_end].split()
    else:
        found = _whole_words(text, place.dest_start, place.dest_end)
    if [word for word in words if word.isdigit()] != [word for word in found if word.isdigit()]:
        return False
    misread = [edit.src_pos for edit in Levenshtein.editops(expected, " ".join(found))]
    if len(misread) > _misreads_allowed(len(expected), _MISREADS_OF_TEXT):
        return False
    start = 0
    for word in words:
        end = start + len(word)
        if sum(start <= position < end for position in misread) > _misreads_allowed(len(word), _MISREADS_OF_WORD):
            return False
        start = end + 1
    return True


def _whole_words(text: str, start: int, end: int) -> list[str]:
    """Return the words, with blanks around each, of which at least half is between two positions."""
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
    """Return whether an address is on the page, with its lines in any order and possibly without its country."""
    if shows_text(value, page):
        return True
    plain = without_compatibility_forms(value)
    # Country codes of an answer need not be printed.
    countries = {code.casefold() for code in re.findall(r"\b[A-Z]{2}\b", plain) if code in _country_codes()}
    words = [word for word in words_of(plain) if word not in countries]
    return bool(words) and _has_words(words, page, _ADDRESS_SHARE)


def _has_words(words: Sequence[str], page: PageText, share: float) -> bool:
    """Return whether the page has all numbers and this share of the other words, in any place."""
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
