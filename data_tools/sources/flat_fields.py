"""Flat fields, as people correct them (`vendor_name`, `grand_total`), made into a canonical answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from data_tools.sources.line_taxes import LineTax, tax_rows
from data_tools.sources.reading import shown
from erniekit_adapter.invoice.answer import Answer, as_json, read_answer
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
    "amount_paid": ((("financial_summary", "amount_paid"),), _amount),
    "amount_due": ((("financial_summary", "amount_due"),), _amount),
    "currency": ((("financial_summary", "currency"),), _currency),
    "payment_method": ((("payment_terms", "payment_method"),), parse_text),
    "payment_terms": ((("payment_terms", "notes"),), parse_text),
}
# Field → the list of the financial summary with the row that it fills, the key there, and how it is read.
_ROWS: dict[str, tuple[str, str, Parse]] = {
    "tax_type": ("taxes", "type", parse_text),
    "tax_rate": ("taxes", "rate", parse_rate),
    "tax_amount": ("taxes", "amount", _amount),
    "discount": ("discounts", "amount", _amount),
}
_KNOWN = frozenset({*_PLACES, *_ROWS, "line_items"})
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
_LINE_TAX_FIELDS: dict[str, Parse] = {"tax_rate": parse_rate, "tax_amount": _amount}
# How sure the reader was and where it looked: nothing that the page says.
_NO_CONTENT = frozenset({"confidence", "bbox"})
_LINE_KEYS = frozenset({*_LINE_FIELDS, *_LINE_TAX_FIELDS, *_NO_CONTENT})
# Names inside a line that no canonical answer has.
_OTHER_NAMES = frozenset({*_LINE_ALIASES, *_LINE_TAX_FIELDS, "bbox"})


def with_known_names(fields: Iterable[tuple[str, Any]], corrected: Container[str] = ()) -> dict[str, Any]:
    """Fields under the names that `answer_of` knows; what a correction replaces may be given twice.

    Raises:
        ValueError: the same field under two names with two values.
    """
    found: dict[str, Any] = {}
    for name, value in fields:
        known = _ALIASES.get(name, name)
        if known not in corrected and known in found and found[known] != value:
            raise ValueError(f"{known}: given twice, {shown(found[known])} and {shown(value)}")
        found[known] = value
    return found


def answer_of(fields: Mapping[str, Any]) -> Answer:
    """Make the canonical answer of flat fields; a field that is null or blank is one that the page does not show.

    Raises:
        ValueError: every field that has no place in the answer, and every value that cannot be read.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    problems = [f"{name}: no such field in the answer" for name in given if name not in _KNOWN]
    blocks: dict[str, Any] = {}
    for name, (places, parse) in _PLACES.items():
        value = _read(given, name, parse, problems)
        for block, key in places if value is not None else ():
            blocks.setdefault(block, {})[key] = value
    lines, taxes = _lines_and_taxes(given, problems)
    summary = {"taxes": taxes, "discounts": _discounts(given, problems)}
    if listed := {name: rows for name, rows in summary.items() if rows}:
        blocks.setdefault("financial_summary", {}).update(listed)
    if "line_items" in given:
        blocks["line_items"] = lines
    if problems:
        raise ValueError("; ".join(problems)[:2000])
    return read_answer({"structured_data": blocks})


def changed(answer: Answer, changes: Mapping[str, Any]) -> Answer:
    """The answer with flat fields in place of its own; what it said of its validity was said of something else.

    Raises:
        ValueError: a change that cannot be read, or one of several taxes or discounts, without saying which.
    """
    data = as_json(answer)["structured_data"]
    told = as_json(answer_of(changes))["structured_data"]
    summary, told_summary = data.setdefault("financial_summary", {}), told.get("financial_summary", {})
    for name in changes:
        for block, key in _PLACES[name][0] if name in _PLACES else ():
            _put(data.setdefault(block, {}), key, told.get(block, {}).get(key))
        if name in _ROWS:
            _change_row(summary, told_summary, name)
    if "line_items" in changes:
        _put(data, "line_items", told.get("line_items"))
        if answer_of({"line_items": changes["line_items"]}).summary.taxes:
            # The lines bring the taxes that stand beside them.
            _put(summary, "taxes", told_summary["taxes"])
    return read_answer({"structured_data": {name: block for name, block in data.items() if block}})


def _put(block: dict[str, Any], key: str, value: object) -> None:
    """Set a value; None takes it out."""
    block.pop(key, None)
    if value is not None:
        block[key] = value


