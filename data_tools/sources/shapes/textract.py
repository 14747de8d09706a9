"""Output of AnalyzeExpense of AWS Textract."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.boxes import ocr_of
from data_tools.sources.shapes.rows import Box
from data_tools.sources.shapes.shape import (
    ADDRESS_FIELDS,
    CollectedFields,
    Shape,
    as_objects,
    is_empty,
    is_list_of_objects,
    one_line,
    positive_discount,
)

NAME = "AWS Textract AnalyzeExpense"
_FIELDS = {
    "VENDOR_NAME": "vendor_name",
    "VENDOR_ADDRESS": "vendor_address",
    "VENDOR_PHONE": "vendor_phone",
    "RECEIVER_NAME": "client_name",
    "RECEIVER_ADDRESS": "client_address",
    "INVOICE_RECEIPT_ID": "invoice_number",
    "INVOICE_RECEIPT_DATE": "invoice_date",
    "DUE_DATE": "due_date",
    "PAYMENT_TERMS": "payment_terms",
    "SUBTOTAL": "subtotal",
    "TAX": "tax_amount",
    "DISCOUNT": "discount",
    "TOTAL": "grand_total",
    "AMOUNT_PAID": "amount_paid",
    "AMOUNT_DUE": "amount_due",
}
_CHARGES = frozenset({"SERVICE_CHARGE", "GRATUITY", "SHIPPING_HANDLING_CHARGE"})
# The groups of NAME and ADDRESS name their party.
_PARTIES = {"VENDOR": "vendor", "RECEIVER": "client"}
_LINE = {"ITEM": "description", "QUANTITY": "quantity", "UNIT_PRICE": "unit_price", "PRICE": "total"}
# The whole row as text.
_ROW = "EXPENSE_ROW"


def _matches(value: Any) -> bool:
    return isinstance(value, dict) and is_list_of_objects(value.get("ExpenseDocuments"))


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    documents = value["ExpenseDocuments"]
    if len(documents) != 1:
        raise ValueError(f"{NAME}: {len(documents)} documents in one file, expected one")
    found = CollectedFields()
    for field in as_objects(documents[0].get("SummaryFields") or [], "SummaryFields"):
        _add(field, found, settings)
    for group in as_objects(documents[0].get("LineItemGroups") or [], "LineItemGroups"):
        for item in as_objects(group.get("LineItems") or [], "LineItems"):
            _add_line(item, found)
    return found.ground_truth(NAME, settings, model=NAME, ocr=_ocr(documents[0]))


def _add(field: dict[str, Any], found: CollectedFields, settings: ReadSettings) -> None:
    kind, text = _kind(field), _text(field)
    name = _FIELDS.get(kind) or _of_party(kind, field)
    if not is_empty(code := (field.get("Currency") or {}).get("Code")):
        found.put("currency", code, "Currency")
    if kind in _CHARGES:
        found.add_charge(text, f"SummaryFields: {kind}", kind)
    elif name == "discount":
        found.put(name, positive_discount(text, settings), f"SummaryFields: {kind}")
    elif name:
        found.put(name, one_line(text) if name in ADDRESS_FIELDS else " ".join(text.split()), f"SummaryFields: {kind}")
    else:
        found.put_other(f"SummaryFields: {kind[:60]}", text, kind)


def _of_party(kind: str, field: dict[str, Any]) -> str | None:
    """Return the field of a NAME or an ADDRESS, by the one party that its groups name."""
    if kind not in ("NAME", "ADDRESS"):
        return None
    groups = as_objects(field.get("GroupProperties") or [], "GroupProperties")
    types = {str(name) for group in groups for name in group.get("Types") or []}
    # A delivery address is not an address of the invoice.
    owners = {party for word, party in _PARTIES.items() if word in types or f"{word}_BILL_TO" in types}
    return f"{owners.pop()}_{kind.lower()}" if len(owners) == 1 else None


def _add_line(item: dict[str, Any], found: CollectedFields) -> None:
    line: dict[str, Any] = {}
    for field in as_objects(item.get("LineItemExpenseFields") or [], "LineItemExpenseFields"):
        kind, text = _kind(field), _text(field)
        if kind in _LINE:
            line.setdefault(_LINE[kind], " ".join(text.split()))
        elif kind != _ROW:
            found.skip(f"LineItems: {kind[:60]}", text)
    if line:
        found.line_items.append(line)


def _kind(field: dict[str, Any]) -> str:
    return str((field.get("Type") or {}).get("Text") or "OTHER")


def _text(field: dict[str, Any]) -> str:
    return str((field.get("ValueDetection") or {}).get("Text") or "").strip()


def _ocr(document: dict[str, Any]) -> Any:
    """Return the text lines of a document of one page."""
    blocks = [block for block in document.get("Blocks") or [] if isinstance(block, dict)]
    if any(block.get("Page", 1) != 1 for block in blocks):
        return None
    return ocr_of(list(_lines(blocks)), (1.0, 1.0))


def _lines(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, Box | None]]:
    for block in blocks:
        if block.get("BlockType") == "LINE":
            box = (block.get("Geometry") or {}).get("BoundingBox") or {}
            sides = [box.get(side) for side in ("Left", "Top", "Width", "Height")]
            if all(isinstance(side, (int, Decimal)) for side in sides):
                left, top, width, height = (float(str(side)) for side in sides)
                yield str(block.get("Text") or ""), (left, top, left + width, top + height)
            else:
                yield str(block.get("Text") or ""), None


TEXTRACT = Shape(NAME, _matches, _read, model=NAME)
