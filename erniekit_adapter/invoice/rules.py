"""Arithmetic and business rules of EN 16931 on a canonical answer.

Each rule passes, fails, or is not checkable because an operand is missing: never passed for want of data. The names are
the standard's; `R120` is Peppol's line rule, and `DUE-DATE` and `REQUIRED` are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Literal, NamedTuple

from erniekit_adapter.invoice.answer import Answer, ValidationSummary
from erniekit_adapter.invoice.money import is_currency, minor_digits, minor_unit, round_to_minor_unit

Status = Literal["pass", "fail", "not checkable"]
Level = Literal["error", "warn"]

# Peppol R120 allows two cents; 38 of 246 lines in official examples break even that, so the rule only warns.
LINE_TOLERANCE_MINOR_UNITS = 2


class Finding(NamedTuple):
    """What one rule says of one invoice: a tuple, because a data stage makes millions.

    Attributes:
        rule: the rule's name.
        status: pass, fail or not checkable.
        level: error makes an invoice invalid, warn does not.
        detail: the amounts that were held against each other, or the operand that is missing.
    """

    rule: str
    status: Status
    level: Level
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}" if self.detail else self.rule


Verdict = tuple[Status, str]
PASS: Verdict = ("pass", "")


def check(answer: Answer) -> tuple[Finding, ...]:
    """Apply every rule to an answer; one finding for each rule, in a fixed order."""
    return tuple(
        Finding(name, status, level, detail) for name, level, rule in _RULES for status, detail in [rule(answer)]
    )


def failures(findings: Iterable[Finding], level: Level = "error") -> tuple[Finding, ...]:
    """The findings of a level that failed."""
    return tuple(finding for finding in findings if finding.status == "fail" and finding.level == level)


def is_compliant(findings: Iterable[Finding]) -> bool:
    """Whether no rule of level error failed and the total could be checked."""
    found = tuple(findings)
    return not failures(found) and _status(found, "BR-CO-15") == "pass"


def is_arithmetic_verified(findings: Iterable[Finding]) -> bool:
    """Whether the totals were recomputed and every arithmetic rule that could be checked holds."""
    found = tuple(findings)
    broken = any(finding.status == "fail" for finding in found if finding.rule in ARITHMETIC_RULES)
    return not broken and _status(found, "BR-CO-15") == "pass"


def arithmetic_coverage(findings: Iterable[Finding]) -> float:
    """The share of arithmetic rules that had all their operands, from 0 to 1."""
    checked = [finding.status != "not checkable" for finding in findings if finding.rule in ARITHMETIC_RULES]
    return sum(checked) / len(checked)


def summarize(findings: Iterable[Finding]) -> ValidationSummary:
    """The validation summary that an answer with these findings must carry."""
    found = tuple(findings)
    # An invoice whose total cannot be checked is not valid, and the reason has to be among the issues.
    unchecked = (finding for finding in found if finding.rule == "BR-CO-15" and finding.status == "not checkable")
    issues = [str(finding) for finding in (*failures(found), *unchecked, *failures(found, "warn"))]
    return ValidationSummary(is_valid=is_compliant(found), math_verified=is_arithmetic_verified(found), issues=issues)


def _status(findings: Iterable[Finding], rule: str) -> Status:
    return next(finding.status for finding in findings if finding.rule == rule)


def missing(*names: str) -> Verdict:
    """The verdict of a rule whose operands are not all there."""
    return "not checkable", f"missing: {', '.join(names)}"


def equal(left: str, found: Decimal, right: str, expected: Decimal, tolerance: Decimal = Decimal(0)) -> Verdict:
    """The verdict on two amounts that must not differ by more than a tolerance; both are shown."""
    difference = abs(found - expected)
    sign = "≠" if difference > tolerance else "≈" if difference else "="
    return "fail" if difference > tolerance else "pass", f"{left} {found} {sign} {right} {expected}"


def _lines_sum_to_subtotal(answer: Answer) -> Verdict:
    subtotal = answer.summary.subtotal
    totals = [line.total for line in answer.lines if line.total is not None]
    if subtotal is None:
        return missing("subtotal")
    if not totals or len(totals) < len(answer.lines):
        return missing("line totals")
    return equal("sum of lines", sum(totals, Decimal(0)), "subtotal", subtotal)


def _net(answer: Answer) -> Decimal | None:
    """The total without VAT [BT-109]: subtotal less discounts; no discounts listed means none given, as in EN 16931."""
    amounts = [discount.amount for discount in answer.summary.discounts or []]
    if answer.summary.subtotal is None or any(amount is None for amount in amounts):
        return None
    return answer.summary.subtotal - sum((amount for amount in amounts if amount is not None), Decimal(0))


def _tax_total(answer: Answer) -> Decimal | None:
    if answer.summary.taxes is None:
        return None
    amounts = [tax.amount for tax in answer.summary.taxes]
    if any(amount is None for amount in amounts):
        return None
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def _grand_total(answer: Answer) -> Verdict:
    net, tax, total = _net(answer), _tax_total(answer), answer.summary.grand_total
    if net is None or tax is None or total is None:
        operands = (("subtotal", net), ("taxes", tax), ("grand_total", total))
        return missing(*[name for name, value in operands if value is None])
    return equal("grand_total", total, "subtotal - discounts + taxes", net + tax)


def _tax_amount(answer: Answer) -> Verdict:
    """BR-CO-17 where the base is known: a single tax row applies to the total without VAT."""
    net, taxes = _net(answer), answer.summary.taxes or []
    if net is None or len(taxes) != 1 or taxes[0].rate is None or taxes[0].amount is None:
        return "not checkable", "needs one tax row with rate and amount, and the subtotal"
    if not 0 <= taxes[0].rate <= 1:
        return "fail", f"rate {taxes[0].rate} is no fraction from 0 to 1"
    expected = round_to_minor_unit(net * taxes[0].rate, answer.summary.currency)
    return equal("tax", taxes[0].amount, f"{net} × {taxes[0].rate} =", expected, minor_unit(answer.summary.currency))


def _line_totals(answer: Answer) -> Verdict:
    complete = [
        (index, line.quantity * line.unit_price, line.total)
        for index, line in enumerate(answer.lines, start=1)
        if line.quantity is not None and line.unit_price is not None and line.total is not None
    ]
    if not complete:
        return missing("a line with quantity, unit_price and total")
    tolerance = LINE_TOLERANCE_MINOR_UNITS * minor_unit(answer.summary.currency)
    wrong = [
        f"line {index}: {total} ≠ {product.normalize():f}"
        for index, product, total in complete
        if abs(total - product) > tolerance
    ]
    return ("fail", "; ".join(wrong)) if wrong else ("pass", f"{len(complete)} lines within {tolerance}")


def _decimals(answer: Answer) -> Verdict:
    summary = answer.summary
    amounts = [
        *(line.total for line in answer.lines),
        *(tax.amount for tax in summary.taxes or []),
        *(discount.amount for discount in summary.discounts or []),
        summary.subtotal,
        summary.grand_total,
    ]
    known = [amount for amount in amounts if amount is not None]
    if not known or summary.currency is None:
        return missing("currency" if known else "amounts")
    allowed = minor_digits(summary.currency)
    unit = minor_unit(summary.currency)
    too_fine = [str(amount) for amount in known if amount % unit]
    more = f"more than {allowed} decimals ({summary.currency})"
    return ("fail", f"{', '.join(too_fine)} with {more}") if too_fine else ("pass", f"none of {len(known)} has {more}")


def _currency(answer: Answer) -> Verdict:
    currency = answer.summary.currency
    if currency is None:
        return missing("currency")
    return ("pass", currency) if is_currency(currency) else ("fail", f"{currency[:20]!r} is no ISO 4217 code")


def _required(answer: Answer) -> Verdict:
    absent = [name for name in ("grand_total", "currency") if getattr(answer.summary, name) is None]
    return ("fail", f"missing: {', '.join(absent)}") if absent else PASS


def _due_date(answer: Answer) -> Verdict:
    client, terms = answer.structured_data.client_info, answer.structured_data.payment_terms
    issued = client.invoice_date if client else None
    due = (client.due_date if client else None) or (terms.due_date if terms else None)
    if issued is None or due is None:
        return missing("invoice_date" if issued is None else "due_date")
    if due < issued:
        return "fail", f"due {due} before invoice date {issued}"
    return "pass", f"due {due}, issued {issued}"


_RULES: tuple[tuple[str, Level, Callable[[Answer], Verdict]], ...] = (
    ("REQUIRED", "error", _required),
    ("BR-CL-04", "error", _currency),
    ("BR-DEC", "error", _decimals),
    ("BR-CO-10", "error", _lines_sum_to_subtotal),
    ("BR-CO-15", "error", _grand_total),
    ("BR-CO-17", "error", _tax_amount),
    ("R120", "warn", _line_totals),
    ("DUE-DATE", "warn", _due_date),
)
ARITHMETIC_RULES = frozenset({"BR-CO-10", "BR-CO-15", "BR-CO-17", "R120"})