def _change_row(summary: dict[str, Any], told: Mapping[str, Any], name: str) -> None:
    rows_name, key, _ = _ROWS[name]
    rows, told_rows = summary.get(rows_name) or [{}], told.get(rows_name) or [{}]
    if len(rows) > 1:
        raise ValueError(f"{name}: there are {len(rows)} {rows_name}, and nothing says which one is meant")
    row = dict(rows[0])
    _put(row, key, told_rows[0].get(key))
    # A discount without its amount is none, whatever it was called.
    gone = not row or (name == "discount" and key not in row)
    _put(summary, rows_name, None if gone else [row])


def canonically_named(value: dict[str, Any]) -> dict[str, Any]:
    """A canonical answer whose lines and taxes may have other names inside, with the names that it should have.

    Raises:
        ValueError: lines or taxes that cannot be read, or taxes or discounts in two forms.
    """
    data = value["structured_data"]
    lines, summary = (data.get("line_items"), data.get("financial_summary")) if isinstance(data, dict) else (None, None)
    summary = {} if summary is None else summary
    if not isinstance(summary, dict):
        return value
    other = [key for key in summary if _ALIASES.get(key, key) in _ROWS]
    renamed = isinstance(lines, list) and any(isinstance(row, dict) and row.keys() & _OTHER_NAMES for row in lines)
    if not renamed and not other:
        return value
    return {**value, "structured_data": data | _named_blocks(summary, other, lines if renamed else None)}


def _named_blocks(summary: dict[str, Any], other: Collection[str], lines: object) -> dict[str, Any]:
    """The financial summary, whose keys `other` have other names, and the lines where they have."""
    stated = with_known_names((key, summary[key]) for key in other)
    kept = {key: part for key, part in summary.items() if key not in other}
    known = read_answer({"structured_data": {"financial_summary": kept}}).summary.taxes or []
    problems: list[str] = []
    fields = {**stated, "line_items": lines}
    rows = [tax.model_dump(exclude_none=True) for tax in known]
    read_lines, taxes = _lines_and_taxes(fields, problems, rows)
    discounts = _discounts(fields, problems)
    if discounts and kept.get("discounts"):
        problems.append("discounts: also given as discount")
    if problems:
        raise ValueError("; ".join(problems)[:2000])
    listed = {name: found for name, found in (("taxes", taxes), ("discounts", discounts)) if found}
    blocks = {"financial_summary": kept | listed, "line_items": read_lines}
    return {name: block for name, block in blocks.items() if block}


def _read(fields: Mapping[str, Any], name: str, parse: Parse, problems: list[str], where: str = "") -> Any:
    if fields.get(name) is None:
        return None
    try:
        return parse(fields[name])
    except ValueError as error:
        problems.append(f"{where}{name}: {error}")
        return None


def _lines_and_taxes(
    fields: Mapping[str, Any], problems: list[str], rows: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lines, and the rows of tax that the document or its lines name; `rows` are there already."""
    named = _named_lines(fields.get("line_items"), problems)
    lines = [_parts(row, _LINE_FIELDS, where, problems) for where, row in named]
    beside = [_parts(row, _LINE_TAX_FIELDS, where, problems) for where, row in named]
    flat = ((key, name, parse) for name, (list_name, key, parse) in _ROWS.items() if list_name == "taxes")
    stated = {key: value for key, name, parse in flat if (value := _read(fields, name, parse, problems)) is not None}
    try:
        if stated and rows:
            raise ValueError("taxes: also given as tax_type, tax_rate or tax_amount")
        of_lines = [LineTax(tax.get("tax_rate"), tax.get("tax_amount")) for tax in beside]
        return lines, tax_rows([stated] if stated else rows, of_lines)
    except ValueError as error:
        problems.append(str(error))
        return lines, []


def _discounts(fields: Mapping[str, Any], problems: list[str]) -> list[dict[str, Any]]:
    amount = _read(fields, "discount", _amount, problems)
    return [{"amount": amount}] if amount else []


def _named_lines(rows: object, problems: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Each line under the names that the answer has, with its place."""
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        problems.append(f"line_items: {shown(rows)} is no list of objects")
        return []
    places = ((f"line_items[{index}].", row) for index, row in enumerate(rows))
    return [(where, _named_line(row, where, problems)) for where, row in places]


def _named_line(row: dict[str, Any], where: str, problems: list[str]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, value in row.items():
        name = _LINE_ALIASES.get(key, key)
        if name in named and named[name] != value:
            problems.append(f"{where}{name}: given twice, {shown(named[name])} and {shown(value)}")
        named[name] = value
    unknown = [name for name in named if name not in _LINE_KEYS]
    problems += [f"{where}{name}: no such field in the answer" for name in unknown if named[name] is not None]
    return named


def _parts(row: Mapping[str, Any], fields: Mapping[str, Parse], where: str, problems: list[str]) -> dict[str, Any]:
    read = {name: _read(row, name, parse, problems, where) for name, parse in fields.items()}
    return {name: value for name, value in read.items() if value is not None}
