"""Receipts of SROIE: company, date, address and total."""

from __future__ import annotations

from typing import Any

from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.shape import CollectedFields, Shape, one_line

NAME = "SROIE"
_FIELDS = {
    "company": "vendor_name",
    "address": "vendor_address",
    "date": "invoice_date",
    "total": "grand_total",
    "tax": "tax_amount",
}


def _matches(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= _FIELDS.keys()
        and "company" in value
        and bool(value.keys() & {"date", "address", "total"})
    )


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    found = CollectedFields()
    for key, part in value.items():
        text = part.strip().removeprefix("RM").strip() if key == "total" and isinstance(part, str) else one_line(part)
        if key == "total" and isinstance(part, str) and text != part.strip():
            found.put("currency", "MYR", key)
        found.put(_FIELDS[key], text, key, key)
    return found.ground_truth(NAME, settings)


SROIE = Shape(NAME, _matches, _read)
