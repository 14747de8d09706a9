"""Arithmetic and business rules of EN 16931 on a canonical answer.

Each rule is passed, failed, or not checkable because an operand is missing: what is unknown is neither right nor wrong.
The names are the standard's; `R120` is Peppol's line rule, and `DUE-DATE` and `REQUIRED` are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from erniekit_adapter.invoice.answer import (
    Answer,
    Charge,
    Discount,
    FinancialSummary,
    LineItem,
    Tax,
    ValidationSummary,
)
from erniekit_adapter.invoice.money import is_currency, minor_digits, minor_unit, round_to_minor_unit

Status = Literal["pass", "fail", "not checkable"]
Level = Literal["error", "warn"]

# Peppol R120 allows two cents; 38 of 246 lines in official examples break even that, so the rule only warns.
LINE_TOLERANCE_MINOR_UNITS = 2
# The official checks accept a VAT amount that is off by less than one unit of the currency (not of its minor unit).
_OFFICIAL_TOLERANCE = Decimal("0.99")


class Finding(NamedTuple):
    """The result of one rule on one invoice: a tuple, because a data stage makes millions.

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
_ZERO = Decimal(0)


def check(answer: Answer, *, complete: bool = False, as_given: bool = False) -> tuple[Finding, ...]:
    """Apply every rule to an answer; one finding for each rule, in a fixed order.

    Args:
        answer: the document, or the part of it that is known.
        complete: whether the answer claims to state every field of the document. Only then a missing required field
            is a failure; otherwise it is unknown.
        as_given: whether the answer itself is judged, and no document behind it: then a list that it lacks is empty.
            Otherwise an answer without line items states some values of a page, which may show charges and discounts
            besides: a difference that they can explain is not checkable.
    """
    sums = _sums(answer, may_lack_parts=not (complete or as_given or answer.lines))
    status, detail = _required(answer.summary, complete)
    findings = [Finding("REQUIRED", status, "error", detail)]
    for name, level, rule in _RULES:
        status, detail = rule(answer, sums)
        findings.append(Finding(name, status, level, detail))
    return tuple(findings)


def failures(findings: Iterable[Finding], level: Level = "error") -> tuple[Finding, ...]:
    """Return the failed findings of a level."""
    return tuple(finding for finding in findings if finding.status == "fail" and finding.level == level)


def validity(findings: Iterable[Finding]) -> bool | None:
    """Return whether a document is valid: False if a rule of level error failed, None if the total was not checked."""
    found = tuple(findings)
    if failures(found):
        return False
    return True if _status(found, "BR-CO-15") == "pass" else None


def arithmetic_validity(findings: Iterable[Finding]) -> bool | None:
    """Return whether the sums are right: False if one is wrong, None unless lines, subtotal and total were checked."""
    found = tuple(findings)
    if any(finding.status == "fail" for finding in found if finding.rule in ARITHMETIC_RULES):
        return False
    return True if all(_status(found, rule) == "pass" for rule in _SUMS) else None


def arithmetic_coverage(findings: Iterable[Finding]) -> float:
    """Return the share of the rules on sums and taxes that had all their operands, from 0 to 1.

    BR-CO-16 does not count: most invoices have nothing paid in advance.
    """
    counted = ARITHMETIC_RULES - {"BR-CO-16"}
    checked = [finding.status != "not checkable" for finding in findings if finding.rule in counted]
    return sum(checked) / len(checked)


def summarize(findings: Iterable[Finding], shown: Iterable[Finding] | None = None) -> ValidationSummary:
    """Make the validation summary of an answer.

    Args:
        findings: the results on the complete document, which decide whether it is valid.
        shown: the results on the answer itself, which may lack values that the page does not show. They decide what
            the answer claims of its arithmetic, because a reader can recompute nothing else. None: nothing is missing.
    """
    complete = tuple(findings)
    visible = complete if shown is None else tuple(shown)
    failed = {finding.rule for finding in complete if finding.status == "fail"}
    issues = [finding for finding in (*failures(visible), *failures(visible, "warn")) if finding.rule in failed]
    # Nothing to check: the values are made here, and a data stage makes millions.
    return ValidationSummary.model_construct(
        is_valid=validity(complete), math_verified=arithmetic_validity(visible), issues=list(map(str, issues))
    )


