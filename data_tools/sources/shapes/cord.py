"""Receipts of CORD: `gt_parse` with `menu`, `sub_total` and `total`, directly or in a line of Donut metadata."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from data_tools.sources.answers.objects import read_object
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.files.json_values import parse_value
from data_tools.sources.shapes.shape import CollectedFields, Shape, as_objects, is_empty, positive_discount

NAME = "CORD"
_SUMS = {"subtotal_price": "subtotal", "tax_price": "tax_amount", "total_price": "grand_total"}
_CHARGES = ("service_price", "othersvc_price")
_LINE = {"nm": "description", "cnt": "quantity", "unitprice": "unit_price", "price": "total"}
# Signs of the Indonesian rupiah, the currency of most of these receipts, and of a unit price.
_RUPIAH = re.compile(r"^\s*(?:Rp\.?|IDR)\s*(?=[\d(-])", re.IGNORECASE)
_EACH = re.compile(r"^\s*@\s*")


def _parsed(value: Any) -> Any:
    """Return the content of `gt_parse`; None without it.

    Raises:
        ValueError: a line of Donut metadata has broken JSON.
    """
    if not isinstance(value, dict):
        return None
    if _is_line_of_donut(value):
        value = value["ground_truth"]
        try:
            value = parse_value(value.encode()) if isinstance(value, str) else value
        except (ValueError, RecursionError) as error:
            raise ValueError(f"ground_truth: {error}"[:300]) from error
    return value.get("gt_parse") if isinstance(value, dict) else None


def _is_line_of_donut(value: dict[str, Any]) -> bool:
    """Return whether an object has `ground_truth` as an object, or as JSON in a string, which may be broken."""
    truth = value.get("ground_truth")
    return isinstance(truth, dict) or (isinstance(truth, str) and truth.lstrip().startswith("{"))


def _matches(value: Any) -> bool:
    try:
        return isinstance(_parsed(value), dict)
    except ValueError:
        return True


def _read(value: Any, settings: ReadSettings) -> GroundTruth:
    parsed = _parsed(value)
    found = CollectedFields()
    if _is_in_rupiah(parsed):
        found.put("currency", "IDR", "currency")
        settings = replace(settings, currency="IDR")
    if not parsed.keys() & {"menu", "sub_total", "total"}:
        return _other_fields(parsed, settings)
    for item in as_objects(parsed.get("menu") or [], "menu"):
        _add_item(item, found)
    for part in ("sub_total", "total"):
        # A receipt with two totals has two objects.
        for sums in as_objects(parsed.get(part) or [], part):
            _add_sums(part, sums, found, settings)
    for key, part in parsed.items():
        if key not in ("menu", "sub_total", "total"):
            found.skip(key, part)
    return found.ground_truth(NAME, settings)


def _other_fields(parsed: dict[str, Any], settings: ReadSettings) -> GroundTruth:
    """Read an object of Donut that is not CORD: flat fields, or a canonical answer."""
    return replace(read_object(parsed, settings), kind="Donut metadata")


def _add_sums(part: str, sums: dict[str, Any], found: CollectedFields, settings: ReadSettings) -> None:
    for key, value in sums.items():
        amount = _amount(value)
        if key in _SUMS and not isinstance(value, list):
            found.put(_SUMS[key], amount, f"{part}.{key}")
        elif key in _CHARGES and not isinstance(value, list):
            found.charges += [] if is_empty(amount) else [{"amount": amount}]
        elif key == "discount_price" and not isinstance(value, list):
            # A discount may be printed with its sign.
            found.put("discount", positive_discount(amount, settings), f"{part}.{key}")
        else:
            found.skip(f"{part}.{key}", value)


def _add_item(item: dict[str, Any], found: CollectedFields) -> None:
    line = {name: _amount(item.get(key)) for key, name in _LINE.items() if key != "nm"}
    line["description"] = _name(item.get("nm"))
    if any(isinstance(value, list) for value in line.values()):
        raise ValueError(f"menu: {item.get('nm')!r} has several counts or prices")
    if not is_empty(item.get("discountprice")):
        # It is unknown whether the price is before or after the discount.
        found.skip("menu[].price", line.pop("total"))
    if line := {name: value for name, value in line.items() if not is_empty(value)}:
        found.line_items.append(line)
    for key, value in item.items():
        if key == "sub":
            _add_parts_of(as_objects(value or [], "menu[].sub"), found)
        elif key not in _LINE:
            found.skip(f"menu[].{key}", value)


def _add_parts_of(parts: list[dict[str, Any]], found: CollectedFields) -> None:
    """Add each part of an item with a price as a row; a choice such as `no ice` has no price."""
    for part in parts:
        if is_empty(part.get("price")) and is_empty(part.get("unitprice")):
            found.skip("menu[].sub", part)
        else:
            _add_item(part, found)


def _name(value: Any) -> Any:
    """Return a name; one that is printed in several lines is a list."""
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _amount(value: Any) -> Any:
    return _EACH.sub("", _RUPIAH.sub("", value)) if isinstance(value, str) else value


def _is_in_rupiah(value: Any) -> bool:
    """Return whether any amount is in rupiah."""
    if isinstance(value, dict):
        return any(key != "nm" and _is_in_rupiah(part) for key, part in value.items())
    if isinstance(value, list):
        return any(map(_is_in_rupiah, value))
    return isinstance(value, str) and bool(_RUPIAH.match(value))


CORD = Shape(NAME, _matches, _read)
