"""Rules of EN 16931 on the VAT breakdown: taxable amounts must match the lines, VAT must match the rates.

Tolerances are those of the official validation artefacts 1.3.16, which differ between UBL and CII.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from erniekit_adapter.documents.invoice.einvoice import AllowanceCharge, EInvoice, InvoiceLine, Syntax, VatRow
from erniekit_adapter.documents.money import minor_unit, round_ties_up
from erniekit_adapter.documents.rules.rule import Rule
from erniekit_adapter.documents.verdict import Level, Verdict, equal, missing

EXACT = Decimal(0)
# Less than one unit of the currency (not the minor unit), because VAT can be rounded per line.
UNDER_ONE = Decimal("0.999999999999999999")
UP_TO_ONE = Decimal(1)
_CENT = Decimal("0.01")


class Category(NamedTuple):
    """A VAT category [UNTDID 5305] with rules.

    Attributes:
        prefix: prefix of the names of its rules.
        is_rated: whether it has rates, with one row of the breakdown for each.
        ubl: tolerance of a taxable amount in UBL.
        cii: the same in CII.
    """

    prefix: str
    is_rated: bool
    ubl: Decimal
    cii: Decimal


# None of these rules exists for split payment (B).
CATEGORIES: dict[str, Category | None] = {
    "AE": Category("BR-AE", False, EXACT, UNDER_ONE),
    "L": Category("BR-AF", True, UNDER_ONE, EXACT),
    "M": Category("BR-AG", True, UNDER_ONE, EXACT),
    "E": Category("BR-E", False, EXACT, UNDER_ONE),
    "S": Category("BR-S", True, UNDER_ONE, EXACT),
    "Z": Category("BR-Z", False, EXACT, EXACT),
    "G": Category("BR-G", False, EXACT, UNDER_ONE),
    "O": Category("BR-O", False, EXACT, EXACT),
    "K": Category("BR-IC", False, EXACT, UNDER_ONE),
    "B": None,
}
# In CII the official rules on taxable amounts and VAT of these categories read elements that do not exist, so they
# never fail. Ours follow the text of the rules and only warn.
_ONLY_WARN_IN_CII = frozenset({"L", "M"})
# In CII the official BR-CO-17 skips the rows of these categories.
_NOT_IN_CII_CO_17 = frozenset({"L", "M", "O"})


def extended_tolerance(invoice: EInvoice, amounts: int) -> Decimal:
    """Return the tolerance of a sum of amounts: one cent for each amount in the profile EXTENDED, else 0."""
    return _CENT * amounts if invoice.is_extended else EXACT


def together(verdicts: Sequence[Verdict], operand: str) -> Verdict:
    """Combine verdicts: failed if one failed, else not checkable if one is not checkable, else passed."""
    for status in ("fail", "not checkable", "pass"):
        details = [detail for found, detail in verdicts if found == status]
        if details:
            return status, "; ".join(details)
    return missing(operand)


def categories_of(invoice: EInvoice) -> Iterator[tuple[str, str | None]]:
    """Yield the location and VAT category of every row, line, allowance and charge."""
    places: tuple[tuple[str, Sequence[VatRow | InvoiceLine | AllowanceCharge]], ...] = (
        ("VAT row", invoice.vat_breakdown),
        ("line", invoice.lines),
        ("allowance", invoice.allowances),
        ("charge", invoice.charges),
    )
    for place, parts in places:
        for number, part in enumerate(parts, start=1):
            yield f"{place} {number}", part.category


def rule_of(name: str, level: Level, sentence: str, check: Callable[[EInvoice], Verdict]) -> Rule:
    """Return a rule on an e-invoice, whose rules share nothing."""
    return Rule(name, level, sentence, lambda invoice, _: check(invoice))


def used_categories(invoice: EInvoice) -> frozenset[str]:
    """Return the VAT categories whose rules apply: those in the invoice that have rules, and the standard rate."""
    found = {code for _, code in categories_of(invoice)} | {"S"}
    return frozenset(code for code, category in CATEGORIES.items() if code in found and category is not None)


def category_rules(used: frozenset[str], syntax: Syntax) -> Iterator[Rule]:
    """Yield the rules of VAT categories."""
    for code, category in CATEGORIES.items():
        if category is not None and code in used:
            level, prefix = category_level(code, syntax), category.prefix
            yield rule_of(
                f"{prefix}-01",
                "error",
                f"The VAT breakdown has rows of category {code} if the invoice uses it, and only then.",
                partial(_has_rows, code),
            )
            yield rule_of(
                f"{prefix}-08",
                level,
                f"Taxable amounts of VAT category {code} are its lines and charges, less its allowances.",
                partial(_taxable_amounts, code),
            )
            tax = "the taxable amount times the rate" if category.is_rated else "0"
            yield rule_of(
                f"{prefix}-09", level, f"The VAT of category {code} is {tax}.", partial(_category_tax_amounts, code)
            )


def category_level(code: str, syntax: Syntax) -> Level:
    """Return the level of a category's rules on amounts."""
    return "warn" if syntax == "CII" and code in _ONLY_WARN_IN_CII else "error"


