"""Flat fields, as people correct them (`vendor_name`, `grand_total`), made into a canonical answer."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from data_tools.sources.amounts import read_price, read_quantity, read_total, take_off_discounts
from data_tools.sources.document_types import is_credit_note, is_document_type
from data_tools.sources.field_names import field_named, key_of, line_field_named, rate_or_amount
from data_tools.sources.line_taxes import LineTax, tax_rows
from data_tools.sources.reading import shown
from data_tools.sources.truth import DEFAULT, ReadSettings
from erniekit_adapter.invoice.answer import Answer, as_json, read_answer
from erniekit_adapter.invoice.dates import parse_date
from erniekit_adapter.invoice.money import parse_amount, parse_currency

Parse = Callable[[object, ReadSettings], object]


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
    """Read a tax rate as a fraction: 0.19 as it is, `19%`, 19 and 1 as percent, because no tax is 100 %.

    Raises:
        ValueError: no number.
    """
    if isinstance(value, str) and value.strip().endswith("%"):
        return plain(parse_amount(value.strip().removesuffix("%")) / 100)
    rate = parse_amount(value)
    return plain(rate / 100) if rate >= 1 else rate


def plain(number: Decimal) -> Decimal:
    """The number without trailing zeros and without an exponent: 0.190 as 0.19, 1E+2 as 100."""
    return Decimal(f"{number.normalize():f}")


def _text(value: object, settings: ReadSettings) -> object:
    return parse_text(value)


def _date(value: object, settings: ReadSettings) -> date | None:
    return None if value == "" else parse_date(value, settings.date_order)


def _currency(value: object, settings: ReadSettings) -> str | None:
    text = parse_text(value)
    return parse_currency(text) if text else None


def _amount(value: object, settings: ReadSettings) -> Decimal | None:
    return None if value == "" else read_total(value, settings.currency)


def _quantity(value: object, settings: ReadSettings) -> Decimal | None:
    return None if value == "" else read_quantity(value)


def _rate(value: object, settings: ReadSettings) -> Decimal | None:
    return None if value == "" else parse_rate(value)


def parse_document_type(value: object) -> str | None:
    """Read what a document is: `credit_note`, or None for an invoice or a receipt, which need no mention.

    Raises:
        ValueError: anything else.
    """
    text = parse_text(value) or "invoice"
    if not is_document_type(text):
        raise ValueError(f"{shown(value)} is none of invoice, receipt and credit_note")
    return "credit_note" if is_credit_note(text) else None


def _document_type(value: object, settings: ReadSettings) -> str | None:
    return parse_document_type(value)


# Field → the places in the answer that it fills, and how it is read. A due date stands in two blocks.
_PLACES: dict[str, tuple[tuple[tuple[str, str], ...], Parse]] = {
    "vendor_name": ((("vendor_block", "name"),), _text),
    "vendor_address": ((("vendor_block", "address"),), _text),
    "vendor_phone": ((("vendor_block", "phone"),), _text),
    "vendor_email": ((("vendor_block", "email"),), _text),
    "client_name": ((("client_info", "name"),), _text),
    "client_address": ((("client_info", "address"),), _text),
    "invoice_number": ((("client_info", "invoice_number"),), _text),
    "invoice_date": ((("client_info", "invoice_date"),), _date),
    "due_date": ((("client_info", "due_date"), ("payment_terms", "due_date")), _date),
    "subtotal": ((("financial_summary", "subtotal"),), _amount),
    "grand_total": ((("financial_summary", "grand_total"),), _amount),
    "amount_paid": ((("financial_summary", "amount_paid"),), _amount),
    "rounding": ((("financial_summary", "rounding"),), _amount),
    "amount_due": ((("financial_summary", "amount_due"),), _amount),
    "currency": ((("financial_summary", "currency"),), _currency),
    "payment_method": ((("payment_terms", "payment_method"),), _text),
    "payment_terms": ((("payment_terms", "notes"),), _text),
}
# Field → the list of the financial summary with the row that it fills, the key there, and how it is read.
_ROWS: dict[str, tuple[str, str, Parse]] = {
    "tax_type": ("taxes", "type", _text),
    "tax_rate": ("taxes", "rate", _rate),
    "tax_amount": ("taxes", "amount", _amount),
    "discount": ("discounts", "amount", _amount),
}
# Field with rows of its own → how each key of a row is read.
_LISTS: dict[str, dict[str, Parse]] = {
    "taxes": {"type": _text, "rate": _rate, "amount": _amount},
    "discounts": {"description": _text, "amount": _amount},
    "charges": {"description": _text, "amount": _amount},
}
_ROW_ALIASES = {"tax_rate": "rate", "tax_amount": "amount", "value": "amount", "name": "type", "reason": "description"}
_KNOWN = frozenset({*_PLACES, *_ROWS, *_LISTS, "charge", "line_items", "document_type"})
_LINE_FIELDS: dict[str, Parse] = {"description": _text, "quantity": _quantity, "total": _amount}
_LINE_TAX_FIELDS: dict[str, Parse] = {"tax_rate": _rate, "tax_amount": _amount}
# How sure the reader was and where it looked: nothing that the page says.
_NO_CONTENT = frozenset({"confidence", "bbox"})
_LINE_KEYS = frozenset({*_LINE_FIELDS, "unit_price", *_LINE_TAX_FIELDS, *_NO_CONTENT})


def with_known_names(fields: Iterable[tuple[str, Any]], corrected: Container[str] = ()) -> dict[str, Any]:
    """Fields under the names that `answer_of` knows; what a correction replaces may be given twice.

    Raises:
        ValueError: the same field under two names with two values.
    """
    found: dict[str, Any] = {}
    for name, value in fields:
        known = field_named(name) or name
        if known not in corrected and known in found and _differ(found[known], value):
            raise ValueError(f"{known}: given twice, {shown(found[known])} and {shown(value)}")
        if value is not None or known not in found:
            found[known] = value
    return found


def _differ(first: object, second: object) -> bool:
    """Whether two values of one field contradict each other; what is missing contradicts nothing."""
    return None not in (first, second) and first != second


def answer_of(fields: Mapping[str, Any], settings: ReadSettings = DEFAULT) -> Answer:
    """Make the canonical answer of flat fields; a field that is null or blank is one that the page does not show.

    Raises:
        ValueError: every field that has no place in the answer, and every value that cannot be read.
    """
    answer, unused = read_fields(fields, settings)
    if unused:
        raise ValueError("; ".join(f"{name}: no such field in the answer" for name in unused)[:2000])
    return answer


def read_fields(fields: Mapping[str, Any], settings: ReadSettings = DEFAULT) -> tuple[Answer, tuple[str, ...]]:
    """The same, with the names of what has no place in the answer instead of an error.

    Raises:
        ValueError: every value that cannot be read.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    unused = [name for name in given if name not in _KNOWN and given[name] not in ("", [], {})]
    reading = _Reading(settings, [], unused)
    blocks: dict[str, Any] = {}
    for name, (places, parse) in _PLACES.items():
        value = reading.one(given, name, parse)
        for block, key in places if value is not None else ():
            blocks.setdefault(block, {})[key] = value
    lines, taxes = reading.lines_and_taxes(given)
    summary = {"taxes": taxes, "discounts": reading.discounts(given), "charges": reading.charges(given)}
    if listed := {name: rows for name, rows in summary.items() if rows}:
        blocks.setdefault("financial_summary", {}).update(listed)
        take_off_discounts(blocks["financial_summary"])
    if "line_items" in given:
        blocks["line_items"] = lines
    if document_type := reading.one(given, "document_type", _document_type):
        blocks["document_type"] = document_type
    if reading.problems:
        raise ValueError("; ".join(reading.problems)[:2000])
    return read_answer({"structured_data": blocks}), tuple(dict.fromkeys(reading.unused))


