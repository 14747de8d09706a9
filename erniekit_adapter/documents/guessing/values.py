"""Values of example answers: numbers and dates in text, and the notation that all examples share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from erniekit_adapter.documents.dates import DateOrder, parse_date
from erniekit_adapter.documents.money import MAX_TEXT_CHARACTERS, parse_amount, within_limits

_PLAIN = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_DECIMALS = re.compile(r"[0-9]([.,])[0-9]{1,2}(?:\D{0,5})$")
_THREE_DIGITS = re.compile(r"[0-9]{1,3}([.,])[0-9]{3}(?![0-9])")
_PERCENT = re.compile(r"\s*(-?[0-9]{1,3}(?:[.,][0-9]{1,4})?)\s*%\s*")
_TIMES = re.compile(r"\s*(?:([0-9]{1,6})\s*[xX×]|[xX×]\s*([0-9]{1,6}))\s*")
_SLASHED = re.compile(r"\s*([0-9]{1,2})[/.-]([0-9]{1,2})[/.-](?:[0-9]{4}|[0-9]{2})\b")
_COMPACT = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SAMPLES = 20_000


@dataclass(frozen=True)
class Notation:
    """Notation of numbers and dates in text, as far as the examples show it.

    Attributes:
        decimal_mark: the decimal mark; None if no example shows it.
        date_order: order of day and month in dates with slashes; None if unknown.
    """

    decimal_mark: Literal[".", ","] | None = None
    date_order: DateOrder | None = None


def notation_of(texts: Iterable[str], date_order: DateOrder | None = None) -> Notation:
    """Return the notation of texts; contradictions leave it unknown."""
    marks: set[str] = set()
    orders: set[DateOrder] = set()
    for text in list(texts)[:_SAMPLES]:
        if len(text) > MAX_TEXT_CHARACTERS:
            continue
        if match := _SLASHED.match(text):
            first, second = int(match[1]), int(match[2])
            if first > 12 >= second:
                orders.add("day_first")
            elif second > 12 >= first:
                orders.add("month_first")
        elif match := _DECIMALS.search(text):
            marks.add(match[1])
    mark: Literal[".", ","] | None = None
    if len(marks) == 1:
        mark = "," if "," in marks else "."
    return Notation(mark, date_order or (next(iter(orders)) if len(orders) == 1 else None))


def is_plain_number(value: object) -> bool:
    """Return whether a text is a number as answers must have it: digits with a decimal point."""
    return isinstance(value, str) and _PLAIN.fullmatch(value) is not None


def number_in(value: object, notation: Notation) -> Decimal | None:
    """Return the number in a JSON value or a text such as `1.234,50 €` or `19 %`; None if it is not one."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, (int, Decimal)):
            return within_limits(Decimal(value))
        if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
            return None
        if match := _TIMES.fullmatch(value):
            return Decimal(match[1] or match[2])
        if match := _PERCENT.fullmatch(value):
            return Decimal(match[1].replace(",", "."))
        if _PLAIN.fullmatch(value.strip()) and not _is_grouped(value, notation):
            return within_limits(Decimal(value.strip()))
        text = re.sub(r"^(?:Rp\.?|@)\s*", "", value.strip())
        if (match := _THREE_DIGITS.search(text)) and text.count(".") + text.count(",") == 1:
            # Money has two decimals, so three digits after the only mark are thousands unless the mark is known.
            text = text.replace(match[1], "." if match[1] == notation.decimal_mark else "")
            return within_limits(Decimal(text)) if _PLAIN.fullmatch(text) else parse_amount(text)
        return parse_amount(text)
    except (ValueError, ArithmeticError):
        return None


def _is_grouped(text: str, notation: Notation) -> bool:
    """Return whether the point of a text is a mark of thousands, because the decimal mark is a comma."""
    return notation.decimal_mark == "," and _THREE_DIGITS.fullmatch(text.strip().lstrip("-")) is not None


def has_ambiguous_mark(value: object) -> bool:
    """Return whether the only mark of a number can be that of thousands or of three decimals: `1,234`."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        return False
    return (
        value.count(".") + value.count(",") == 1
        and _THREE_DIGITS.search(value) is not None
        and not value.startswith("0")
    )


def is_percent_text(value: object) -> bool:
    """Return whether a text is a number with a percent sign."""
    return isinstance(value, str) and _PERCENT.fullmatch(value[:MAX_TEXT_CHARACTERS]) is not None


def date_in(value: object, notation: Notation, *, is_compact_allowed: bool = False) -> date | None:
    """Return the date in a text; None if it is not one, or ambiguous. `20250131` only counts if it is allowed."""
    text = str(value) if isinstance(value, int) and is_compact_allowed else value
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        return None
    text = text.strip()
    try:
        if is_compact_allowed and _COMPACT.fullmatch(text):
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        return parse_date(text, notation.date_order)
    except ValueError:
        return None


def is_ambiguous_date(value: object) -> bool:
    """Return whether a text looks like a date whose order of day and month is unknown."""
    return isinstance(value, str) and _SLASHED.fullmatch(value[:MAX_TEXT_CHARACTERS]) is not None


def is_iso_date(value: object) -> bool:
    """Return whether a text is an ISO date."""
    return isinstance(value, str) and _ISO.fullmatch(value) is not None
