"""Output of the invoice and receipt models of Mindee, API versions 1 and 2."""

from __future__ import annotations

from typing import Any

from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.shape import CollectedFields, Shape, is_empty, one_line, renamed_values

NAME = "Mindee"
_FIELDS = {
    "supplier_name": "vendor_name",
    "supplier": "vendor_name",
    "supplier_address": "vendor_address",
    "supplier_phone_number": "vendor_phone",
    "supplier_email": "vendor_email",
    "customer_name": "client_name",
    "customer_address": "client_address",
    "invoice_number": "invoice_number",
    "receipt_number": "invoice_number",
    "date": "invoice_date",
    "invoice_date": "invoice_date",
    "due_date": "due_date",
    "total_net": "subtotal",
    "total_excl": "subtotal",
    "total_tax": "tax_amount",
    "total_amount": "grand_total",
    "total_incl": "grand_total",
    "document_type": "document_type",
}
_LINE = {
    "description": "description",
    "quantity": "quantity",
    "unit_price": "unit_price",
    "total_amount": "total",
    "total_price": "total",
    "tax_rate": "tax_rate",
}
# Information about how a value was read.
_ABOUT = frozenset({"confidence", "polygon", "page_id", "locations", "raw_value", "tax_amount", "unit_measure"})
_SIGNS = frozenset({"supplier_name", "total_net", "total_amount", "total_incl", "invoice_number"})


def _prediction(value: Any) -> dict[str, Any] | None:
    """Return the fields of the whole document."""
    if not isinstance(value, dict):
        return None
    document = value.get("document", value)
    inference = document.get("inference") if isinstance(document, dict) else None
    if not isinstance(inference, dict):
        return None
    result = inference.get("result")
    fields = result.get("fields") if isinstance(result, dict) else inference.get("prediction")
    return fields if isinstance(fields, dict) else None


def _matches(value: Any) -> bool:
    fields = _prediction(value)
    return fields is not None and bool(fields.keys() & _SIGNS)


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    fields = _prediction(value) or {}
    found = CollectedFields()
    for key, field in fields.items():
        if key == "locale":
            _add_locale(_plain(field), found)
        elif key == "line_items":
            _add_lines(_rows(field), found)
        elif key == "taxes":
            _add_taxes(_rows(field), found)
        elif key == "tip":
            found.add_charge(_value(field), key, key)
        elif name := _FIELDS.get(key):
            text = _value(field)
            found.put(name, one_line(text) if name.endswith("_address") else text, key)
        else:
            found.put_other(key, _value(field) if isinstance(field, dict) else field, key)
    return found.ground_truth(NAME, settings, model=NAME)


def _value(field: Any) -> Any:
    """Return the value of a field; of a list of fields, the only one."""
    if isinstance(field, dict):
        return field.get("value")
    return field if isinstance(field, str) else None


def _rows(field: Any) -> list[dict[str, Any]]:
    """Return the rows of a list, each with plain values."""
    items = field.get("items") if isinstance(field, dict) else field
    return [_plain(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _plain(item: Any) -> dict[str, Any]:
    """Return the values of an object whose fields are values or objects with a value."""
    if not isinstance(item, dict):
        return {}
    fields = item["fields"] if isinstance(item.get("fields"), dict) else item
    return {key: part.get("value") if isinstance(part, dict) else part for key, part in fields.items()}


def _add_locale(locale: dict[str, Any], found: CollectedFields) -> None:
    found.put("currency", locale.get("currency"), "locale.currency")


def _add_lines(rows: list[dict[str, Any]], found: CollectedFields) -> None:
    for row in rows:
        for key, part in row.items():
            if key not in _LINE and key not in _ABOUT:
                found.skip(f"line_items[].{key}", part)
        if line := renamed_values(row, _LINE):
            found.line_items.append(line)


def _add_taxes(rows: list[dict[str, Any]], found: CollectedFields) -> None:
    taxes = []
    for row in rows:
        amount = row.get("amount", row.get("value"))
        tax = {"rate": row.get("rate"), "amount": amount}
        if kept := {key: part for key, part in tax.items() if not is_empty(part)}:
            taxes.append(kept)
    if taxes:
        found.fields["taxes"] = taxes


MINDEE = Shape(NAME, _matches, _read, model=NAME)
