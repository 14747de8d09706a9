"""Amounts with one separator: rules that decide whether 1,234 has three decimals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from erniekit_adapter.documents.money import minor_digits, parse_amount, round_to_minor_unit

_ONE_SEPARATOR = re.compile(r"(?<![\d.,])(\d{1,3})([.,])(\d{3})(?![\d.,])")
_MOST_DECIMALS = 2
_MULTIPLICATION = "xX×*"


def read_total(value: object, currency: str | None = None) -> Decimal:
    """Read a total, which has no more decimals than its currency: in EUR or IDR, 33,000 is thirty-three thousand.

    Raises:
        ValueError: the value is not an amount, or has two readings and no currency to decide.
    """
    try:
        return parse_amount(value)
    except ValueError:
        if currency is None or minor_digits(currency) > _MOST_DECIMALS or (whole := _as_thousands(value)) is None:
            raise
        return parse_amount(whole)


def read_price(value: object, currency: str | None, quantity: Decimal | None, total: Decimal | None) -> Decimal:
    """Read a unit price, which may have more decimals than its currency; of two readings, use the one with that total.

    Raises:
        ValueError: the value is not an amount, or not exactly one of two readings gives the total of the line item.
    """
    try:
        return parse_amount(value)
    except ValueError:
        if (whole := _as_thousands(value)) is None or quantity is None or total is None:
            raise
        fine = parse_amount(_ONE_SEPARATOR.sub(r"\1.\g<3>0", str(value)))
        readings = [parse_amount(whole), fine.quantize(Decimal("0.001"))]
        fitting = [price for price in readings if round_to_minor_unit(price * quantity, currency) == total]
        if len(fitting) != 1:
            raise
        return fitting[0]


def read_quantity(value: object) -> Decimal:
    """Read a quantity, with or without a multiplication sign: `2 x`, `x2`.

    Raises:
        ValueError: the value is not a number, or is ambiguous.
    """
    if isinstance(value, str):
        value = value.strip().strip(_MULTIPLICATION).strip()
    return parse_amount(value)


def make_discounts_positive(summary: dict[str, Any]) -> None:
    """Make negative discounts positive, in place: -66.67 becomes 66.67.

    Discounts stay negative if the sums show that they are added, or if the amounts of the document are negative.
    """
    rows = summary.get("discounts") or []
    amounts = [row["amount"] for row in rows if row.get("amount")]
    total, subtotal = (summary.get(name) for name in ("grand_total", "subtotal"))
    is_negative = any(amount is not None and amount < 0 for amount in (total, subtotal))
    if is_negative or not amounts or max(amounts) > 0:
        return
    known = subtotal is not None and all(map(_has_amount, summary.get("taxes", ())))
    net = subtotal - sum(amounts) + _sum(summary.get("charges", ())) if known else None
    if net is None or net + _sum(summary.get("taxes", ())) != total:
        summary["discounts"] = [{**row, "amount": -row["amount"]} if row.get("amount") else row for row in rows]


def _has_amount(row: Mapping[str, Any]) -> bool:
    return row.get("amount") is not None


def _sum(rows: Iterable[Mapping[str, Any]]) -> Decimal:
    return sum((row["amount"] for row in rows if _has_amount(row)), Decimal(0))


def _as_thousands(value: object) -> str | None:
    """Return the text without its one separator; None if no separator can be one of thousands."""
    if not isinstance(value, str) or not _ONE_SEPARATOR.search(value):
        return None
    return _ONE_SEPARATOR.sub(r"\1\3", value)
