"""BR-CO-17 on an answer: possible taxable amounts of its taxes, because an answer does not state them.

A tax can apply to a part of an invoice (VAT), to all of it (GST and PST, CGST and SGST), or to other taxes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from erniekit_adapter.documents.invoice.answer import FinancialSummary
from erniekit_adapter.documents.money import minor_unit, round_to_minor_unit
from erniekit_adapter.documents.verdict import Verdict

# The official checks accept a VAT amount that differs by less than one unit of the currency (not the minor unit).
_OFFICIAL_TOLERANCE = Decimal("0.99")
_ZERO = Decimal(0)
# Rates as fractions, and amounts.
_Taxes = Sequence[tuple[Decimal, Decimal]]


class TaxBases(NamedTuple):
    """Possible taxable amounts.

    Attributes:
        net: subtotal - discounts + charges; None if a part is missing.
        lines: totals of the line items.
        charges: sum of the stated charges.
        may_add_charges: whether charges that are not stated may also be taxed.
    """

    net: Decimal | None
    lines: tuple[Decimal, ...]
    charges: Decimal
    may_add_charges: bool


def tax_of_whole(summary: FinancialSummary, net: Decimal | None) -> Verdict | None:
    """Return a pass if the only tax is its rate × the net amount, which is the usual case; else None."""
    if net is None or not summary.taxes or len(summary.taxes) > 1:
        return None
    rate, amount = summary.taxes[0].rate, summary.taxes[0].amount
    if rate is None or amount is None or not 0 < rate <= 1 or abs(net * rate - amount) > _OFFICIAL_TOLERANCE:
        return None
    return "pass", f"tax {amount} ≈ {net} × {rate}"


def tax_amounts(summary: FinancialSummary, bases: TaxBases) -> Verdict:
    """Return whether the taxes are possible for the document.

    The official rule accepts a tax that differs by less than one unit of the currency, because it can be rounded per
    line item or to whole units. A tax can be computed before the discount, and a part of the invoice can be exempt.
    """
    rows = summary.taxes or []
    known = [(tax.rate, tax.amount) for tax in rows if tax.rate is not None and tax.amount is not None]
    if bases.net is None or not rows or len(known) < len(rows):
        return "not checkable", "needs the subtotal, and the rate and amount of every tax"
    # All amounts of a credit note can be negative.
    sign = -1 if bases.net < 0 else 1
    taxes = [(rate, amount * sign) for rate, amount in known]
    if wrong := [rate for rate, amount in taxes if not 0 <= rate <= 1 and not (-1 <= rate < 0 and amount <= 0)]:
        return "fail", f"rate {wrong[0]} is no fraction from 0 to 1"
    if untaxed := sum((amount for rate, amount in taxes if not rate), _ZERO):
        return "fail", f"tax {untaxed} at the rate 0"
    # A withholding tax is subtracted: -150 at -15 %.
    taxed = [(abs(rate), amount if rate > 0 else -amount) for rate, amount in taxes if rate]
    if not taxed:
        return "pass", "tax 0 at the rate 0"
    signed = bases._replace(net=bases.net * sign, lines=tuple(total * sign for total in bases.lines))
    return _taxable_amounts(summary, signed, taxed, sign)


def _taxable_amounts(summary: FinancialSummary, bases: TaxBases, taxed: _Taxes, sign: int) -> Verdict:
    """Return whether the taxable amounts that follow from the taxes are possible for the document."""
    net, subtotal = bases.net or _ZERO, (summary.subtotal or _ZERO) * sign
    shown = " + ".join(f"{amount} / {rate}" for rate, amount in taxed)
    if all(abs(net * rate - amount) <= _OFFICIAL_TOLERANCE for rate, amount in taxed):
        return "pass", f"taxes {', '.join(f'{amount} ≈ {net} × {rate}' for rate, amount in taxed)}"
    possible = [net, subtotal]
    if summary.grand_total == net * sign:
        possible.append(net - sum((amount for _, amount in taxed), _ZERO))
    base = sum((amount / rate for rate, amount in taxed), _ZERO)
    slack = sum((_OFFICIAL_TOLERANCE / rate for rate, _ in taxed), _ZERO)
    if any(abs(base - amount) <= slack for amount in possible):
        return "pass", f"taxable amount {shown} ≈ {net}"
    charges = bases.charges * sign
    most = max(*possible, subtotal + charges, sum((total for total in bases.lines if total > 0), charges))
    most += abs(subtotal) if bases.may_add_charges else _ZERO
    for place, (rate, amount) in enumerate(taxed):
        # A tax can also apply to the other taxes.
        others = sum((max(other, _ZERO) for n, (_, other) in enumerate(taxed) if n != place), _ZERO)
        if amount - (most + others) * rate > _OFFICIAL_TOLERANCE:
            return "fail", f"tax {amount} ≠ {net} × {rate} = {round_to_minor_unit(net * rate, summary.currency)}"
    return "not checkable", f"taxable amount {shown} is not {net}: a part may be taxed differently"


def included_taxes(
    summary: FinancialSummary, gross: Decimal, line_items: int, *, of_all: bool = False
) -> Verdict | None:
    """Return whether a gross amount includes the taxes at their rates; None if it cannot.

    A gross amount of 119 at 19 % includes 119 × 19 / 119. Unless `of_all`, a part of it can be untaxed.
    """
    rows = summary.taxes or []
    known = [(row.rate, row.amount) for row in rows if row.rate is not None and row.amount is not None]
    if len(known) < len(rows):
        return "not checkable", "the subtotal equals the grand_total: whether it includes the taxes is unknown"
    tax = sum((amount for _, amount in known), _ZERO)
    taxed = [(rate, amount) for rate, amount in known if 0 < rate <= 1]
    if len(taxed) < len([amount for _, amount in known if amount]):
        return None
    # Rounding per line item changes the sum by at most one unit for each.
    tolerance = max(1, line_items) * minor_unit(summary.currency)
    if len(taxed) == 1:
        ((rate, amount),) = taxed
        if abs(amount - round_to_minor_unit(gross * rate / (1 + rate), summary.currency)) <= tolerance:
            return "pass", f"grand_total {gross} includes taxes {tax}"
    parts = sum((amount * (1 + rate) / rate for rate, amount in taxed), _ZERO)
    slack = sum((tolerance * (1 + rate) / rate for rate, _ in taxed), _ZERO)
    if len(taxed) > 1 and abs(abs(parts) - abs(gross)) <= slack:
        return "pass", f"grand_total {gross} includes taxes {tax}"
    if not of_all and abs(parts) < abs(gross):
        return "not checkable", f"grand_total {gross} may include taxes {tax} of a part of it"
    return None
