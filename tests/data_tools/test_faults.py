"""Faults in consistent invoices: the rules detect each one, and other values are unchanged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from data_examples import answer
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.examples.invoice_faults import BREAKS, KINDS, inject_invoice_fault
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import canonical_answer
from erniekit_adapter.documents.invoice.answer import Answer, as_json, read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.money import is_currency, minor_unit, round_to_minor_unit

# Fields of each fault kind, without list positions.
FIELDS = {
    "line_total": {"line_items.total"},
    "subtotal": {"financial_summary.subtotal"},
    "tax": {"financial_summary.taxes.amount"},
    "grand_total": {"financial_summary.grand_total"},
    "date_order": {"client_info.invoice_date", "client_info.due_date", "payment_terms.due_date"},
    "currency": {"financial_summary.currency"},
}
AMOUNTS = ("line_total", "subtotal", "tax", "grand_total")
# An unknown currency can also break this rule, because its minor unit is assumed to be a hundredth.
UNKNOWN_MINOR_UNIT = {"BR-DEC", "BR-CO-17", "R120"}

seeds = st.integers(0, 2**32)
counts = st.sampled_from([1, 2])


@st.composite
def synthetic(draw: st.DrawFn) -> Answer:
    """Return the answer of a synthetic invoice without a fault."""
    return read_answer(canonical_answer(make_invoice(draw(seeds), draw(st.integers(0, 10**6)), fault_share=0)))


@st.composite
def hand_made(draw: st.DrawFn) -> Answer:
    """Draw small and huge amounts in currencies with 0, 2, 3 and 4 decimals; omit optional values at random."""
    currency = draw(st.sampled_from(["EUR", "USD", "JPY", "KWD", "CLF"]))
    unit = minor_unit(currency)
    totals = draw(st.lists(st.integers(0, 10 ** draw(st.integers(1, 17))), min_size=1, max_size=3))
    lines: list[dict[str, Any]] = [{"total": total * unit} for total in totals]
    if draw(st.booleans()):
        lines = [line | {"quantity": 1, "unit_price": line["total"]} for line in lines]
    subtotal = sum(totals) * unit
    rate = draw(st.sampled_from([None, "0", "0.07", "0.19", "1"]))
    tax = round_to_minor_unit(subtotal * Decimal(rate or "0.2"), currency)
    summary: dict[str, Any] = {
        "subtotal": draw(st.sampled_from([subtotal, None])),
        "taxes": draw(st.sampled_from([[{"rate": rate, "amount": tax}], [{"amount": tax}, {"amount": 0}], None])),
        "grand_total": subtotal + tax,
        "currency": currency,
    }
    due = draw(st.sampled_from([None, "2025-01-15", "2025-02-14"]))
    dates = draw(st.sampled_from([{}, {"invoice_date": "2025-01-15"}, {"invoice_date": "2025-01-15", "due_date": due}]))
    return read_answer(
        {
            "structured_data": {
                "client_info": dates,
                "line_items": draw(st.sampled_from([lines, None])),
                "financial_summary": summary,
                "payment_terms": {"due_date": due},
            }
        }
    )


right_answers = synthetic() | hand_made()


def injected(right: Answer, seed: int, count: int) -> tuple[Answer, tuple[str, ...]]:
    return inject_invoice_fault(right, random.Random(seed), count)  # noqa: S311 - content, not secrets


def failing(checked: Answer) -> set[str]:
    return {found.rule for found in RULES.check(checked, as_given=True) if found.status == "fail"}


def holding(checked: Answer) -> set[str]:
    return {found.rule for found in RULES.check(checked, as_given=True) if found.status == "pass"}


def values(answered: Answer) -> dict[tuple[str | int, ...], Any]:
    """Return every value of an answer by its path."""
    found: dict[tuple[str | int, ...], Any] = {}
    left: list[tuple[tuple[str | int, ...], Any]] = [((), as_json(answered))]
    while left:
        place, value = left.pop()
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            left.extend(((*place, key), inner) for key, inner in items)
        else:
            found[place] = value
    return found


def changed(right: Answer, faulty: Answer) -> dict[tuple[str | int, ...], tuple[Any, Any]]:
    """Return the differences as (right, wrong) by path."""
    before, after = values(right), values(faulty)
    assert before.keys() == after.keys()
    return {place: (before[place], after[place]) for place in before if str(before[place]) != str(after[place])}


def field(place: tuple[str | int, ...]) -> str:
    return ".".join(name for name in place[1:] if isinstance(name, str))


def with_only(right: Answer, faulty: Answer, kind: str) -> Answer:
    """Return the right answer with the faults of one kind only."""
    value = as_json(right)
    for place, (_, wrong) in changed(right, faulty).items():
        if field(place) in FIELDS[kind]:
            part: Any = value
            for name in place[:-1]:
                part = part[name]
            part[place[-1]] = wrong
    return read_answer(value)


def with_wrong_dates(right: Answer) -> Answer:
    """Return the first faulty answer, over seeds, with wrong dates."""
    results = (injected(right, seed, 2) for seed in range(500))
    return next(faulty for faulty, kinds in results if "date_order" in kinds)


@settings(deadline=None)
@given(right=synthetic(), seed=seeds, count=counts)
def test_injects_exactly_the_requested_faults(right: Answer, seed: int, count: int) -> None:
    faulty, kinds = injected(right, seed, count)
    assert len(kinds) == len(set(kinds)) == count
    assert list(kinds) == [kind for kind in KINDS if kind in kinds]
    assert {kind for kind in KINDS for place in changed(right, faulty) if field(place) in FIELDS[kind]} == {*kinds}


@settings(deadline=None)
@given(right=right_answers, seed=seeds, count=counts)
def test_faults_change_only_their_fields(right: Answer, seed: int, count: int) -> None:
    faulty, kinds = injected(right, seed, count)
    places = changed(right, faulty)
    assert {field(place) for place in places} <= {name for kind in kinds for name in FIELDS[kind]}
    for kind in {*kinds} - {"date_order"}:
        assert len([place for place in places if field(place) in FIELDS[kind]]) == 1


@settings(deadline=None)
@given(right=right_answers, seed=seeds, count=counts)
def test_injected_faults_make_the_invoice_invalid(right: Answer, seed: int, count: int) -> None:
    faulty, kinds = injected(right, seed, count)
    verdict = RULES.summarize(RULES.check(faulty, as_given=True))
    if kinds:
        assert not verdict.is_valid
        assert verdict.issues
        assert kinds != ("date_order",)
    else:
        assert faulty is right


@settings(deadline=None, max_examples=300)
@given(right=right_answers, seed=seeds, count=counts)
def test_every_fault_breaks_its_rules(right: Answer, seed: int, count: int) -> None:
    faulty, kinds = injected(right, seed, count)
    for kind in kinds:
        due = BREAKS[kind] & holding(right)
        assert due
        assert due <= failing(with_only(right, faulty, kind))
        assert due <= failing(faulty)


@settings(deadline=None)
@given(right=synthetic(), seed=seeds, count=counts)
def test_untouched_rules_still_pass(right: Answer, seed: int, count: int) -> None:
    faulty, kinds = injected(right, seed, count)
    touched = {rule for kind in kinds for rule in BREAKS[kind]}
    touched |= {"R120"} if "line_total" in kinds else set()
    touched |= {"BR-CO-17"} if {"subtotal", "tax"} & {*kinds} else set()
    touched |= UNKNOWN_MINOR_UNIT if "currency" in kinds else set()
    assert failing(faulty) <= touched


@settings(deadline=None)
@given(right=synthetic(), seed=seeds)
def test_wrong_line_total_is_named_with_its_line(right: Answer, seed: int) -> None:
    faulty, kinds = injected(right, seed, 2)
    assert ("R120" in failing(faulty)) or "line_total" not in kinds


@settings(deadline=None)
@given(right=right_answers, seed=seeds, count=counts)
def test_wrong_amount_is_positive_and_keeps_its_decimals(right: Answer, seed: int, count: int) -> None:
    faulty, _ = injected(right, seed, count)
    unit = minor_unit(right.summary.currency)
    named = {name for kind in AMOUNTS for name in FIELDS[kind]}
    for place, (true, wrong) in changed(right, faulty).items():
        if field(place) in named:
            assert wrong > 0
            assert wrong != true
            assert wrong % unit == 0
            decimals = -wrong.as_tuple().exponent
            assert decimals == min(max(-true.as_tuple().exponent, 0), -unit.as_tuple().exponent)


@settings(deadline=None)
@given(right=right_answers, seed=seeds, count=counts)
def test_faulty_answer_is_still_an_answer(right: Answer, seed: int, count: int) -> None:
    faulty, _ = injected(right, seed, count)
    assert read_answer(as_json(faulty)) == faulty


@settings(deadline=None)
@given(right=right_answers, seed=seeds, count=counts)
def test_same_seed_gives_the_same_faults(right: Answer, seed: int, count: int) -> None:
    before = INVOICE.text_of(right)
    first, again = (injected(right, seed, count) for _ in range(2))
    assert first == again
    assert INVOICE.text_of(first[0]) == INVOICE.text_of(again[0])
    assert INVOICE.text_of(right) == before


def test_fault_kinds_are_about_equally_likely() -> None:
    drawn: Counter[str] = Counter()
    for index in range(600):
        right = read_answer(canonical_answer(make_invoice(5, index, fault_share=0)))
        drawn.update(injected(right, index, 1 + index % 2)[1])
    assert {*drawn} == {*KINDS}
    assert min(drawn.values()) > 600 / len(KINDS) / 2


@pytest.mark.parametrize(
    ("amount", "currency", "swapped", "misread", "off_by_a_round_figure"),
    [
        ("1002.00", "EUR", {"1020.00"}, {"1062.00", "1802.00", "1007.00"}, {"1004.00", "1012.00", "2002.00", "2.00"}),
        ("120.50", "EUR", {"210.50", "125.00"}, {"170.50", "120.30"}, {"120.60", "120.00", "220.50"}),
        ("120", "EUR", {"210", "102"}, {"170", "420"}, {"130", "20", "320"}),
        ("1002", "JPY", {"1020"}, {"1062", "1802", "1007"}, {"1012", "2002", "2"}),
        ("120.500", "EUR", {"210.50"}, {"170.50"}, {"120.60"}),
        ("0.03", "EUR", set(), {"0.08"}, {"0.13", "10.03"}),
        ("1.250", "KWD", {"2.150"}, {"1.750", "4.250"}, {"1.300", "0.250"}),
    ],
)
def test_wrong_amount_looks_like_a_real_mistake(
    amount: str, currency: str, swapped: set[str], misread: set[str], off_by_a_round_figure: set[str]
) -> None:
    summary = {"subtotal": Decimal(amount), "taxes": [], "grand_total": Decimal(amount), "currency": currency}
    right = read_answer({"structured_data": {"financial_summary": summary}})
    results = {str(injected(right, seed, 1)[0].summary.grand_total) for seed in range(1500)} - {amount}
    assert swapped | misread | off_by_a_round_figure <= results
    assert len(results) < 40
    assert min(map(Decimal, results)) > 0


def test_faults_leave_no_leading_zero() -> None:
    summary = {"subtotal": "6042.00", "taxes": [], "grand_total": "6042.00", "currency": "EUR"}
    right = read_answer({"structured_data": {"financial_summary": summary}})
    results = {str(injected(right, seed, 1)[0].summary.grand_total) for seed in range(1500)}
    assert not results & {"642.00", "42.00"}


def two_faults(summary: dict[str, Any], *kinds: str) -> list[Answer]:
    """Yield answers with these two faults, over many seeds."""
    right = read_answer({"structured_data": {"financial_summary": summary}})
    results = [injected(right, seed, 2) for seed in range(2000)]
    return [faulty for faulty, drawn in results if drawn == kinds]


def test_two_amounts_are_never_wrong_by_the_same_difference() -> None:
    # Both are 100.00, so most mistakes of one would cancel out the other's.
    summary = {"subtotal": "100.00", "taxes": [], "grand_total": "100.00", "currency": "EUR"}
    results = two_faults(summary, "subtotal", "grand_total")
    assert len(results) > 100
    assert not any(faulty.summary.subtotal == faulty.summary.grand_total for faulty in results)


def test_wrong_tax_never_fits_a_wrong_subtotal() -> None:
    # At a rate of 1 the tax can get the same mistake as the subtotal.
    tax = {"rate": 1, "amount": "100.00"}
    summary = {"subtotal": "100.00", "taxes": [tax], "grand_total": "200.00", "currency": "EUR"}
    results = two_faults(summary, "subtotal", "tax")
    assert len(results) > 100
    assert all("BR-CO-15" in failing(faulty) for faulty in results)


def test_amount_keeps_its_decimals_if_its_currency_is_wrong() -> None:
    results = two_faults(
        {"subtotal": "1.250", "grand_total": "1.250", "currency": "KWD", "taxes": []}, "grand_total", "currency"
    )
    assert len(results) > 100
    assert {str(faulty.summary.grand_total)[-4] for faulty in results} == {"."}


def test_wrong_amount_never_looks_like_a_total_with_tax() -> None:
    tax = {"amount": "100.00"}
    summary = {"subtotal": "1000.00", "taxes": [tax], "grand_total": "1100.00", "currency": "EUR"}
    value = read_answer({"structured_data": {"financial_summary": summary}})
    for seed in range(300):
        faulty, kinds = inject_invoice_fault(value, random.Random(seed), 1)  # noqa: S311 - content, not secrets
        assert failing(faulty) & BREAKS[kinds[0]] if kinds else faulty == value


def test_faults_respect_the_digit_limit() -> None:
    most = "9" * 18
    results = two_faults(
        {"subtotal": most, "grand_total": most, "currency": "JPY", "taxes": []}, "subtotal", "grand_total"
    )
    assert len(results) > 100
    assert all(read_answer(as_json(faulty)) == faulty for faulty in results)


def test_swaps_dates_in_every_block() -> None:
    value = answer()
    value["structured_data"]["payment_terms"] = {"due_date": "2025-02-14", "notes": "30 Tage"}
    data = as_json(with_wrong_dates(read_answer(value)))["structured_data"]
    assert data["client_info"]["invoice_date"] == "2025-02-14"
    assert data["client_info"]["due_date"] == data["payment_terms"]["due_date"] == "2025-01-15"
    assert data["payment_terms"]["notes"] == "30 Tage"


def test_wrong_dates_come_with_another_fault() -> None:
    right = read_answer(answer())
    swapped = with_only(right, with_wrong_dates(right), "date_order")
    assert RULES.summarize(RULES.check(swapped, as_given=True)).is_valid
    assert {injected(right, seed, 1)[1] for seed in range(300)} == {
        ("line_total",),
        ("subtotal",),
        ("tax",),
        ("grand_total",),
        ("currency",),
    }


def test_invoice_due_at_once_gets_no_wrong_dates() -> None:
    value = answer()
    value["structured_data"]["client_info"]["due_date"] = "2025-01-15"
    kinds = [injected(read_answer(value), seed, 2)[1] for seed in range(200)]
    assert {len(drawn) for drawn in kinds} == {2}
    assert not any("date_order" in drawn for drawn in kinds)


@pytest.mark.parametrize(
    ("currency", "expected"), [("EUR", {"EUX", "E UR", "UER", "FUR"}), ("USD", {"US$", "U5D"}), ("KRW", {"KXW"})]
)
def test_wrong_currency_looks_like_a_code(currency: str, expected: set[str]) -> None:
    right = read_answer(answer(currency=currency))
    results = {injected(right, seed, 1)[0].summary.currency or "" for seed in range(1000)} - {currency}
    assert expected <= results
    assert not any(map(is_currency, results))
    assert all(len(code) in (3, 4) for code in results)


def test_injects_as_many_faults_as_possible() -> None:
    # No total is above 0 and there are no dates, so only the currency can be wrong.
    right = read_answer({"structured_data": {"financial_summary": {"grand_total": 0, "currency": "EUR"}}})
    faulty, kinds = injected(right, 1, 2)
    assert kinds == ("currency",)
    assert failing(faulty) == {"BR-CL-04"}


def breaking_dates() -> dict[str, Any]:
    value = answer()
    value["structured_data"]["client_info"]["due_date"] = "2025-01-14"
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda: answer(grand_total=120),
        lambda: answer(subtotal=101),
        lambda: answer(currency="EUX"),
        lambda: answer(currency=None),
        breaking_dates,
        lambda: {"structured_data": {}},
    ],
)
def test_invalid_invoice_gets_no_fault(make: Callable[[], dict[str, Any]]) -> None:
    broken = read_answer(make())
    for count in (1, 2):
        assert injected(broken, 1, count) == (broken, ())


@pytest.mark.parametrize("count", [-1, 0, 3])
def test_injects_one_or_two_faults(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} faults: expected 1 or 2"):
        injected(read_answer(answer()), 1, count)
