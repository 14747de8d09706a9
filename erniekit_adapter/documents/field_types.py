"""Field types of answers for pydantic models: exact numbers, text and ISO dates."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

from erniekit_adapter.documents.money import parse_amount, within_limits

_PLAIN_NUMBER = re.compile(r"-?\d{1,24}(\.\d{1,24})?")


def _number(value: object) -> Decimal:
    if type(value) is Decimal:
        return within_limits(value)
    if isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value):
        raise ValueError(f"{value[:40]!r} is not a plain number")
    return parse_amount(Decimal(value) if isinstance(value, str) else value)


def _text(value: object) -> str:
    if type(value) is str:
        # JSON can escape half a surrogate pair (\ud800), which UTF-8 cannot encode.
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise ValueError("contains half of a surrogate pair") from error
        return value
    # Models and logs write phone and invoice numbers as JSON numbers; as text they keep their digits.
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{str(value)[:40]!r} is not text")


def _iso_date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(f"{str(value)[:40]!r} is not an ISO date (2025-01-31)")


Number = Annotated[Decimal, BeforeValidator(_number)]
Text = Annotated[str, BeforeValidator(_text)]
IsoDate = Annotated[date, BeforeValidator(_iso_date)]
