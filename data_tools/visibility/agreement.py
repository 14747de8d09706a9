"""Whether a page and its truth are of one document: the values that identify it, its total, and how much is found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from data_tools.visibility.boxes import Line
from data_tools.visibility.fields import FIELDS
from data_tools.visibility.labels import OTHER_AMOUNTS, TOTALS, label_pattern
from data_tools.visibility.page_text import PageText
from data_tools.visibility.spellings import (
    THOUSANDS,
    joined_numbers_in,
    own_numbers,
    plain_number,
    repaired_numbers,
    without_dates,
)

# With fewer values, one that is missing would already be a large share.
MIN_VALUES = 4
# Of number, vendor and total this many have to be known before their absence is evidence.
_LEAST_IDENTITY = 2
_IDENTITY = (
    ("invoice number", "client_info", "invoice_number"),
    ("vendor", "vendor_block", "name"),
    ("total", "financial_summary", "grand_total"),
)
_QUOTED_CHARACTERS = 80
_MAX_NAMED = 6
# A number without decimals is an amount only if it is as long as this: `Total 3 items`.
_LEAST_WHOLE_DIGITS = 3
_WITH_DECIMALS = re.compile(r"[.,]\d{2}(?!\d)")


def page_mismatch(
    truth: Mapping[str, Any], shown: Mapping[str, Any], page: PageText, min_visible_share: float
) -> str | None:
    """Why a page is not the page of its truth; None if nothing speaks against it.

    Args:
        truth: the structured data before anything was taken out of it.
        shown: what `drop_unseen` left of it.
        page: what was looked at.
        min_visible_share: the share of values, 0 to 1, that has to be found; not applied to fewer than MIN_VALUES.
    """
    return (
        _other_identity(truth, shown, page)
        or _other_total(truth, shown, page)
        or _small_share(truth, shown, page, min_visible_share)
    )


def _other_identity(truth: Mapping[str, Any], shown: Mapping[str, Any], page: PageText) -> str | None:
    """Whether invoice number, vendor and total are all absent from the page."""
    known = [(label, block, name) for label, block, name in _IDENTITY if name in truth.get(block, {})]
    if len(known) < _LEAST_IDENTITY or any(name in shown.get(block, {}) for _, block, name in known):
        return None
    values = ", ".join(f"{label} {truth[block][name]}" for label, block, name in known)
    return f"the page is of another document: {values} are not on it; {_quoted(page)}"


def _other_total(truth: Mapping[str, Any], shown: Mapping[str, Any], page: PageText) -> str | None:
    """Whether the page prints another total in the total's place, and the total nowhere or as another amount."""
    total = truth.get("financial_summary", {}).get("grand_total")
    if total is None:
        return None
    if "grand_total" in shown.get("financial_summary", {}):
        known = {plain_number(total)}
        other = _sum_with_tax(truth["financial_summary"])
        if other is None or plain_number(other) == plain_number(total):
            return None
    else:
        known, other = {plain_number(amount) for amount in _amounts(truth)}, None
    printed = list(_totals(page))
    others = [found for found in printed if not known & set(found[2])]
    if other is not None:
        # The page's own total is what the truth's amounts add up to.
        others = [found for found in others if plain_number(other) in found[2]]
    elif len(others) < len(printed):
        return None
    if not others:
        return None
    label, text, _ = others[-1]
    return f"the page prints another total: {label} {text}, where the truth has {total}"


def _sum_with_tax(summary: Mapping[str, Any]) -> Decimal | None:
    """Subtotal, discounts, charges and taxes added up; None if the subtotal is absent, or no tax has an amount.

    Only to be asked if the truth's total is on the page, perhaps as the subtotal or as the amount due.
    """
    net, taxes = _net(summary), [row["amount"] for row in summary.get("taxes", []) if "amount" in row]
    total = summary["grand_total"]
    if net is None or not taxes or total not in (summary.get("subtotal"), net, summary.get("amount_due")):
        return None
    return net + sum(taxes, Decimal(0)) + Decimal(summary.get("rounding") or 0)


