"""E-invoices mapped to the answer: each term, and those without a place in it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from einvoice_examples import CREDIT_NOTE, UBL
from hypothesis import given
from hypothesis import strategies as st
from source_examples import read_einvoices, write_files

from data_tools.records import DocumentRecord
from data_tools.sources.einvoices.answer import CREDIT_NOTE_CODES, einvoice_answer
from data_tools.sources.einvoices.parse import read_einvoice
from erniekit_adapter.documents.invoice.answer import as_json
from erniekit_adapter.documents.invoice.einvoice import (
    Address,
    AllowanceCharge,
    EInvoice,
    InvoiceLine,
    Party,
    PaymentMeans,
    Totals,
)
from erniekit_adapter.documents.invoice.einvoice_rules import check_einvoice
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.rules.rule import failures

D = Decimal

WITH_CHARGE = read_einvoice(UBL.encode()).invoice

# Without the charge of 5 for carriage.
INVOICE = replace(
    WITH_CHARGE,
    charges=(),
    vat_breakdown=(
        WITH_CHARGE.vat_breakdown[0],
        replace(WITH_CHARGE.vat_breakdown[1], taxable_amount=D("20.00"), tax_amount=D("1.40")),
    ),
    totals=replace(
        WITH_CHARGE.totals, charges=None, without_vat=D("110.00"), vat=D("18.50"), with_vat=D("128.50"), payable=None
    ),
)


def structured(invoice: EInvoice) -> dict[str, Any]:
    return as_json(einvoice_answer(invoice)[0])["structured_data"]


def test_maps_an_invoice() -> None:
    assert structured(INVOICE) == {
        "vendor_block": {
            "name": "Acme GmbH",
            "address": "Weg 1, Hof 2, Tor 3, 10115 Berlin, DE",
            "phone": "+49 30 1234",
            "email": "post@acme.example",
        },
        "client_info": {
            "name": "Beta AG",
            "address": "Leeds LS1 1AA, GB",
            "invoice_number": "RE-1",
            "invoice_date": "2025-01-15",
            "due_date": "2025-02-14",
        },
        "line_items": [
            {"description": "Stuhl", "quantity": D(2), "unit_price": D("60.00"), "total": D("100.00")},
            {"description": "Buch", "quantity": D(1), "unit_price": D(20), "total": D("20.00")},
        ],
        "financial_summary": {
            "subtotal": D("120.00"),
            "taxes": [
                {"type": "VAT", "rate": D("0.19"), "amount": D("17.10")},
                {"type": "VAT", "rate": D("0.07"), "amount": D("1.40")},
            ],
            "discounts": [{"description": "Rabatt", "amount": D("10.00")}],
            "grand_total": D("128.50"),
            "amount_paid": D("33.85"),
            "currency": "EUR",
        },
        "payment_terms": {"due_date": "2025-02-14", "payment_method": "Überweisung, Bank card", "notes": "30 Tage"},
    }


def test_answer_of_a_valid_invoice_passes_the_rules() -> None:
    findings = RULES.check(einvoice_answer(INVOICE)[0])
    assert RULES.validity(findings)
    assert not failures(findings)


def test_reports_terms_without_a_place() -> None:
    assert einvoice_answer(INVOICE)[1] == (
        "seller VAT identifier [BT-31]",
        "buyer country subdivision [BT-54]",
        "sum of allowances [BT-107]",
        "total without VAT [BT-109]",
        "total VAT [BT-110]",
        "VAT base [BT-116]",
        "allowance VAT [BT-95, BT-96]",
        "line identifier [BT-126]",
        "line VAT [BT-151, BT-152]",
        "line allowances [BG-27]",
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"buyer": Party("Beta AG", phone="1")}, "buyer contact [BG-9]"),
        ({"payment_means": (PaymentMeans("ZZZ"),)}, "payment means code [BT-81]"),
        ({"totals": replace(INVOICE.totals, rounding=D(0))}, "rounding amount [BT-114]"),
        ({"totals": replace(INVOICE.totals, paid=D(0), payable=D("128.50"))}, "amount due [BT-115]"),
        ({"charges": (AllowanceCharge(D(1), reason_code="FC"),)}, "charge reason code [BT-105]"),
        ({"charges": (AllowanceCharge(D(1), percentage=D(5)),)}, "charge percentage [BT-100, BT-101]"),
        ({"group_lines": INVOICE.lines}, "lines that group or explain others [BT-X-8]"),
        ({"allowances": (AllowanceCharge(D(10), reason_code="95"),)}, "allowance reason code [BT-98]"),
        ({"allowances": (AllowanceCharge(D(10), percentage=D(5)),)}, "allowance percentage [BT-93, BT-94]"),
        ({"vat_breakdown": (replace(INVOICE.vat_breakdown[0], category="?"),)}, "VAT category [BT-118]"),
        (
            {"lines": (InvoiceLine(price=D(10), base_quantity=D(3)),)},
            "price [BT-146] of a quantity that does not divide it",
        ),
        ({"lines": (InvoiceLine(charges=(AllowanceCharge(D(1)),)),)}, "line charges [BG-28]"),
    ],
)
def test_reports_rare_terms_without_a_place(changes: dict[str, Any], name: str) -> None:
    assert name not in einvoice_answer(INVOICE)[1]
    assert name in einvoice_answer(replace(INVOICE, **changes))[1]


@pytest.mark.parametrize("code", sorted(CREDIT_NOTE_CODES))
def test_credit_note_by_type_code(code: str) -> None:
    found = structured(replace(INVOICE, type_code=code))
    assert found.pop("document_type") == "credit_note"
    assert found == structured(INVOICE)


def test_ubl_credit_note_with_any_type_code() -> None:
    text = CREDIT_NOTE.replace(">381<", ">380<")
    assert structured(read_einvoice(text.encode()).invoice)["document_type"] == "credit_note"


def test_invoice_has_no_document_type() -> None:
    assert "document_type" not in structured(INVOICE)


def test_lists_charges_of_the_document() -> None:
    found = structured(WITH_CHARGE)["financial_summary"]
    assert found["charges"] == [{"amount": D("5.00")}]
    assert RULES.validity(RULES.check(einvoice_answer(WITH_CHARGE)[0]))
    assert "charge VAT [BT-102, BT-103]" in einvoice_answer(WITH_CHARGE)[1]


@pytest.mark.parametrize("amount", ["0.00", "-5.00"])
def test_allowance_of_zero_or_less(amount: str) -> None:
    found = structured(replace(INVOICE, allowances=(AllowanceCharge(D(amount), reason="Aufschlag"),)))
    assert found["financial_summary"]["discounts"] == [{"description": "Aufschlag", "amount": D(amount)}]


def test_totals_without_parts_become_one_row() -> None:
    totals = replace(INVOICE.totals, allowances=D(10), charges=D(5))
    found = structured(replace(INVOICE, allowances=(), charges=(), totals=totals))["financial_summary"]
    assert (found["discounts"], found["charges"]) == ([{"amount": D(10)}], [{"amount": D(5)}])


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ({"payable": D("128.50")}, {}),
        ({"paid": D("0.00"), "rounding": D(0), "payable": D("128.50")}, {}),
        ({"paid": D("28.50"), "payable": D("100.00")}, {"amount_paid": D("28.50"), "amount_due": D("100.00")}),
        ({"rounding": D("-0.50"), "payable": D("128.00")}, {"rounding": D("-0.50"), "amount_due": D("128.00")}),
        ({"payable": D("120.00")}, {"amount_due": D("120.00")}),
        ({"paid": D("28.50"), "payable": None}, {"amount_paid": D("28.50")}),
    ],
)
def test_lists_payments_that_change_the_amount_due(
    totals: dict[str, Decimal | None], expected: dict[str, Decimal]
) -> None:
    summary = structured(replace(INVOICE, totals=replace(INVOICE.totals, **{"paid": None, **totals})))[
        "financial_summary"
    ]
    assert {name: summary[name] for name in ("amount_paid", "rounding", "amount_due") if name in summary} == expected


def test_leaves_out_third_party_payments() -> None:
    extension = "urn:cen.eu:en16931:2017#conformant#urn:xeinkauf.de:kosit:extension:xrechnung_3.0"
    payments = "<a:PrepaidPayment><PaidAmount>20</PaidAmount></a:PrepaidPayment>" * 2
    text = UBL.replace("<ID>RE-1</ID>", f"<CustomizationID>{extension}</CustomizationID><ID>RE-1</ID>{payments}")
    invoice = read_einvoice(text.replace("<PayableAmount>100.00", "<PayableAmount>140.00").encode()).invoice
    answer, unused = einvoice_answer(invoice)
    assert not failures(check_einvoice(invoice))
    assert (answer.summary.amount_paid, answer.summary.amount_due) == (D("33.85"), None)
    assert {"third-party payments [BT-DEX-002]", "amount due [BT-115]"} < set(unused)
    core = read_einvoice(text.replace(extension, "urn:cen.eu:en16931:2017").encode()).invoice
    assert core.totals.third_party is None


def test_invoice_without_lines_has_no_line_items(tmp_path: Path) -> None:
    invoice = replace(INVOICE, lines=(), group_lines=INVOICE.lines)
    assert "line_items" not in structured(invoice)
    minimum = (Path(__file__).parent / "cases/einvoice/44_minimum_profile.xml").read_bytes()
    record, whole = read_einvoices(write_files(tmp_path, a__xml=minimum, b__xml=UBL.encode()))
    assert isinstance(record, DocumentRecord)
    assert isinstance(whole, DocumentRecord)
    assert (record.complete, whole.complete) == (False, True)


def test_record_has_findings_of_the_einvoice_rules(tmp_path: Path) -> None:
    (record,) = read_einvoices(write_files(tmp_path, a__xml=UBL.replace(">18.85<", ">18.95<").encode()))
    assert isinstance(record, DocumentRecord)
    assert record.findings is not None
    assert [finding.rule for finding in failures(record.findings)] == ["BR-CO-14", "BR-CO-15"]


@pytest.mark.parametrize("name", ["", " \n ", "x" * 5000, "\u202e", "-"])
def test_reads_any_name_of_a_line(name: str) -> None:
    invoice = read_einvoice(UBL.replace(">Stuhl<", f">{name}<").encode()).invoice
    line = structured(invoice)["line_items"][0]
    assert line.get("description") == (" ".join(name.split()) or None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"charges": (AllowanceCharge(),)}, r"charge 1 of the document has no amount \[BT-99\]"),
        ({"allowances": (AllowanceCharge(D(5)), AllowanceCharge())}, r"allowance 2 of the document has no amount"),
        ({"marked_currencies": frozenset({"EUR", "USD"})}, "amounts marked with USD in an invoice in EUR"),
        ({"lines": (InvoiceLine(price=D(1), base_quantity=D(0)),)}, "line 1: the price .* for a quantity .* of 0"),
        ({"lines": (InvoiceLine(price=D("1e17"), base_quantity=D("1e-9")),)}, "line 1: .* is not a price"),
        ({"vat_breakdown": (replace(INVOICE.vat_breakdown[0], rate=D("1e-17")),)}, r"VAT rate \[BT-119\]"),
    ],
)
def test_rejects_terms_that_would_change_sums(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        einvoice_answer(replace(INVOICE, **changes))


@pytest.mark.parametrize(
    ("price", "base", "unit_price"),
    [
        ("20", None, "20"),
        ("20.00", "1", "20.00"),
        ("600.00", "10.000", "60.00"),
        ("5", "1000", "0.005"),
        ("10", "3", None),
    ],
)
def test_price_for_many_becomes_a_unit_price(price: str, base: str | None, unit_price: str | None) -> None:
    line = InvoiceLine(price=D(price), base_quantity=None if base is None else D(base))
    found = structured(replace(INVOICE, lines=(line,)))["line_items"][0].get("unit_price")
    assert (None if found is None else str(found)) == unit_price


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (Address(("Weg 1",), "10115", "Berlin", None, "DE"), "Weg 1, 10115 Berlin, DE"),
        (Address(("1 Main St",), "78701", "Austin", "TX", "US"), "1 Main St, Austin 78701, US"),
        (Address((), None, "Berlin"), "Berlin"),
        (Address(), None),
    ],
)
def test_address_in_the_order_of_its_country(address: Address, expected: str | None) -> None:
    assert (
        structured(replace(INVOICE, seller=Party("Acme", address=address)))["vendor_block"].get("address") == expected
    )


def test_total_vat_without_a_breakdown() -> None:
    taxes = structured(replace(INVOICE, vat_breakdown=()))["financial_summary"]["taxes"]
    assert taxes == [{"amount": D("18.50")}]
    assert "taxes" not in structured(replace(INVOICE, vat_breakdown=(), totals=Totals()))["financial_summary"]


AMOUNTS = st.decimals(0, 10**6, places=2)


@given(AMOUNTS, AMOUNTS, st.sampled_from(["0.00", "7", "19.00", "8.1"]))
def test_any_valid_invoice_gives_a_valid_answer(net: Decimal, off: Decimal, rate: str) -> None:
    base = net - off
    vat = (base * D(rate) / 100).quantize(D("0.01"))
    row = replace(INVOICE.vat_breakdown[0], taxable_amount=base, tax_amount=vat, rate=D(rate))
    invoice = replace(
        INVOICE,
        lines=(InvoiceLine("1", "x", D(1), net, net),),
        allowances=(AllowanceCharge(off),),
        vat_breakdown=(row,),
        totals=Totals(lines=net, with_vat=base + vat),
    )
    assert RULES.validity(RULES.check(einvoice_answer(invoice)[0]))


CASES = Path(__file__).parent / "cases" / "einvoice"


@pytest.mark.parametrize(
    ("name", "part", "expected"),
    [
        ("05_chargeindicator_0", "discounts", [{"description": "Reason", "amount": D("10.00")}]),
        ("16_zero_charge", "charges", [{"description": "Reason", "amount": D("0.00")}]),
        ("44_minimum_profile", "taxes", [{"amount": D("19.00")}]),
    ],
)
def test_collected_case_has_its_amounts(name: str, part: str, expected: list[dict[str, Any]]) -> None:
    invoice = read_einvoice((CASES / f"{name}.xml").read_bytes()).invoice
    assert structured(invoice)["financial_summary"][part] == expected


def test_sub_lines_are_line_items() -> None:
    invoice = read_einvoice((CASES / "45_ext_sublines.xml").read_bytes()).invoice
    assert [line["description"] for line in structured(invoice)["line_items"]] == ["Thing 1.1", "Thing 1.2"]
