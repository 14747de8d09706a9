"""Verdicts from the rules: validity, arithmetic, issues, and reasons not to teach a verdict."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_examples import finding, invoice, priced

from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.rules.rule import failures, unshown_reason

amounts = st.none() | st.decimals(Decimal("-999.99"), Decimal("999.99"), places=2)


@pytest.mark.parametrize(
    "value", [{"structured_data": {}}, invoice(lines=[], subtotal=None, taxes=None, grand_total=None)]
)
def test_answer_without_amounts_is_neither_valid_nor_invalid(value: dict[str, Any]) -> None:
    found = RULES.check(read_answer(value))
    assert (RULES.validity(found), RULES.arithmetic_validity(found), RULES.arithmetic_coverage(found)) == (
        None,
        None,
        0.0,
    )


@pytest.mark.parametrize(
    ("changes", "verdicts"),
    [
        ({}, (True, True)),
        ({"taxes": None}, (None, None)),
        ({"lines": []}, (True, None)),
        ({"grand_total": 120}, (False, False)),
        ({"subtotal": None, "currency": "EURO"}, (False, None)),
    ],
)
def test_summary_is_true_false_or_null(changes: dict[str, Any], verdicts: tuple[object, object]) -> None:
    summary = RULES.summarize(RULES.check(read_answer(invoice(**changes))))
    assert (summary.is_valid, summary.math_verified) == verdicts


def tax(rate: str, amount: Any) -> dict[str, Any]:
    return {"rate": rate, "amount": amount}


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        # Taxes on the whole amount. Canada: GST and PST; India: CGST and SGST; Spain: IVA and recargo de equivalencia.
        ({"taxes": [tax("0.05", 5), tax("0.07", 7)], "grand_total": 112}, True),
        ({"taxes": [tax("0.09", 9), tax("0.09", 9)], "grand_total": 118}, True),
        ({"taxes": [tax("0.21", 21), tax("0.052", "5.20")], "grand_total": "126.20"}, True),
        # A tax on a tax.
        ({"taxes": [tax("0.05", 5), tax("0.10", "10.50")], "grand_total": "115.50"}, True),
        # Spain and Italy: withholding tax, as a tax or after the total.
        ({"taxes": [tax("0.21", 21), tax("-0.15", -15)], "grand_total": 106}, True),
        ({"taxes": [tax("0.22", 22)], "grand_total": 122, "amount_due": 102}, True),
        # A receipt whose prices include taxes of two rates, and one with an exempt part.
        (
            {
                "subtotal": 226,
                "taxes": [tax("0.19", 19), tax("0.07", 7)],
                "grand_total": 226,
                "lines": [{"total": 226}],
            },
            True,
        ),
        ({"subtotal": 169, "taxes": [tax("0.19", 19)], "grand_total": 169, "lines": [{"total": 169}]}, None),
        # Totals rounded to a coin, without and with a stated rounding.
        ({"currency": "CHF", "taxes": [tax("0.081", "8.08")], "grand_total": "108.10"}, None),
        ({"currency": "SEK", "taxes": [tax("0.25", "24.60")], "grand_total": 125}, None),
        ({"taxes": [tax("0.19", "19.01")], "rounding": "-0.01", "grand_total": 119, "amount_due": 119}, None),
        # A subtotal after the discount, or including the freight.
        (
            {"subtotal": 90, "discounts": [{"amount": 10}], "taxes": [tax("0.19", "17.10")], "grand_total": "107.10"},
            None,
        ),
        (
            {"subtotal": 110, "charges": [{"amount": 10}], "taxes": [tax("0.19", "20.90")], "grand_total": "130.90"},
            None,
        ),
        # A credit note with negative amounts.
        ({"subtotal": -100, "taxes": [tax("0.19", -19)], "grand_total": -119, "lines": [{"total": -100}]}, True),
        ({"subtotal": -100, "taxes": [tax("0.19", -25)], "grand_total": -125, "lines": [{"total": -100}]}, False),
        # An item and its return.
        ({"subtotal": 0, "taxes": [tax("0.19", 0)], "grand_total": 0, "lines": [{"total": 9}, {"total": -9}]}, True),
        # None of these cases explains a wrong total.
        ({"currency": "CHF", "grand_total": "119.05"}, False),
        ({"rounding": "0.01", "grand_total": "119.02"}, False),
        ({"discounts": [{"amount": 10}]}, False),
    ],
)
def test_checks_many_kinds_of_real_invoices_correctly(changes: dict[str, Any], valid: bool | None) -> None:
    found = RULES.check(read_answer(invoice(**changes)))
    assert (RULES.validity(found), [str(each) for each in failures(found)] == []) == (valid, valid is not False)


# Header values of real invoices: freight, a taxed social security contribution of 4 %, a discount, a credit note with
# freight.
HEADERS: tuple[dict[str, Any], ...] = (
    {"taxes": [{"amount": 19}], "grand_total": 125},
    {"subtotal": 1200, "taxes": [{"rate": "0.22", "amount": "274.56"}], "grand_total": "1522.56"},
    {"taxes": [{"rate": "0.19", "amount": "17.10"}], "grand_total": "107.10"},
    {"subtotal": -100, "taxes": [{"amount": -19}], "grand_total": -125},
)


@pytest.mark.parametrize("summary", HEADERS)
def test_header_values_may_lack_charges_or_discounts(summary: dict[str, Any]) -> None:
    found = RULES.check(read_answer(invoice(lines=[], **summary)))
    assert not failures(found)
    assert (RULES.validity(found), RULES.arithmetic_validity(found)) == (None, None)


@pytest.mark.parametrize("summary", HEADERS)
@pytest.mark.parametrize("settings", [{"complete": True}, {"as_given": True}])
def test_complete_answers_lack_no_charges_or_discounts(summary: dict[str, Any], settings: dict[str, bool]) -> None:
    found = RULES.check(read_answer(invoice(lines=[], **summary)), **settings)
    assert "BR-CO-15" in [each.rule for each in failures(found)]


@pytest.mark.parametrize(
    "summary",
    [
        {"grand_total": 1119},
        {"charges": [{"amount": 6}], "grand_total": 130},
        {"discounts": [{"amount": 6}], "grand_total": 110},
        {"taxes": [{"rate": 19, "amount": 19}]},
    ],
)
def test_finds_a_mistake_in_header_values(summary: dict[str, Any]) -> None:
    assert failures(RULES.check(read_answer(invoice(lines=[], **summary))))


def test_removed_value_keeps_the_validity() -> None:
    complete = RULES.check(read_answer(invoice()))
    shown = RULES.check(read_answer(invoice(taxes=None)))
    summary = RULES.summarize(complete, shown)
    assert (summary.is_valid, summary.math_verified, summary.issues) == (True, None, [])
    assert unshown_reason(complete, shown) is None


def test_removed_line_item_that_breaks_a_sum_is_a_reason() -> None:
    lines = [priced(1, 60, 60), priced(1, 40, 40)]
    complete, shown = (RULES.check(read_answer(invoice(lines=rows))) for rows in (lines, lines[:1]))
    assert unshown_reason(complete, shown) == (
        "BR-CO-10 passes on the complete document and fails on the values of the page (sum of lines 60 ≠ subtotal 100)"
    )


def test_failure_that_the_page_does_not_show_is_a_reason() -> None:
    complete, shown = (
        RULES.check(read_answer(invoice(grand_total=1))),
        RULES.check(read_answer(invoice(grand_total=None))),
    )
    assert "does not follow from the remaining values" in (unshown_reason(complete, shown) or "")


def test_warning_counts_only_if_the_complete_document_has_it() -> None:
    shown = RULES.check(read_answer(invoice(lines=[priced(2, 60, 100)])))
    complete = tuple(found._replace(status="pass") if found.rule == "R120" else found for found in shown)
    assert RULES.summarize(complete, shown).issues == []


def test_correct_invoice_has_no_issues() -> None:
    verdict = RULES.summarize(RULES.check(read_answer(invoice())))
    assert (verdict.is_valid, verdict.math_verified, verdict.issues) == (True, True, [])


def test_issues_name_the_rule_and_both_amounts() -> None:
    verdict = RULES.summarize(RULES.check(read_answer(invoice(grand_total="1234.50"))))
    assert verdict.issues == ["BR-CO-15: grand_total 1234.50 ≠ subtotal - discounts + taxes 119"]


def test_warnings_follow_errors_and_keep_an_invoice_valid() -> None:
    warned = RULES.summarize(RULES.check(read_answer(invoice(client={"due_date": "2025-01-01"}))))
    assert (warned.is_valid, len(warned.issues)) == (True, 1)
    both = RULES.summarize(RULES.check(read_answer(invoice(grand_total=1, client={"due_date": "2025-01-01"}))))
    assert [issue.partition(":")[0] for issue in both.issues] == ["BR-CO-15", "DUE-DATE"]


def test_line_item_with_its_own_discount_only_warns() -> None:
    verdict = RULES.summarize(RULES.check(read_answer(invoice(lines=[priced(3, 50, 100)]))))
    assert (verdict.is_valid, verdict.math_verified, len(verdict.issues)) == (True, True, 1)


def test_coverage_is_the_share_of_rules_with_all_operands() -> None:
    assert RULES.arithmetic_coverage(RULES.check(read_answer(invoice()))) == 1.0
    assert RULES.arithmetic_coverage(
        RULES.check(read_answer(invoice(lines=[], taxes=[{"amount": 19}])))
    ) == pytest.approx(1 / 3)
    assert len(RULES.arithmetic) == 4


def test_failures_are_separated_by_level() -> None:
    found = RULES.check(read_answer(invoice(grand_total=1, client={"due_date": "2025-01-01"})))
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
def test_invalid_answer_has_an_issue_valid_one_a_checked_total(value: dict[str, Any]) -> None:
    verdict = RULES.summarize(RULES.check(read_answer(value)))
    assert verdict.is_valid is not False or verdict.issues
    assert verdict.is_valid is not True or finding("BR-CO-15", value).status == "pass"
    assert verdict.math_verified is not True or finding("BR-CO-10", value).status == "pass"


@given(value=invoices(), removed=st.sets(st.sampled_from(["subtotal", "taxes", "grand_total", "currency"])))
def test_unknown_operand_never_fails_a_correct_document(value: dict[str, Any], removed: set[str]) -> None:
    summary = value["structured_data"]["financial_summary"]
    known = {name: part for name, part in summary.items() if name not in removed}
    less = {"structured_data": value["structured_data"] | {"financial_summary": known}}
    if "currency" in removed and summary["currency"] == "JPY":
        return  # a different number of decimals is correct
    before = {found.rule: found.status for found in RULES.check(read_answer(value))}
    after = {found.rule: found.status for found in RULES.check(read_answer(less))}
    assert [rule for rule in after if after[rule] == "fail" and before[rule] == "pass"] == []


@given(
    prices=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 10**6)), min_size=1, max_size=4),
    percent=st.integers(0, 30),
    off=st.integers(1, 10**6),
)
def test_computed_invoice_is_valid_one_cent_off_is_not(prices: list[tuple[int, int]], percent: int, off: int) -> None:
    cents = Decimal("0.01")
    lines = [priced(count, price * cents, count * price * cents) for count, price in prices]
    subtotal = sum((line["total"] for line in lines), Decimal(0))
    tax = (subtotal * percent / 100).quantize(cents, rounding="ROUND_HALF_UP")
    taxes = [{"rate": Decimal(percent) / 100, "amount": tax}]
    right = invoice(lines=lines, subtotal=subtotal, taxes=taxes, grand_total=subtotal + tax)
    wrong = invoice(lines=lines, subtotal=subtotal, taxes=taxes, grand_total=subtotal + tax + off * cents)
    assert RULES.summarize(RULES.check(read_answer(right))).is_valid
    assert RULES.summarize(RULES.check(read_answer(wrong))).is_valid is False