def unshown_reason(findings: Iterable[Finding], shown: Iterable[Finding]) -> str | None:
    """Return why a verdict on the complete document cannot be taught with an answer that lacks some of its values.

    Without these values a right sum can look wrong, and a failure can rest on amounts that the page does not show.
    """
    complete, visible = failures(findings), failures(shown)
    failed = {finding.rule for finding in complete}
    for finding in visible:
        if finding.rule not in failed:
            return f"the document keeps {finding.rule}, and what is left of it does not ({finding.detail})"
    recomputed = {finding.rule for finding in visible}
    for finding in complete:
        if finding.rule not in recomputed:
            return f"the document fails {finding}, which cannot be seen from the values that are left"
    return None


def _status(findings: Iterable[Finding], rule: str) -> Status:
    return next((finding.status for finding in findings if finding.rule == rule), "not checkable")


def missing(*names: str) -> Verdict:
    """The verdict of a rule whose operands are not all there."""
    return "not checkable", f"missing: {', '.join(names)}"


def equal(left: str, found: Decimal, right: str, expected: Decimal, tolerance: Decimal = Decimal(0)) -> Verdict:
    """The verdict on two amounts that must not differ by more than a tolerance; both are shown."""
    difference = abs(found - expected)
    sign = "≠" if difference > tolerance else "≈" if difference else "="
    return "fail" if difference > tolerance else "pass", f"{left} {found} {sign} {right} {expected}"


class _Sums(NamedTuple):
    """Sums that several rules need; None if a part is missing.

    Attributes:
        net: total without VAT [BT-109]: subtotal - discounts + charges. A list that is absent counts as empty.
        tax: sum of the taxes.
        lines: sum of the line items.
        may_lack_parts: whether charges and discounts that the answer does not list may be on the page all the same.
    """

    net: Decimal | None
    tax: Decimal | None
    lines: Decimal | None
    may_lack_parts: bool


def _sums(answer: Answer, *, may_lack_parts: bool = False) -> _Sums:
    summary, lines = answer.summary, answer.structured_data.line_items
    off, added = _total(summary.discounts or ()), _total(summary.charges or ())
    known = summary.subtotal is not None and off is not None and added is not None
    return _Sums(
        net=summary.subtotal - off + added if known else None,  # type: ignore[operator]  # all three are known
        tax=None if summary.taxes is None else _total(summary.taxes),
        lines=_line_total(lines) if lines else None,
        may_lack_parts=may_lack_parts,
    )


def _total(parts: Iterable[Tax | Discount | Charge]) -> Decimal | None:
    found = _ZERO
    for part in parts:
        if part.amount is None:
            return None
        found += part.amount
    return found


def _line_total(lines: Iterable[LineItem]) -> Decimal | None:
    found = _ZERO
    for line in lines:
        if line.total is None:
            return None
        found += line.total
    return found


def _lines_sum_to_subtotal(answer: Answer, sums: _Sums) -> Verdict:
    summary, found = answer.summary, sums.lines
    if summary.subtotal is None:
        return missing("subtotal")
    if found is None:
        return missing("line totals")
    if found == summary.grand_total != summary.subtotal and sums.tax and sums.net == found - sums.tax:
        return "pass", f"sum of lines {found} = grand_total {found}: it includes the taxes"
    return equal("sum of lines", found, "subtotal", summary.subtotal)


def _grand_total(answer: Answer, sums: _Sums) -> Verdict:
    net, tax, total = sums.net, sums.tax, answer.summary.grand_total
    if net is None or tax is None or total is None:
        operands = (("subtotal", net), ("taxes", tax), ("grand_total", total))
        return missing(*[name for name, value in operands if value is None])
    if tax and total == net:
        return _tax_included(answer, net, tax)
    if part := _unstated_part(answer, sums, total - net - tax):
        return "not checkable", f"grand_total {total} and subtotal + taxes {net + tax} may differ by {part}"
    charges = " + charges" if answer.summary.charges else ""
    return equal("grand_total", total, f"subtotal - discounts{charges} + taxes", net + tax)


