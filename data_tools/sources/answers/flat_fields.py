"""Flat fields (`vendor_name`, `grand_total`) made into a canonical answer."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from data_tools.sources.answers.amounts import make_discounts_positive, read_price, read_quantity, read_total
from data_tools.sources.answers.document_types import is_credit_note, is_document_type
from data_tools.sources.answers.field_names import field_named, key_of, line_item_field_named, rate_or_amount
from data_tools.sources.answers.item_taxes import LineItemTax, tax_rows
from data_tools.sources.answers.truth import DEFAULT, ReadSettings
from data_tools.sources.files.json_values import shown
from erniekit_adapter.documents.dates import parse_date
from erniekit_adapter.documents.invoice.answer import Answer, as_json, read_answer
from erniekit_adapter.documents.money import parse_amount, parse_currency

Parse = Callable[[object, ReadSettings], object]


def parse_text(value: object) -> str | None:
    """Read text; a number becomes its digits, and blank text is missing.

    Raises:
        ValueError: the value is neither text nor a number.
    """
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    return value.strip() or None


def parse_rate(value: object) -> Decimal:
    """Read a tax rate as a fraction: 0.19 unchanged, `19%`, 19 and 1 as percent, because no tax is 100 %.

    Raises:
        ValueError: the value is not a number.
    """
    if isinstance(value, str) and value.strip().endswith("%"):
        return plain_number(parse_amount(value.strip().removesuffix("%")) / 100)
    rate = parse_amount(value)
    return plain_number(rate / 100) if rate >= 1 else rate


def plain_number(number: Decimal) -> Decimal:
    """Return the number without trailing zeros and without an exponent: 0.190 as 0.19, 1E+2 as 100."""
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
    """Return `credit_note`, or None for an invoice or a receipt.

    Raises:
        ValueError: the text is not a known document type.
    """
    text = parse_text(value) or "invoice"
    if not is_document_type(text):
        raise ValueError(f"{shown(value)} is not invoice, receipt or credit_note")
    return "credit_note" if is_credit_note(text) else None


def _document_type(value: object, settings: ReadSettings) -> str | None:
    return parse_document_type(value)


# Field → its keys in the answer, and the function that reads it. A due date is in two blocks.
_KEYS_OF: dict[str, tuple[tuple[tuple[str, str], ...], Parse]] = {
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
# Field → the list of the financial summary that has it, its key in a row, and the function that reads it.
_ROWS: dict[str, tuple[str, str, Parse]] = {
    "tax_type": ("taxes", "type", _text),
    "tax_rate": ("taxes", "rate", _rate),
    "tax_amount": ("taxes", "amount", _amount),
    "discount": ("discounts", "amount", _amount),
}
# Field that is a list of rows → the function that reads each key of a row.
_LISTS: dict[str, dict[str, Parse]] = {
    "taxes": {"type": _text, "rate": _rate, "amount": _amount},
    "discounts": {"description": _text, "amount": _amount},
    "charges": {"description": _text, "amount": _amount},
}
_ROW_ALIASES = {"tax_rate": "rate", "tax_amount": "amount", "value": "amount", "name": "type", "reason": "description"}
_KNOWN = frozenset({*_KEYS_OF, *_ROWS, *_LISTS, "charge", "line_items", "document_type"})
_LINE_ITEM_FIELDS: dict[str, Parse] = {"description": _text, "quantity": _quantity, "total": _amount}
_LINE_ITEM_TAX_FIELDS: dict[str, Parse] = {"tax_rate": _rate, "tax_amount": _amount}
# Confidence and position of a value are not part of the answer.
_NO_CONTENT = frozenset({"confidence", "bbox"})
_LINE_ITEM_KEYS = frozenset({*_LINE_ITEM_FIELDS, "unit_price", *_LINE_ITEM_TAX_FIELDS, *_NO_CONTENT})


def with_known_names(fields: Iterable[tuple[str, Any]], corrected: Container[str] = ()) -> dict[str, Any]:
    """Return the fields under the names that `answer_of` knows; a corrected field may be given twice.

    Raises:
        ValueError: the same field is given under two names with two values.
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
    """Return whether two values of one field differ; a missing value differs from none."""
    return None not in (first, second) and first != second


def answer_of(fields: Mapping[str, Any], settings: ReadSettings = DEFAULT) -> Answer:
    """Make a canonical answer from flat fields; a field that is null or blank is not on the page.

    Raises:
        ValueError: fields without a place in the answer, or values that cannot be read; the message names each.
    """
    answer, unused = read_fields(fields, settings)
    if unused:
        raise ValueError("; ".join(f"{name}: no such field in the answer" for name in unused)[:2000])
    return answer