def _small_share(
    truth: Mapping[str, Any], shown: Mapping[str, Any], page: PageText, min_visible_share: float
) -> str | None:
    values, found = dict(_values(truth)), dict(_values(shown))
    all_values, all_found = sum(map(len, values.values())), sum(map(len, found.values()))
    if all_values < MIN_VALUES or all_found >= min_visible_share * all_values:
        return None
    fields = [(name, value) for name, group in values.items() for value in group]
    missing = [f"{name} {value}" for name, value in fields if value not in found.get(name, [])]
    named = ", ".join(missing[:_MAX_NAMED]) + (", …" if len(missing) > _MAX_NAMED else "")
    return (
        f"only {all_found} of {all_values} values are on the page, less than data.min_visible_share "
        f"{min_visible_share}; not on it: {named}; {_quoted(page)}"
    )


def _values(data: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Each field that a page prints, with its values."""
    found: dict[str, list[Any]] = {}
    waiting: list[tuple[str, Any]] = [("", data)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}" if name else key, part) for key, part in value.items()][::-1]
        elif isinstance(value, list):
            waiting += [(f"{name}[]", part) for part in value][::-1]
        elif name in FIELDS:
            found.setdefault(name, []).append(value)
    yield from found.items()


def _amounts(data: Mapping[str, Any]) -> Iterator[Decimal]:
    """Every amount of the financial summary, and the sums that a page may print of them."""
    summary = data.get("financial_summary", {})
    parts = [summary, *(row for name in ("taxes", "discounts", "charges") for row in summary.get(name, []))]
    for part in parts:
        yield from (value for name, value in part.items() if isinstance(value, Decimal) and name != "rate")
    if (net := _net(summary)) is not None:
        yield net


def _net(summary: Mapping[str, Any]) -> Decimal | None:
    """The subtotal less discounts, plus charges."""
    subtotal: Decimal | None = summary.get("subtotal")
    if subtotal is None:
        return None
    less = sum((row["amount"] for row in summary.get("discounts", []) if "amount" in row), Decimal(0))
    more = sum((row["amount"] for row in summary.get("charges", []) if "amount" in row), Decimal(0))
    return subtotal - less + more


def _totals(page: PageText) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every labelled total of the page with its one amount: label, amount as printed, and what it can mean."""
    for line in page.lines:
        for start in line.starts or (0,):
            if (label := _total_label(line, start)) is None:
                continue
            text = without_dates(repaired_numbers(line.text))
            behind = [found for found in _joined(text) if found[0] >= start + len(label)]
            amounts = [found for found in behind if _is_amount(text, *found)]
            if len(amounts) == 1:
                begin, end, readings = amounts[0]
                yield label, line.text[begin:end], readings
            break


def _joined(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Each number of a text with its meanings; `3 444,81` is one place that may mean one number or two."""
    numbers = list(own_numbers(text))
    for group in THOUSANDS.finditer(text):
        start, end = group.span()
        inside = [found for found in numbers if start <= found[0] and found[1] <= end]
        parts = [reading for _, _, readings in inside for reading in readings]
        numbers = [found for found in numbers if found not in inside]
        numbers.append((start, end, (*joined_numbers_in(group[0]), *parts)))
    yield from sorted(numbers)


def _total_label(line: Line, start: int) -> str | None:
    """The label of a total at a place of a line; None if another label is there, or none."""
    own = label_pattern(TOTALS).match(line.text, start)
    if own is None:
        return None
    other = label_pattern(OTHER_AMOUNTS).match(line.text, start)
    return own[0] if other is None or len(other[0]) < len(own[0]) else None


def _is_amount(text: str, start: int, end: int, readings: tuple[str, ...]) -> bool:
    return bool(_WITH_DECIMALS.search(text, start, end)) or any(
        len(reading) >= _LEAST_WHOLE_DIGITS and "." not in reading for reading in readings
    )


def _quoted(page: PageText) -> str:
    """What the page prints instead: its totals, and how it begins."""
    totals = [f"{label} {text}" for label, text, _ in _totals(page)]
    begins = page.text.strip()[:_QUOTED_CHARACTERS]
    return f"it prints {', '.join([*totals[-2:], repr(begins)])}"
