"""Arithmetic and business rules of EN 16931 on an answer.

Each rule passes, fails, or is not checkable because an operand is missing: an unknown value is neither right nor
wrong. The names are those of the standard; `R120` is Peppol's rule on line items; `DUE-DATE` and `REQUIRED` are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from erniekit_adapter.documents.invoice.answer import (
    Answer,
    Charge,
    Discount,
    FinancialSummary,
    Tax,
)
from erniekit_adapter.documents.invoice.tax_rules import TaxBases, included_taxes, tax_amounts, tax_of_whole
from erniekit_adapter.documents.money import is_currency, minor_digits, minor_unit
from erniekit_adapter.documents.rules.rule import Rule, RuleSet
from erniekit_adapter.documents.verdict import PASS, Verdict, equal, missing

# Peppol R120 allows two cents. The rule only warns, because 38 of 246 line items in official examples exceed them.
LINE_TOLERANCE_MINOR_UNITS = 2


_ZERO = Decimal(0)
# Currencies in which totals are rounded, often without a note: to the smallest coin or to a whole unit.
_SMALLEST_COINS = {
    "AUD": Decimal("0.05"), "CAD": Decimal("0.05"), "CHF": Decimal("0.05"), "CZK": Decimal(1), "DKK": Decimal("0.50"),
    "HUF": Decimal(5), "INR": Decimal(1), "NOK": Decimal(1), "NZD": Decimal("0.10"), "SEK": Decimal(1),
}  # fmt: skip


class _Sums(NamedTuple):
    """Sums that several rules use; None if a part is missing.

    Attributes:
        net: total without VAT [BT-109]: subtotal - discounts + charges. A missing list is empty.
        tax: sum of the taxes.
        lines: sum of the line items.
        as_given: whether the answer itself is checked, so that unlisted values cannot explain a difference.
        may_lack_parts: whether the page may show charges and discounts that the answer does not list.
        complete: whether the answer has every field of the document.
    """

    net: Decimal | None
    tax: Decimal | None
    lines: Decimal | None
    as_given: bool
    may_lack_parts: bool
    complete: bool


def _prepared(answer: Answer, complete: bool, as_given: bool) -> _Sums:
    """Return the sums of an answer.

    An answer without line items has some values of a page, which may also show charges and discounts: a difference that
    they can explain is not checkable.
    """
    return _sums(
        answer, as_given=as_given, may_lack_parts=not (complete or as_given or answer.lines), complete=complete
    )


def _sums(answer: Answer, *, as_given: bool = True, may_lack_parts: bool = False, complete: bool = False) -> _Sums:
    summary, lines = answer.summary, answer.structured_data.line_items
    off, added = _total_amount(summary.discounts), _total_amount(summary.charges)
    known = summary.subtotal is not None and off is not None and added is not None
    return _Sums(
        net=summary.subtotal - off + added if known else None,  # type: ignore[operator]  # all three are known
        tax=None if summary.taxes is None else _total_amount(summary.taxes),
        lines=_total([line.total for line in lines]) if lines else None,
        as_given=as_given,
        may_lack_parts=may_lack_parts,
        complete=complete,
    )


def _total_amount(parts: Sequence[Tax | Discount | Charge] | None) -> Decimal | None:
    return _total([part.amount for part in parts]) if parts else _ZERO


def _total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum; None if an amount is missing."""
    found = _ZERO
    for amount in amounts:
        if amount is None:
            return None
        found += amount
    return found


def _lines_sum_to_subtotal(answer: Answer, sums: _Sums) -> Verdict:
    summary, found = answer.summary, sums.lines
    if summary.subtotal is None:
        return missing("subtotal")
    if found is None:
        return missing("line totals")
    net = summary.subtotal if sums.net is None else 2 * summary.subtotal - sums.net
    if not sums.as_given and found == net != summary.subtotal:
        return "not checkable", f"sum of lines {found} is not subtotal {summary.subtotal}: it may include discounts"
    if found == summary.grand_total != summary.subtotal and sums.tax and sums.net == found - sums.tax:
        return "pass", f"sum of lines {found} = grand_total {found}: it includes the taxes"
    return equal("sum of lines", found, "subtotal", summary.subtotal)


