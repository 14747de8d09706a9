"""Rules of EN 16931 on an e-invoice, with the names of the standard; docs/einvoices.md lists them.

Tolerances are those of the official validation artefacts 1.3.16 for the invoice's syntax; in the profile EXTENDED those
of its own checks, one cent for each amount in a sum. `R051` (currencies) and `R120` (lines) are Peppol's; `TAX-AMOUNT`,
`MINOR-UNITS` and `DUE-DATE` are our own. These five only warn, because the checks of the standard accept such invoices.
If the standard counts an absent amount as 0, so do the rules; any other missing operand makes a rule not checkable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Context, Decimal, localcontext
from functools import cache

from erniekit_adapter.documents.invoice.einvoice import AllowanceCharge, EInvoice, InvoiceLine, Syntax
from erniekit_adapter.documents.invoice.rules import LINE_TOLERANCE_MINOR_UNITS
from erniekit_adapter.documents.invoice.vat_rules import (
    CATEGORIES,
    categories_of,
    category_rules,
    extended_tolerance,
    official_tax_amounts,
    rule_of,
    tax_amounts,
    together,
    used_categories,
)
from erniekit_adapter.documents.money import is_currency, minor_digits, minor_unit
from erniekit_adapter.documents.rules.rule import Finding, RuleSet
from erniekit_adapter.documents.verdict import PASS, Verdict, equal, missing

MAX_DECIMALS = 2
# Enough digits for the product of two amounts of 18 digits, so that no intermediate result is rounded.
_CONTEXT = Context(prec=80)
_ZERO = Decimal(0)

Term = tuple[str, str, "Decimal | None"]


def check_einvoice(invoice: EInvoice) -> tuple[Finding, ...]:
    """Apply every rule to an e-invoice and return one finding for each rule, in a fixed order."""
    with localcontext(_CONTEXT):
        return einvoice_rules(used_categories(invoice), invoice.syntax).check(invoice)


def _adds_up(name: str, found: Decimal | None, *terms: Term, tolerance: Decimal = _ZERO) -> Verdict:
    """Check that an amount is the sum of its terms, each with a sign and a name."""
    known = [amount for _, _, amount in terms if amount is not None]
    if found is None or len(known) < len(terms):
        return missing(
            *[operand for operand, amount in ((name, found), *(term[1:] for term in terms)) if amount is None]
        )
    signed = [-amount if sign == "-" else amount for (sign, _, _), amount in zip(terms, known, strict=True)]
    shown = " ".join(f"{sign} {operand} {amount}" for sign, operand, amount in terms).removeprefix("+ ")
    return equal(name, found, f"{shown} =", sum(signed, _ZERO), tolerance)


def _given(*terms: Term) -> tuple[Term, ...]:
    """Return the terms that have an amount; the standard counts these terms as 0 if they are absent."""
    return tuple(term for term in terms if term[2] is not None)


def _sums_up(
    name: str, found: Decimal | None, part: str, amounts: Sequence[Decimal | None], tolerance: Decimal = _ZERO
) -> Verdict:
    known = [amount for amount in amounts if amount is not None]
    if found is None or len(known) < len(amounts) or not amounts:
        operands = ((name, found is None), (part, len(known) < len(amounts) or not amounts))
        return missing(*[operand for operand, absent in operands if absent])
    return equal(name, found, f"sum of {len(amounts)} × {part}", sum(known, _ZERO), tolerance)


def _lines(invoice: EInvoice) -> Verdict:
    amounts = [line.net_amount for line in invoice.lines]
    tolerance = extended_tolerance(invoice, len(invoice.lines) + len(invoice.group_lines))
    return _sums_up("lines [BT-106]", invoice.totals.lines, "BT-131", amounts, tolerance)


def _allowances(invoice: EInvoice) -> Verdict:
    name = "allowances [BT-107]"
    return _document_level(name, invoice.totals.allowances, "BT-92", invoice.allowances, invoice)


def _charges(invoice: EInvoice) -> Verdict:
    return _document_level("charges [BT-108]", invoice.totals.charges, "BT-99", invoice.charges, invoice)


def _document_level(
    name: str, found: Decimal | None, part: str, parts: Sequence[AllowanceCharge], invoice: EInvoice
) -> Verdict:
    """Check BT-107 or BT-108, which may be absent only if they would be the sum of no amounts."""
    if not parts and not invoice.lines and found:
        # The profile MINIMUM has no such groups, so their amounts are unknown.
        return missing(part)
    if not parts:
        return ("not checkable", f"neither {name} nor any {part}") if found is None else equal(name, found, part, _ZERO)
    amounts = [each.amount for each in parts]
    known = [amount for amount in amounts if amount is not None]
    if found is None and len(known) == len(parts):
        return "fail", f"no {name}, though the sum of {len(parts)} × {part} is {sum(known, _ZERO)}"
    return _sums_up(name, found, part, amounts, extended_tolerance(invoice, len(parts)))


def _total_without_vat(invoice: EInvoice) -> Verdict:
    totals = invoice.totals
    optional = _given(("-", "allowances [BT-107]", totals.allowances), ("+", "charges [BT-108]", totals.charges))
    lines = ("+", "lines [BT-106]", totals.lines)
    tolerance = extended_tolerance(invoice, _amounts_in_totals(invoice))
    return _adds_up("without VAT [BT-109]", totals.without_vat, lines, *optional, tolerance=tolerance)


def _amounts_in_totals(invoice: EInvoice) -> int:
    return len(invoice.lines) + len(invoice.allowances) + len(invoice.charges)


def _vat_total(invoice: EInvoice) -> Verdict:
    return _sums_up("VAT [BT-110]", invoice.totals.vat, "BT-117", [row.tax_amount for row in invoice.vat_breakdown])


def _total_with_vat(invoice: EInvoice) -> Verdict:
    totals = invoice.totals
    if invoice.syntax == "CII" and totals.with_vat is not None and totals.with_vat == totals.without_vat:
        # The official check of CII treats this as an invoice without VAT, for any VAT total.
        return "pass", f"with VAT [BT-112] {totals.with_vat} = without VAT [BT-109] {totals.without_vat}"
    terms: tuple[Term, ...] = (("+", "without VAT [BT-109]", totals.without_vat), ("+", "VAT [BT-110]", totals.vat))
    tolerance = extended_tolerance(invoice, _amounts_in_totals(invoice))
    return _adds_up("with VAT [BT-112]", totals.with_vat, *terms, tolerance=tolerance)


def _payable(invoice: EInvoice) -> Verdict:
    totals = invoice.totals
    optional = _given(
        ("-", "paid [BT-113]", totals.paid),
        ("+", "rounding [BT-114]", totals.rounding),
        ("+", "third-party payments [BT-DEX-002]", totals.third_party),
    )
    return _adds_up("payable [BT-115]", totals.payable, ("+", "with VAT [BT-112]", totals.with_vat), *optional)


def _currency(invoice: EInvoice) -> Verdict:
    if invoice.currency is None:
        return missing("currency [BT-5]")
    if is_currency(invoice.currency):
        return "pass", invoice.currency
    return "fail", f"{invoice.currency[:20]!r} is no ISO 4217 code"


def _marked_currencies(invoice: EInvoice) -> Verdict:
    if invoice.currency is None or not invoice.marked_currencies:
        return missing("currency [BT-5]" if invoice.currency is None else "a currencyID at an amount")
    others = sorted(invoice.marked_currencies - {invoice.currency})
    marked = ", ".join(repr(code[:20]) for code in others[:10])
    return ("fail", f"amounts in {marked}, invoice in {invoice.currency}") if others else ("pass", invoice.currency)


def _categories(invoice: EInvoice) -> Verdict:
    found = list(categories_of(invoice))
    unknown = [f"{place} {code[:20]!r}" for place, code in found if code is not None and code not in CATEGORIES]
    if unknown:
        return "fail", f"{', '.join(unknown)}: known are {' '.join(CATEGORIES)}"
    absent = [place for place, code in found if code is None]
    if absent or not found:
        return missing(*(absent or ["VAT categories"]))
    return "pass", " ".join(sorted({code for _, code in found if code is not None}))


def _amounts(invoice: EInvoice) -> Iterator[tuple[str, Decimal]]:
    """Yield the location and value of every amount; without prices, which can have any number of decimals."""
    totals = vars(invoice.totals)
    named: list[tuple[str, Decimal | None]] = [(f"total {name}".replace("_", " "), totals[name]) for name in totals]
    for number, row in enumerate(invoice.vat_breakdown, start=1):
        named += [(f"VAT row {number} base", row.taxable_amount), (f"VAT row {number} tax", row.tax_amount)]
    for number, line in enumerate((*invoice.lines, *invoice.group_lines), start=1):
        named += [(f"line {number}", line.net_amount), *_parts(f"line {number} ", line)]
    for name, amount in (*named, *_parts("", invoice)):
        if amount is not None:
            yield name, amount


def _parts(location: str, owner: InvoiceLine | EInvoice) -> Iterator[tuple[str, Decimal | None]]:
    for kind, parts in (("allowance", owner.allowances), ("charge", owner.charges)):
        for number, part in enumerate(parts, start=1):
            yield f"{location}{kind} {number}", part.amount
            yield f"{location}{kind} {number} base", part.base_amount


def _decimals(invoice: EInvoice) -> Verdict:
    # Like the official checks, count the written decimals: 119.000 has three. They use the value of the total VAT in
    # CII, and ignore it in UBL.
    vat = invoice.totals.vat
    if vat is not None:
        rounded = None if invoice.syntax == "UBL" else vat.normalize() if vat == round(vat, MAX_DECIMALS) else vat
        invoice = replace(invoice, totals=replace(invoice.totals, vat=rounded))
    return _not_finer(invoice, MAX_DECIMALS, lambda amount: -int(amount.as_tuple().exponent) > MAX_DECIMALS)


def _minor_units(invoice: EInvoice) -> Verdict:
    if invoice.currency is None or not is_currency(invoice.currency):
        return missing("currency [BT-5]")
    unit = minor_unit(invoice.currency)
    return _not_finer(invoice, minor_digits(invoice.currency), lambda amount: bool(amount % unit))


def _not_finer(invoice: EInvoice, decimals: int, is_finer: Callable[[Decimal], bool]) -> Verdict:
    amounts = list(_amounts(invoice))
    if not amounts:
        return missing("amounts")
    finer = [f"{name} {amount}" for name, amount in amounts if is_finer(amount)]
    allowed = f"more than {decimals} decimals ({invoice.currency})"
    return ("fail", f"{', '.join(finer)}: {allowed}") if finer else ("pass", f"none of {len(amounts)} has {allowed}")


def _line_amounts(invoice: EInvoice) -> Verdict:
    tolerance = LINE_TOLERANCE_MINOR_UNITS * minor_unit(invoice.currency)
    verdicts = [_line_amount(f"line {n}", line, tolerance) for n, line in enumerate(invoice.lines, start=1)]
    status, detail = together(verdicts, "lines")
    return (status, f"{len(verdicts)} lines within {tolerance}") if status == "pass" else (status, detail)


def _line_amount(location: str, line: InvoiceLine, tolerance: Decimal) -> Verdict:
    base = Decimal(1) if line.base_quantity is None else line.base_quantity
    signed = [
        *(part.amount for part in line.charges),
        *(None if part.amount is None else -part.amount for part in line.allowances),
    ]
    known = [amount for amount in signed if amount is not None]
    if line.quantity is None or line.price is None or line.net_amount is None or len(known) < len(signed):
        return missing(f"{location}: quantity, price, net amount or an allowance's amount")
    if base == 0:
        return "fail", f"{location}: base quantity [BT-149] 0"
    expected = line.quantity * line.price / base + sum(known, _ZERO)
    terms = f"{line.quantity} × {line.price}{'' if base == 1 else f' / {base}'}"
    terms += f" {'+' if sum(known) > 0 else '-'} {abs(sum(known, _ZERO))}" if known else ""
    if abs(line.net_amount - expected) <= tolerance:
        return PASS
    return "fail", f"{location}: {line.net_amount} ≠ {terms} = {round(expected, 4).normalize():f}"


def _due_date(invoice: EInvoice) -> Verdict:
    issued, due = invoice.issue_date, invoice.due_date
    if issued is None or due is None:
        return missing("issue date [BT-2]" if issued is None else "due date [BT-9]")
    if due < issued:
        return "fail", f"due {due} before issue date {issued}"
    return "pass", f"due {due}, issued {issued}"


_RULES = (
    rule_of("BR-CL-04", "error", "The currency is a code of ISO 4217.", _currency),
    rule_of("BR-CL-17", "error", "Every VAT category is a code of the standard.", _categories),
    rule_of("BR-DEC", "error", "Amounts have at most two decimals.", _decimals),
    rule_of("BR-CO-10", "error", "The lines add up to the sum of the lines.", _lines),
    rule_of("BR-CO-11", "error", "The allowances add up to the total of the allowances.", _allowances),
    rule_of("BR-CO-12", "error", "The charges add up to the total of the charges.", _charges),
    rule_of(
        "BR-CO-13", "error", "The lines, less allowances, plus charges, are the total without VAT.", _total_without_vat
    ),
    rule_of("BR-CO-14", "error", "The VAT amounts of the breakdown add up to the total VAT.", _vat_total),
    rule_of("BR-CO-15", "error", "The total without VAT, plus VAT, is the total with VAT.", _total_with_vat),
    rule_of(
        "BR-CO-16", "error", "The total with VAT, less the amount paid, plus rounding, is the amount due.", _payable
    ),
    rule_of("BR-CO-17", "error", "The VAT of each row is its taxable amount times its rate.", official_tax_amounts),
)
_WARNINGS = (
    rule_of("TAX-AMOUNT", "warn", "The VAT of each row is exact to one minor unit of the currency.", tax_amounts),
    rule_of("R051", "warn", "All amounts are in the currency of the invoice.", _marked_currencies),
    rule_of(
        "R120", "warn", "Quantity times price, plus charges, less allowances, is the amount of a line.", _line_amounts
    ),
    rule_of("MINOR-UNITS", "warn", "No amount has more decimals than its currency.", _minor_units),
    rule_of("DUE-DATE", "warn", "The due date is not before the issue date.", _due_date),
)


@cache
def einvoice_rules(used: frozenset[str] | None = None, syntax: Syntax = "UBL") -> RuleSet:
    """Return the rules on e-invoices.

    Args:
        used: VAT categories whose rules are included; None for all.
        syntax: some rules only warn in CII.
    """
    codes = frozenset(CATEGORIES) if used is None else used
    return RuleSet((*_RULES, *category_rules(codes, syntax), *_WARNINGS), prepare=_nothing)


def _nothing(_: object, complete: bool, as_given: bool) -> None:
    """Return the context of the rules, which check the e-invoice only."""
