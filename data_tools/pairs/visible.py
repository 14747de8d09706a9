"""What the page shows of an answer: what it does not show is taken out, or a model learns to invent.

A value is looked for as the answer spells it first; other spellings, and what OCR misread, are tried on failure alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache, cached_property
from typing import Any

from rapidfuzz import fuzz, process
from rapidfuzz.distance import Levenshtein

from data_tools.pairs.spellings import (
    currency_marks,
    dates_in,
    joined_numbers_in,
    numbers_in,
    plain_number,
    repaired_numbers,
)

# Numbers that say where something stands and how sure the engine was, by their names in the output of OCR engines.
_NOT_PRINTED = frozenset({
    "angle", "block", "block_num", "bottom", "box_id", "conf", "confidence", "dpi", "h", "height", "id", "index",
    "left", "level", "line_num", "orientation", "page", "page_index", "page_num", "page_number", "par_num", "prob",
    "probability", "right", "rotation", "score", "timestamp", "top", "w", "width", "word_num",
    "x", "x0", "x1", "x2", "y", "y0", "y1", "y2",
})  # fmt: skip

# Measured on 500 synthetic invoices: with one letter of a text misread (swapped for a look-alike, lost, or a stroke or
# blank too many), 99.9 % of names, addresses, descriptions and notes are found, with two 88 %; of texts of other
# invoices 0.03 %. A text that agrees by _LIKENESS of 100 is compared letter by letter; these shares of it and of each
# word may be misread, and one letter in any case. Numbers may not.
_LIKENESS = 75.0
_MISREADS_OF_TEXT, _MISREADS_OF_WORD = 0.2, 0.34
_MIN_LIKE_CHARACTERS, _MAX_LIKE_CHARACTERS = 5, 200
_MAX_PAGE_CHARACTERS = 100_000
# Up to here a text has to be a word of its own, or Tax is found in Syntax and 12 in 112.
_OWN_WORD_LETTERS, _OWN_WORD_DIGITS = 3, 5
# From here a word may be glued to others.
_GLUED_WORD_LETTERS = 6
# Lines of an address may stand in any order: this share of its words has to be on the page, and all its numbers.
_ADDRESS_SHARE = 0.8
# Columns break up a text of so many words: all of them have to be on the page.
_LONG_TEXT_WORDS = 6

_LETTERS = re.compile(r"[^\W_]+")
_WORD = re.compile(r"[^\W\d_]+|\d+")
_FOLDED = str.maketrans("oilsbz", "011582")


@dataclass(frozen=True)
class PageText:
    """What a page says, prepared for many questions; what only misses need is made at the first of them.

    Attributes:
        text: everything that the page says, in reading order, between single blanks, without compatibility forms
            (NFKC): １２ is 12.
    """

    text: str

    @cached_property
    def repaired(self) -> str:
        """The text with letters in numbers read as the digits that they look like: 1O0.00 is 100.00."""
        return repaired_numbers(self.text)

    @cached_property
    def spaced(self) -> str:
        """Its words in lower case, letters and digits apart, between single blanks."""
        return f" {' '.join(_words(self.text))} "

    @cached_property
    def repaired_spaced(self) -> str:
        """The same of the repaired text."""
        return self.spaced if self.repaired == self.text else f" {' '.join(_words(self.repaired))} "

    @cached_property
    def blurred(self) -> str:
        """The repaired words, where letters that OCR joins or parts are one."""
        return _blurred(self.repaired_spaced)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words, as read and as repaired."""
        return frozenset(self.spaced.split()).union(self.repaired_spaced.split())

    @cached_property
    def long_words(self) -> tuple[str, ...]:
        """The words that a misread one can be like."""
        return tuple(sorted(word for word in self.words if len(word) > _OWN_WORD_LETTERS and not word.isdigit()))

    @cached_property
    def folded(self) -> str:
        """Letters and digits alone, where those that OCR takes for each other are one."""
        return "".join(_LETTERS.findall(self.text)).casefold().translate(_FOLDED)

    @cached_property
    def word_edges(self) -> frozenset[int]:
        """Where the words of `folded` begin and end."""
        edges = [0]
        for word in _LETTERS.findall(self.text):
            edges.append(edges[-1] + len(word.casefold()))
        return frozenset(edges)

    @cached_property
    def amounts(self) -> frozenset[str]:
        """Every number that the text can mean, without sign and trailing zeros: 1,234 is 1234 and 1.234."""
        return numbers_in(self.text)

    @cached_property
    def repaired_amounts(self) -> frozenset[str]:
        """The same of the repaired text, and of digits that blanks pull apart: 1 2 34 .50."""
        return numbers_in(self.repaired) | joined_numbers_in(self.repaired)

    @cached_property
    def dates(self) -> frozenset[date]:
        """Every date that the text can mean: 03/04/2025 is two."""
        return dates_in(self.repaired)