class _TaxedPart(NamedTuple):
    """A line, charge or allowance of the document; `amount` is its contribution to the taxable amount."""

    category: str | None
    rate: Decimal | None
    amount: Decimal | None


def _line_parts(invoice: EInvoice) -> list[_TaxedPart]:
    return [_TaxedPart(line.category, line.rate, line.net_amount) for line in invoice.lines]


def _document_parts(invoice: EInvoice) -> list[_TaxedPart]:
    charges = [_TaxedPart(charge.category, charge.rate, charge.amount) for charge in invoice.charges]
    negated = ((part, None if part.amount is None else -part.amount) for part in invoice.allowances)
    return charges + [_TaxedPart(part.category, part.rate, amount) for part, amount in negated]


def _cannot_compare(invoice: EInvoice) -> Verdict | None:
    """Return the missing operands for comparing the breakdown with the lines; None if it can be compared."""
    if not invoice.lines or not invoice.vat_breakdown:
        return missing("VAT breakdown" if invoice.lines else "lines")
    if any(part.category is None for part in (*_line_parts(invoice), *_document_parts(invoice))):
        return missing("VAT category [BT-151, BT-95, BT-102] of a line, allowance or charge")
    return None


def _has_rows(code: str, invoice: EInvoice) -> Verdict:
    """Check that a used category has one row in the breakdown, or one for each rate."""
    if verdict := _cannot_compare(invoice):
        return verdict
    rows = sum(row.category == code for row in invoice.vat_breakdown)
    lines = sum(part.category == code for part in _line_parts(invoice))
    others = sum(part.category == code for part in _document_parts(invoice))
    if not rows + lines + others:
        return missing(f"anything of VAT category {code}")
    category = CATEGORIES[code]
    is_right = _has_right_rows_cii if invoice.syntax == "CII" else _has_right_rows_ubl
    several = category is not None and (category.is_rated or invoice.is_extended)
    shown = f"rows of {code} in the VAT breakdown: {rows}, for {lines + others} lines, allowances and charges"
    if is_right(rows, lines, others, several):
        return "pass", shown
    return "fail", f"{shown}; expected {'one or more' if several else 'one'}, and none for nothing"


def _has_right_rows_ubl(rows: int, lines: int, others: int, several: bool) -> bool:
    return (rows > 0) == (lines + others > 0) if several else rows == 1


def _has_right_rows_cii(rows: int, lines: int, others: int, several: bool) -> bool:
    if not several:
        return rows == 1 and lines + others > 0
    # Like the official test, which accepts two lines without a row.
    return all(not used or used + rows > 1 for used in (lines, others))


def _taxable_amounts(code: str, invoice: EInvoice) -> Verdict:
    """Check that each taxable amount is lines + charges - allowances; rows are not added up."""
    if verdict := _cannot_compare(invoice):
        return verdict
    category = CATEGORIES[code]
    rows = [row for row in invoice.vat_breakdown if row.category == code]
    own = [part for part in (*_line_parts(invoice), *_document_parts(invoice)) if part.category == code]
    is_rated = category is not None and category.is_rated
    if is_rated and None in {*(row.rate for row in rows), *(part.rate for part in own)}:
        return missing(f"a VAT rate [BT-119, BT-152, BT-96, BT-103] of category {code}")
    if invoice.is_extended and not is_rated and len(rows) > 1:
        return "not checkable", f"{len(rows)} rows of {code}, one for each exemption reason, which lines do not state"
    verdicts = [_taxable_amount(row, _of_rate(own, row.rate) if is_rated else own, invoice) for row in rows]
    return together(verdicts, f"a row of VAT category {code}")


def _of_rate(parts: Sequence[_TaxedPart], rate: Decimal | None) -> list[_TaxedPart]:
    return [part for part in parts if part.rate == rate]


def _taxable_amount(row: VatRow, parts: Sequence[_TaxedPart], invoice: EInvoice) -> Verdict:
    code, category = row.category or "", CATEGORIES[row.category or ""]
    is_rated = category is not None and category.is_rated
    name = f"base [BT-116] of {code}" + (f" {row.rate} %" if is_rated else "")
    known = [part.amount for part in parts if part.amount is not None]
    if len(known) < len(parts) or row.taxable_amount is None:
        return missing(f"{name} or an amount that belongs to it")
    if code == "S" and not parts and invoice.syntax == "UBL":
        return "fail", f"{name} {row.taxable_amount}, but no line, charge or allowance of this rate"
    tolerance = _taxable_tolerance(code, invoice, len(parts))
    return equal(name, row.taxable_amount, "lines + charges - allowances", sum(known, Decimal(0)), tolerance)


