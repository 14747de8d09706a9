"""Flat fields, as people correct them (`vendor_name`, `grand_total`), made into a canonical answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from data_tools.sources.reading import shown
from erniekit_adapter.invoice.answer import Answer, read_answer
from erniekit_adapter.invoice.dates import parse_date
from erniekit_adapter.invoice.money import parse_amount, parse_currency

Parse = Callable[[object], object]


def parse_text(value: object) -> str | None:
    """Read text; a number counts as its digits, and blank text as missing.

    Raises:
        ValueError: neither text nor a number.
    """
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is no text")
    return value.strip() or None


def parse_rate(value: object) -> Decimal:
    """Read a tax rate as a fraction: 0.19 as it is, `19%` and 19 as percent, because no tax is above 100 %.

    Raises:
        ValueError: no number.
    """
    if isinstance(value, str) and value.strip().endswith("%"):
        return plain(parse_amount(value.strip().removesuffix("%")) / 100)
    rate = parse_amount(value)
    return plain(rate / 100) if rate > 1 else rate


def plain(number: Decimal) -> Decimal:
    """The number without trailing zeros and without an exponent: 0.190 as 0.19, 1E+2 as 100."""
    return Decimal(f"{number.normalize():f}")


def _date(value: object) -> date | None:
    return None if value == "" else parse_date(value)


def _currency(value: object) -> str | None:
    text = parse_text(value)
    return parse_currency(text) if text else None


def _amount(value: object) -> Decimal | None:
    return None if value == "" else parse_amount(value)


# Field → the places in the answer that it fills, and how it is read. A due date stands in two blocks.
_PLACES: dict[str, tuple[tuple[tuple[str, str], ...], Parse]] = {
    "vendor_name": ((("vendor_block", "name"),), parse_text),
    "vendor_address": ((("vendor_block", "address"),), parse_text),
    "vendor_phone": ((("vendor_block", "phone"),), parse_text),
    "vendor_email": ((("vendor_block", "email"),), parse_text),
    "client_name": ((("client_info", "name"),), parse_text),
    "client_address": ((("client_info", "address"),), parse_text),
    "invoice_number": ((("client_info", "invoice_number"),), parse_text),
    "invoice_date": ((("client_info", "invoice_date"),), _date),
    "due_date": ((("client_info", "due_date"), ("payment_terms", "due_date")), _date),
    "subtotal": ((("financial_summary", "subtotal"),), _amount),
    "grand_total": ((("financial_summary", "grand_total"),), _amount),
    "currency": ((("financial_summary", "currency"),), _currency),
    "payment_method": ((("payment_terms", "payment_method"),), parse_text),
    "payment_terms": ((("payment_terms", "notes"),), parse_text),
}
_LISTED = frozenset({"tax_type", "tax_rate", "tax_amount", "discount", "line_items"})
_ALIASES = {
    "total": "grand_total",
    "total_amount": "grand_total",
    "tax": "tax_amount",
    "discount_amount": "discount",
    "customer_name": "client_name",
    "customer_address": "client_address",
    "items": "line_items",
}
_LINE_FIELDS: dict[str, Parse] = {
    "description": parse_text,
    "quantity": _amount,
    "unit_price": _amount,
    "total": _amount,
}
_LINE_ALIASES = {"desc": "description", "qty": "quantity", "price": "unit_price", "line_total": "total"}
# How sure the reader was and where it looked: nothing that the page says.
_NO_CONTENT = frozenset({"confidence", "bbox"})


def with_known_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields under the names that `answer_of` knows.

    Raises:
        ValueError: the same field under two names with two values.
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        known = _ALIASES.get(name, name)
        if known in found and found[known] != value:
            raise ValueError(f"{known}: given twice, {shown(found[known])} and {shown(value)}")
        found[known] = value
    return found


def answer_of(fields: Mapping[str, Any]) -> Answer:
    """Make the canonical answer of flat fields; a field that is null or blank is one that the page does not show.

    Raises:
        ValueError: every field that has no place in the answer, and every value that cannot be read.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    problems = [f"{name}: no such field in the answer" for name in given if name not in _PLACES and name not in _LISTED]
    blocks: dict[str, Any] = {}
    for name, (places, parse) in _PLACES.items():
        value = _read(given, name, parse, problems)
        for block, key in places if value is not None else ():
            blocks.setdefault(block, {})[key] = value
    summary = {"taxes": _taxes(given, problems), "discounts": _discounts(given, problems)}
    if listed := {name: rows for name, rows in summary.items() if rows}:
        blocks.setdefault("financial_summary", {}).update(listed)
    if "line_items" in given:
        blocks["line_items"] = _lines(given["line_items"], problems)
    if problems:
        raise ValueError("; ".join(problems)[:2000])
    return read_answer({"structured_data": blocks})


def _read(fields: Mapping[str, Any], name: str, parse: Parse, problems: list[str], where: str = "") -> Any:
    if fields.get(name) is None:
        return None
    try:
        return parse(fields[name])
    except ValueError as error:
        problems.append(f"{where}{name}: {error}")
        return None


def _taxes(fields: Mapping[str, Any], problems: list[str]) -> list[dict[str, Any]]:
    parts = (("type", "tax_type", parse_text), ("rate", "tax_rate", parse_rate), ("amount", "tax_amount", _amount))
    row = {key: _read(fields, name, parse, problems) for key, name, parse in parts}
    row = {key: value for key, value in row.items() if value is not None}
    return [row] if row else []


def _discounts(fields: Mapping[str, Any], problems: list[str]) -> list[dict[str, Any]]:
    amount = _read(fields, "discount", _amount, problems)
    return [{"amount": amount}] if amount else []


def _lines(rows: object, problems: list[str]) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        problems.append(f"line_items: {shown(rows)} is no list of objects")
        return []
    return [_line(row, f"line_items[{index}].", problems) for index, row in enumerate(rows)]


def _line(row: dict[str, Any], where: str, problems: list[str]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, value in row.items():
        name = _LINE_ALIASES.get(key, key)
        if name in named and named[name] != value:
            problems.append(f"{where}{name}: given twice, {shown(named[name])} and {shown(value)}")
        named[name] = value
    unknown = [name for name in named if name not in _LINE_FIELDS and name not in _NO_CONTENT]
    problems += [f"{where}{name}: no such field in the answer" for name in unknown if named[name] is not None]
    read = {name: _read(named, name, parse, problems, where) for name, parse in _LINE_FIELDS.items()}
    return {name: value for name, value in read.items() if value is not None}
