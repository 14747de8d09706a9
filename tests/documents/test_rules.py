"""Rules of EN 16931 on small invoices: each passes, fails, or is not checkable."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from rule_examples import finding, invoice, priced

from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.invoice.rules import RULES

ALL_RULES = ("REQUIRED", "BR-CL-04", "BR-DEC", "BR-CO-10", "BR-CO-15", "BR-CO-16", "BR-CO-17", "R120", "DUE-DATE")


def test_every_rule_gives_one_finding_in_fixed_order() -> None:
    assert tuple(found.rule for found in RULES.check(read_answer(invoice()))) == ALL_RULES
    assert tuple(found.rule for found in RULES.check(read_answer({"structured_data": {}}))) == ALL_RULES


def test_consistent_invoice_passes_every_rule() -> None:
    value = invoice(amount_paid=100, amount_due=19)
    assert {found.status for found in RULES.check(read_answer(value), complete=True)} == {"pass"}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("BR-CO-10", {"lines": [priced(1, 60, 60), priced(1, 40, 40)]}),
        ("BR-CO-10", {"lines": [{"total": "100.00"}]}),
        ("BR-CO-10", {"lines": [priced(2, "59.50", 119)]}),
        ("BR-CO-10", {"lines": [priced(1, 125, 125)], "charges": [{"amount": 6}], "grand_total": 125}),
        ("BR-CO-15", {"discounts": [{"amount": 10}], "grand_total": 109}),
        ("BR-CO-15", {"taxes": [], "grand_total": 100}),
        ("BR-CO-15", {"taxes": [{"amount": 19}, {"amount": 1}], "grand_total": 120}),
        ("BR-CO-15", {"grand_total": "119.00"}),
        ("BR-CO-15", {"charges": [{"amount": 6}], "taxes": [{"amount": 19}], "grand_total": 125}),
        ("BR-CO-15", {"discounts": [{"amount": -10}], "grand_total": 129}),
        ("BR-CO-15", {"subtotal": 119, "lines": [priced(2, "59.50", 119)]}),
        ("BR-CO-15", {"subtotal": 119, "taxes": [{"rate": "0.19", "amount": "19.01"}]}),
        ("BR-CO-16", {"amount_paid": 100, "amount_due": 19}),
        ("BR-CO-16", {"amount_paid": 100, "rounding": "0.05", "amount_due": "19.05"}),
        ("BR-CO-16", {"rounding": 1, "amount_due": 120}),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": "18.99"}]}),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": "18.02"}]}),
        ("BR-CO-17", {"discounts": [{"amount": 50}], "taxes": [{"rate": "0.19", "amount": "19.00"}]}),
        ("BR-CO-17", {"charges": [{"amount": 50}], "taxes": [{"rate": "0.19", "amount": "28.50"}]}),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": "9.50"}, {"rate": "0.07", "amount": "3.50"}]}),
        ("BR-CO-17", {"currency": "JPY", "subtotal": 105, "taxes": [{"rate": "0.1", "amount": 10}]}),
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
def test_rule_passes_if_it_holds(rule: str, changes: dict[str, Any]) -> None:
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
        ("BR-CO-15", {"charges": [{"amount": 6}]}, "grand_total 119 ≠ subtotal - discounts + charges + taxes 125"),
        (
            "BR-CO-15",
            {"subtotal": 119, "taxes": [{"rate": "0.19", "amount": 22}]},
            "grand_total 119 ≠ subtotal - discounts + taxes 141",
        ),
        ("BR-CO-16", {"amount_paid": 100, "amount_due": 20}, "amount_due 20 ≠ grand_total - amount_paid 19"),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": 20}]}, "tax 20 ≠ 100 × 0.19 = 19.00"),
        ("BR-CO-17", {"taxes": [{"rate": 0, "amount": 1}]}, "tax 1 at the rate 0"),
        (
            "BR-CO-17",
            {"taxes": [{"rate": "0.20", "amount": 40}, {"rate": "0.10", "amount": 9}]},
            "tax 40 ≠ 100 × 0.20 = 20.00",
        ),
        ("BR-CO-17", {"taxes": [{"rate": 19, "amount": 19}]}, "rate 19 is no fraction from 0 to 1"),
        ("BR-CO-17", {"taxes": [{"rate": "-0.19", "amount": 19}]}, "rate -0.19 is no fraction from 0 to 1"),
        ("BR-DEC", {"currency": "JPY", "grand_total": "119.50"}, "grand_total 119.50 with more than 0 decimals (JPY)"),
        ("BR-DEC", {"subtotal": Decimal("100.001")}, "subtotal 100.001 with more than 2 decimals (EUR)"),
        ("BR-DEC", {"lines": [{"total": Decimal("1.005")}]}, "total of line 1: 1.005 with more than 2 decimals (EUR)"),
        ("BR-DEC", {"discounts": [{"amount": Decimal("1.005")}]}, "discount 1.005 with more than 2 decimals (EUR)"),
        ("BR-DEC", {"charges": [{"amount": Decimal("1.005")}]}, "charge 1.005 with more than 2 decimals (EUR)"),
        ("BR-DEC", {"amount_due": Decimal("1.005")}, "amount_due 1.005 with more than 2 decimals (EUR)"),
        ("R120", {"lines": [priced(2, 50, 100), priced(2, 50, 90)]}, "line 2: 90 ≠ 100"),
        ("R120", {"lines": [priced(3, "33.34", "99.99")]}, "line 1: 99.99 ≠ 100.02"),
        ("DUE-DATE", {"client": {"due_date": "2025-01-14"}}, "due 2025-01-14 before invoice date 2025-01-15"),
        ("BR-CL-04", {"currency": "¥"}, "'¥' is no ISO 4217 code"),
        ("BR-CL-04", {"currency": "eur"}, "'eur' is no ISO 4217 code"),
    ],
)
def test_failed_rule_states_found_and_expected_amount(rule: str, changes: dict[str, Any], detail: str) -> None:
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
        ("BR-CO-15", {"charges": [{"description": "Fracht"}]}, "subtotal"),
        ("BR-CO-15", {"subtotal": 119, "taxes": [{"amount": 19}]}, "includes the taxes is unknown"),
        ("BR-CO-16", {"amount_due": 19}, "amount_paid"),
        ("BR-CO-16", {"amount_paid": 19}, "amount_due"),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": "9.50"}]}, "a part may be taxed differently"),
        ("BR-CO-17", {"taxes": [{"rate": "0.19", "amount": 9}, {"rate": 0, "amount": 0}]}, "a part may be taxed"),
        ("REQUIRED", {"grand_total": None, "currency": None}, "missing: grand_total, currency"),
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


def test_reads_the_due_date_from_the_payment_terms() -> None:
    value = invoice(client={"due_date": None})
    value["structured_data"]["payment_terms"] = {"due_date": "2025-01-01"}
    assert finding("DUE-DATE", value).status == "fail"


def test_complete_document_fails_without_a_required_field() -> None:
    found = finding("REQUIRED", invoice(grand_total=None, currency=None), complete=True)
    assert (found.status, found.level, found.detail) == ("fail", "error", "missing: grand_total, currency")