def page_text(ocr: object) -> PageText:
    """Prepare what an OCR engine gave: any JSON value, its texts and numbers in their order.

    Keys, lists of numbers (coordinates) and numbers such as confidences and positions are nothing that a page says.
    """
    text = " ".join(_texts(ocr))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return PageText(f" {' '.join(text.split())} ")


def nothing_to_read(ocr: object) -> bool:
    """Whether what an OCR engine gave has no letter and no digit of a page in it."""
    return not any(_LETTERS.search(text) for text in _texts(ocr))


def drop_unseen(value: dict[str, Any], page: PageText) -> tuple[str, ...]:
    """Take out of a canonical answer, in place, every value that the page does not show.

    Blocks, rows and lists that this leaves empty go too. A due date stands in two blocks: both stay or go. Confidences,
    logos and the validation summary are left alone, because no text of a page says them.

    Args:
        value: the answer as `as_json` gives it.
        page: what the request shows.

    Returns:
        What was taken out, without list positions (`line_items[].total`), each once, in the order of the answer's
        fields.
    """
    data = value["structured_data"]
    unseen: set[str] = set()
    _drop(data, "", page, unseen)
    for block, twin in (("client_info", "payment_terms"), ("payment_terms", "client_info")):
        part = data.get(twin, {})
        if f"{block}.due_date" in unseen and "due_date" in part:
            unseen.add(f"{twin}.due_date")
            del part["due_date"]
            if not part:
                del data[twin]
    return tuple(name for name in _SHOWS if name in unseen)


def _drop(part: dict[str, Any], prefix: str, page: PageText, unseen: set[str]) -> None:
    gone, text = [], page.text
    for name, value in part.items():
        if isinstance(value, (dict, list)):
            if value:
                _drop_inside(value, prefix + name, page, unseen)
                if not value:
                    gone.append(name)
        elif f" {value!s} " not in text:
            shows = _SHOWS.get(prefix + name)
            if shows is not None and not shows(value, page):
                gone.append(name)
                unseen.add(prefix + name)
    for name in gone:
        del part[name]


def _drop_inside(value: dict[str, Any] | list[dict[str, Any]], place: str, page: PageText, unseen: set[str]) -> None:
    """Drop from a block, or from each row of a list and then the rows that this left empty."""
    if isinstance(value, dict):
        _drop(value, f"{place}.", page, unseen)
        return
    for row in value:
        _drop(row, f"{place}[].", page, unseen)
    if not all(value):
        value[:] = [row for row in value if row]


def _texts(ocr: object) -> Iterator[str]:
    """Every text and number of a JSON value in its order; no recursion, because depth may be hostile."""
    waiting = [ocr]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            printed = (name for name, part in value.items() if name not in _NOT_PRINTED or not _is_number(part))
            waiting += [value[name] for name in printed][::-1]
        elif isinstance(value, (list, tuple)):
            if not (value and _is_number(value[0]) and all(map(_is_number, value))):
                waiting += value[::-1]
        elif _is_number(value):
            yield str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (Decimal, int, float)) and not isinstance(value, bool)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _shows_text(value: str, page: PageText) -> bool:
    if _shows_identifier(value, page):
        return True
    words = _words(unicodedata.normalize("NFKC", value))
    return _is_like(words, page) or (len(words) >= _LONG_TEXT_WORDS and _has_words(words, page, share=1))


def _shows_identifier(value: str, page: PageText) -> bool:
    """Whether letters and digits of a text are on the page in their order, but for what OCR always confuses."""
    words = _words(unicodedata.normalize("NFKC", value))
    letters = "".join(words)
    if not letters:
        return bool(value.strip()) and value.strip() in page.text
    if letters.isdigit() and len(letters) <= _OWN_WORD_DIGITS:
        return re.search(rf"(?<![0-9])(?<![0-9][.,]){letters}(?![0-9]|[.,][0-9])", page.text) is not None
    if f" {' '.join(words)} " in page.spaced:
        return True
    return (len(letters) > _OWN_WORD_LETTERS or _is_unspaced(letters)) and _is_within(letters, page)


