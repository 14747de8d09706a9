"""Results of invoice2data: a list of invoices with `issuer`, `amount` and `date`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.shape import CollectedFields, Shape, renamed_values
from erniekit_adapter.documents.money import parse_amount

NAME = "invoice2data"
_FIELDS = {
    "issuer": "vendor_name",
    "amount": "grand_total",
    "amount_untaxed": "subtotal",
    "amount_tax": "tax_amount",
    "date": "invoice_date",
    "date_due": "due_date",
    "invoice_number": "invoice_number",
    "currency": "currency",
}
_LINE = {
    "name": "description",
    "qty": "quantity",
    "price_unit": "unit_price",
    "price_subtotal": "total",
}
# The name of the template.
_ABOUT = frozenset({"desc", "template_name", "template"})


def _matches(value: Any) -> bool:
    item = value[0] if isinstance(value, list) and value else value
    return isinstance(item, dict) and "issuer" in item and bool(item.keys() & {"amount", "amount_untaxed"})


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    items = value if isinstance(value, list) else [value]
    if len(items) != 1:
        raise ValueError(f"{NAME}: {len(items)} results in one file, expected one")
    found = CollectedFields()
    for key, part in items[0].items():
        if name := _FIELDS.get(key):
            found.put(name, part, key)
        elif key == "lines" and isinstance(part, list):
            for line in part:
                _add_line(line, found)
        elif key in settings.labels and not isinstance(part, (list, dict)):
            found.put(settings.labels[key], part, key)
        elif key not in _ABOUT:
            # Templates choose the names of fields: vat is a number of the vendor here, and a tax elsewhere.
            found.skip(key, part)
    _leave_out_incomplete_rows(found)
    return found.ground_truth(NAME, settings, model=NAME)


def _leave_out_incomplete_rows(found: CollectedFields) -> None:
    """Leave line items out if some are missing: the pattern of a template often matches only some rows of a page."""
    try:
        rows = sum((parse_amount(line["total"]) for line in found.line_items), Decimal(0))
        subtotal = parse_amount(found.fields["subtotal"])
    except (KeyError, ValueError):
        return
    if found.line_items and 0 <= rows < subtotal:
        found.unused.append(
            f"lines ({len(found.line_items)} of {rows}, and amount_untaxed is {subtotal}: rows are missing)"
        )
        found.line_items.clear()


def _add_line(line: Any, found: CollectedFields) -> None:
    if not isinstance(line, dict):
        raise ValueError(f"{NAME}: a line that is not an object")
    others = {key: part for key, part in line.items() if key not in _LINE}
    found.line_items.append({**renamed_values(line, _LINE), **others})


INVOICE2DATA = Shape(NAME, _matches, _read, model=NAME)
