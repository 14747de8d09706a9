"""Parsing and rounding of amounts and currencies in documents: exact Decimal; ambiguous text is an error."""

from __future__ import annotations

import re
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from functools import cache, lru_cache

# A longer amount is a misreading; the limit also prevents Decimal("1e999999999") from filling memory.
MAX_DIGITS = 18
MAX_TEXT_CHARACTERS = 64

# Blanks and apostrophes only separate thousands: "10 12.50" is two numbers.
_DIGITS = r"\d{1,3}(?:['’\u00a0\u202f ]\d{3})+(?:[.,]\d+)?|\d[\d.,]*|[.,]\d+"
_AMOUNT = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-−–+])?\s*(?P<before>[^\d\s.,()+−–-]{{1,4}})?\s*(?P<inner_sign>[-−–+])?"
    rf"(?P<digits>{_DIGITS})(?P<end_sign>[-−–])?\s*(?P<after>[^\d\s.,()+−–-]{{1,4}})?\s*(?P<close>\))?$"
)
_GROUP_MARKS = re.compile(r"['’\u00a0\u202f ]")
_SYMBOLS = {
    "€": "EUR",
    "£": "GBP",
    "$": "USD",
    "US$": "USD",
    "CA$": "CAD",
    "A$": "AUD",
    "₩": "KRW",
    "₹": "INR",
    "円": "JPY",
    "元": "CNY",
}


def parse_amount(value: object) -> Decimal:
    """Parse an amount from a number or from text such as `1,234.50`, `1.234,50`, `€ 12`, `EUR 3 000,00` or `(12.00)`.

    With two kinds of separators, the last one is the decimal point. A single separator before exactly three digits
    (`1,234`) is ambiguous.

    Raises:
        ValueError: not an amount, ambiguous, or more than 18 digits; the message quotes the value.
    """
    if isinstance(value, Decimal):
        return within_limits(value)
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not an amount")
    if isinstance(value, (int, float)):
        return within_limits(Decimal(repr(value)))
    text = value.strip() if isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS else ""
    match = _AMOUNT.match(text)
    if match is None or not _is_unit(match["before"] or match["after"]) or (match["before"] and match["after"]):
        raise ValueError(f"{str(value)[:MAX_TEXT_CHARACTERS]!r} is not an amount")
    signs = [match[part] for part in ("open", "sign", "inner_sign", "end_sign") if match[part]]
    if len(signs) > 1 or bool(match["open"]) != bool(match["close"]):
        raise ValueError(f"{value!r} is not an amount")
    number = within_limits(Decimal(_with_decimal_point(_GROUP_MARKS.sub("", match["digits"]), text)))
    return -number if signs and signs != ["+"] else number


def _is_unit(text: str | None) -> bool:
    """Return whether the text beside the digits is empty, a currency symbol or a currency code."""
    return not text or text in _SYMBOLS or text in "¥￥" or is_currency(text)


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


def within_limits(number: Decimal) -> Decimal:
    """Return a number unchanged if it can be an amount.

    Raises:
        ValueError: not finite, or of more than 18 digits.
    """
    text = str(number)
    if len(text) <= MAX_DIGITS and text.replace(".", "", 1).isdecimal():
        return number
    if not number.is_finite() or (number and not -MAX_DIGITS < number.adjusted() < MAX_DIGITS):
        raise ValueError(f"{str(number)[:64]} is not an amount of money")
    if len(number.as_tuple().digits) > MAX_DIGITS:
        raise ValueError(f"{str(number)[:64]} has more than {MAX_DIGITS} digits")
    return number


def parse_currency(text: str) -> str:
    """Return the ISO 4217 code for a code or an unambiguous symbol (`€`, `£`, `$` as US dollar).

    Raises:
        ValueError: unknown, or ambiguous like `¥`, which is JPY or CNY.
    """
    cleaned = text.strip()
    if cleaned in ("¥", "￥"):
        raise ValueError("'¥' is ambiguous: JPY or CNY")
    code = _SYMBOLS.get(cleaned, cleaned.upper())
    if not is_currency(code):
        raise ValueError(f"{text[:20]!r} is not an ISO 4217 currency")
    return code


@cache
def _currency_codes() -> frozenset[str]:
    from babel.numbers import list_currencies

    return frozenset(list_currencies())


def is_currency(code: str) -> bool:
    """Return whether `code` is an ISO 4217 currency code (BR-CL-04)."""
    return code in _currency_codes()


def minor_digits(currency: str | None) -> int:
    """Return the number of decimals of a currency (ISO 4217: EUR 2, JPY 0, KWD 3); 2 if it is unknown."""
    return _minor_digits_of(currency) if currency and is_currency(currency) else 2


@cache
def _minor_digits_of(code: str) -> int:
    from babel.numbers import get_currency_precision

    return get_currency_precision(code)


@lru_cache(maxsize=1024)
def minor_unit(currency: str | None) -> Decimal:
    """Return the smallest amount of a currency: 0.01 for EUR, 1 for JPY."""
    return Decimal(1).scaleb(-minor_digits(currency))


def round_to_minor_unit(amount: Decimal, currency: str | None) -> Decimal:
    """Round an amount half up (away from zero) to its currency's minor unit."""
    return amount.quantize(minor_unit(currency), rounding=ROUND_HALF_UP)


def round_ties_up(amount: Decimal, unit: Decimal) -> Decimal:
    """Round an amount to a unit as the official checks of EN 16931 do: ties towards +∞, so -2.345 becomes -2.34."""
    return (amount / unit + Decimal("0.5")).to_integral_value(rounding=ROUND_FLOOR) * unit
