"""Output of the invoice and expense parsers of Google Document AI."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.shape import (
    ADDRESS_FIELDS,
    CollectedFields,
    Shape,
    is_empty,
    is_list_of_objects,
    one_line,
)

NAME = "Google Document AI"
_FIELDS = {
    "supplier_name": "vendor_name",
    "supplier_address": "vendor_address",
    "supplier_phone": "vendor_phone",
    "supplier_email": "vendor_email",
    "receiver_name": "client_name",
    "receiver_address": "client_address",
    "invoice_id": "invoice_number",
    "receipt_id": "invoice_number",
    "invoice_date": "invoice_date",
    "receipt_date": "invoice_date",
    "due_date": "due_date",
    "net_amount": "subtotal",
    "total_tax_amount": "tax_amount",
    "total_amount": "grand_total",
    "currency": "currency",
    "payment_terms": "payment_terms",
    "payment_type": "payment_method",
}
_CHARGES = frozenset({"freight_amount", "tip_amount"})
_LINE = {"description": "description", "quantity": "quantity", "unit_price": "unit_price", "amount": "total"}
_TAX = {"tax_rate": "rate", "tax_amount": "amount"}
_SIGNS = frozenset(_FIELDS) | {"line_item", "vat"}


def _document(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    document = value.get("document", value)
    return document if isinstance(document, dict) else {}


def _matches(value: Any) -> bool:
    entities = _document(value).get("entities")
    return is_list_of_objects(entities) and bool({_kind(entity) for entity in entities or []} & _SIGNS)


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    document = _document(value)
    found = CollectedFields()
    taxes = []
    for entity in document["entities"]:
        kind = _kind(entity)
        if kind == "line_item":
            _add_line(entity, found)
        elif kind == "vat":
            taxes.append(_tax(entity))
        elif kind in _CHARGES:
            found.add_charge(_value(entity), kind, kind)
        elif name := _FIELDS.get(kind):
            found.put(name, one_line(_text(entity)) if name in ADDRESS_FIELDS else _value(entity), kind)
        else:
            found.put_other(kind, _text(entity), kind)
    if any("rate" in tax for tax in taxes):
        found.fields["taxes"] = [tax for tax in taxes if tax]
    if "currency" not in found.fields:
        found.put("currency", _currency(document["entities"]), "currencyCode")
    text = document.get("text")
    return found.ground_truth(NAME, settings, model=NAME, ocr=text if isinstance(text, str) and text.strip() else None)


def _add_line(entity: dict[str, Any], found: CollectedFields) -> None:
    line: dict[str, Any] = {}
    for part in _properties(entity):
        kind = _kind(part).removeprefix("line_item/")
        if kind in _LINE:
            value = _value(part)
            line.setdefault(_LINE[kind], " ".join(value.split()) if isinstance(value, str) else value)
        else:
            found.skip(f"line_item/{kind}", _text(part))
    if line:
        found.line_items.append(line)
    elif not _properties(entity):
        found.skip("line_item", _text(entity))


def _tax(entity: dict[str, Any]) -> dict[str, Any]:
    parts = {_kind(part).removeprefix("vat/"): _value(part) for part in _properties(entity)}
    return {name: parts[kind] for kind, name in _TAX.items() if not is_empty(parts.get(kind))}


def _properties(entity: dict[str, Any]) -> list[dict[str, Any]]:
    parts = entity.get("properties")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _kind(entity: dict[str, Any]) -> str:
    return str(entity.get("type") or entity.get("type_") or "")


def _text(entity: dict[str, Any]) -> str:
    return str(entity.get("mentionText") or entity.get("mention_text") or "").strip()


def _normalized(entity: dict[str, Any]) -> dict[str, Any]:
    value = entity.get("normalizedValue", entity.get("normalized_value"))
    return value if isinstance(value, dict) else {}


def _currency(entities: list[dict[str, Any]]) -> Any:
    """Return the currency code of the total."""
    for entity in entities:
        money = _normalized(entity).get("moneyValue", _normalized(entity).get("money_value"))
        if _kind(entity) == "total_amount" and isinstance(money, dict):
            return money.get("currencyCode", money.get("currency_code"))
    return None


def _value(entity: dict[str, Any]) -> Any:
    """Return the value of an entity, normalized if the service does so, otherwise as printed."""
    value = _normalized(entity)
    if isinstance(money := value.get("moneyValue", value.get("money_value")), dict):
        return _money(money)
    if isinstance(day := value.get("dateValue", value.get("date_value")), dict) and day.get("year"):
        return f"{day['year']}-{day.get('month')}-{day.get('day')}"
    text = value.get("text")
    return text if isinstance(text, str) and text.strip() else " ".join(_text(entity).split())


def _money(money: dict[str, Any]) -> Decimal | None:
    """Return the sum of whole units and billionths of a unit."""
    try:
        units, nanos = Decimal(str(money.get("units") or 0)), Decimal(str(money.get("nanos") or 0))
        amount = units + nanos.scaleb(-9)
        return Decimal(f"{amount.normalize():f}")
    except ArithmeticError as error:
        raise ValueError(f"moneyValue {str(money)[:80]} is not an amount") from error


GOOGLE = Shape(NAME, _matches, _read, model=NAME)
