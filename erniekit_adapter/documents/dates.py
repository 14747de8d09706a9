"""Parsing of dates in documents; an ambiguous date is an error, unless the order of day and month is given."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import cache
from typing import Literal

DateOrder = Literal["day_first", "month_first", "year_first"]

MONTH_LOCALES = ("en", "de", "fr", "es", "it", "nl", "pt")
_MAX_CHARACTERS = 40
# A time after the date does not change the day.
_TIME = r"(?:[T ,]\s?\d{1,2}[:.]\d{2}.*)?"
_ISO = re.compile(r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?$")
_YEAR_FIRST = re.compile(rf"^(\d{{4}})[/.](\d{{1,2}})[/.](\d{{1,2}}){_TIME}$")
_DOTTED = re.compile(rf"^(\d{{1,2}})\.\s?(\d{{1,2}})\.\s?(\d{{4}}){_TIME}$")
_SLASHED = re.compile(rf"^(\d{{1,2}})[/-](\d{{1,2}})[/-](\d{{4}}){_TIME}$")
_SHORT = re.compile(rf"^(\d{{1,2}})([-/.])\s?(\d{{1,2}})\2\s?(\d{{2}}){_TIME}$")
_CJK = re.compile(r"^(\d{4})\s?[年년]\s?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일]$")
_GAP = r"[\s.,/-]{1,3}"
_NAME = r"([^\W\d_]{3,12})"
_DAY_MONTH = re.compile(
    rf"^(\d{{1,2}})(?:st|nd|rd|th|er|º|ª)?{_GAP}(?:de |of )?{_NAME}{_GAP}(?:de |del )?(\d{{4}}|\d{{2}}){_TIME}$", re.I
)
_MONTH_DAY = re.compile(rf"^{_NAME}{_GAP}(\d{{1,2}})(?:st|nd|rd|th)?{_GAP}(\d{{4}}|\d{{2}}){_TIME}$", re.I)
_YEAR_MONTH = re.compile(rf"^(\d{{4}}){_GAP}{_NAME}{_GAP}(\d{{1,2}}){_TIME}$", re.I)


def parse_date(value: object, order: DateOrder | None = None) -> date:
    """Parse a numeric date or a date with the name of its month.

    Unambiguous: `2025-01-15`, `15.01.2025` (day first), `2025/01/15`, `2025年1月15日`, `14 Mar 2025`, `March 14, 2025`,
    `14. März 2025` and `15/01/2025`. Ambiguous: `03/04/2025` and years of two digits.

    Args:
        value: the date; of an ISO timestamp, its day is returned.
        order: order for ambiguous dates, None if unknown. With an order, years of two digits are in this century.

    Raises:
        ValueError: not a date, or ambiguous without an order; the message quotes the value.
    """
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    text = str(value).strip()[:_MAX_CHARACTERS]
    for pattern in (_ISO, _YEAR_FIRST, _CJK):
        if match := pattern.match(text):
            return _date(int(match[1]), int(match[2]), int(match[3]), text)
    if match := _DOTTED.match(text):
        first, second, year = int(match[1]), int(match[2]), int(match[3])
        if order == "month_first" and second > 12:
            first, second = second, first
        return _date(year, second, first, text)
    if match := _SLASHED.match(text):
        return _slashed(int(match[1]), int(match[2]), int(match[3]), order, text)
    if match := _SHORT.match(text):
        return _short(int(match[1]), int(match[3]), int(match[4]), order, text)
    return _named(text, order)


@cache
def month_numbers() -> dict[str, frozenset[int]]:
    """Return month names, full or short, in lower case → their numbers; a name can mean two months in two languages."""
    from babel.dates import get_month_names

    found: dict[str, frozenset[int]] = {}
    for locale in MONTH_LOCALES:
        for width in ("wide", "abbreviated"):
            for number, name in get_month_names(width, locale=locale).items():
                key = str(name).rstrip(".").casefold()
                found[key] = found.get(key, frozenset()) | {number}
    # CLDR abbreviates September to Sept and does not abbreviate März; documents also use these.
    for name, number in (("sep", 9), ("sept", 9), ("mrz", 3), ("mär", 3), ("maerz", 3)):
        found[name] = found.get(name, frozenset()) | {number}
    return found


def _slashed(first: int, second: int, year: int, order: DateOrder | None, text: str) -> date:
    if first == second or first > 12 or second > 12:
        return _date(year, second, first, text) if first > 12 else _date(year, first, second, text)
    if order not in ("day_first", "month_first"):
        raise ValueError(f"{text!r} is ambiguous: day or month first; set data.date_order: day_first or month_first")
    return _date(year, second, first, text) if order == "day_first" else _date(year, first, second, text)


def _short(first: int, second: int, third: int, order: DateOrder | None, text: str) -> date:
    """Return a date whose three numbers have two digits each."""
    if order == "day_first":
        return _date(2000 + third, second, first, text)
    if order == "month_first":
        return _date(2000 + third, first, second, text)
    if order == "year_first":
        return _date(2000 + first, second, third, text)
    raise ValueError(
        f"{text!r} is ambiguous: its year has two digits; set data.date_order: day_first, month_first or year_first"
    )


def _named(text: str, order: DateOrder | None) -> date:
    """Return a date with the name of its month."""
    if match := _DAY_MONTH.match(text):
        day, name, year = match[1], match[2], match[3]
    elif match := _MONTH_DAY.match(text):
        name, day, year = match[1], match[2], match[3]
    elif match := _YEAR_MONTH.match(text):
        year, name, day = match[1], match[2], match[3]
    else:
        raise ValueError(f"{text!r} is not a date")
    months = month_numbers().get(name.casefold(), frozenset())
    if len(months) != 1:
        several = "is ambiguous: the name means several months" if months else "is not a date"
        raise ValueError(f"{text!r} {several}")
    if len(year) == 2:
        day, year = _day_and_year(day, year, order, text)
    return _date(int(year), next(iter(months)), int(day), text)


def _day_and_year(first: str, last: str, order: DateOrder | None, text: str) -> tuple[str, str]:
    if order is None:
        raise ValueError(
            f"{text!r} is ambiguous: its year has two digits; set data.date_order: day_first, month_first or year_first"
        )
    return (last, f"20{first:0>2}") if order == "year_first" else (first, f"20{last}")


def _date(year: int, month: int, day: int, text: str) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date: {error}") from error
