"""Output of the invoice and receipt models of Azure Document Intelligence, versions 2.1 to 4.0."""

from __future__ import annotations

from typing import Any

from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.shape import (
    ADDRESS_FIELDS,
    CollectedFields,
    Shape,
    is_empty,
    is_list_of_objects,
    one_line,
    positive_discount,
)

NAME = "Azure Document Intelligence"
_FIELDS = {
    "VendorName": "vendor_name",
    "VendorAddress": "vendor_address",
    "MerchantName": "vendor_name",
    "MerchantAddress": "vendor_address",
    "MerchantPhoneNumber": "vendor_phone",
    "CustomerName": "client_name",
    "CustomerAddress": "client_address",
    "InvoiceId": "invoice_number",
    "InvoiceDate": "invoice_date",
    "TransactionDate": "invoice_date",
    "DueDate": "due_date",
    "SubTotal": "subtotal",
    "Subtotal": "subtotal",
    "TotalTax": "tax_amount",
    "InvoiceTotal": "grand_total",
    "Total": "grand_total",
    "AmountDue": "amount_due",
    "PaymentTerm": "payment_terms",
}
_CHARGES = frozenset({"Tip", "ShippingCharge"})
_LINE = {
    "Description": "description",
    "Name": "description",
    "Quantity": "quantity",
    "UnitPrice": "unit_price",
    "Price": "unit_price",
    "Amount": "total",
    "TotalPrice": "total",
    "TaxRate": "tax_rate",
}
_VALUES = ("valueString", "valueDate", "valueNumber", "valueInteger", "valuePhoneNumber", "value_string", "value_date",
           "value_number", "value_integer")  # fmt: skip


def _documents(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    result = value.get("analyzeResult", value)
    if not isinstance(result, dict):
        return None
    return result.get("documents", result.get("documentResults"))


def _matches(value: Any) -> bool:
    documents = _documents(value)
    return is_list_of_objects(documents) and all(isinstance(document.get("fields"), dict) for document in documents)


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    documents = _documents(value)
    if len(documents) != 1:
        raise ValueError(f"{NAME}: {len(documents)} documents in one file, expected one")
    found = CollectedFields()
    for key, field in documents[0]["fields"].items():
        if isinstance(field, dict):
            _add(key, field, found, settings)
    content = value.get("analyzeResult", value).get("content")
    ocr = content if isinstance(content, str) and content.strip() else None
    return found.ground_truth(NAME, settings, model=NAME, ocr=ocr)


def _add(key: str, field: dict[str, Any], found: CollectedFields, settings: ReadSettings) -> None:
    if key == "Items":
        for item in _array(field):
            _add_line(_object(item), found)
    elif key == "TaxDetails":
        rows = [_tax(_object(row)) for row in _array(field)]
        # A single row repeats TotalTax; of several rows, each has its amount.
        if len(rows) > 1 or (rows and "rate" in rows[0]):
            found.fields["taxes"] = [row for row in rows if row]
    elif key in _CHARGES:
        found.add_charge(_value(field, found), key, key)
    elif key == "TotalDiscount":
        found.put("discount", positive_discount(_value(field, found), settings), key)
    elif name := _FIELDS.get(key):
        found.put(name, one_line(field.get("content")) if name in ADDRESS_FIELDS else _value(field, found), key)
    else:
        value = field.get("content") or _value(field, found)
        found.put_other(key, value, key)
        if is_empty(value):
            found.skip(key, _array(field) or _object(field))


def _add_line(fields: dict[str, Any], found: CollectedFields) -> None:
    line: dict[str, Any] = {}
    for key, field in fields.items():
        if not isinstance(field, dict):
            continue
        value = _value(field, found)
        if key in _LINE and not is_empty(value):
            line.setdefault(_LINE[key], value)
        elif key not in _LINE:
            found.skip(f"Items[].{key}", value)
    if line:
        found.line_items.append(line)


def _tax(fields: dict[str, Any]) -> dict[str, Any]:
    rate, amount = (_value(fields[key]) if isinstance(fields.get(key), dict) else None for key in ("Rate", "Amount"))
    return {key: value for key, value in (("rate", rate), ("amount", amount)) if not is_empty(value)}


def _value(field: dict[str, Any], found: CollectedFields | None = None) -> Any:
    """Return the value of a field, typed if the service gives a type, otherwise as printed; its currency is noted."""
    money = field.get("valueCurrency", field.get("value_currency"))
    if isinstance(money, dict) and not is_empty(money.get("amount")):
        code = money.get("currencyCode") or money.get("currency_code") or money.get("code")
        if found is not None and not is_empty(code):
            found.put("currency", code, "currencyCode")
        return money["amount"]
    typed = next((field[name] for name in _VALUES if not is_empty(field.get(name))), None)
    value = typed if typed is not None else field.get("content", field.get("text"))
    return " ".join(value.split()) if isinstance(value, str) else value


def _array(field: dict[str, Any]) -> list[dict[str, Any]]:
    rows = field.get("valueArray", field.get("value_array"))
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _object(field: dict[str, Any]) -> dict[str, Any]:
    fields = field.get("valueObject", field.get("value_object"))
    return fields if isinstance(fields, dict) else {}


AZURE = Shape(NAME, _matches, _read, model=NAME)
