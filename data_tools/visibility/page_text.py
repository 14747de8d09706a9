"""Text of a page, prepared for many searches.

Only `text` is computed for every record; the other properties are computed when the first search for it fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from data_tools.visibility.boxes import Line, by_columns, read_lines
from data_tools.visibility.spellings import (
    dates_in,
    joined_numbers_in,
    numbers_in,
    own_numbers_in,
    repaired_numbers,
    without_compatibility_forms,
    without_dates,
)
from erniekit_adapter.documents.ocr_values import has_text, texts_of

# Maps letters that OCR confuses with digits to these digits.
FOLDED = str.maketrans("oilsbz", "011582")
# Up to this length a text must be a whole word: Tax is not found in Syntax, nor 12 in 112.
OWN_WORD_LETTERS, OWN_WORD_DIGITS = 3, 5
# Limits for the search line by line.
_MAX_WORDS, _MAX_PLACES = 20_000, 50

_LETTERS = re.compile(r"[^\W_]+")
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class PageText:
    """Text of a page, and its possible readings.

    Attributes:
        text: all texts of the page in reading order, separated by single blanks, in NFKC (１２ is 12) and without a
            blank before a percent sign.
        source: the OCR value of the text; its boxes or lines give rows and columns.
    """

    text: str
    source: object = None

    @cached_property
    def repaired(self) -> str:
        """The text with letters in numbers replaced by similar digits: 1O0.00 is 100.00."""
        return repaired_numbers(self.text)

    @cached_property
    def spaced(self) -> str:
        """The words in lower case, letters and digits separated, with single blanks."""
        return f" {' '.join(words_of(self.text))} "

    @cached_property
    def repaired_spaced(self) -> str:
        """The same of the repaired text."""
        return self.spaced if self.repaired == self.text else f" {' '.join(words_of(self.repaired))} "

    @cached_property
    def blurred(self) -> str:
        """The repaired words, with letters that OCR joins or splits made equal."""
        return blurred(self.repaired_spaced)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the text and of the repaired text."""
        return frozenset(self.spaced.split()).union(self.repaired_spaced.split())

    @cached_property
    def long_words(self) -> tuple[str, ...]:
        """The words that are candidates for a misread word."""
        return tuple(sorted(word for word in self.words if len(word) > OWN_WORD_LETTERS and not word.isdigit()))

    @cached_property
    def folded(self) -> str:
        """Letters and digits only, with those that OCR confuses made equal."""
        return "".join(_LETTERS.findall(self.text)).casefold().translate(FOLDED)

    @cached_property
    def word_edges(self) -> frozenset[int]:
        """Positions in `folded` where words begin and end."""
        edges = [0]
        for word in _LETTERS.findall(self.text):
            edges.append(edges[-1] + len(word.casefold()))
        return frozenset(edges)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """All possible numbers of the text, including rates and parts of names and dates; used for rates."""
        return numbers_in(self.text) | numbers_in(self.repaired)

    @cached_property
    def amounts(self) -> frozenset[str]:
        """All separate numbers of the text: not rates, and not parts of dates, names or words."""
        return own_numbers_in(without_dates(self.text))

    @cached_property
    def repaired_amounts(self) -> frozenset[str]:
        """The same for the repaired text, and for digits that blanks separate: 1 2 34 .50."""
        text = without_dates(self.repaired)
        return own_numbers_in(text) | joined_numbers_in(text)

    @cached_property
    def own_repaired_amounts(self) -> frozenset[str]:
        """The same without numbers that are not separate: of 9% 8.09 only 8.09."""
        text = without_dates(self.repaired)
        return own_numbers_in(text) | (joined_numbers_in(text) - numbers_in(text))

    @cached_property
    def dates(self) -> frozenset[date]:
        """All possible dates of the text: 03/04/2025 is two."""
        return dates_in(self.repaired)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The lines of the page from top to bottom: rows of its boxes, or lines of text if it has no boxes."""
        return read_lines(self.source)

    @cached_property
    def line_words(self) -> tuple[list[str], list[bool], dict[str, list[int]]]:
        """The words of the lines, whether each begins a line, and the first positions of each different word."""
        words: list[str] = []
        starts: list[bool] = []
        places: dict[str, list[int]] = {}
        for line in self.lines:
            for number, word in enumerate(words_of(line.text)):
                found = places.setdefault(word, [])
                if len(found) < _MAX_PLACES:
                    found.append(len(words))
                words.append(word)
                starts.append(number == 0)
            if len(words) > _MAX_WORDS:
                break
        return words, starts, places

    @cached_property
    def columns(self) -> PageText | None:
        """The page read column by column, which joins text that wraps in a cell; None without boxes."""
        text = by_columns(self.lines)
        return page_text(text) if text else None


def page_text(ocr: object) -> PageText:
    """Return the text of the output of an OCR engine: any JSON value, its texts and numbers in order.

    Keys, lists of numbers (coordinates), and numbers such as confidences and positions are not printed on a page.
    """
    text = _tokens(ocr) or " ".join(texts_of(ocr))
    if not text.isascii():
        text = without_compatibility_forms(text)
    return PageText(f" {' '.join(text.split())} ".replace(" %", "%"), ocr)


def _tokens(ocr: object) -> str | None:
    """Return the texts of the most frequent format, `{"tokens": [text, …]}`; None for any other format."""
    if type(ocr) is dict and len(ocr) == 1 and type(tokens := ocr.get("tokens")) is list:
        try:
            return " ".join(tokens)
        except TypeError:
            return None
    return None


def nothing_to_read(ocr: object) -> bool:
    """Return whether the output of an OCR engine has neither letters nor digits."""
    return not has_text(ocr)


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, letters and digits separated."""
    return _WORD.findall(text.casefold())


def normal_words(value: str) -> list[str]:
    """Return the words of a value, without compatibility forms."""
    return words_of(without_compatibility_forms(value))


def blurred(text: str) -> str:
    """Return a text with letters that OCR joins or splits made equal."""
    return text.replace("rn", "m").replace("vv", "w")
