"""Taxes of line items made into the rows of a tax breakdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class LineItemTax:
    """The tax of one line item: rate as a fraction, amount of that line item; None if not given."""

    rate: Decimal | None
    amount: Decimal | None


def tax_rows(stated: Sequence[Mapping[str, Any]], of_lines: Sequence[LineItemTax]) -> list[dict[str, Any]]:
    """Return the tax rows of a document: one for each rate of its line items, equal to the stated tax in sum.

    Args:
        stated: rows of the document itself, with type, rate and amount as far as known.
        of_lines: the tax of each line item.

    Raises:
        ValueError: only some line items have a tax, or their taxes differ from the stated ones.
    """
    rates = [tax.rate for tax in of_lines if tax.rate is not None]
    amounts = [tax.amount for tax in of_lines if tax.amount is not None]
    if not rates and not amounts:
        return [dict(row) for row in stated]
    if {len(rates), len(amounts)} - {0, len(of_lines)}:
        raise ValueError("line_items: tax_rate or tax_amount for some line items only")
    rows = _by_rate(of_lines)
    if len(stated) > 1:
        _check_named(rows, stated)
        return [dict(row) for row in stated]
    if len(rows) > 1 and not amounts:
        raise ValueError("line_items: several tax_rate without tax_amount: the amount of tax for each rate is unknown")
    only = stated[0] if stated else {}
    _agree("tax_rate", only.get("rate"), sorted(set(rates)))
    _agree("tax_amount", only.get("amount"), [sum(amounts, Decimal(0))] if amounts else [])
    return [{**only, **row} for row in rows]


def _check_named(rows: Sequence[Mapping[str, Any]], stated: Sequence[Mapping[str, Any]]) -> None:
    """Check that every row calculated from the line items is one of the stated rows."""
    for row in rows:
        if not any(all(known.get(key) == value for key, value in row.items()) for known in stated):
            found = ", ".join(f"{key} {value}" for key, value in row.items())
            raise ValueError(f"taxes: the line items give {found}, which is not a stated row")


def _agree(name: str, stated: Decimal | None, of_lines: list[Decimal]) -> None:
    if stated is not None and of_lines not in ([], [stated]):
        found = " and ".join(map(str, of_lines))
        raise ValueError(f"{name}: {stated}, and the line items give {found}")


def _by_rate(of_lines: Sequence[LineItemTax]) -> list[dict[str, Any]]:
    sums: dict[Decimal | None, Decimal | None] = {}
    for tax in of_lines:
        before = sums.get(tax.rate)
        sums[tax.rate] = tax.amount if before is None or tax.amount is None else before + tax.amount
    rows = [{"rate": rate, "amount": amount} for rate, amount in sums.items()]
    return [{key: value for key, value in row.items() if value is not None} for row in rows]
