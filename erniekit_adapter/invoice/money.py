"""Amounts and currencies as they stand in documents: Decimal always, and nothing ambiguous is guessed."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

# An amount beyond this is a misread; it also keeps Decimal("1e999999999") from filling memory.
MAX_DIGITS = 18

_SIGNED_NUMBER = re.compile(r"^([-−–+]?)\s*([0-9][0-9.,'’  ]*)$")
_GROUP_MARKS = re.compile(r"['’  ]")
_SYMBOLS = {"€": "EUR", "£": "GBP", "$": "USD", "US$": "USD", "CA$": "CAD", "A$": "AUD", "₩": "KRW", "₹": "INR"}


def parse_amount(value: object) -> Decimal:
    """Read an amount from a number or from text such as `1,234.50`, `1.234,50`, `€ 12`, `EUR 3 000,00` or `(12.00)`.

    With two kinds of separators the last one is the decimal point. A single separator before exactly three digits
    (`1,234`) can be either and is refused.

    Raises:
        ValueError: not an amount, ambiguous, or of more than 18 digits; the message quotes what was found.
    """
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not an amount")
    if isinstance(value, (int, float)):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        return _within_limits(value)
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError(f"{str(value)[:64]!r} is not an amount")
    text = value.strip()
    negative = text.startswith("(") and text.endswith(")")
    bare = re.sub(r"^[^\d(+\-−–]+|[^\d)]+$", "", text.strip("()")).strip()
    sign = "-" if re.match(r"^[-−–]", text) else ""
    match = _SIGNED_NUMBER.match(bare)
    if not match:
        raise ValueError(f"{value!r} is not an amount")
    digits = _with_decimal_point(_GROUP_MARKS.sub("", match[2]), value)
    number = Decimal(digits)
    return _within_limits(-number if negative or sign or (match[1] in "-−–" and match[1]) else number)


def _with_decimal_point(digits: str, original: str) -> str:
    last_point, last_comma = digits.rfind("."), digits.rfind(",")
    if last_point >= 0 and last_comma >= 0:
        mark, group = (".", ",") if last_point > last_comma else (",", ".")
        whole, _, fraction = digits.rpartition(mark)
        if mark in whole or not re.fullmatch(rf"\d{{1,3}}(\{group}\d{{2,3}})+", whole):
            raise ValueError(f"{original!r} mixes separators")
        return f"{whole.replace(group, '')}.{fraction}" if fraction else whole.replace(group, "")
    mark = "." if last_point >= 0 else ","
    parts = digits.split(mark)
    if len(parts) == 1:
        return digits
    if len(parts) > 2:
        if not all(len(part) == 3 for part in parts[1:]):
            raise ValueError(f"{original!r} is not an amount")
        return "".join(parts)
    if len(parts[1]) == 3 and parts[0] not in ("", "0"):
        raise ValueError(f"{original!r} is ambiguous: thousands or three decimals")
    return f"{parts[0] or '0'}.{parts[1]}" if parts[1] else parts[0]


def _within_limits(number: Decimal) -> Decimal:
    if not number.is_finite() or (number and not -MAX_DIGITS < number.adjusted() < MAX_DIGITS):
        raise ValueError(f"{str(number)[:64]} is no amount of money")
    if len(number.as_tuple().digits) > MAX_DIGITS:
        raise ValueError(f"{str(number)[:64]} has more than {MAX_DIGITS} digits")
    return number


def parse_currency(text: str) -> str:
    """Give the ISO 4217 code for a code or an unambiguous symbol (`€`, `$` as US dollar, `£`).

    Raises:
        ValueError: unknown, or ambiguous like `¥`, which is JPY and CNY alike.
    """
    cleaned = text.strip()
    if cleaned in ("¥", "￥"):
        raise ValueError("'¥' is ambiguous: JPY or CNY")
    code = _SYMBOLS.get(cleaned, cleaned.upper())
    if not is_currency(code):
        raise ValueError(f"{text[:20]!r} is no ISO 4217 currency")
    return code


@cache
def _currency_codes() -> frozenset[str]:
    from babel.numbers import list_currencies

    return frozenset(list_currencies())


def is_currency(code: str) -> bool:
    """Whether `code` is an ISO 4217 currency code (BR-CL-04)."""
    return code in _currency_codes()


def minor_digits(currency: str | None) -> int:
    """How many decimals amounts of a currency have (ISO 4217: EUR 2, JPY 0, KWD 3); 2 where it is unknown."""
    return _minor_digits_of(currency) if currency and is_currency(currency) else 2


@cache
def _minor_digits_of(code: str) -> int:
    from babel.numbers import get_currency_precision

    return get_currency_precision(code)


def minor_unit(currency: str | None) -> Decimal:
    """The smallest amount of a currency: 0.01 for EUR, 1 for JPY."""
    return Decimal(1).scaleb(-minor_digits(currency))


def round_to_minor_unit(amount: Decimal, currency: str | None) -> Decimal:
    """Round an amount half up (away from zero) to its currency's minor unit."""
    return amount.quantize(minor_unit(currency), rounding=ROUND_HALF_UP)