def read_fields(fields: Mapping[str, Any], settings: ReadSettings = DEFAULT) -> tuple[Answer, tuple[str, ...]]:
    """Make a canonical answer from flat fields, and return the names of those without a place in it.

    Raises:
        ValueError: values that cannot be read; the message names each.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    unused = [name for name in given if name not in _KNOWN and given[name] not in ("", [], {})]
    reader = _FieldReader(settings, [], unused)
    blocks: dict[str, Any] = {}
    for name, (places, parse) in _KEYS_OF.items():
        value = reader.one(given, name, parse)
        for block, key in places if value is not None else ():
            blocks.setdefault(block, {})[key] = value
    line_items, taxes = reader.line_items_and_taxes(given)
    summary = {"taxes": taxes, "discounts": reader.discounts(given), "charges": reader.charges(given)}
    if listed := {name: rows for name, rows in summary.items() if rows}:
        blocks.setdefault("financial_summary", {}).update(listed)
        make_discounts_positive(blocks["financial_summary"])
    if "line_items" in given:
        blocks["line_items"] = line_items
    if document_type := reader.one(given, "document_type", _document_type):
        blocks["document_type"] = document_type
    if reader.problems:
        raise ValueError("; ".join(reader.problems)[:2000])
    return read_answer({"structured_data": blocks}), tuple(dict.fromkeys(reader.unused))


def with_changes(answer: Answer, changes: Mapping[str, Any], settings: ReadSettings = DEFAULT) -> Answer:
    """Return the answer with some flat fields replaced; its validation summary is removed, because it is out of date.

    Raises:
        ValueError: a change cannot be read, or could replace any of several taxes or discounts.
    """
    data = as_json(answer)["structured_data"]
    new = as_json(answer_of(changes, settings))["structured_data"]
    summary, new_summary = data.setdefault("financial_summary", {}), new.get("financial_summary", {})
    for name in changes:
        for block, key in _KEYS_OF[name][0] if name in _KEYS_OF else ():
            _put(data.setdefault(block, {}), key, new.get(block, {}).get(key))
        if name in _ROWS:
            _change_row(summary, new_summary, name)
    for name in changes:
        if name in _LISTS:
            _put(summary, name, new_summary.get(name))
    if "document_type" in changes:
        _put(data, "document_type", new.get("document_type"))
    if "line_items" in changes:
        _put(data, "line_items", new.get("line_items"))
        if answer_of({"line_items": changes["line_items"]}, settings).summary.taxes:
            # The line items bring their own taxes.
            _put(summary, "taxes", new_summary["taxes"])
    return read_answer({"structured_data": {name: block for name, block in data.items() if block}})


def _put(block: dict[str, Any], key: str, value: object) -> None:
    """Set a value; None removes it."""
    block.pop(key, None)
    if value is not None:
        block[key] = value


def _change_row(summary: dict[str, Any], new: Mapping[str, Any], name: str) -> None:
    rows_name, key, _ = _ROWS[name]
    rows, new_rows = summary.get(rows_name) or [{}], new.get(rows_name) or [{}]
    if len(rows) > 1:
        raise ValueError(f"{name}: there are {len(rows)} {rows_name}, and the change could mean any of them")
    row = dict(rows[0])
    _put(row, key, new_rows[0].get(key))
    # A discount without an amount is removed.
    gone = not row or (name == "discount" and key not in row)
    _put(summary, rows_name, None if gone else [row])


@dataclass
class _FieldReader:
    """Values that are being read, with problems and names without a place in the answer."""

    settings: ReadSettings
    problems: list[str]
    unused: list[str]

    def one(self, fields: Mapping[str, Any], name: str, parse: Parse, location: str = "") -> Any:
        """Return the value of a field; None if it is missing or cannot be read, which is noted as a problem."""
        if fields.get(name) is None:
            return None
        try:
            return parse(fields[name], self.settings)
        except ValueError as error:
            self.problems.append(f"{location}{name}: {error}")
            return None

    def parts(self, row: Mapping[str, Any], fields: Mapping[str, Parse], location: str) -> dict[str, Any]:
        """Return the fields of a row that have a value."""
        read = {name: self.one(row, name, parse, location) for name, parse in fields.items()}
        return {name: value for name, value in read.items() if value is not None}

    def rows(self, fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        """Return the rows of taxes, discounts or charges; rows without an amount or a rate are skipped."""
        given = fields.get(name)
        if given is None:
            return []
        if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
            self.problems.append(f"{name}: {shown(given)} is not a list of objects")
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
            # An amount of 0 changes nothing; a tax of 0 has a rate.
            if read.get("amount") if name != "taxes" else read.keys() & {"amount", "rate"}:
                found.append(read)
        return found

    def discounts(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the discounts of the document, from rows or from their sum, as positive amounts."""
        rows = self.rows(fields, "discounts")
        amount = self.one(fields, "discount", _amount)
        if amount and rows:
            self.problems.append("discounts: also given as discount")
        return rows or ([{"amount": amount}] if amount else [])

    def charges(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the charges of the document, from rows or from their sum."""
        rows, amount = self.rows(fields, "charges"), self.one(fields, "charge", _amount)
        if amount and rows:
            self.problems.append("charges: also given as charge")
        return rows or ([{"amount": amount}] if amount else [])

    def line_items_and_taxes(self, fields: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the line items, and the tax rows of the document or of its line items."""
        named = self.named_line_items(fields.get("line_items"))
        read = [
            (self.line_item(row, location), self.parts(row, _LINE_ITEM_TAX_FIELDS, location)) for location, row in named
        ]
        # A row without any known field is reported by its unused keys.
        kept = [(item, tax) for item, tax in read if item or tax]
        line_items = [item for item, _ in kept]
        flat = ((key, name, parse) for name, (list_name, key, parse) in _ROWS.items() if list_name == "taxes")
        stated = {key: value for key, name, parse in flat if (value := self.one(fields, name, parse)) is not None}
        rows = self.rows(fields, "taxes")
        if stated.keys() == {"amount"} and len(rows) == 1 and "amount" not in rows[0]:
            stated, rows = {**rows[0], **stated}, []
        elif stated.keys() == {"amount"} and rows and _sum(rows) == stated["amount"]:
            stated = {}  # the total of the rows
        try:
            if stated.keys() == {"amount"} and rows:
                raise ValueError(f"taxes: the rows add up to {_sum(rows)}, and tax_amount is {stated['amount']}")
            if stated and rows:
                raise ValueError("taxes: also given as tax_type, tax_rate or tax_amount")
            of_line_items = [LineItemTax(tax.get("tax_rate"), tax.get("tax_amount")) for _, tax in kept]
            return line_items, tax_rows([stated] if stated else rows, of_line_items)
        except ValueError as error:
            self.problems.append(str(error))
            return line_items, []

    def line_item(self, row: Mapping[str, Any], location: str) -> dict[str, Any]:
        """Return a line item; its unit price may have more decimals than its currency."""
        read = self.parts(row, _LINE_ITEM_FIELDS, location)

        def price(value: object, settings: ReadSettings) -> Decimal | None:
            known = read.get("quantity"), read.get("total")
            return None if value == "" else read_price(value, settings.currency, *known)

        unit_price = self.one(row, "unit_price", price, location)
        order = ("description", "quantity", "unit_price", "total")
        values = {**read, "unit_price": unit_price}
        return {name: values[name] for name in order if values.get(name) is not None}

    def named_line_items(self, rows: object) -> list[tuple[str, dict[str, Any]]]:
        """Return each line item under the names of the answer, with its location."""
        if rows is None:
            return []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.problems.append(f"line_items: {shown(rows)} is not a list of objects")
            return []
        located = ((f"line_items[{index}].", row) for index, row in enumerate(rows))
        return [(location, self.named_line_item(row, location)) for location, row in located]

    def named_line_item(self, row: dict[str, Any], location: str) -> dict[str, Any]:
        """Return a line item under the names of the answer."""
        named: dict[str, Any] = {}
        for key, value in row.items():
            name = key if key in _LINE_ITEM_KEYS else line_item_field_named(key, self.settings.labels) or key
            name = rate_or_amount(name, value) or name
            if name in named and _differ(named[name], value):
                self.problems.append(f"{location}{name}: given twice, {shown(named[name])} and {shown(value)}")
            if value is not None or name not in named:
                named[name] = value
        self.unused += (
            f"line_items[].{name}"
            for name, value in named.items()
            if name not in _LINE_ITEM_KEYS
            and value not in (None, "", [], {})
            and not (name == "discount" and _is_zero(value))
        )
        return named


def _is_zero(value: object) -> bool:
    """Return whether a value is 0 in any notation."""
    return isinstance(value, (int, Decimal, str)) and not str(value).strip("0.,% ")


def _sum(rows: Iterable[Mapping[str, Any]]) -> Decimal:
    return sum((row["amount"] for row in rows if "amount" in row), Decimal(0))