def changed(answer: Answer, changes: Mapping[str, Any], settings: ReadSettings = DEFAULT) -> Answer:
    """The answer with flat fields in place of its own; what it said of its validity was said of something else.

    Raises:
        ValueError: a change that cannot be read, or one of several taxes or discounts, without saying which.
    """
    data = as_json(answer)["structured_data"]
    told = as_json(answer_of(changes, settings))["structured_data"]
    summary, told_summary = data.setdefault("financial_summary", {}), told.get("financial_summary", {})
    for name in changes:
        for block, key in _PLACES[name][0] if name in _PLACES else ():
            _put(data.setdefault(block, {}), key, told.get(block, {}).get(key))
        if name in _ROWS:
            _change_row(summary, told_summary, name)
    for name in changes:
        if name in _LISTS:
            _put(summary, name, told_summary.get(name))
    if "document_type" in changes:
        _put(data, "document_type", told.get("document_type"))
    if "line_items" in changes:
        _put(data, "line_items", told.get("line_items"))
        if answer_of({"line_items": changes["line_items"]}, settings).summary.taxes:
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


@dataclass
class _Reading:
    """Values that are being read, with what is wrong with them and what has no place."""

    settings: ReadSettings
    problems: list[str]
    unused: list[str]

    def one(self, fields: Mapping[str, Any], name: str, parse: Parse, where: str = "") -> Any:
        """A field's value; None where it is missing, or is among the problems."""
        if fields.get(name) is None:
            return None
        try:
            return parse(fields[name], self.settings)
        except ValueError as error:
            self.problems.append(f"{where}{name}: {error}")
            return None

    def parts(self, row: Mapping[str, Any], fields: Mapping[str, Parse], where: str) -> dict[str, Any]:
        """The fields of a row that it has."""
        read = {name: self.one(row, name, parse, where) for name, parse in fields.items()}
        return {name: value for name, value in read.items() if value is not None}

    def rows(self, fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        """The rows of taxes, discounts or charges; one without an amount or a rate is none."""
        given = fields.get(name)
        if given is None:
            return []
        if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
            self.problems.append(f"{name}: {shown(given)} is no list of objects")
            return []
        found = []
        for row in given:
            known = {_ROW_ALIASES.get(key_of(key), key_of(key)): value for key, value in row.items()}
            self.unused += (
                f"{name}[].{key}"
                for key, value in known.items()
                if key not in _LISTS[name] and key not in _NO_CONTENT and value not in (None, "", [], {})
            )
            read = self.parts(known, _LISTS[name], f"{name}[].")
            # An amount of 0 takes nothing off and adds nothing; a tax of 0 has a rate to say so.
            if read.get("amount") if name != "taxes" else read.keys() & {"amount", "rate"}:
                found.append(read)
        return found

    def discounts(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The discounts of the document, given one by one or as their sum; what is taken off is positive."""
        rows = self.rows(fields, "discounts")
        amount = self.one(fields, "discount", _amount)
        if amount and rows:
            self.problems.append("discounts: also given as discount")
        return rows or ([{"amount": amount}] if amount else [])

    def charges(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The charges of the document, given in rows or as their sum."""
        rows, amount = self.rows(fields, "charges"), self.one(fields, "charge", _amount)
        if amount and rows:
            self.problems.append("charges: also given as charge")
        return rows or ([{"amount": amount}] if amount else [])

    def lines_and_taxes(self, fields: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The lines, and the rows of tax that the document or its lines name."""
        named = self.named_lines(fields.get("line_items"))
        pairs = [(self.line(row, where), self.parts(row, _LINE_TAX_FIELDS, where)) for where, row in named]
        # A row of which nothing has a place is among the unused keys.
        pairs = [(line, tax) for line, tax in pairs if line or tax]
        lines, beside = [line for line, _ in pairs], [tax for _, tax in pairs]
        flat = ((key, name, parse) for name, (list_name, key, parse) in _ROWS.items() if list_name == "taxes")
        stated = {key: value for key, name, parse in flat if (value := self.one(fields, name, parse)) is not None}
        rows = self.rows(fields, "taxes")
        if stated.keys() == {"amount"} and len(rows) == 1 and "amount" not in rows[0]:
            stated, rows = {**rows[0], **stated}, []
        elif stated.keys() == {"amount"} and rows and _sum(rows) == stated["amount"]:
            stated = {}  # the total of the rows
        try:
            if stated.keys() == {"amount"} and rows:
                raise ValueError(f"taxes: the rows come to {_sum(rows)}, and tax_amount is {stated['amount']}")
            if stated and rows:
                raise ValueError("taxes: also given as tax_type, tax_rate or tax_amount")
            of_lines = [LineTax(tax.get("tax_rate"), tax.get("tax_amount")) for tax in beside]
            return lines, tax_rows([stated] if stated else rows, of_lines)
        except ValueError as error:
            self.problems.append(str(error))
            return lines, []

    def line(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """A line item; its unit price may have more decimals than its currency."""
        read = self.parts(row, _LINE_FIELDS, where)

        def price(value: object, settings: ReadSettings) -> Decimal | None:
            known = read.get("quantity"), read.get("total")
            return None if value == "" else read_price(value, settings.currency, *known)

        unit_price = self.one(row, "unit_price", price, where)
        order = ("description", "quantity", "unit_price", "total")
        values = {**read, "unit_price": unit_price}
        return {name: values[name] for name in order if values.get(name) is not None}

    def named_lines(self, rows: object) -> list[tuple[str, dict[str, Any]]]:
        """Each line under the names that the answer has, with its place."""
        if rows is None:
            return []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.problems.append(f"line_items: {shown(rows)} is no list of objects")
            return []
        places = ((f"line_items[{index}].", row) for index, row in enumerate(rows))
        return [(where, self.named_line(row, where)) for where, row in places]

    def named_line(self, row: dict[str, Any], where: str) -> dict[str, Any]:
        """A line under the names that the answer has."""
        named: dict[str, Any] = {}
        for key, value in row.items():
            name = key if key in _LINE_KEYS else line_field_named(key, self.settings.labels) or key
            name = rate_or_amount(name, value) or name
            if name in named and _differ(named[name], value):
                self.problems.append(f"{where}{name}: given twice, {shown(named[name])} and {shown(value)}")
            if value is not None or name not in named:
                named[name] = value
        self.unused += (
            f"line_items[].{name}"
            for name, value in named.items()
            if name not in _LINE_KEYS
            and value not in (None, "", [], {})
            and not (name == "discount" and _is_zero(value))
        )
        return named


def _is_zero(value: object) -> bool:
    """Whether a value is 0, however it is written."""
    return isinstance(value, (int, Decimal, str)) and not str(value).strip("0.,% ")


def _sum(rows: Iterable[Mapping[str, Any]]) -> Decimal:
    return sum((row["amount"] for row in rows if "amount" in row), Decimal(0))
