"""Inject faults into an invoice that keeps the rules, so that a model learns to name broken rules.

The rules of `invoice.rules` decide: a fault must break the rules of its kind.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from data_tools.examples.misreading import drawn, misread_amount, wrong_codes
from erniekit_adapter.documents.invoice.answer import Answer
from erniekit_adapter.documents.invoice.rules import RULES, may_include_taxes

KINDS = ("line_total", "subtotal", "tax", "grand_total", "date_order", "currency")
# Rules that a fault of each kind breaks; at least one of them passed before. All but DUE-DATE have the level error.
BREAKS = {
    "line_total": frozenset({"BR-CO-10"}),
    "subtotal": frozenset({"BR-CO-10", "BR-CO-15"}),
    "tax": frozenset({"BR-CO-15"}),
    "grand_total": frozenset({"BR-CO-15"}),
    "date_order": frozenset({"DUE-DATE"}),
    "currency": frozenset({"BR-CL-04"}),
}
_CHANGES_A_SUM = frozenset({"line_total", "subtotal", "grand_total"})
# DUE-DATE only warns. By itself it would leave the answer valid, but data with a fault must be invalid.
_NEVER_ALONE = "date_order"


def inject_invoice_fault(answer: Answer, rng: random.Random, count: int) -> tuple[Answer, tuple[str, ...]]:
    """Inject faults into an answer that keeps the rules.

    The rules find every faulty answer invalid: `date_order` only occurs together with another kind. A wrong
    currency can break other rules too, because its minor unit is not known. The answer's own `validation_summary` does
    not change.

    Args:
        answer: not changed; an answer that breaks a rule of level error, or DUE-DATE, gets no fault.
        rng: equal states give equal faults.
        count: number of faults, 1 or 2; fewer if fewer kinds fit the answer.

    Returns:
        The faulty answer and the kinds of its faults in the order of KINDS; or the unchanged answer and ().

    Raises:
        ValueError: `count` is neither 1 nor 2.
    """
    if count not in (1, 2):
        raise ValueError(f"{count} faults: expected 1 or 2")
    currency, findings = answer.summary.currency, RULES.check(answer, as_given=True)
    if currency is None or any(
        found.status == "fail" and (found.level == "error" or found.rule == "DUE-DATE") for found in findings
    ):
        return answer, ()
    held = frozenset(found.rule for found in findings if found.status == "pass")
    fitting = [kind for kind in KINDS if BREAKS[kind] & held and not (count == 1 and kind == _NEVER_ALONE)]
    faulty = answer
    injected: list[str] = []
    for kind in drawn(fitting, rng):
        candidates = _WRONG[kind](faulty, currency, rng)
        if kind in _CHANGES_A_SUM:
            # If the amounts look as if they include taxes, the fault would not be visible.
            candidates = (wrong for wrong in candidates if not may_include_taxes(wrong))
        wrong = _one_more(candidates, kind, injected, held)
        if wrong is not None:
            faulty = wrong
            injected.append(kind)
        if len(injected) == count:
            break
    return faulty, tuple(sorted(injected, key=KINDS.index))


def _one_more(candidates: Iterator[Answer], kind: str, before: Sequence[str], held: frozenset[str]) -> Answer | None:
    """Return the first candidate whose fault and the earlier faults do not cancel each other out, or None."""
    if not any(BREAKS[kind] & BREAKS[other] for other in before):
        # No other fault affects these rules, and every mistake is large enough to break them.
        return next(candidates, None)
    due = held & BREAKS[kind].union(*(BREAKS[other] for other in before))
    return next((wrong for wrong in candidates if due <= _failing(wrong)), None)


def _failing(answer: Answer) -> set[str]:
    return {found.rule for found in RULES.check(answer, as_given=True) if found.status == "fail"}


def _wrong_line_total(answer: Answer, currency: str, rng: random.Random) -> Iterator[Answer]:
    totals = [line.total for line in answer.lines]
    place, amount = _some_amount(totals, rng)
    for total in misread_amount(amount, currency, rng):
        lines = list(answer.lines)
        lines[place] = lines[place].model_copy(update={"total": total})
        yield _with(answer, line_items=lines)


def _wrong_tax(answer: Answer, currency: str, rng: random.Random) -> Iterator[Answer]:
    taxes = answer.summary.taxes or []
    place, amount = _some_amount([tax.amount for tax in taxes], rng)
    for wrong in misread_amount(amount, currency, rng):
        rows = list(taxes)
        rows[place] = rows[place].model_copy(update={"amount": wrong})
        yield _with_summary(answer, taxes=rows)


def _wrong_subtotal(answer: Answer, currency: str, rng: random.Random) -> Iterator[Answer]:
    for subtotal in misread_amount(answer.summary.subtotal, currency, rng):
        yield _with_summary(answer, subtotal=subtotal)


def _wrong_grand_total(answer: Answer, currency: str, rng: random.Random) -> Iterator[Answer]:
    for total in misread_amount(answer.summary.grand_total, currency, rng):
        yield _with_summary(answer, grand_total=total)


def _dates_swapped(answer: Answer, currency: str, rng: random.Random) -> Iterator[Answer]:
    """Swap invoice date and due date, in both places of the latter; yield nothing if they are equal."""
    client, terms = answer.structured_data.client_info, answer.structured_data.payment_terms
    issued = client.invoice_date if client else None
    due = (client.due_date if client else None) or (terms.due_date if terms else None)
    if client is None or issued is None or due is None or due == issued:
        return
    new_due = {"due_date": issued}
    client = client.model_copy(update={"invoice_date": due} | (new_due if client.due_date else {}))
    if terms is not None and terms.due_date:
        terms = terms.model_copy(update=new_due)
    yield _with(answer, client_info=client, payment_terms=terms)


def _wrong_currency(answer: Answer, currency: str, rng: random.Random) -> Iterator[Answer]:
    for code in drawn(wrong_codes(currency), rng):
        yield _with_summary(answer, currency=code)


# Generators of faulty answers in random order, by kind; arguments are the answer and its correct currency.
_WRONG: dict[str, Callable[[Answer, str, random.Random], Iterator[Answer]]] = {
    "line_total": _wrong_line_total,
    "subtotal": _wrong_subtotal,
    "tax": _wrong_tax,
    "grand_total": _wrong_grand_total,
    "date_order": _dates_swapped,
    "currency": _wrong_currency,
}


def _with(answer: Answer, **parts: object) -> Answer:
    return answer.model_copy(update={"structured_data": answer.structured_data.model_copy(update=parts)})


def _with_summary(answer: Answer, **values: object) -> Answer:
    return _with(answer, financial_summary=answer.summary.model_copy(update=values))


def _some_amount(amounts: Sequence[Decimal | None], rng: random.Random) -> tuple[int, Decimal | None]:
    """Return the index of an amount above 0 and the amount, chosen at random; (0, None) if none exists."""
    places = [place for place, amount in enumerate(amounts) if amount is not None and amount > 0]
    if not places:
        return 0, None
    place = rng.choice(places)
    return place, amounts[place]
