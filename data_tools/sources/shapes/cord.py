"""Receipts in the form of CORD: `gt_parse` with `menu`, `sub_total` and `total`, alone or in a line of Donut's."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from data_tools.sources.reading import parse_value
from data_tools.sources.shapes.shape import Gathered, Shape, is_empty, objects, taken_off
from data_tools.sources.truth import ReadSettings, Truth

NAME = "CORD"
_SUMS = {"subtotal_price": "subtotal", "tax_price": "tax_amount", "total_price": "grand_total"}
_CHARGES = ("service_price", "othersvc_price")
_LINE = {"nm": "description", "cnt": "quantity", "unitprice": "unit_price", "price": "total"}
# Signs of the Indonesian rupiah, which most of these receipts are in, and of a price for one.
_RUPIAH = re.compile(r"^\s*(?:Rp\.?|IDR)\s*(?=[\d(-])", re.IGNORECASE)
_EACH = re.compile(r"^\s*@\s*")


def _parsed(value: Any) -> Any:
    """What `gt_parse` holds; None where there is none.

    Raises:
        ValueError: a line of Donut's holds broken JSON.
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
    """Whether an object has `ground_truth` as an object, or as JSON in a string, which may be broken."""
    truth = value.get("ground_truth")
    return isinstance(truth, dict) or (isinstance(truth, str) and truth.lstrip().startswith("{"))


def _matches(value: Any) -> bool:
    try:
        return isinstance(_parsed(value), dict)
    except ValueError:
        return True


def _read(value: Any, settings: ReadSettings) -> Truth:
    parsed = _parsed(value)
    found = Gathered()
    if _is_in_rupiah(parsed):
        found.put("currency", "IDR", "currency")
        settings = replace(settings, currency="IDR")
    if not parsed.keys() & {"menu", "sub_total", "total"}:
        return _other_fields(parsed, settings)
    for item in objects(parsed.get("menu") or [], "menu"):
        _add_item(item, found)
    for part in ("sub_total", "total"):
        # A receipt with two totals has two objects.
        for sums in objects(parsed.get(part) or [], part):
            _add_sums(part, sums, found, settings)
    for key, part in parsed.items():
        if key not in ("menu", "sub_total", "total"):
            found.skip(key, part)
    return found.truth(NAME, settings)


def _other_fields(parsed: dict[str, Any], settings: ReadSettings) -> Truth:
    """Donut's lines may hold any schema: one of flat fields, or a canonical answer, is read as such."""
    from data_tools.sources.ground_truth import read_ground_truth

    return replace(read_ground_truth(parsed, settings), kind="Donut metadata")


def _add_sums(part: str, sums: dict[str, Any], found: Gathered, settings: ReadSettings) -> None:
    for key, value in sums.items():
        amount = _amount(value)
        if key in _SUMS and not isinstance(value, list):
            found.put(_SUMS[key], amount, f"{part}.{key}")
        elif key in _CHARGES and not isinstance(value, list):
            found.charges += [] if is_empty(amount) else [{"amount": amount}]
        elif key == "discount_price" and not isinstance(value, list):
            # What is taken off may be printed with its sign.
            found.put("discount", taken_off(amount, settings), f"{part}.{key}")
        else:
            found.skip(f"{part}.{key}", value)


def _add_item(item: dict[str, Any], found: Gathered) -> None:
    line = {name: _amount(item.get(key)) for key, name in _LINE.items() if key != "nm"}
    line["description"] = _name(item.get("nm"))
    if any(isinstance(value, list) for value in line.values()):
        raise ValueError(f"menu: {item.get('nm')!r} has several counts or prices")
    if not is_empty(item.get("discountprice")):
        # Nothing says whether the price is before or after it.
        found.skip("menu[].price", line.pop("total"))
    if line := {name: value for name, value in line.items() if not is_empty(value)}:
        found.lines.append(line)
    for key, value in item.items():
        if key == "sub":
            _add_parts_of(objects(value or [], "menu[].sub"), found)
        elif key not in _LINE:
            found.skip(f"menu[].{key}", value)


def _add_parts_of(parts: list[dict[str, Any]], found: Gathered) -> None:
    """What belongs to an item is a row of its own where it has a price; a choice such as `no ice` is none."""
    for part in parts:
        if is_empty(part.get("price")) and is_empty(part.get("unitprice")):
            found.skip("menu[].sub", part)
        else:
            _add_item(part, found)


def _name(value: Any) -> Any:
    """A name; one that is printed in several lines is a list."""
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _amount(value: Any) -> Any:
    return _EACH.sub("", _RUPIAH.sub("", value)) if isinstance(value, str) else value


def _is_in_rupiah(value: Any) -> bool:
    """Whether any amount names the rupiah."""
    if isinstance(value, dict):
        return any(key != "nm" and _is_in_rupiah(part) for key, part in value.items())
    if isinstance(value, list):
        return any(map(_is_in_rupiah, value))
    return isinstance(value, str) and bool(_RUPIAH.match(value))


CORD = Shape(NAME, _matches, _read)
