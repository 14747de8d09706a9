"""The rules of EN 16931 on small invoices: each passes, fails, or is not checkable; none passes for want of data."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.invoice.answer import read_answer
from erniekit_adapter.invoice.rules import (
    ARITHMETIC_RULES,
    Finding,
    arithmetic_coverage,
    check,
    failures,
    is_arithmetic_verified,
    is_compliant,
    summarize,
)

ALL_RULES = ("REQUIRED", "BR-CL-04", "BR-DEC", "BR-CO-10", "BR-CO-15", "BR-CO-17", "R120", "DUE-DATE")
amounts = st.none() | st.decimals(Decimal("-999.99"), Decimal("999.99"), places=2)


def invoice(*, client: dict[str, Any] | None = None, lines: list[Any] | None = None, **summary: Any) -> dict[str, Any]:
    """An invoice that adds up, 2 × 50 and 19 % tax; keywords change its financial summary, None takes a value away."""
    line = {"description": "Stuhl", "quantity": 2, "unit_price": 50, "total": 100}
    taxes = [{"type": "VAT", "rate": "0.19", "amount": 19}]
    return {
        "structured_data": {
            "client_info": {"invoice_date": "2025-01-15", "due_date": "2025-02-14", **(client or {})},
            "line_items": [line] if lines is None else lines,
            "financial_summary": {"subtotal": 100, "taxes": taxes, "grand_total": 119, "currency": "EUR", **summary},
        }
    }


def finding(rule: str, value: dict[str, Any]) -> Finding:
    return next(found for found in check(read_answer(value)) if found.rule == rule)


def priced(quantity: Any, unit_price: Any, total: Any) -> dict[str, Any]:
    return {"quantity": quantity, "unit_price": unit_price, "total": total}


def test_every_rule_gives_one_finding_in_a_fixed_order() -> None:
    assert tuple(found.rule for found in check(read_answer(invoice()))) == ALL_RULES
    assert tuple(found.rule for found in check(read_answer({"structured_data": {}}))) == ALL_RULES


def test_an_invoice_that_adds_up_passes_every_rule() -> None:
    assert {found.status for found in check(read_answer(invoice()))} == {"pass"}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("BR-CO-10", {"lines": [priced(1, 60, 60), priced(1, 40, 40)]}),
        ("BR-CO-10", {"lines": [{"total": "100.00"}]}),
        ("BR-CO-15", {"discounts": [{"amount": 10}], "grand_total": 109}),
        ("BR-CO-15", {"taxes": [], "grand_total": 100}),
        ("BR-CO-15", {"taxes": [{"amount": 19}, {"amount": 1}], "grand_total": 120}),
        ("BR-CO-15", {"grand_total": "119.00"}),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": "18.99"}]}),
        ("BR-CO-17", {"discounts": [{"amount": 50}], "taxes": [{"rate": "0.19", "amount": "9.50"}]}),
        ("BR-CO-17", {"taxes": [{"rate": 0, "amount": 0}]}),
        ("BR-DEC", {"currency": "KWD", "grand_total": Decimal("119.001")}),
        ("BR-DEC", {"currency": "JPY", "grand_total": "119.00"}),
        ("R120", {"lines": [priced(3, "33.34", 100)]}),
        ("R120", {"lines": [priced("0.333", 3, 1)]}),
        ("DUE-DATE", {"client": {"due_date": "2025-01-15"}}),
        ("BR-CL-04", {"currency": "JPY"}),
        ("REQUIRED", {"subtotal": None, "taxes": None}),
    ],
)
def test_a_rule_passes_where_it_holds(rule: str, changes: dict[str, Any]) -> None:
    assert finding(rule, invoice(**changes)).status == "pass"


@pytest.mark.parametrize(
    ("rule", "changes", "detail"),
    [
        ("BR-CO-10", {"subtotal": 101}, "sum of lines 100 ≠ subtotal 101"),
        ("BR-CO-10", {"lines": [{"total": "99.99"}]}, "sum of lines 99.99 ≠ subtotal 100"),
        (
            "BR-CO-15",
            {"grand_total": "1119.00"},
            "grand_total 1119.00 ≠ subtotal - discounts + taxes 119",
        ),
        ("BR-CO-15", {"discounts": [{"amount": 10}]}, "grand_total 119 ≠ subtotal - discounts + taxes 109"),
        ("BR-CO-15", {"grand_total": "119.01"}, "grand_total 119.01 ≠ subtotal - discounts + taxes 119"),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": 16}]}, "tax 16 ≠ 100 × 0.19 = 19.00"),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": "18.98"}]}, "tax 18.98 ≠ 100 × 0.19 = 19.00"),
        ("BR-CO-17", {"taxes": [{"rate": 19, "amount": 19}]}, "rate 19 is no fraction from 0 to 1"),
        ("BR-CO-17", {"taxes": [{"rate": "-0.19", "amount": 19}]}, "rate -0.19 is no fraction from 0 to 1"),
        ("BR-DEC", {"currency": "JPY", "grand_total": "119.50"}, "119.50 with more than 0 decimals (JPY)"),
        ("BR-DEC", {"subtotal": Decimal("100.001")}, "100.001 with more than 2 decimals (EUR)"),
        ("BR-DEC", {"lines": [{"total": Decimal("1.005")}]}, "1.005 with more than 2 decimals (EUR)"),
        ("BR-DEC", {"discounts": [{"amount": Decimal("1.005")}]}, "1.005 with more than 2 decimals (EUR)"),
        ("R120", {"lines": [priced(2, 50, 100), priced(2, 50, 90)]}, "line 2: 90 ≠ 100"),
        ("R120", {"lines": [priced(3, "33.34", "99.99")]}, "line 1: 99.99 ≠ 100.02"),
        ("DUE-DATE", {"client": {"due_date": "2025-01-14"}}, "due 2025-01-14 before invoice date 2025-01-15"),
        ("BR-CL-04", {"currency": "¥"}, "'¥' is no ISO 4217 code"),
        ("BR-CL-04", {"currency": "eur"}, "'eur' is no ISO 4217 code"),
        ("REQUIRED", {"grand_total": None, "currency": None}, "missing: grand_total, currency"),
    ],
)
def test_a_rule_that_fails_says_what_was_found_and_what_was_expected(
    rule: str, changes: dict[str, Any], detail: str
) -> None:
    found = finding(rule, invoice(**changes))
    assert (found.status, found.detail) == ("fail", detail)
    assert str(found) == f"{rule}: {detail}"


@pytest.mark.parametrize(
    ("rule", "changes", "missing"),
    [
        ("BR-CO-10", {"subtotal": None}, "subtotal"),
        ("BR-CO-10", {"lines": []}, "line totals"),
        ("BR-CO-10", {"lines": [{"total": 100}, {"quantity": 1}]}, "line totals"),
        ("BR-CO-15", {"grand_total": None}, "grand_total"),
        ("BR-CO-15", {"subtotal": None}, "subtotal"),
        ("BR-CO-15", {"taxes": None}, "taxes"),
        ("BR-CO-15", {"taxes": [{"rate": "0.19"}]}, "taxes"),
        ("BR-CO-15", {"discounts": [{"description": "Rabatt"}]}, "subtotal"),
        ("BR-CO-17", {"taxes": [{"amount": 19}]}, "rate"),
        ("BR-CO-17", {"taxes": [{"rate": "0.19"}]}, "amount"),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": 10}, {"rate": "0.07", "amount": 9}]}, "one tax row"),
        ("BR-CO-17", {"subtotal": None}, "subtotal"),
        ("BR-DEC", {"currency": None}, "currency"),
        ("BR-DEC", {"subtotal": None, "grand_total": None, "taxes": None, "lines": []}, "amounts"),
        ("R120", {"lines": [priced(None, 50, 100), priced(2, None, 100), priced(2, 50, None)]}, "quantity"),
        ("DUE-DATE", {"client": {"due_date": None}}, "due_date"),
        ("DUE-DATE", {"client": {"invoice_date": None}}, "invoice_date"),
        ("BR-CL-04", {"currency": None}, "currency"),
    ],
)
def test_a_missing_operand_makes_a_rule_not_checkable(rule: str, changes: dict[str, Any], missing: str) -> None:
    found = finding(rule, invoice(**changes))
    assert found.status == "not checkable"
    assert missing in found.detail


def test_the_due_date_may_stand_in_the_payment_terms() -> None:
    value = invoice(client={"due_date": None})
    value["structured_data"]["payment_terms"] = {"due_date": "2025-01-01"}
    assert finding("DUE-DATE", value).status == "fail"


def test_a_tax_rate_may_be_off_by_one_cent_or_one_yen_and_no_more() -> None:
    yen: dict[str, Any] = {"currency": "JPY", "lines": [], "subtotal": 105, "grand_total": 1}
    assert finding("BR-CO-17", invoice(**yen, taxes=[{"rate": "0.1", "amount": 10}])).status == "pass"
    assert finding("BR-CO-17", invoice(**yen, taxes=[{"rate": "0.1", "amount": 9}])).status == "fail"


@pytest.mark.parametrize(
    "value", [{"structured_data": {}}, invoice(lines=[], subtotal=None, taxes=None, grand_total=None)]
)
def test_an_answer_without_amounts_is_not_valid(value: dict[str, Any]) -> None:
    found = check(read_answer(value))
    assert not is_compliant(found)
    assert not is_arithmetic_verified(found)
    assert arithmetic_coverage(found) == 0.0


def test_a_total_that_cannot_be_checked_is_not_valid_and_the_issue_says_why() -> None:
    verdict = summarize(check(read_answer(invoice(taxes=None))))
    assert (verdict.is_valid, verdict.math_verified) == (False, False)
    assert verdict.issues == ["BR-CO-15: missing: taxes"]


def test_a_right_invoice_has_no_issues() -> None:
    verdict = summarize(check(read_answer(invoice())))
    assert (verdict.is_valid, verdict.math_verified, verdict.issues) == (True, True, [])


def test_the_issues_name_the_rule_and_both_amounts() -> None:
    verdict = summarize(check(read_answer(invoice(grand_total="1234.50"))))
    assert verdict.issues == ["BR-CO-15: grand_total 1234.50 ≠ subtotal - discounts + taxes 119"]


def test_warnings_come_after_errors_and_leave_an_invoice_valid() -> None:
    warned = summarize(check(read_answer(invoice(client={"due_date": "2025-01-01"}))))
    assert (warned.is_valid, len(warned.issues)) == (True, 1)
    both = summarize(check(read_answer(invoice(grand_total=1, client={"due_date": "2025-01-01"}))))
    assert [issue.partition(":")[0] for issue in both.issues] == ["BR-CO-15", "DUE-DATE"]


def test_a_broken_line_spoils_the_arithmetic_and_not_the_validity() -> None:
    verdict = summarize(check(read_answer(invoice(lines=[priced(3, 50, 100)]))))
    assert (verdict.is_valid, verdict.math_verified) == (True, False)


def test_coverage_is_the_share_of_arithmetic_rules_with_all_operands() -> None:
    assert arithmetic_coverage(check(read_answer(invoice()))) == 1.0
    assert arithmetic_coverage(check(read_answer(invoice(lines=[])))) == 0.5
    assert len(ARITHMETIC_RULES) == 4


def test_failures_are_told_apart_by_level() -> None:
    found = check(read_answer(invoice(grand_total=1, client={"due_date": "2025-01-01"})))
    assert [each.rule for each in failures(found)] == ["BR-CO-15"]
    assert [each.rule for each in failures(found, "warn")] == ["DUE-DATE"]


@st.composite
def invoices(draw: st.DrawFn) -> dict[str, Any]:
    lines = [priced(*(draw(amounts) for _ in range(3))) for _ in range(draw(st.integers(0, 2)))]
    taxes = draw(st.none() | st.lists(st.fixed_dictionaries({"rate": amounts, "amount": amounts}), max_size=2))
    discounts = draw(st.none() | st.lists(st.fixed_dictionaries({"amount": amounts}), max_size=2))
    currency = draw(st.sampled_from([None, "EUR", "JPY", "€"]))
    known: dict[str, Any] = {"subtotal": draw(amounts), "grand_total": draw(amounts), "currency": currency}
    return invoice(lines=lines, taxes=taxes, discounts=discounts, **known)


@given(value=invoices())
def test_an_invalid_answer_always_has_an_issue_and_a_valid_one_a_checked_total(value: dict[str, Any]) -> None:
    found = check(read_answer(value))
    verdict = summarize(found)
    assert verdict.is_valid or verdict.issues
    assert not verdict.is_valid or finding("BR-CO-15", value).status == "pass"
    assert not verdict.math_verified or finding("BR-CO-15", value).status == "pass"


@given(
    prices=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 10**6)), min_size=1, max_size=4),
    percent=st.integers(0, 30),
    off=st.integers(1, 10**6),
)
def test_an_invoice_that_is_computed_is_valid_and_one_cent_off_is_not(
    prices: list[tuple[int, int]], percent: int, off: int
) -> None:
    cents = Decimal("0.01")
    lines = [priced(count, price * cents, count * price * cents) for count, price in prices]
    subtotal = sum((line["total"] for line in lines), Decimal(0))
    tax = (subtotal * percent / 100).quantize(cents, rounding="ROUND_HALF_UP")
    taxes = [{"rate": Decimal(percent) / 100, "amount": tax}]
    right = invoice(lines=lines, subtotal=subtotal, taxes=taxes, grand_total=subtotal + tax)
    wrong = invoice(lines=lines, subtotal=subtotal, taxes=taxes, grand_total=subtotal + tax + off * cents)
    assert summarize(check(read_answer(right))).is_valid
    assert not summarize(check(read_answer(wrong))).is_valid
