"""Values of sources, in any usual spelling, read in the notation of a document type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from data_tools.sources.answers.amounts import read_price, read_quantity, read_total
from data_tools.sources.answers.field_names import usual_names
from data_tools.sources.answers.flat_fields import parse_text, plain_number
from data_tools.sources.declared.signs import without_mark
from data_tools.sources.files.json_values import shown
from erniekit_adapter.documents.dates import DateOrder, parse_date
from erniekit_adapter.documents.field_names import name_key, table_of
from erniekit_adapter.documents.fields import Field, Kind
from erniekit_adapter.documents.money import MAX_TEXT_CHARACTERS, parse_amount, parse_currency

# Spellings of a missing value.
_ABSENT = frozenset({"", "-", "–", "—", "n/a", "#n/a", "null"})
# Full-width forms of ASCII characters, and the full-width yen sign and blank.
_HALF_WIDTH = {0xFF01 + offset: 0x21 + offset for offset in range(94)} | {0x3000: " ", 0xFFE5: "¥"}
# Four digits before the separator: it cannot be one of thousands.
_THREE_DECIMALS = re.compile(r"-?\d{4,12}[.,]\d{3}")
# Printed in place of a rate or an amount: the tax does not apply, or the field is crossed out.
_NO_NUMBER = re.compile(r"\*+|免税|不征税|tax[- ]?exempt|exempt", re.IGNORECASE)
_DIGITS_ONLY_DATE = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})")
# `12,-` and `12.–`: no cents.
_NO_CENTS = re.compile(r"(?<=\d)[.,][-–—]$")
# Signs of currencies on pages, beside those of ISO 4217 → the codes that they can mean, the usual one first.
_SIGNS: Mapping[str, tuple[str, ...]] = {
    "rm": ("MYR",), "rp": ("IDR",), "r$": ("BRL",), "s$": ("SGD",), "hk$": ("HKD",), "nt$": ("TWD",),
    "c$": ("CAD",), "nz$": ("NZD",), "mx$": ("MXN",), "zł": ("PLN",), "kč": ("CZK",), "ft": ("HUF",),
    "₱": ("PHP",), "฿": ("THB",), "₫": ("VND",), "₺": ("TRY",), "₽": ("RUB",), "₴": ("UAH",), "₦": ("NGN",),
    "₪": ("ILS",), "rmb": ("CNY",), "cn¥": ("CNY",), "人民币": ("CNY",), "人民币元": ("CNY",), "jp¥": ("JPY",),
}  # fmt: skip
_UNCLEAR_SIGNS: Mapping[str, tuple[str, ...]] = {
    "¥": ("JPY", "CNY"), "kr": ("SEK", "NOK", "DKK", "ISK"), "rs": ("INR", "PKR", "LKR", "NPR"),
    "fr": ("CHF",), "lei": ("RON", "MDL"),
}  # fmt: skip
_DOLLARS = ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN")
_SIGN = "|".join(re.escape(sign) for sign in sorted((*_SIGNS, *_UNCLEAR_SIGNS), key=len, reverse=True))
_AROUND = re.compile(rf"^(?P<sign>[-−–+(]?)\s*(?:{_SIGN})\.?\s*(?=[-−–+(]?[\d.,])|(?<=\d)\s*(?:{_SIGN})\.?$", re.I)
_CURRENCY_LOCALES = ("en", "de", "fr", "es", "it", "nl", "pt", "zh", "ja")
_TRUE = frozenset({"true", "yes", "y", "1", "ja", "oui", "si", "sí", "sim", "是", "有", "はい"})
_FALSE = frozenset({"false", "no", "n", "0", "nein", "non", "não", "nee", "否", "无", "無", "いいえ"})
_MAX_CHOICES_SHOWN = 300


@dataclass(frozen=True)
class ReadingContext:
    """Facts that settle values with several readings.

    Attributes:
        date_order: order of day and month; None if unknown.
        currency: currency of the document; None if unknown.
        quantity: quantity of the same row; None if unknown.
        line_total: total of the same row; None if unknown.
    """

    date_order: DateOrder | None = None
    currency: str | None = None
    quantity: Decimal | None = None
    line_total: Decimal | None = None


def is_absent(value: object) -> bool:
    """Return whether a value is missing: null, empty, blank, a dash or `N/A`."""
    if isinstance(value, str):
        return value.strip().casefold() in _ABSENT
    return value is None or value == {} or value == []


class NotAChoiceError(ValueError):
    """A value is not in the list of a field."""


def is_missing(field: Field, value: object) -> bool:
    """Return whether a field has no value: it is absent, or words and signs are in place of a rate or an amount."""
    if field.kind in ("amount", "rate") and isinstance(value, str) and _NO_NUMBER.fullmatch(value.strip()):
        return True
    return is_absent(value) and value not in field.choices


def read_value(field: Field, value: object, context: ReadingContext) -> Any:
    """Read a value of a field in any usual spelling.

    Returns:
        The value in the notation of the type, numbers as Decimal and dates as ISO text; None if it is missing.

    Raises:
        ValueError: the value is not of the field's kind, or has several readings; the message quotes it.
    """
    if is_missing(field, value):
        return None
    try:
        return _choice(field, value, context) if field.choices else _READERS[field.kind](field, value, context)
    except ArithmeticError as error:
        raise ValueError(f"{shown(value)} is not a number") from error


def _plain(value: object) -> object:
    return value.translate(_HALF_WIDTH).strip() if isinstance(value, str) else value


def _text(field: Field, value: object, context: ReadingContext) -> str | None:
    return parse_text(value)


def _identifier(field: Field, value: object, context: ReadingContext) -> str | None:
    """Read a number or code; its full-width digits are those of other documents in half width."""
    return parse_text(_plain(value))


def _choice(field: Field, value: object, context: ReadingContext) -> str:
    text = str(parse_text(value))
    if text in field.choices:
        return text
    if field.kind == "currency":
        found = [choice for choice in field.choices if choice == _currency(field, value, context)]
    else:
        found = [choice for choice in field.choices if name_key(choice) == name_key(text)]
    if len(found) != 1:
        choices = ", ".join(field.choices)[:_MAX_CHOICES_SHOWN]
        raise NotAChoiceError(f"{shown(value)} is {'ambiguous' if found else 'not one'} of {choices}")
    return found[0]


def _amount(field: Field, value: object, context: ReadingContext) -> Decimal:
    value = without_sign(without_mark(field, _plain(value)))
    if is_unit_price(field):
        if isinstance(value, str) and _THREE_DECIMALS.fullmatch(value):
            return parse_amount(f"{value}0").quantize(Decimal("0.001"))
        try:
            return read_price(value, context.currency, context.quantity, context.line_total)
        except ValueError as error:
            if field.role is None and "ambiguous" in str(error):
                raise ValueError(f"{error}; if the field is the total of a row, give it x-role: line_total") from error
            raise
    return read_total(value, context.currency)


def is_unit_price(field: Field) -> bool:
    """Return whether an amount is a unit price, which may have more decimals than its currency."""
    if field.role is not None or table_of(field) is None:
        return field.role == "unit_price"
    names = {name_key(name) for name in usual_names("unit_price", of_row=True)}
    return any(name_key(name) in names for name in (field.name, field.title, *field.aliases))


def without_sign(value: object) -> object:
    """Return an amount in half-width characters, without a sign of a currency that `parse_amount` does not know."""
    value = _plain(value)
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        return value
    return _NO_CENTS.sub("", _AROUND.sub(lambda match: match["sign"] or "", value, count=1))


def _quantity(field: Field, value: object, context: ReadingContext) -> Decimal:
    return read_quantity(_plain(value))


def _rate(field: Field, value: object, context: ReadingContext) -> Decimal:
    """Read a rate: `19%`, a percentage over 1, or a fraction; 1 alone can be both."""
    value = _plain(value)
    if isinstance(value, str) and value.endswith("%"):
        percent = parse_amount(value.removesuffix("%"))
    else:
        rate = parse_amount(value)
        if abs(rate) == 1 or (field.is_percent and 0 < abs(rate) < 1):
            raise ValueError(f"{shown(value)} is ambiguous: a fraction or a percentage; write it with a % sign")
        percent = rate if abs(rate) > 1 or field.is_percent else rate * 100
    return plain_number(percent if field.is_percent else percent / 100)


def _date(field: Field, value: object, context: ReadingContext) -> str:
    value = _plain(value)
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if match := _DIGITS_ONLY_DATE.fullmatch(text):
        value = "-".join(match.groups())
    elif not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a date")
    return parse_date(value, context.date_order).isoformat()


def _currency(field: Field, value: object, context: ReadingContext) -> str:
    text = str(parse_text(_plain(value)))
    key = text.casefold().rstrip(".")
    stated = context.currency
    unclear = _DOLLARS if text == "$" else _UNCLEAR_SIGNS.get(key)
    if unclear and stated in unclear:
        return str(stated)
    if key in _SIGNS:
        return _SIGNS[key][0]
    if unclear is not None and text != "$" and len(unclear) > 1:
        raise ValueError(f"{text!r} is ambiguous: {' or '.join(unclear)}; set currency: on its source")
    try:
        return unclear[0] if unclear and text != "$" else parse_currency(text)
    except ValueError:
        if (code := _codes_by_name().get(name_key(text))) is None:
            raise
        return code


@cache
def _codes_by_name() -> dict[str, str]:
    """Return the ISO 4217 codes by the names of currencies in several languages; names of several are left out."""
    from babel.numbers import get_currency_name, list_currencies

    found: dict[str, set[str]] = {"renminbi": {"CNY"}, "yuan": {"CNY"}}
    for locale in _CURRENCY_LOCALES:
        for code in list_currencies():
            for count in (None, 1, 2):
                found.setdefault(name_key(get_currency_name(code, count, locale)), set()).add(code)
    # Short names of the currencies in use.
    short = {"euro": "EUR", "euros": "EUR", "ringgit": "MYR", "rupiah": "IDR", "yen": "JPY", "日元": "JPY"}
    return {name: codes.pop() for name, codes in found.items() if len(codes) == 1} | short


def _flag(field: Field, value: object, context: ReadingContext) -> bool:
    if isinstance(value, bool):
        return value
    text = str(_plain(value)).casefold()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"{shown(value)} is not true or false")


_READERS: Mapping[Kind, Callable[[Field, object, ReadingContext], Any]] = {
    "text": _text,
    "address": _text,
    "identifier": _identifier,
    "code": _text,
    "amount": _amount,
    "quantity": _quantity,
    "rate": _rate,
    "date": _date,
    "currency": _currency,
    "flag": _flag,
}
