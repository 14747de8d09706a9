"""Dates as they stand in documents; a date that could be read two ways is refused."""

from __future__ import annotations

import re
from datetime import date, datetime

_ISO = re.compile(r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ].*)?$")
_YEAR_FIRST = re.compile(r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})$")
_DOTTED = re.compile(r"^(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})$")
_SLASHED = re.compile(r"^(\d{1,2})[/-](\d{1,2})[/-](\d{4})$")
_CJK = re.compile(r"^(\d{4})年(\d{1,2})月(\d{1,2})日$")


def parse_date(value: object) -> date:
    """Read an ISO date, `15.01.2025` (day first), `2025/01/15`, `2025年1月15日`, or `15/01/2025` with its one reading.

    Raises:
        ValueError: no date, or ambiguous (`03/04/2025` is March or April); the message quotes what was found.
    """
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    text = str(value).strip()[:40]
    for pattern in (_ISO, _YEAR_FIRST, _CJK):
        if match := pattern.match(text):
            return _date(int(match[1]), int(match[2]), int(match[3]), text)
    if match := _DOTTED.match(text):
        return _date(int(match[3]), int(match[2]), int(match[1]), text)
    if match := _SLASHED.match(text):
        first, second, year = int(match[1]), int(match[2]), int(match[3])
        if first != second and first <= 12 and second <= 12:
            raise ValueError(f"{text!r} is ambiguous: day or month first")
        return _date(year, second, first, text) if first > 12 else _date(year, first, second, text)
    raise ValueError(f"{text!r} is no date")


def _date(year: int, month: int, day: int, text: str) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date: {error}") from error
