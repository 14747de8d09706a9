"""The text of a page, prepared for many questions.

Only `text` is made for every record; what only a miss needs is made when the first miss asks for it.
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
from erniekit_adapter.invoice.ocr_values import has_text, texts_of

# Letters and digits that OCR confuses become one.
FOLDED = str.maketrans("oilsbz", "011582")
# Up to this length a text has to be a word of its own: Tax is not found in Syntax, nor 12 in 112.
OWN_WORD_LETTERS, OWN_WORD_DIGITS = 3, 5
# What is looked at of a page line by line.
_MAX_WORDS, _MAX_PLACES = 20_000, 50

_LETTERS = re.compile(r"[^\W_]+")
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class PageText:
    """The text of a page, and what it can mean.

    Attributes:
        text: everything that the page prints, in reading order, between single blanks, without compatibility forms
            (NFKC: １２ is 12) and without a blank before a percent sign.
        source: the OCR value that the text was read from; its boxes or lines give rows and columns.
    """

    text: str
    source: object = None

    @cached_property
    def repaired(self) -> str:
        """The text with letters in numbers read as the digits that they resemble: 1O0.00 is 100.00."""
        return repaired_numbers(self.text)

    @cached_property
    def spaced(self) -> str:
        """Its words in lower case, letters and digits apart, between single blanks."""
        return f" {' '.join(words_of(self.text))} "

    @cached_property
    def repaired_spaced(self) -> str:
        """The same of the repaired text."""
        return self.spaced if self.repaired == self.text else f" {' '.join(words_of(self.repaired))} "

    @cached_property
    def blurred(self) -> str:
        """The repaired words, with letters that OCR joins or separates made equal."""
        return blurred(self.repaired_spaced)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words, as read and as repaired."""
        return frozenset(self.spaced.split()).union(self.repaired_spaced.split())

    @cached_property
    def long_words(self) -> tuple[str, ...]:
        """The words that a misread word can resemble."""
        return tuple(sorted(word for word in self.words if len(word) > OWN_WORD_LETTERS and not word.isdigit()))

    @cached_property
    def folded(self) -> str:
        """Letters and digits alone, with those that OCR confuses made equal."""
        return "".join(_LETTERS.findall(self.text)).casefold().translate(FOLDED)

    @cached_property
    def word_edges(self) -> frozenset[int]:
        """Positions in `folded` at which words begin and end."""
        edges = [0]
        for word in _LETTERS.findall(self.text):
            edges.append(edges[-1] + len(word.casefold()))
        return frozenset(edges)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Every number that the text can mean, rates and parts of names and dates included: for rates."""
        return numbers_in(self.text) | numbers_in(self.repaired)

    @cached_property
    def amounts(self) -> frozenset[str]:
        """Every number that is printed as a number of its own: neither a rate nor part of a date, name or word."""
        return own_numbers_in(without_dates(self.text))

    @cached_property
    def repaired_amounts(self) -> frozenset[str]:
        """The same of the repaired text, and of digits that blanks separate: 1 2 34 .50."""
        text = without_dates(self.repaired)
        return own_numbers_in(text) | joined_numbers_in(text)

    @cached_property
    def dates(self) -> frozenset[date]:
        """Every date that the text can mean: 03/04/2025 is two."""
        return dates_in(self.repaired)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The page's lines from top to bottom: rows of its boxes, or lines of text if it has no boxes."""
        return read_lines(self.source)

    @cached_property
    def line_words(self) -> tuple[list[str], list[bool], dict[str, list[int]]]:
        """The words of its lines; whether each begins a line; and where each different word is, the first times."""
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
    """Prepare the output of an OCR engine: any JSON value, its texts and numbers in their order.

    Keys, lists of numbers (coordinates) and numbers such as confidences and positions are not printed on a page.
    """
    text = _tokens(ocr) or " ".join(texts_of(ocr))
    if not text.isascii():
        text = without_compatibility_forms(text)
    return PageText(f" {' '.join(text.split())} ".replace(" %", "%"), ocr)


def _tokens(ocr: object) -> str | None:
    """The texts of the most frequent shape, `{"tokens": [text, …]}`; None for any other."""
    if type(ocr) is dict and len(ocr) == 1 and type(tokens := ocr.get("tokens")) is list:
        try:
            return " ".join(tokens)
        except TypeError:
            return None
    return None


def nothing_to_read(ocr: object) -> bool:
    """Whether the output of an OCR engine has no letter and no digit in it."""
    return not has_text(ocr)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, letters and digits apart."""
    return _WORD.findall(text.casefold())


def normal_words(value: str) -> list[str]:
    """The words of a value, without compatibility forms."""
    return words_of(without_compatibility_forms(value))


def blurred(text: str) -> str:
    """A text with letters that OCR joins or separates made equal."""
    return text.replace("rn", "m").replace("vv", "w")
