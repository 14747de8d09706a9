"""What EN 16931 asks of the VAT breakdown: taxable amounts against the lines, VAT against the rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial

from erniekit_adapter.invoice.einvoice import AllowanceCharge, EInvoice, InvoiceLine, VatRow
from erniekit_adapter.invoice.money import minor_unit, round_ties_up
from erniekit_adapter.invoice.rules import Verdict, equal, missing

# VAT category → how the names of its rules begin; split payment (B) has none of the rules here.
CATEGORIES: dict[str, str | None] = {
    "AE": "BR-AE",
    "L": "BR-AF",
    "M": "BR-AG",
    "E": "BR-E",
    "S": "BR-S",
    "Z": "BR-Z",
    "G": "BR-G",
    "O": "BR-O",
    "K": "BR-IC",
    "B": None,
}
# Categories with rates of their own: a row of the breakdown for each rate.
_RATED = frozenset({"S", "L", "M"})
# The official checks let pass what is off by less than a whole unit of the currency (not of its minor unit): VAT may
# have been rounded line by line. TAX-AMOUNT warns of what they let pass.
_OFFICIAL_TOLERANCE = Decimal("0.99")
_TWO_DECIMALS = Decimal("0.01")

Rule = Callable[[EInvoice], Verdict]


def together(verdicts: Sequence[Verdict], what: str) -> Verdict:
    """One verdict of many: a failure tells most, then what could not be checked; it passes where all of them pass."""
    for status in ("fail", "not checkable", "pass"):
        details = [detail for found, detail in verdicts if found == status]
        if details:
            return status, "; ".join(details)
    return missing(what)


def categories_of(invoice: EInvoice) -> Iterator[tuple[str, str | None]]:
    """Every VAT category with its place."""
    places: tuple[tuple[str, Sequence[VatRow | InvoiceLine | AllowanceCharge]], ...] = (
        ("VAT row", invoice.vat_breakdown),
        ("line", invoice.lines),
        ("allowance", invoice.allowances),
        ("charge", invoice.charges),
    )
    for place, parts in places:
        for number, part in enumerate(parts, start=1):
            yield f"{place} {number}", part.category


def category_rules(invoice: EInvoice) -> Iterator[tuple[str, Rule]]:
    """The rules of the categories that occur, and of the standard rate always."""
    found = {category for _, category in categories_of(invoice)} | {"S"}
    for category, prefix in CATEGORIES.items():
        if category in found and prefix is not None:
            yield f"{prefix}-08", partial(_taxable_amounts, category)
            yield f"{prefix}-09", partial(_category_tax_amounts, category)


def _taxable_amounts(category: str, invoice: EInvoice) -> Verdict:
    """Each taxable amount is its lines plus charges less allowances."""
    parts = list(_parts(invoice))
    if not invoice.lines or not invoice.vat_breakdown:
        return missing("VAT breakdown" if invoice.lines else "lines")
    if any(code is None for code, _, _ in parts):
        return missing("VAT category [BT-151, BT-95, BT-102] of a line, allowance or charge")
    own = [(rate if category in _RATED else None, amount) for code, rate, amount in parts if code == category]
    rows = [row for row in invoice.vat_breakdown if row.category == category]
    rates = {row.rate if category in _RATED else None: None for row in rows} | {rate: None for rate, _ in own}
    if category in _RATED and None in rates:
        return missing(f"a VAT rate [BT-119, BT-152, BT-96, BT-103] of category {category}")
    verdicts = [_taxable_amount(category, rate, rows, own) for rate in rates]
    return together(verdicts, f"anything of VAT category {category}")


def _parts(invoice: EInvoice) -> Iterator[tuple[str | None, Decimal | None, Decimal | None]]:
    """Category, rate and signed amount of everything that is taxed."""
    for line in invoice.lines:
        yield line.category, line.rate, line.net_amount
    for charge in invoice.charges:
        yield charge.category, charge.rate, charge.amount
    for allowance in invoice.allowances:
        yield allowance.category, allowance.rate, None if allowance.amount is None else -allowance.amount


def _taxable_amount(
    category: str, rate: Decimal | None, rows: Sequence[VatRow], parts: Sequence[tuple[Decimal | None, Decimal | None]]
) -> Verdict:
    name = f"base [BT-116] of {category}" + ("" if rate is None else f" {rate} %")
    found = [row.taxable_amount for row in rows if rate is None or row.rate == rate]
    amounts = [amount for own_rate, amount in parts if own_rate == rate]
    known, bases = ([amount for amount in values if amount is not None] for values in (amounts, found))
    if len(known) < len(amounts) or len(bases) < len(found):
        return missing(f"{name} or an amount that belongs to it")
    expected = sum(known, Decimal(0))
    if not bases:
        return "fail", f"no {name}, its lines + charges - allowances come to {expected}"
    tolerance = _OFFICIAL_TOLERANCE if category in _RATED else Decimal(0)
    return equal(name, sum(bases, Decimal(0)), "lines + charges - allowances", expected, tolerance)


def _category_tax_amounts(category: str, invoice: EInvoice) -> Verdict:
    """The VAT of a category with rates follows from them; of any other category it is 0."""
    rows = [row for row in invoice.vat_breakdown if row.category == category]
    what = f"VAT breakdown of category {category}"
    if category in _RATED:
        return together([_tax_amount(row, _TWO_DECIMALS, _OFFICIAL_TOLERANCE) for row in rows], what)
    return together([_no_tax(row) for row in rows], what)


def _no_tax(row: VatRow) -> Verdict:
    if row.tax_amount is None:
        return missing("VAT [BT-117]")
    return equal(f"VAT [BT-117] of {row.category}", row.tax_amount, "expected", Decimal(0))


def official_tax_amounts(invoice: EInvoice) -> Verdict:
    """BR-CO-17: each VAT amount is base × rate, with the tolerance of the official checks."""
    rows = [_tax_amount(row, _TWO_DECIMALS, _OFFICIAL_TOLERANCE) for row in invoice.vat_breakdown]
    return together(rows, "VAT breakdown")


def tax_amounts(invoice: EInvoice) -> Verdict:
    """Each VAT amount is base × rate, to one minor unit of the currency."""
    unit = minor_unit(invoice.currency)
    return together([_tax_amount(row, unit, unit) for row in invoice.vat_breakdown], "VAT breakdown")


def _tax_amount(row: VatRow, unit: Decimal, tolerance: Decimal) -> Verdict:
    # What is outside the scope of VAT (O) has no rate; the standard's rule then asks for 0.
    rate = Decimal(0) if row.rate is None and row.category == "O" else row.rate
    if row.taxable_amount is None or row.tax_amount is None or rate is None:
        operands = (("base [BT-116]", row.taxable_amount), ("VAT [BT-117]", row.tax_amount), ("rate [BT-119]", rate))
        return missing(*[name for name, value in operands if value is None])
    expected = round_ties_up(row.taxable_amount * rate / 100, unit)
    terms = f"{row.taxable_amount} × {rate} % ="
    return equal(f"VAT [BT-117] of {row.category}", row.tax_amount, terms, expected, tolerance)
