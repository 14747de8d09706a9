"""Receipts of CORD: `gt_parse` with `menu`, `sub_total` and `total`, directly or in a line of Donut metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from data_tools.sources.answers.objects import read_object
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.declared.objects import read_declared
from data_tools.sources.files.json_values import parse_value
from data_tools.sources.shapes.shape import CollectedFields, Shape, as_objects, is_empty, positive_discount
from erniekit_adapter.documents.loading import INVOICE

NAME = "CORD"
_PARTS = frozenset({"menu", "sub_total", "total"})
_SUMS = {"subtotal_price": "subtotal", "tax_price": "tax_amount", "total_price": "grand_total"}
_CHARGES: Mapping[str, tuple[str, ...]] = {
    "service_price": ("service_charge", "service_fee", "service"),
    "othersvc_price": ("other_charges", "other_services"),
}
# Amounts without a place in an invoice → their other names.
_PAYMENTS: Mapping[str, tuple[str, ...]] = {
    "cashprice": ("cash", "cash_paid", "cash_tendered", "tendered"),
    "changeprice": ("change", "change_due", "change_given"),
    "creditcardprice": ("credit_card", "card", "card_paid"),
    "emoneyprice": ("e_money", "emoney_paid"),
    "menuqty_cnt": ("total_quantity", "item_quantity"),
    "menutype_cnt": ("item_count", "number_of_items"),
}
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
    if not parsed.keys() & _PARTS or not _has_parts(parsed, settings):
        return _other_fields(parsed, settings)
    for item in as_objects(parsed.get("menu") or [], "menu"):
        _add_item(item, found)
    for part in ("sub_total", "total"):
        # A receipt with two totals has two objects.
        for sums in as_objects(parsed.get(part) or [], part):
            _add_sums(part, sums, found, settings)
    for key, part in parsed.items():
        if key not in _PARTS:
            found.skip(key, part)
    return found.ground_truth(NAME, settings)


def _has_parts(parsed: dict[str, Any], settings: ReadSettings) -> bool:
    """Return whether an object has the parts of CORD; a declared type may have a total that is an amount."""
    return settings.document_type is INVOICE or any(isinstance(parsed.get(part), (dict, list)) for part in _PARTS)


def _other_fields(parsed: dict[str, Any], settings: ReadSettings) -> GroundTruth:
    """Read an object of Donut that is not CORD: flat fields, or a canonical answer."""
    read = read_object if settings.document_type is INVOICE else read_declared
    return replace(read(parsed, settings), kind="Donut metadata")


def _add_sums(part: str, sums: dict[str, Any], found: CollectedFields, settings: ReadSettings) -> None:
    for key, value in sums.items():
        amount = _amount(value)
        if key in _SUMS and not isinstance(value, list):
            found.put(_SUMS[key], amount, f"{part}.{key}", key)
        elif key in _CHARGES and not isinstance(value, list):
            found.add_charge(amount, f"{part}.{key}", key, *_CHARGES[key])
        elif key == "discount_price" and not isinstance(value, list):
            # A discount may be printed with its sign.
            found.put("discount", positive_discount(amount, settings), f"{part}.{key}", key)
        else:
            found.put_other(f"{part}.{key}", value if is_empty(amount) else amount, key, *_PAYMENTS.get(key, ()))


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
    index = len(found.line_items) - 1
    for key, value in item.items():
        if key == "sub":
            _add_parts_of(as_objects(value or [], "menu[].sub"), found)
        elif key not in _LINE and not line:
            found.skip(f"menu[].{key}", value)
        elif key not in _LINE:
            found.put_other(f"menu[].{key}", _unsigned(key, value), key, row=index)


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


def _unsigned(key: str, value: Any) -> Any:
    """Return a value of an item; a discount may be printed with its sign."""
    amount = _amount(value)
    return amount.strip().lstrip("-−") if key == "discountprice" and isinstance(amount, str) else amount or value


def _is_in_rupiah(value: Any) -> bool:
    """Return whether any amount is in rupiah."""
    if isinstance(value, dict):
        return any(key != "nm" and _is_in_rupiah(part) for key, part in value.items())
    if isinstance(value, list):
        return any(map(_is_in_rupiah, value))
    return isinstance(value, str) and bool(_RUPIAH.match(value))


CORD = Shape(NAME, _matches, _read)
