"""BR-CO-17 on a canonical answer: what its taxes, of which it states no taxable amounts, can have been computed from.

Taxes may be of parts of an invoice (VAT), each of the whole (GST and PST, CGST and SGST), or on top of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from erniekit_adapter.invoice.answer import FinancialSummary
from erniekit_adapter.invoice.money import minor_unit, round_to_minor_unit
from erniekit_adapter.invoice.verdict import Verdict

# The official checks accept a VAT amount that is off by less than one unit of the currency (not of its minor unit).
_OFFICIAL_TOLERANCE = Decimal("0.99")
_ZERO = Decimal(0)
# Rate as a fraction, and amount.
_Taxes = Sequence[tuple[Decimal, Decimal]]


class TaxBases(NamedTuple):
    """Amounts that taxes can have been computed from.

    Attributes:
        net: subtotal - discounts + charges; None if a part is missing.
        lines: line items' totals.
        charges: sum of the charges that are stated.
        may_add_charges: whether charges that are not stated may be taxed as well.
    """

    net: Decimal | None
    lines: tuple[Decimal, ...]
    charges: Decimal
    may_add_charges: bool


def tax_of_whole(summary: FinancialSummary, net: Decimal | None) -> Verdict | None:
    """Return that the only tax is its rate of the whole invoice, as most are; None if more has to be looked at."""
    if net is None or not summary.taxes or len(summary.taxes) > 1:
        return None
    rate, amount = summary.taxes[0].rate, summary.taxes[0].amount
    if rate is None or amount is None or not 0 < rate <= 1 or abs(net * rate - amount) > _OFFICIAL_TOLERANCE:
        return None
    return "pass", f"tax {amount} ≈ {net} × {rate}"


def tax_amounts(summary: FinancialSummary, bases: TaxBases) -> Verdict:
    """Return whether the taxes can be those of the document.

    The official rule accepts a tax that is off by less than one unit of the currency, because it may be rounded per
    line item or to whole units. A tax may be computed before the discount, and a part of the invoice may be exempt.
    """
    rows = summary.taxes or []
    known = [(tax.rate, tax.amount) for tax in rows if tax.rate is not None and tax.amount is not None]
    if bases.net is None or not rows or len(known) < len(rows):
        return "not checkable", "needs the subtotal, and the rate and amount of every tax"
    # The amounts of a credit note may all be negative.
    sign = -1 if bases.net < 0 else 1
    taxes = [(rate, amount * sign) for rate, amount in known]
    if wrong := [rate for rate, amount in taxes if not 0 <= rate <= 1 and not (-1 <= rate < 0 and amount <= 0)]:
        return "fail", f"rate {wrong[0]} is no fraction from 0 to 1"
    if untaxed := sum((amount for rate, amount in taxes if not rate), _ZERO):
        return "fail", f"tax {untaxed} at the rate 0"
    # A tax that is withheld is taken off: -150 at -15 %.
    taxed = [(abs(rate), amount if rate > 0 else -amount) for rate, amount in taxes if rate]
    if not taxed:
        return "pass", "tax 0 at the rate 0"
    signed = bases._replace(net=bases.net * sign, lines=tuple(total * sign for total in bases.lines))
    return _taxable_amounts(summary, signed, taxed, sign)


def _taxable_amounts(summary: FinancialSummary, bases: TaxBases, taxed: _Taxes, sign: int) -> Verdict:
    """Return whether the amounts that the taxes were computed from can be those of the document."""
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
        # A tax may be computed on the others as well.
        others = sum((max(other, _ZERO) for n, (_, other) in enumerate(taxed) if n != place), _ZERO)
        if amount - (most + others) * rate > _OFFICIAL_TOLERANCE:
            return "fail", f"tax {amount} ≠ {net} × {rate} = {round_to_minor_unit(net * rate, summary.currency)}"
    return "not checkable", f"taxable amount {shown} is not {net}: a part may be taxed otherwise"


def included_taxes(
    summary: FinancialSummary, gross: Decimal, line_items: int, *, of_all: bool = False
) -> Verdict | None:
    """Return whether the taxes are the part of a gross amount that their rates make of it; None if they cannot be.

    A gross amount of 119 at 19 % holds 119 × 19 / 119. Unless taxes are `of_all`, a part of it may be without tax.
    """
    rows = summary.taxes or []
    known = [(row.rate, row.amount) for row in rows if row.rate is not None and row.amount is not None]
    if len(known) < len(rows):
        return "not checkable", "the subtotal equals the grand_total: whether it includes the taxes is unknown"
    tax = sum((amount for _, amount in known), _ZERO)
    taxed = [(rate, amount) for rate, amount in known if 0 < rate <= 1]
    if len(taxed) < len([amount for _, amount in known if amount]):
        return None
    # Rounding per line item is off by at most a unit for each.
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