def _taxable_tolerance(code: str, invoice: EInvoice, amounts: int) -> Decimal:
    category = CATEGORIES[code]
    if category is None or invoice.is_extended:
        return extended_tolerance(invoice, amounts)
    return category.cii if invoice.syntax == "CII" else category.ubl


def _category_tax_amounts(code: str, invoice: EInvoice) -> Verdict:
    """Check that the VAT of a category with rates follows from them, and that other VAT is 0."""
    rows = [row for row in invoice.vat_breakdown if row.category == code]
    category = CATEGORIES[code]
    if category is None or not category.is_rated:
        verdicts = [_no_tax(row) for row in rows]
    elif invoice.is_extended:
        parts = [part for part in (*_line_parts(invoice), *_document_parts(invoice)) if part.category == code]
        verdicts = [_official_tax(row, extended_tolerance(invoice, len(_of_rate(parts, row.rate)))) for row in rows]
    else:
        verdicts = [_official_tax(row, UNDER_ONE) for row in rows]
    return together(verdicts, f"VAT breakdown of category {code}")


def _no_tax(row: VatRow) -> Verdict:
    if row.tax_amount is None:
        return missing("VAT [BT-117]")
    return equal(f"VAT [BT-117] of {row.category}", row.tax_amount, "expected", Decimal(0))


def official_tax_amounts(invoice: EInvoice) -> Verdict:
    """Check that each VAT amount is base × rate, with the tolerance of the official checks (BR-CO-17)."""
    if invoice.is_extended:
        return "not checkable", "the profile EXTENDED has BR-S-09 instead"
    rows = [row for row in invoice.vat_breakdown if not _is_beyond_co_17(row, invoice.syntax)]
    tolerance = UP_TO_ONE if invoice.syntax == "CII" else UNDER_ONE
    return together([_official_tax(row, tolerance, whole_rates=True) for row in rows], "VAT breakdown")


def _is_beyond_co_17(row: VatRow, syntax: Syntax) -> bool:
    return syntax == "CII" and row.category in _NOT_IN_CII_CO_17


def _official_tax(row: VatRow, tolerance: Decimal, *, whole_rates: bool = False) -> Verdict:
    """Check that a VAT amount is base × rate to 2 places; signs are ignored, as in the official checks.

    Args:
        row: row of the breakdown.
        tolerance: largest accepted difference.
        whole_rates: whether a rate that rounds to 0 % requires VAT that rounds to 0, as BR-CO-17 does.
    """
    rate = Decimal(0) if row.rate is None and row.category == "O" else row.rate
    if row.taxable_amount is None or row.tax_amount is None or rate is None:
        return _missing_of_row(row, rate)
    name = f"VAT [BT-117] of {row.category}"
    if whole_rates and not round_ties_up(rate, Decimal(1)):
        rounds_to_0 = not round_ties_up(row.tax_amount, Decimal(1))
        return "pass" if rounds_to_0 else "fail", f"{name} {row.tax_amount} at {rate} % {'=' if rounds_to_0 else '≠'} 0"
    expected = round_ties_up(abs(row.taxable_amount) * rate / 100, _CENT)
    status, _ = equal("", abs(row.tax_amount), "", expected, tolerance)
    signed = -expected if row.tax_amount < 0 else expected
    sign = "≠" if status == "fail" else "=" if row.tax_amount == signed else "≈"
    return status, f"{name} {row.tax_amount} {sign} {row.taxable_amount} × {rate} % = {signed}"


def tax_amounts(invoice: EInvoice) -> Verdict:
    """Check that each VAT amount is base × rate, to one minor unit of the currency."""
    unit = minor_unit(invoice.currency)
    return together([_tax_amount(row, unit) for row in invoice.vat_breakdown], "VAT breakdown")


def _tax_amount(row: VatRow, unit: Decimal) -> Verdict:
    # Category O (outside the scope of VAT) has no rate; the rule of the standard then requires 0.
    rate = Decimal(0) if row.rate is None and row.category == "O" else row.rate
    if row.taxable_amount is None or row.tax_amount is None or rate is None:
        return _missing_of_row(row, rate)
    expected = round_ties_up(row.taxable_amount * rate / 100, unit)
    terms = f"{row.taxable_amount} × {rate} % ="
    return equal(f"VAT [BT-117] of {row.category}", row.tax_amount, terms, expected, unit)


def _missing_of_row(row: VatRow, rate: Decimal | None) -> Verdict:
    operands = (("base [BT-116]", row.taxable_amount), ("VAT [BT-117]", row.tax_amount), ("rate [BT-119]", rate))
    return missing(*[name for name, value in operands if value is None])