def _unstated_part(answer: Answer, sums: _Sums, difference: Decimal) -> str:
    """Return what can explain that a total is more (or less) than the parts that an answer states; empty if nothing.

    More than the subtotal itself is no charge and no discount, but a mistake.
    """
    summary, subtotal = answer.summary, abs(answer.summary.subtotal or _ZERO)
    if not sums.may_lack_parts or not difference or abs(difference) > subtotal:
        return ""
    # A credit note's amounts may all be negative; what is added to it is negative as well.
    is_added = (difference > 0) == ((summary.subtotal or _ZERO) >= 0)
    listed = summary.charges if is_added else summary.discounts
    name = "charges" if is_added else "discounts"
    return "" if listed else f"{name} of {abs(difference)} that are not stated"


def may_include_taxes(answer: Answer) -> bool:
    """Return whether line items or subtotal reach the total before the taxes, as on receipts with taxes included."""
    sums, total = _sums(answer), answer.summary.grand_total
    return bool(sums.tax) and total is not None and total in (sums.net, sums.lines)


def _tax_included(answer: Answer, gross: Decimal, tax: Decimal) -> Verdict:
    """Return whether the taxes are the part of a gross amount that their rate makes of it."""
    taxes = answer.summary.taxes or []
    if any(row.rate is None for row in taxes):
        return "not checkable", "the subtotal equals the grand_total: whether it includes the taxes is unknown"
    # A gross amount of 119 at 19 % holds 119 × 19 / 119. Rounding per line item is off by at most a unit for each.
    tolerance = max(1, len(answer.lines)) * minor_unit(answer.summary.currency)
    if len(taxes) == 1 and taxes[0].rate is not None and 0 <= taxes[0].rate <= 1:
        rate = taxes[0].rate
        included = round_to_minor_unit(gross * rate / (1 + rate), answer.summary.currency)
        if abs(tax - included) <= tolerance:
            return "pass", f"grand_total {gross} includes taxes {tax}"
    return equal("grand_total", gross, "subtotal - discounts + taxes", gross + tax)


def _tax_amount(answer: Answer, sums: _Sums) -> Verdict:
    """BR-CO-17 as far as an answer allows: it has no taxable amounts, so they are derived from the taxes.

    The official rule accepts a tax that is off by less than one unit of the currency, because it may be rounded per
    line item or to whole units. A tax may be computed before the discount, and a part of the invoice may be exempt.
    """
    net, taxes = sums.net, answer.summary.taxes or []
    known = [(tax.rate, tax.amount) for tax in taxes if tax.rate is not None and tax.amount is not None]
    if net is None or not taxes or len(known) < len(taxes):
        return "not checkable", "needs the subtotal, and the rate and amount of every tax"
    if wrong := [rate for rate, _ in known if not 0 <= rate <= 1]:
        return "fail", f"rate {wrong[0]} is no fraction from 0 to 1"
    if untaxed := sum((amount for rate, amount in known if not rate), _ZERO):
        return "fail", f"tax {untaxed} at the rate 0"
    taxed = [(rate, amount) for rate, amount in known if rate]
    if len(taxed) == 1 and abs(net * taxed[0][0] - taxed[0][1]) <= _OFFICIAL_TOLERANCE:
        return "pass", f"tax {taxed[0][1]} ≈ {net} × {taxed[0][0]}"
    return _taxable_amounts(answer, sums, net, taxed) if taxed else ("pass", "tax 0 at the rate 0")


def _taxable_amounts(answer: Answer, sums: _Sums, net: Decimal, taxed: Sequence[tuple[Decimal, Decimal]]) -> Verdict:
    """Return whether the amounts that the taxes were computed from can be those of the document."""
    summary = answer.summary
    base = sum((amount / rate for rate, amount in taxed), _ZERO)
    slack = sum((_OFFICIAL_TOLERANCE / rate for rate, _ in taxed), _ZERO)
    subtotal, charges = summary.subtotal or _ZERO, _total(summary.charges or ()) or _ZERO
    possible = [net, subtotal]
    if summary.grand_total == net:
        possible.append(net - sum((amount for _, amount in taxed), _ZERO))
    shown = " + ".join(f"{amount} / {rate}" for rate, amount in taxed)
    if any(abs(base - amount) <= slack for amount in possible):
        return "pass", f"taxable amount {shown} ≈ {net}"
    positive = sum((line.total for line in answer.lines if line.total is not None and line.total > 0), _ZERO)
    most = max(*possible, subtotal + charges, positive + charges) + slack
    if base <= most or _unstated_part(answer, sums, base - net):
        return "not checkable", f"taxable amount {shown} is not {net}: a part may be taxed otherwise"
    if len(taxed) > 1:
        return "fail", f"taxable amounts {shown} come to more than {net}"
    rate, amount = taxed[0]
    return "fail", f"tax {amount} ≠ {net} × {rate} = {round_to_minor_unit(net * rate, summary.currency)}"


