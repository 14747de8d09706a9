"""Rules of EN 16931 on e-invoices: each passes, fails, or is not checkable."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from erniekit_adapter.documents.invoice.einvoice import AllowanceCharge, EInvoice, InvoiceLine, Totals, VatRow
from erniekit_adapter.documents.invoice.einvoice_rules import check_einvoice
from erniekit_adapter.documents.rules.rule import Finding

D = Decimal
ZERO = D(0)
CHAIRS = InvoiceLine("1", "Stuhl", quantity=D(2), net_amount=D(100), price=D(50), category="S", rate=D(19))
BOOK = InvoiceLine("2", "Buch", quantity=D(1), net_amount=D(20), price=D(20), category="S", rate=D(7))
VAT_19 = VatRow(taxable_amount=D(100), tax_amount=D(19), category="S", rate=D(19))
VAT_7 = VatRow(taxable_amount=D(20), tax_amount=D("1.40"), category="S", rate=D(7))
OFF = AllowanceCharge(amount=D(10), category="S", rate=D(19))
CARRIAGE = AllowanceCharge(amount=D(5), category="S", rate=D(7))
TOTALS = Totals(lines=D(120), without_vat=D(120), vat=D("20.40"), with_vat=D("140.40"), payable=D("140.40"))
INVOICE = EInvoice(
    number="RE-1",
    issue_date=date(2025, 1, 15),
    due_date=date(2025, 2, 14),
    currency="EUR",
    marked_currencies=frozenset({"EUR"}),
    lines=(CHAIRS, BOOK),
    vat_breakdown=(VAT_19, VAT_7),
    totals=TOTALS,
)
WITHOUT_OPERANDS = {"BR-CO-11", "BR-CO-12"}


def invoice(totals: dict[str, Any] | None = None, **changes: Any) -> EInvoice:
    """Return a consistent invoice; keywords change it, `totals` its totals."""
    return replace(INVOICE, totals=replace(TOTALS, **(totals or {})), **changes)


def finding(rule: str, found: EInvoice) -> Finding:
    return next(each for each in check_einvoice(found) if each.rule == rule)


def of_category(category: str, rate: Decimal | None, tax: Decimal = ZERO, **row: Any) -> EInvoice:
    """Return one line of 100 in a VAT category."""
    line = replace(CHAIRS, category=category, rate=rate)
    rows = (replace(VatRow(D(100), tax, category, rate), **row),)
    return invoice(lines=(line,), vat_breakdown=rows)


def cii(totals: dict[str, Any] | None = None, **changes: Any) -> EInvoice:
    return replace(invoice(totals, **changes), syntax="CII")


def two_rows(category: str) -> EInvoice:
    found = of_category(category, D(0))
    return replace(found, vat_breakdown=found.vat_breakdown * 2)


def test_consistent_einvoice_has_no_failures() -> None:
    found = check_einvoice(INVOICE)
    assert {each.rule for each in found if each.status == "not checkable"} == WITHOUT_OPERANDS
    assert {each.status for each in found if each.rule not in WITHOUT_OPERANDS} == {"pass"}


def test_empty_einvoice_passes_no_rule() -> None:
    assert {each.status for each in check_einvoice(EInvoice())} == {"not checkable"}


def test_passed_rule_shows_its_amounts() -> None:
    detail = finding("BR-CO-15", INVOICE).detail
    assert detail == "with VAT [BT-112] 140.40 = without VAT [BT-109] 120 + VAT [BT-110] 20.40 = 140.40"


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("BR-CO-11", invoice(allowances=(OFF, OFF), totals={"allowances": D(20)})),
        ("BR-CO-11", invoice(totals={"allowances": D("0.00")})),
        ("BR-CO-12", invoice(charges=(CARRIAGE,), totals={"charges": D("5.00")})),
        ("BR-CO-13", invoice(totals={"allowances": D(10), "charges": D(5), "without_vat": D(115)})),
        ("BR-CO-16", invoice(totals={"paid": D("100.05"), "rounding": D("0.05"), "payable": D("40.40")})),
        ("BR-CO-16", invoice(totals={"rounding": D("-0.40"), "payable": D(140)})),
        ("BR-CO-17", invoice(vat_breakdown=(replace(VAT_19, tax_amount=D("19.99")), VAT_7))),
        ("BR-CO-17", of_category("O", None)),
        ("BR-S-09", invoice(vat_breakdown=(replace(VAT_19, tax_amount=D("18.01")), VAT_7))),
        ("BR-S-08", invoice(vat_breakdown=(replace(VAT_19, taxable_amount=D("100.99")), VAT_7))),
        ("BR-S-08", invoice(vat_breakdown=(VAT_19,))),
        ("BR-S-08", cii(vat_breakdown=(VAT_19,))),
        ("BR-S-08", cii(is_extended=True, vat_breakdown=(replace(VAT_19, taxable_amount=D("100.01")),))),
        ("BR-S-09", invoice(vat_breakdown=(replace(VAT_19, tax_amount=D("-19.00")), VAT_7))),
        ("BR-S-01", invoice(vat_breakdown=(VAT_19,))),
        ("BR-S-01", cii(vat_breakdown=(replace(VAT_19, category="Z"),))),
        ("BR-E-08", replace(of_category("E", D(0), taxable_amount=D("100.99")), syntax="CII")),
        ("BR-AE-08", replace(of_category("AE", D(0), taxable_amount=D("99.01")), syntax="CII")),
        ("BR-IC-08", replace(of_category("K", D(0), taxable_amount=D("100.01")), syntax="CII")),
        ("BR-E-01", replace(two_rows("E"), is_extended=True)),
        ("BR-CO-10", cii(is_extended=True, totals={"lines": D("120.02")})),
        ("BR-CO-13", cii(is_extended=True, totals={"without_vat": D("120.02")})),
        ("BR-CO-15", cii(is_extended=True, totals={"with_vat": D("140.42")})),
        ("BR-CO-15", cii(totals={"with_vat": D(120), "vat": None})),
        ("BR-CO-17", replace(of_category("S", D(19), D(20)), syntax="CII")),
        ("BR-CO-17", of_category("S", D("0.4"), D("0.4"))),
        ("BR-DEC", invoice(totals={"vat": D("20.400")})),
        ("BR-DEC", cii(totals={"vat": D("20.400")})),
        ("BR-S-08", invoice(allowances=(OFF,), vat_breakdown=(replace(VAT_19, taxable_amount=D(90)), VAT_7))),
        ("BR-S-08", invoice(charges=(CARRIAGE,), vat_breakdown=(VAT_19, replace(VAT_7, taxable_amount=D(25))))),
        ("BR-S-08", invoice(lines=(CHAIRS, replace(BOOK, rate=D("7.00"))))),
        ("BR-Z-08", of_category("Z", D(0))),
        ("BR-O-08", of_category("O", None)),
        ("BR-AE-09", of_category("AE", D(0))),
        ("BR-AF-08", of_category("L", D(7), D(7))),
        ("BR-DEC", invoice(lines=(replace(CHAIRS, price=D("50.12345")), BOOK))),
        ("R120", invoice(lines=(replace(CHAIRS, price=D(500), base_quantity=D(10)),))),
        ("R120", invoice(lines=(replace(CHAIRS, price=D(60), allowances=(AllowanceCharge(D(20)),)),))),
        ("R120", invoice(lines=(replace(CHAIRS, price=D(40), charges=(AllowanceCharge(D(20)),)),))),
        ("R120", invoice(lines=(replace(CHAIRS, net_amount=D("100.02")),))),
        ("TAX-AMOUNT", invoice(vat_breakdown=(replace(VAT_19, tax_amount=D("19.01")),))),
        ("MINOR-UNITS", replace(INVOICE, currency="JPY", totals=Totals(lines=D(120)), vat_breakdown=())),
        ("DUE-DATE", invoice(due_date=date(2025, 1, 15))),
    ],
)  # fmt: skip
def test_rule_passes_if_it_holds(rule: str, found: EInvoice) -> None:
    assert finding(rule, found).status == "pass"


@pytest.mark.parametrize(
    ("rule", "found", "detail"),
    [
        ("BR-CL-04", invoice(currency="euro"), "'euro' is no ISO 4217 code"),
        ("BR-CL-17", of_category("X", D(19)), "VAT row 1 'X', line 1 'X'"),
        ("BR-DEC", invoice(totals={"payable": D("140.400")}), "total payable 140.400: more than 2 decimals"),
        ("BR-DEC", cii(totals={"vat": D("20.401")}), "total vat 20.401: more than 2 decimals"),
        ("BR-DEC", invoice(lines=(replace(CHAIRS, net_amount=D("100.001")),)), "line 1 100.001"),
        ("BR-DEC", invoice(charges=(AllowanceCharge(D("1.005")),)), "charge 1 1.005"),
        ("BR-CO-10", invoice(totals={"lines": D(121)}), "lines [BT-106] 121 ≠ sum of 2 × BT-131 120"),
        ("BR-CO-11", invoice(allowances=(OFF,), totals={"allowances": D(11)}), "11 ≠ sum of 1 × BT-92 10"),
        ("BR-CO-11", invoice(allowances=(OFF,)), "no allowances [BT-107], though the sum of 1 × BT-92 is 10"),
        ("BR-CO-11", invoice(totals={"allowances": D(10)}), "allowances [BT-107] 10 ≠ BT-92 0"),
        ("BR-CO-12", invoice(charges=(CARRIAGE,), totals={"charges": D(4)}), "4 ≠ sum of 1 × BT-99 5"),
        ("BR-CO-13", invoice(totals={"allowances": D(10)}), "120 ≠ lines [BT-106] 120 - allowances [BT-107] 10 = 110"),
        ("BR-CO-14", invoice(totals={"vat": D("20.41")}), "VAT [BT-110] 20.41 ≠ sum of 2 × BT-117 20.40"),
        ("BR-CO-15", invoice(totals={"with_vat": D("140.41")}), "140.41 ≠ without VAT [BT-109] 120 + VAT [BT-110]"),
        ("BR-CO-16", invoice(totals={"paid": D(40)}), "140.40 ≠ with VAT [BT-112] 140.40 - paid [BT-113] 40 = 100.40"),
        ("BR-CO-17", of_category("S", D(19), D(20)), "VAT [BT-117] of S 20 ≠ 100 × 19 % = 19.00"),
        ("BR-CO-17", of_category("O", None, D(19)), "VAT [BT-117] of O 19 at 0 % ≠ 0"),
        ("BR-S-08", invoice(vat_breakdown=(replace(VAT_19, taxable_amount=D(101)), VAT_7)), "of S 19 % 101 ≠ "),
        ("BR-S-08", invoice(lines=(BOOK,)), "base [BT-116] of S 19 % 100, but no line, charge or allowance"),
        ("BR-S-08", cii(lines=(BOOK,)), "base [BT-116] of S 19 % 100 ≠ lines + charges - allowances 0"),
        ("BR-S-08", invoice(vat_breakdown=(VAT_19, VAT_19, VAT_7), lines=(CHAIRS, CHAIRS, BOOK)), "100 ≠ lines"),
        ("BR-S-08", cii(vat_breakdown=(replace(VAT_19, taxable_amount=D("100.01")), VAT_7)), "100.01 ≠ lines"),
        ("BR-S-08", cii(is_extended=True, vat_breakdown=(replace(VAT_19, taxable_amount=D("100.02")),)), "≠"),
        ("BR-AF-08", replace(of_category("L", D(7), D(7), taxable_amount=D("100.01")), syntax="CII"), "100.01 ≠"),
        ("BR-E-08", of_category("E", D(0), taxable_amount=D("100.01")), "100.01 ≠ lines"),
        ("BR-G-08", replace(of_category("G", D(0), taxable_amount=D(101)), syntax="CII"), "101 ≠ lines"),
        ("BR-O-08", replace(of_category("O", None, taxable_amount=D("100.01")), syntax="CII"), "100.01 ≠ lines"),
        ("BR-Z-01", invoice(lines=(CHAIRS, replace(BOOK, category="Z"))), "rows of Z in the VAT breakdown: 0,"),
        ("BR-Z-01", two_rows("Z"), "rows of Z in the VAT breakdown: 2"),
        ("BR-S-01", invoice(lines=(replace(BOOK, category="Z"),), vat_breakdown=(VAT_19,)), "expected one or more"),
        ("BR-CO-15", cii(totals={"with_vat": D("140.41")}), "140.41 ≠ without VAT [BT-109] 120"),
        ("BR-CO-17", replace(of_category("S", D(19), D("20.01")), syntax="CII"), "20.01 ≠ 100 × 19 % = 19.00"),
        ("BR-CO-17", of_category("S", D("0.4"), D("0.6")), "0.6 at 0.4 % ≠ 0"),
        ("BR-S-09", of_category("S", D(19), D(18)), "18 ≠ 100 × 19 % = 19.00"),
        ("BR-Z-08", of_category("Z", D(0), taxable_amount=D("100.01")), "100.01 ≠ lines + charges - allowances 100"),
        ("BR-IC-09", of_category("K", D(0), D(1)), "VAT [BT-117] of K 1 ≠ expected 0"),
        ("TAX-AMOUNT", of_category("S", D(19), D("19.02")), "19.02 ≠ 100 × 19 % = 19.00"),
        ("R120", invoice(lines=(CHAIRS, replace(BOOK, net_amount=D("20.03")))), "line 2: 20.03 ≠ 1 × 20 = 20"),
        ("R120", invoice(lines=(replace(CHAIRS, base_quantity=D(3)),)), "line 1: 100 ≠ 2 × 50 / 3 = 33.3333"),
        ("R120", invoice(lines=(replace(CHAIRS, base_quantity=D(0)),)), "line 1: base quantity [BT-149] 0"),
        ("MINOR-UNITS", invoice(currency="JPY"), "VAT row 2 tax 1.40: more than 0 decimals (JPY)"),
        ("R051", invoice(marked_currencies=frozenset({"EUR", "USD"})), "amounts in 'USD', invoice in EUR"),
        ("DUE-DATE", invoice(due_date=date(2025, 1, 14)), "due 2025-01-14 before issue date 2025-01-15"),
    ],
)  # fmt: skip
def test_failed_rule_shows_both_amounts(rule: str, found: EInvoice, detail: str) -> None:
    verdict = finding(rule, found)
    assert verdict.status == "fail"
    assert detail in verdict.detail


@pytest.mark.parametrize(
    ("rule", "found", "missing"),
    [
        ("BR-CO-10", invoice(totals={"lines": None}), "BT-106"),
        ("BR-CO-10", invoice(lines=()), "BT-131"),
        ("BR-CO-10", invoice(lines=(CHAIRS, replace(BOOK, net_amount=None))), "BT-131"),
        ("BR-CO-11", invoice(allowances=(replace(OFF, amount=None),)), "BT-92"),
        ("BR-CO-13", invoice(totals={"lines": None}), "BT-106"),
        ("BR-CO-14", invoice(vat_breakdown=()), "BT-117"),
        ("BR-CO-15", invoice(totals={"vat": None}), "BT-110"),
        ("BR-CO-16", invoice(totals={"with_vat": None}), "BT-112"),
        ("BR-CO-17", of_category("S", None), "BT-119"),
        ("BR-S-08", invoice(lines=()), "lines"),
        ("BR-S-08", invoice(vat_breakdown=()), "VAT breakdown"),
        ("BR-S-08", invoice(lines=(CHAIRS, replace(BOOK, category=None))), "VAT category"),
        ("BR-S-08", invoice(lines=(CHAIRS, replace(BOOK, rate=None))), "VAT rate"),
        ("BR-S-08", invoice(allowances=(replace(OFF, amount=None),)), "an amount that belongs to it"),
        ("BR-CL-17", invoice(lines=(CHAIRS, replace(BOOK, category=None))), "line 2"),
        ("R120", invoice(lines=(CHAIRS, replace(BOOK, quantity=None))), "line 2: quantity"),
        ("R120", invoice(lines=(replace(CHAIRS, allowances=(AllowanceCharge(),)),)), "allowance"),
        ("MINOR-UNITS", invoice(currency=None), "BT-5"),
        ("R051", invoice(marked_currencies=frozenset()), "currencyID"),
        ("DUE-DATE", invoice(due_date=None), "BT-9"),
    ],
)  # fmt: skip
def test_a_missing_operand_makes_a_rule_not_checkable(rule: str, found: EInvoice, missing: str) -> None:
    verdict = finding(rule, found)
    assert verdict.status == "not checkable"
    assert missing in verdict.detail


@pytest.mark.parametrize("rule", ["BR-AF-08", "BR-AF-09"])
def test_igic_in_cii_only_warns(rule: str) -> None:
    found = of_category("L", D(7), D(7))
    assert finding(rule, found).level == "error"
    assert finding(rule, replace(found, syntax="CII")).level == "warn"


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("BR-CO-17", cii(is_extended=True)),
        ("BR-CO-17", replace(of_category("L", D(7), D(70)), syntax="CII")),
        ("BR-E-08", replace(two_rows("E"), syntax="CII", is_extended=True)),
        ("BR-CO-12", invoice(lines=(), totals={"charges": D(5)})),
    ],
)
def test_does_not_compare_more_than_the_official_checks(rule: str, found: EInvoice) -> None:
    assert finding(rule, found).status == "not checkable"


def test_failure_outweighs_a_missing_operand() -> None:
    found = invoice(lines=(replace(CHAIRS, net_amount=D(1)), replace(BOOK, quantity=None)))
    assert finding("R120", found).status == "fail"


@pytest.mark.parametrize("rule", ["TAX-AMOUNT", "R051", "R120", "MINOR-UNITS", "DUE-DATE"])
def test_only_warns_if_the_official_checks_accept(rule: str) -> None:
    assert finding(rule, INVOICE).level == "warn"


def test_unused_vat_categories_have_no_rules() -> None:
    names = {each.rule for each in check_einvoice(of_category("Z", D(0)))}
    assert {"BR-S-08", "BR-Z-01", "BR-Z-08", "BR-Z-09"} < names
    assert "BR-E-08" not in names


def test_does_not_round_amounts_of_18_digits() -> None:
    large = replace(CHAIRS, net_amount=D("9999999999999999.99"))
    found = invoice(lines=(large,) * 20, totals={"lines": D("199999999999999999.8")})
    assert finding("BR-CO-10", found).status == "pass"
