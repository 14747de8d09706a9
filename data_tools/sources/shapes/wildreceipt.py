"""Receipts of WildReceipt: texts with boxes and the number of a class."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from data_tools.sources.answers.amounts import read_total
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.shapes.boxes import ocr_of, page_box
from data_tools.sources.shapes.rows import Box, Piece, in_reading_order, rows_of
from data_tools.sources.shapes.shape import CollectedFields, Shape, is_list_of_objects, only_value

NAME = "WildReceipt"
CLASSES = (
    "Ignore", "Store_name_value", "Store_name_key", "Store_addr_value", "Store_addr_key", "Tel_value", "Tel_key",
    "Date_value", "Date_key", "Time_value", "Time_key", "Prod_item_value", "Prod_item_key", "Prod_quantity_value",
    "Prod_quantity_key", "Prod_price_value", "Prod_price_key", "Subtotal_value", "Subtotal_key", "Tax_value", "Tax_key",
    "Tips_value", "Tips_key", "Total_value", "Total_key", "Others",
)  # fmt: skip
_JOINED = {"Store_name_value": "vendor_name", "Store_addr_value": "vendor_address"}
_SINGLE = {
    "Tel_value": "vendor_phone",
    "Date_value": "invoice_date",
    "Subtotal_value": "subtotal",
    "Tax_value": "tax_amount",
    "Total_value": "grand_total",
}
_COLUMNS = {"Prod_item_value": "description", "Prod_quantity_value": "quantity", "Prod_price_value": "price"}
_Texts = dict[str, list[tuple[str, Box | None]]]


def _matches(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("file_name"), str)
        and is_list_of_objects(value.get("annotations"))
        and all({"box", "text", "label"} <= item.keys() for item in value["annotations"])
    )


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    texts: _Texts = defaultdict(list)
    for item in value["annotations"]:
        texts[_class(item["label"])].append((str(item["text"]), page_box(item["box"])))
    found = CollectedFields()
    for name, field in _JOINED.items():
        found.put(field, " ".join(in_reading_order(texts[name])), name, name)
    for name, field in _SINGLE.items():
        # A receipt may print its total twice; two different ones leave it unknown.
        value_of_all = only_value(text for text, _ in texts[name])
        found.put(field, value_of_all, name, name)
        if texts[name] and value_of_all is None:
            found.skip(f"annotations: {name} (given twice with different values)", texts[name])
    tip, time = (only_value(text for text, _ in texts[name]) for name in ("Tips_value", "Time_value"))
    found.add_charge(tip, "annotations: Tips_value", "Tips_value", "tips", "tip", "gratuity")
    if time is None:
        found.skip("annotations: Time_value", texts["Time_value"])
    else:
        found.put_other("annotations: Time_value", time, "Time_value", "time")
    _add_lines(texts, found, settings)
    pieces = [(str(item["text"]), page_box(item["box"])) for item in value["annotations"]]
    return found.ground_truth(NAME, settings, ocr=ocr_of(pieces, _size(value)))


def _class(label: Any) -> str:
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(CLASSES):
        return CLASSES[label]
    return label if isinstance(label, str) else "Others"


def _size(value: dict[str, Any]) -> tuple[float, float] | None:
    width, height = value.get("width"), value.get("height")
    if not isinstance(width, (int, Decimal)) or not isinstance(height, (int, Decimal)):
        return None
    return float(width), float(height)


def _add_lines(texts: _Texts, found: CollectedFields, settings: ReadSettings) -> None:
    """Add the line items, if it is certain which texts are in the same row."""
    pieces = [Piece(column, text, box) for name, column in _COLUMNS.items() for text, box in texts[name]]
    rows = rows_of(pieces)
    if rows is None:
        for name in _COLUMNS:
            found.skip(f"annotations: {name} (which row is not certain)", texts[name])
        return
    totals_are_printed = all(row.get("quantity", "1").strip(" xX") == "1" for row in rows) or _is_subtotal(
        [row.get("price") for row in rows], texts, settings
    )
    for row in rows:
        # For several pieces, it is unknown whether the price is that of one or of all.
        if totals_are_printed and "price" in row:
            row["total"] = row["price"]
        elif "price" in row:
            found.skip("annotations: Prod_price_value (of one or of all is not certain)", row["price"])
        found.line_items.append({name: text for name, text in row.items() if name != "price"})


def _is_subtotal(prices: list[str | None], texts: _Texts, settings: ReadSettings) -> bool:
    """Return whether the prices add up to the subtotal, or to the total of a receipt without one."""
    printed = only_value(text for text, _ in texts["Subtotal_value"] or texts["Total_value"])
    try:
        total = read_total(printed, settings.currency)
        return sum((read_total(price, settings.currency) for price in prices), Decimal(0)) == total
    except ValueError:
        return False


WILDRECEIPT = Shape(NAME, _matches, _read)