def _grand_total(answer: Answer, sums: _Sums) -> Verdict:
    net, tax, total = sums.net, sums.tax, answer.summary.grand_total
    if net is None or tax is None or total is None:
        operands = (("subtotal", net), ("taxes", tax), ("grand_total", total))
        return missing(*[name for name, value in operands if value is None])
    if (
        tax
        and total == net
        and (verdict := included_taxes(answer.summary, net, len(answer.lines), of_all=sums.as_given))
    ):
        return verdict
    if reason := _explanation(answer, sums, total - net - tax):
        return "not checkable", f"grand_total {total} is not {net + tax}: {reason}"
    charges = " + charges" if answer.summary.charges else ""
    return equal("grand_total", total, f"subtotal - discounts{charges} + taxes", net + tax)


def _explanation(answer: Answer, sums: _Sums, difference: Decimal) -> str:
    """Return a possible explanation why a total is not the sum of its parts, or an empty text."""
    summary = answer.summary
    if sums.as_given or not difference:
        return ""
    if _is_rounding(summary, difference):
        return "it may be rounded"
    if summary.subtotal is not None and sums.net is not None and difference == summary.subtotal - sums.net:
        # Line items 100, discount 10, subtotal 90: not the subtotal of the standard, but common on pages.
        return "" if sums.lines == summary.subtotal else "the subtotal may include discounts and charges"
    return _unstated_part(answer, sums, difference)


def _is_rounding(summary: FinancialSummary, difference: Decimal) -> bool:
    """Return whether the stated rounding, or rounding to the currency's smallest coin, can explain the difference."""
    if summary.rounding is not None:
        return difference == summary.rounding
    coin = _SMALLEST_COINS.get(summary.currency or "")
    if coin is None or summary.grand_total is None:
        return False
    return 2 * abs(difference) <= coin and not summary.grand_total % coin


def _unstated_part(answer: Answer, sums: _Sums, difference: Decimal) -> str:
    """Return the charges or discounts that can explain a total above or below its stated parts; empty if none can.

    A difference larger than the subtotal is a mistake, not a charge or a discount.
    """
    summary, subtotal = answer.summary, abs(answer.summary.subtotal or _ZERO)
    if not sums.may_lack_parts or not difference or abs(difference) > subtotal:
        return ""
    # All amounts of a credit note can be negative; an added amount is then negative too.
    is_added = (difference > 0) == ((summary.subtotal or _ZERO) >= 0)
    listed = summary.charges if is_added else summary.discounts
    name = "charges" if is_added else "discounts"
    return "" if listed else f"{name} of {abs(difference)} that are not stated"


def may_include_taxes(answer: Answer) -> bool:
    """Return whether line items or subtotal reach the total before the taxes, as on receipts with taxes included."""
    sums, total = _sums(answer), answer.summary.grand_total
    return bool(sums.tax) and total is not None and total in (sums.net, sums.lines)


def _tax_amount(answer: Answer, sums: _Sums) -> Verdict:
    if verdict := tax_of_whole(answer.summary, sums.net):
        return verdict
    charges = _total_amount(answer.summary.charges) or _ZERO
    lines = tuple(line.total for line in answer.lines if line.total is not None)
    may_add_charges = sums.may_lack_parts and not answer.summary.charges
    return tax_amounts(answer.summary, TaxBases(sums.net, lines, charges, may_add_charges))


def _amount_due(answer: Answer, sums: _Sums) -> Verdict:
    summary = answer.summary
    due, total, paid, rounding = summary.amount_due, summary.grand_total, summary.amount_paid, summary.rounding
    if due is None or total is None or (paid is None and rounding is None):
        operands = (("amount_due", due), ("grand_total", total), ("amount_paid", paid))
        return missing(*[name for name, value in operands if value is None])
    if rounding and not sums.as_given and due == total - (paid or _ZERO):
        return "not checkable", f"grand_total {total} may be rounded by {rounding} already"
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


