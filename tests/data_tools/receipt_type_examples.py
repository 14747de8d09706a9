"""A small type of receipts for tests of sources, and functions that read answers of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from type_examples import write_type

from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.ground_truth import read_ground_truth
from erniekit_adapter.documents.document_type import DocumentType

ROW = {
    "name": {"type": "string", "x-role": "description", "x-aliases": ["nm"]},
    "qty": {"type": "number", "x-kind": "quantity", "x-role": "quantity", "x-aliases": ["count"]},
    "each": {"type": "number", "x-kind": "amount", "x-role": "unit_price", "x-aliases": ["unit price"]},
    "sum": {"type": "number", "x-kind": "amount", "x-role": "line_total", "x-aliases": ["amount", "price"]},
    "off": {"type": "number", "x-kind": "amount", "x-aliases": ["discountprice"]},
}
STORE = {
    "name": {"type": "string", "x-role": "issuer", "x-aliases": ["merchant", "店名"]},
    "address": {"type": "string", "x-kind": "address"},
}
PROPERTIES: dict[str, Any] = {
    "store": {"type": "object", "properties": STORE},
    "no": {"type": "string", "x-kind": "identifier", "x-role": "number", "title": "Receipt number"},
    "date": {"type": "string", "x-kind": "date", "x-aliases": ["日期"]},
    "time": {"type": "string"},
    "items": {"type": "array", "items": {"type": "object", "properties": ROW}},
    "subtotal": {"type": "number", "x-kind": "amount"},
    "service": {"type": "number", "x-kind": "amount", "x-aliases": ["service charge"]},
    "tax": {"type": "number", "x-kind": "amount", "x-aliases": ["tax_price"]},
    "vat_rate": {"type": "number", "x-kind": "rate", "x-percent": True, "x-aliases": ["VAT %"]},
    "total": {"type": "number", "x-kind": "amount", "x-role": "total", "title": "Grand total"},
    "cash": {"type": "string", "x-kind": "amount", "x-aliases": ["cashprice"]},
    "change": {"type": "number", "x-kind": "amount"},
    "method": {"type": "string", "enum": ["CASH", "card"]},
    "paid": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}},
    "currency": {"type": "string", "x-kind": "currency", "x-role": "currency"},
}


def receipt_type(folder: Path, **answer: Any) -> DocumentType:
    """Write the type to a folder and return it; keywords are keys of its answer section."""
    return write_type(folder / "types" / "slip", PROPERTIES, {"title": "receipt", "answer": answer})


def truth_of(value: object, document_type: DocumentType, **settings: Any) -> GroundTruth:
    return read_ground_truth(value, ReadSettings(document_type=document_type, **settings))


def content(value: object, document_type: DocumentType, **settings: Any) -> dict[str, Any]:
    """Return the content read from a value, with numbers as text."""
    return plain(document_type.content_of(truth_of(value, document_type, **settings).answer))


def plain(value: Any) -> Any:
    """Return a JSON value with its numbers as text."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, (Decimal, int)) and not isinstance(value, bool) else value
