"""Receipts, as models log them, made into the flat fields that people correct."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data_tools.sources.reading import shown

_SIGNS = frozenset({"document_type", "receipt_type", "merchant_info", "transaction_info"})
# What is said about the document: no part of the canonical answer.
_ABOUT = frozenset({"document_type", "receipt_type", "confidence"})
# Part of the receipt → the flat field that each of its keys fills.
_PARTS: dict[str, dict[str, str]] = {
    "merchant_info": {
        "name": "vendor_name",
        "address": "vendor_address",
        "phone": "vendor_phone",
        "email": "vendor_email",
    },
    "transaction_info": {
        "number": "invoice_number",
        "receipt_number": "invoice_number",
        "invoice_number": "invoice_number",
        "date": "invoice_date",
        "currency": "currency",
    },
    "financial_summary": {
        "subtotal": "subtotal",
        "tax": "tax_amount",
        "tax_amount": "tax_amount",
        "tax_rate": "tax_rate",
        "discount": "discount",
        "grand_total": "grand_total",
        "total": "grand_total",
        "currency": "currency",
    },
    "payment_info": {
        "method": "payment_method",
        "payment_method": "payment_method",
        "terms": "payment_terms",
        "due_date": "due_date",
    },
}


def is_receipt(value: object) -> bool:
    """Whether an object is a receipt, by the keys that nothing else has."""
    return isinstance(value, dict) and "structured_data" not in value and bool(_SIGNS & value.keys())


def receipt_fields(receipt: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The flat fields of a receipt; what has no place comes under its own name, which no answer has.

    Raises:
        ValueError: a part that is no object.
    """
    for name, value in receipt.items():
        if name in _PARTS:
            yield from _part_fields(name, {} if value is None else value)
        elif name not in _ABOUT:
            yield name, value


def _part_fields(name: str, part: object) -> Iterator[tuple[str, Any]]:
    if not isinstance(part, dict):
        raise ValueError(f"{name}: {shown(part)} is no object")
    for key, value in part.items():
        if key != "confidence":
            yield _PARTS[name].get(key, f"{name}.{key}"), value