def _required(answer: Answer, sums: _Sums) -> Verdict:
    summary = answer.summary
    if summary.grand_total is not None and summary.currency is not None:
        return PASS
    absent = [name for name in ("grand_total", "currency") if getattr(summary, name) is None]
    return "fail" if sums.complete else "not checkable", f"missing: {', '.join(absent)}"


def _due_date(answer: Answer, _: _Sums) -> Verdict:
    client, terms = answer.structured_data.client_info, answer.structured_data.payment_terms
    issued = client.invoice_date if client else None
    due = (client.due_date if client else None) or (terms.due_date if terms else None)
    if issued is None or due is None:
        return missing("invoice_date" if issued is None else "due_date")
    if due < issued:
        return "fail", f"due {due} before invoice date {issued}"
    return "pass", f"due {due}, issued {issued}"


_GRAND_TOTAL = "financial_summary.grand_total"
_SUBTOTAL = "financial_summary.subtotal"
_TAXES = "financial_summary.taxes[].amount"
_DISCOUNTS = "financial_summary.discounts[].amount"
_CHARGES = "financial_summary.charges[].amount"
_ISSUED, _DUE = "client_info.invoice_date", ("client_info.due_date", "payment_terms.due_date")
_CURRENCY = "financial_summary.currency"
# R120 is not arithmetic: the answer has no field for the discount of a line item, which explains a lower total.
RULES = RuleSet(
    rules=(
        Rule("REQUIRED", "error", "An invoice has a total and a currency.", _required, (_GRAND_TOTAL, _CURRENCY)),
        Rule("BR-CL-04", "error", "The currency is a code of ISO 4217.", _currency, (_CURRENCY,)),
        Rule(
            "BR-DEC",
            "error",
            "No amount has more decimals than its currency.",
            _decimals,
            (_CURRENCY, _SUBTOTAL, _GRAND_TOTAL, _TAXES, _DISCOUNTS, _CHARGES),
        ),
        Rule(
            "BR-CO-10",
            "error",
            "The line items add up to the subtotal.",
            _lines_sum_to_subtotal,
            ("line_items[].total", _SUBTOTAL),
            is_sum=True,
            is_arithmetic=True,
        ),
        Rule(
            "BR-CO-15",
            "error",
            "Subtotal, less discounts, plus charges and taxes, is the total.",
            _grand_total,
            (_GRAND_TOTAL, _SUBTOTAL, _DISCOUNTS, _CHARGES, _TAXES),
            is_decisive=True,
            is_sum=True,
            is_arithmetic=True,
        ),
        Rule(
            "BR-CO-16",
            "error",
            "The total, less the amount paid, plus rounding, is the amount due.",
            _amount_due,
            (
                _GRAND_TOTAL,
                "financial_summary.amount_paid",
                "financial_summary.rounding",
                "financial_summary.amount_due",
            ),
            is_arithmetic=True,
        ),
        Rule(
            "BR-CO-17",
            "error",
            "A tax is not more than its rate of the taxed amount.",
            _tax_amount,
            (_TAXES, "financial_summary.taxes[].rate", _SUBTOTAL),
            is_arithmetic=True,
        ),
        Rule(
            "R120",
            "warn",
            "Quantity times unit price is the total of a line item.",
            _line_totals,
            ("line_items[].quantity", "line_items[].unit_price", "line_items[].total"),
        ),
        Rule(
            "DUE-DATE",
            "warn",
            "The due date is not before the invoice date.",
            _due_date,
            (_ISSUED, *_DUE),
            is_about_dates=True,
        ),
    ),
    prepare=_prepared,
    # Most invoices have no advance payment.
    not_counted=frozenset({"BR-CO-16"}),
)
