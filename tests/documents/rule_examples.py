"""Example invoices for the tests of the rules."""

from __future__ import annotations

from typing import Any

from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.rules.rule import Finding


def invoice(*, client: dict[str, Any] | None = None, lines: list[Any] | None = None, **summary: Any) -> dict[str, Any]:
    """Return a consistent invoice, 2 × 50 and 19 % tax; keywords change its financial summary, None removes a value."""
    line = {"description": "Stuhl", "quantity": 2, "unit_price": 50, "total": 100}
    taxes = [{"type": "VAT", "rate": "0.19", "amount": 19}]
    return {
        "structured_data": {
            "client_info": {"invoice_date": "2025-01-15", "due_date": "2025-02-14", **(client or {})},
            "line_items": [line] if lines is None else lines,
            "financial_summary": {"subtotal": 100, "taxes": taxes, "grand_total": 119, "currency": "EUR", **summary},
        }
    }


def finding(rule: str, value: dict[str, Any], *, complete: bool = False) -> Finding:
    """Return the finding of one rule."""
    return next(found for found in RULES.check(read_answer(value), complete=complete) if found.rule == rule)


def priced(quantity: Any, unit_price: Any, total: Any) -> dict[str, Any]:
    """Return a line item."""
    return {"quantity": quantity, "unit_price": unit_price, "total": total}
