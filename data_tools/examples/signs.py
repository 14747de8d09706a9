"""Credit notes with negative amounts in the accounts whose pages print amounts without a minus."""

from __future__ import annotations

import re
from decimal import Decimal

from data_tools.visibility import PageText
from data_tools.visibility.spellings import numbers_in, plain_number
from erniekit_adapter.documents.invoice.answer import Answer, FinancialSummary, LineItem

_NUMBER = r"(?:\d{1,3}(?:[ .,'’]\d{3})+(?:[.,]\d{1,3})?|\d+(?:[.,]\d+)?)"
_MONEY = r"(?:[A-Z]{3}|[^\W\d_]?[^\w\s.,()-])"
# -1.249,00 · −€ 1,249.00 · (1,249.00) · 1,249.00- · 1,249.00 CR. A hyphen inside a name is not a sign.
_BEFORE = rf"(?:(?<![\w-])[-−–]|\() ?(?:{_MONEY} ?)?({_NUMBER})(?!\d)"
_BEHIND = rf"(?<![\d.,])({_NUMBER})(?:(?: ?{_MONEY})?[-−–](?!\w)| CR\b)"
_SIGNED = re.compile(f"{_BEFORE}|{_BEHIND}")


def as_printed(answer: Answer, page: PageText) -> Answer:
    """Return the answer with the signs of its page: if -119.00 is printed as 119.00, the answer has 119.00.

    The first of grand total, subtotal and amount due that the page prints decides for the whole document. If the page
    prints none of them, or prints them with a minus, the answer does not change.
    """
    summary = answer.summary
    stated = (summary.grand_total, summary.subtotal, summary.amount_due)
    total = next((amount for amount in stated if amount and _is_printed(amount, page)), None)
    if total is None or total > 0 or plain_number(total) in _signed_numbers(page.text):
        return answer
    lines = answer.structured_data.line_items
    changes = {
        "document_type": "credit_note",
        "financial_summary": _negated(summary),
        "line_items": None if lines is None else [_negated_line(line) for line in lines],
    }
    return answer.model_copy(update={"structured_data": answer.structured_data.model_copy(update=changes)})


def has_negative_total(answer: Answer) -> bool:
    """Return whether a document's totals are negative, as in a credit note in accounts."""
    summary = answer.summary
    stated = (summary.grand_total, summary.subtotal, summary.amount_due)
    return any(amount is not None and amount < 0 for amount in stated)


def _is_printed(amount: Decimal, page: PageText) -> bool:
    return plain_number(amount) in page.amounts or plain_number(amount) in page.repaired_amounts


def _signed_numbers(text: str) -> frozenset[str]:
    return frozenset(
        number for match in _SIGNED.finditer(text) for number in numbers_in((match[1] or match[2]).replace(" ", ""))
    )


def _minus(amount: Decimal | None) -> Decimal | None:
    """Return the amount with the opposite sign and the same digits; zero keeps its sign."""
    return -amount if amount else amount


def _negated(summary: FinancialSummary) -> FinancialSummary:
    changes: dict[str, object] = {}
    for name, value in summary:
        if isinstance(value, Decimal):
            changes[name] = _minus(value)
        elif isinstance(value, list):
            changes[name] = [part.model_copy(update={"amount": _minus(part.amount)}) for part in value]
    return summary.model_copy(update=changes)


def _negated_line(line: LineItem) -> LineItem:
    """Return a line item with the opposite sign of its total and of its negative factor."""
    factor = "quantity" if line.quantity is not None and line.quantity < 0 else "unit_price"
    value = getattr(line, factor)
    changes = {"total": _minus(line.total), **({factor: -value} if value is not None and value < 0 else {})}
    return line.model_copy(update=changes)