def _is_unspaced(text: str) -> bool:
    """Whether a text begins in a script that puts no blanks between words, as Chinese and Japanese."""
    return text[0] >= "\u2e80"


def _is_within(letters: str, page: PageText) -> bool:
    """Whether letters follow each other on the page, whatever stands between; numbers at the ends have to be whole."""
    wanted, folded = letters.translate(_FOLDED), page.folded
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
    blurred = _blurred(" ".join(words)).split()
    return _is_like_part(words, page.repaired_spaced) or _is_like_part(blurred, page.blurred)


def _blurred(text: str) -> str:
    return text.replace("rn", "m").replace("vv", "w")


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


def _shows_address(value: str, page: PageText) -> bool:
    if _shows_text(value, page):
        return True
    plain = unicodedata.normalize("NFKC", value)
    # What an answer says of the country in short need not be printed.
    countries = {code.casefold() for code in re.findall(r"\b[A-Z]{2}\b", plain) if code in _country_codes()}
    words = [word for word in _words(plain) if word not in countries]
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
    if len(word) <= _OWN_WORD_LETTERS:
        return False
    if len(word) >= _GLUED_WORD_LETTERS and word.translate(_FOLDED) in page.folded:
        return True
    allowed = _misreads_allowed(len(word), _MISREADS_OF_WORD)
    return process.extractOne(word, page.long_words, scorer=Levenshtein.distance, score_cutoff=allowed) is not None


@cache
def _country_codes() -> frozenset[str]:
    from babel import Locale

    return frozenset(code for code in map(str, Locale.parse("en").territories) if len(code) == 2 and code.isalpha())


def _shows_amount(value: Decimal | int, page: PageText) -> bool:
    """An amount is known by its value; its sign is not looked at: a discount of 12.00 is printed -12.00 or (12.00)."""
    return f" -{value!s} " in page.text or _is_read(plain_number(Decimal(value)), page)


def _shows_rate(value: Decimal, page: PageText) -> bool:
    """A rate is a fraction in the answer: 0.19 is printed 19 %, 19,0 or 0.19."""
    percent = plain_number(Decimal(value).scaleb(2))
    return f" {percent}% " in page.text or _is_read(percent, page) or _is_read(plain_number(Decimal(value)), page)


def _is_read(plain: str, page: PageText) -> bool:
    return plain in page.amounts or plain in page.repaired_amounts


def _shows_date(value: str, page: PageText) -> bool:
    return date.fromisoformat(value) in page.dates


def _shows_currency(value: str, page: PageText) -> bool:
    return currency_marks(value).search(page.text) is not None


# Every field of the answer that a page's text says → how it is looked for where it is not printed as it is spelt.
_SHOWS: dict[str, Callable[[Any, PageText], bool]] = {
    "vendor_block.name": _shows_text,
    "vendor_block.address": _shows_address,
    "vendor_block.phone": _shows_identifier,
    "vendor_block.email": _shows_text,
    "client_info.name": _shows_text,
    "client_info.address": _shows_address,
    "client_info.invoice_number": _shows_identifier,
    "client_info.invoice_date": _shows_date,
    "client_info.due_date": _shows_date,
    "line_items[].description": _shows_text,
    "line_items[].quantity": _shows_amount,
    "line_items[].unit_price": _shows_amount,
    "line_items[].total": _shows_amount,
    "financial_summary.subtotal": _shows_amount,
    "financial_summary.taxes[].type": _shows_text,
    "financial_summary.taxes[].rate": _shows_rate,
    "financial_summary.taxes[].amount": _shows_amount,
    "financial_summary.discounts[].description": _shows_text,
    "financial_summary.discounts[].amount": _shows_amount,
    "financial_summary.charges[].description": _shows_text,
    "financial_summary.charges[].amount": _shows_amount,
    "financial_summary.grand_total": _shows_amount,
    "financial_summary.amount_paid": _shows_amount,
    "financial_summary.rounding": _shows_amount,
    "financial_summary.amount_due": _shows_amount,
    "financial_summary.currency": _shows_currency,
    "payment_terms.due_date": _shows_date,
    "payment_terms.payment_method": _shows_text,
    "payment_terms.notes": _shows_text,
}
