"""Example answers for the tests of scoring and figures, and strategies that draw answers."""

from __future__ import annotations

import string
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from erniekit_adapter.documents.invoice.answer import Answer, read_answer


def answer(**structured: Any) -> Answer:
    return read_answer({"structured_data": structured})


def invoice(**changes: Any) -> dict[str, Any]:
    """Return a small invoice that adds up, 2 × 10 + 5 × 1 = 25 and 10% tax, with changes by path `block__name`."""
    value: dict[str, Any] = {
        "structured_data": {
            "vendor_block": {"name": "Acme Ltd"},
            "line_items": [
                {"description": "Bolt", "quantity": 2, "unit_price": 10, "total": 20},
                {"description": "Nut", "quantity": 5, "unit_price": 1, "total": 5},
            ],
            "financial_summary": {
                "subtotal": 25,
                "taxes": [{"type": "VAT", "rate": 0.1, "amount": 2.5}],
                "grand_total": 27.5,
                "currency": "EUR",
            },
        },
        "validation_summary": {"is_valid": True, "math_verified": True, "issues": []},
    }
    for path, change in changes.items():
        *parents, last = path.split("__")
        part = value
        for name in parents:
            part = part[name]
        part[last] = change
    return value


def verdict(is_valid: bool | None) -> dict[str, Any]:
    value: dict[str, Any] = {"structured_data": {"vendor_block": {"name": "Acme"}}}
    if is_valid is not None:
        value["validation_summary"] = {"is_valid": is_valid, "math_verified": is_valid}
    return value


EXPECTED = read_answer(invoice())

_TEXTS = st.none() | st.text(string.ascii_letters + " \u00a0äÅ㍿½", max_size=4)
_AMOUNTS = st.none() | st.decimals(min_value=-10, max_value=10, places=2) | st.integers(-3, 3).map(Decimal)
_DATES = st.none() | st.dates(date(2024, 12, 30), date(2025, 1, 2))
LINE_ITEM_LISTS = st.lists(
    st.fixed_dictionaries({"description": _TEXTS, "quantity": _AMOUNTS, "unit_price": _AMOUNTS, "total": _AMOUNTS}),
    max_size=5,
)
ANSWERS = st.builds(
    answer,
    vendor_block=st.none() | st.fixed_dictionaries({"name": _TEXTS, "logo_detected": st.none() | st.booleans()}),
    client_info=st.none() | st.fixed_dictionaries({"invoice_number": _TEXTS, "invoice_date": _DATES}),
    line_items=st.none() | LINE_ITEM_LISTS,
    financial_summary=st.none()
    | st.fixed_dictionaries(
        {
            "grand_total": _AMOUNTS,
            "currency": st.sampled_from(["EUR", "JPY", None]),
            "taxes": st.none() | st.lists(st.fixed_dictionaries({"rate": _AMOUNTS, "amount": _AMOUNTS}), max_size=3),
        }
    ),
)