def _amount_due(answer: Answer, _: _Sums) -> Verdict:
    summary = answer.summary
    due, total, paid, rounding = summary.amount_due, summary.grand_total, summary.amount_paid, summary.rounding
    if due is None or total is None or (paid is None and rounding is None):
        operands = (("amount_due", due), ("grand_total", total), ("amount_paid", paid))
        return missing(*[name for name, value in operands if value is None])
    shown = "grand_total - amount_paid" + (" + rounding" if rounding is not None else "")
    return equal("amount_due", due, shown, total - (paid or _ZERO) + (rounding or _ZERO))


def _line_totals(answer: Answer, _: _Sums) -> Verdict:
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


def _amounts(answer: Answer) -> Iterator[tuple[str, Decimal | None]]:
    """Yield every amount with its name; unit prices may have more decimals than the currency."""
    summary = answer.summary
    for number, line in enumerate(answer.lines, start=1):
        yield f"total of line {number}:", line.total
    named = (("tax", summary.taxes), ("discount", summary.discounts), ("charge", summary.charges))
    for name, parts in named:
        for part in parts or ():
            yield name, part.amount
    for name in ("subtotal", "grand_total", "amount_paid", "rounding", "amount_due"):
        yield name, getattr(summary, name)


def _decimals(answer: Answer, _: _Sums) -> Verdict:
    currency = answer.summary.currency
    known = [(name, amount) for name, amount in _amounts(answer) if amount is not None]
    if not known or currency is None:
        return missing("currency" if known else "amounts")
    unit = minor_unit(currency)
    too_fine = [f"{name} {amount}" for name, amount in known if amount % unit]
    more = f"more than {minor_digits(currency)} decimals ({currency})"
    return ("fail", f"{', '.join(too_fine)} with {more}") if too_fine else ("pass", f"none of {len(known)} has {more}")


def _currency(answer: Answer, _: _Sums) -> Verdict:
    currency = answer.summary.currency
    if currency is None:
        return missing("currency")
    return ("pass", currency) if is_currency(currency) else ("fail", f"{currency[:20]!r} is no ISO 4217 code")


def _required(summary: FinancialSummary, complete: bool) -> Verdict:
    if summary.grand_total is not None and summary.currency is not None:
        return PASS
    absent = [name for name in ("grand_total", "currency") if getattr(summary, name) is None]
    return "fail" if complete else "not checkable", f"missing: {', '.join(absent)}"


def _due_date(answer: Answer, _: _Sums) -> Verdict:
    client, terms = answer.structured_data.client_info, answer.structured_data.payment_terms
    issued = client.invoice_date if client else None
    due = (client.due_date if client else None) or (terms.due_date if terms else None)
    if issued is None or due is None:
        return missing("invoice_date" if issued is None else "due_date")
    if due < issued:
        return "fail", f"due {due} before invoice date {issued}"
    return "pass", f"due {due}, issued {issued}"


_RULES: tuple[tuple[str, Level, Callable[[Answer, _Sums], Verdict]], ...] = (
    ("BR-CL-04", "error", _currency),
    ("BR-DEC", "error", _decimals),
    ("BR-CO-10", "error", _lines_sum_to_subtotal),
    ("BR-CO-15", "error", _grand_total),
    ("BR-CO-16", "error", _amount_due),
    ("BR-CO-17", "error", _tax_amount),
    ("R120", "warn", _line_totals),
    ("DUE-DATE", "warn", _due_date),
)
# The sums that a document is verified by.
_SUMS = ("BR-CO-10", "BR-CO-15")
# R120 is left out: a line item's discount, which explains a lower total, has no place in the answer.
ARITHMETIC_RULES = frozenset({*_SUMS, "BR-CO-16", "BR-CO-17"})
