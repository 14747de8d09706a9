"""E-invoices as a source: what becomes of each file of a folder, and of each part of an invoice in the answer."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from einvoice_examples import CII, CREDIT_NOTE, UBL, pdf, text_pdf, with_attachments, without_charge
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.einvoice import read_einvoice
from data_tools.sources.einvoice_answer import CREDIT_NOTE_CODES, einvoice_answer
from data_tools.sources.einvoice_files import einvoice_files, read_einvoice_file
from data_tools.sources.xmltree import MAX_XML_BYTES
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.invoice import rules
from erniekit_adapter.invoice.answer import as_json
from erniekit_adapter.invoice.einvoice import (
    Address,
    AllowanceCharge,
    EInvoice,
    InvoiceLine,
    Party,
    PaymentMeans,
    Totals,
)
from erniekit_adapter.invoice.einvoice_rules import check_einvoice

D = Decimal
WITH_CHARGE = read_einvoice(UBL.encode()).invoice
# Without the 5 for carriage.
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


def write(folder: Path, **files: bytes) -> Path:
    """Write files whose names have two underscores for the point, and three for the slash."""
    for name, content in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read(source: Path) -> list[Reading]:
    return [read_einvoice_file(path, source, number) for number, path in enumerate(einvoice_files(source), start=1)]


def names(source: Path) -> list[str]:
    return [path.relative_to(source).as_posix() for path in einvoice_files(source)]


def structured(invoice: EInvoice) -> dict[str, Any]:
    return as_json(einvoice_answer(invoice)[0])["structured_data"]


def test_an_invoice_becomes_the_canonical_answer() -> None:
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


def test_the_answer_of_a_right_invoice_keeps_the_rules() -> None:
    findings = rules.check(einvoice_answer(INVOICE)[0])
    assert rules.validity(findings)
    assert not rules.failures(findings)


def test_what_the_answer_has_no_place_for_is_named() -> None:
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
def test_what_is_rarely_said_is_named_as_well(changes: dict[str, Any], name: str) -> None:
    assert name not in einvoice_answer(INVOICE)[1]
    assert name in einvoice_answer(replace(INVOICE, **changes))[1]


@pytest.mark.parametrize("code", sorted(CREDIT_NOTE_CODES))
def test_a_credit_note_is_named_by_its_type(code: str) -> None:
    found = structured(replace(INVOICE, type_code=code))
    assert found.pop("document_type") == "credit_note"
    assert found == structured(INVOICE)


def test_a_ubl_credit_note_is_one_whatever_its_type() -> None:
    text = CREDIT_NOTE.replace(">381<", ">380<")
    assert structured(read_einvoice(text.encode()).invoice)["document_type"] == "credit_note"


def test_an_invoice_has_no_document_type() -> None:
    assert "document_type" not in structured(INVOICE)


def test_charges_of_the_document_are_listed() -> None:
    found = structured(WITH_CHARGE)["financial_summary"]
    assert found["charges"] == [{"amount": D("5.00")}]
    assert rules.validity(rules.check(einvoice_answer(WITH_CHARGE)[0]))
    assert "charge VAT [BT-102, BT-103]" in einvoice_answer(WITH_CHARGE)[1]


@pytest.mark.parametrize("amount", ["0.00", "-5.00"])
def test_an_allowance_may_be_0_or_negative(amount: str) -> None:
    found = structured(replace(INVOICE, allowances=(AllowanceCharge(D(amount), reason="Aufschlag"),)))
    assert found["financial_summary"]["discounts"] == [{"description": "Aufschlag", "amount": D(amount)}]


def test_totals_without_their_parts_are_one_part() -> None:
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
def test_payments_are_listed_where_they_say_something(
    totals: dict[str, Decimal | None], expected: dict[str, Decimal]
) -> None:
    summary = structured(replace(INVOICE, totals=replace(INVOICE.totals, **{"paid": None, **totals})))[
        "financial_summary"
    ]
    assert {name: summary[name] for name in ("amount_paid", "rounding", "amount_due") if name in summary} == expected


def test_payments_to_third_parties_are_due_as_well() -> None:
    extension = "urn:cen.eu:en16931:2017#conformant#urn:xeinkauf.de:kosit:extension:xrechnung_3.0"
    payments = "<a:PrepaidPayment><PaidAmount>20</PaidAmount></a:PrepaidPayment>" * 2
    text = UBL.replace("<ID>RE-1</ID>", f"<CustomizationID>{extension}</CustomizationID><ID>RE-1</ID>{payments}")
    invoice = read_einvoice(text.replace("<PayableAmount>100.00", "<PayableAmount>140.00").encode()).invoice
    answer, unused = einvoice_answer(invoice)
    assert not rules.failures(check_einvoice(invoice))
    assert (answer.summary.amount_paid, answer.summary.amount_due) == (D("33.85"), None)
    assert {"third-party payments [BT-DEX-002]", "amount due [BT-115]"} < set(unused)
    core = read_einvoice(text.replace(extension, "urn:cen.eu:en16931:2017").encode()).invoice
    assert core.totals.third_party is None


def test_without_lines_the_rows_are_unknown(tmp_path: Path) -> None:
    invoice = replace(INVOICE, lines=(), group_lines=INVOICE.lines)
    assert "line_items" not in structured(invoice)
    minimum = (Path(__file__).parent / "cases/einvoice/44_minimum_profile.xml").read_bytes()
    record, whole = read(write(tmp_path, a__xml=minimum, b__xml=UBL.encode()))
    assert isinstance(record, DocumentRecord)
    assert isinstance(whole, DocumentRecord)
    assert (record.complete, whole.complete) == (False, True)


def test_a_record_has_the_findings_of_its_own_rules(tmp_path: Path) -> None:
    (record,) = read(write(tmp_path, a__xml=UBL.replace(">18.85<", ">18.95<").encode()))
    assert isinstance(record, DocumentRecord)
    assert record.findings is not None
    assert [finding.rule for finding in rules.failures(record.findings)] == ["BR-CO-14", "BR-CO-15"]


@pytest.mark.parametrize("name", ["", " \n ", "x" * 5000, "\u202e", "-"])
def test_any_name_of_a_line_is_read(name: str) -> None:
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
        ({"lines": (InvoiceLine(price=D("1e17"), base_quantity=D("1e-9")),)}, "line 1: .* is no price"),
        ({"vat_breakdown": (replace(INVOICE.vat_breakdown[0], rate=D("1e-17")),)}, r"VAT rate \[BT-119\]"),
    ],
)
def test_what_would_change_the_sums_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
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
def test_a_price_for_many_is_the_price_of_one_where_it_has_an_end(
    price: str, base: str | None, unit_price: str | None
) -> None:
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
def test_an_address_is_one_line_as_its_country_writes_it(address: Address, expected: str | None) -> None:
    assert (
        structured(replace(INVOICE, seller=Party("Acme", address=address)))["vendor_block"].get("address") == expected
    )


def test_without_a_vat_breakdown_the_total_is_the_tax() -> None:
    taxes = structured(replace(INVOICE, vat_breakdown=()))["financial_summary"]["taxes"]
    assert taxes == [{"amount": D("18.50")}]
    assert "taxes" not in structured(replace(INVOICE, vat_breakdown=(), totals=Totals()))["financial_summary"]


AMOUNTS = st.decimals(0, 10**6, places=2)


@given(AMOUNTS, AMOUNTS, st.sampled_from(["0.00", "7", "19.00", "8.1"]))
def test_a_right_invoice_of_one_rate_gives_an_answer_that_keeps_the_rules(
    net: Decimal, off: Decimal, rate: str
) -> None:
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
    assert rules.validity(rules.check(einvoice_answer(invoice)[0]))


def test_a_folder_gives_every_xml_and_pdf_in_it_and_below_sorted(tmp_path: Path) -> None:
    write(tmp_path, b__xml=b"", a__PDF=b"", c___d___e__XML=b"", notes__txt=b"", c___xml=b"")
    assert names(tmp_path) == ["a.PDF", "b.xml", "c/d/e.XML"]


def test_a_pdf_beside_an_xml_of_its_name_holds_its_pages_and_is_no_document(tmp_path: Path) -> None:
    write(tmp_path, a__xml=without_charge(UBL), a__pdf=text_pdf([]), below___a__pdf=text_pdf([]))
    assert names(tmp_path) == ["a.xml", "below/a.pdf"]
    record = read(tmp_path)[0]
    assert isinstance(record, DocumentRecord)
    assert record.pdf == tmp_path / "a.pdf"


def test_a_pdf_that_carries_the_invoice_is_its_own_page(tmp_path: Path) -> None:
    raw = with_attachments(text_pdf([]), invoice=without_charge(CII))
    (record,) = read(write(tmp_path, a__pdf=raw))
    assert isinstance(record, DocumentRecord)
    assert (record.document_id, record.pdf) == ("a.pdf", tmp_path / "a.pdf")


def test_a_single_file_is_a_source_under_any_name(tmp_path: Path) -> None:
    path = write(tmp_path, invoice__txt=without_charge(UBL), invoice__pdf=text_pdf([])) / "invoice.txt"
    (record,) = read(path)
    assert isinstance(record, DocumentRecord)
    assert (record.source, record.line, record.document_id) == (str(path), 1, "invoice.txt")
    assert record.pdf == tmp_path / "invoice.pdf"


def test_a_record_says_where_it_came_from_and_travels_between_processes(tmp_path: Path) -> None:
    write(tmp_path, a__xml=b"", b___c__xml=without_charge(UBL))
    record = read(tmp_path)[1]
    assert isinstance(record, DocumentRecord)
    assert (record.source, record.line, record.document_id) == (str(tmp_path), 2, "b/c.xml")
    assert (record.images, record.ocr, record.pdf, record.reviewed) == ((), None, None, True)
    assert "total VAT [BT-110]" in record.unused_keys
    assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301 - our own


def test_one_invoice_in_two_syntaxes_is_one_document(tmp_path: Path) -> None:
    spaced = without_charge(CII).replace(b"DE123456789", b"de 123 456 789")
    ubl, cii = read(write(tmp_path, a__xml=without_charge(UBL), b__xml=spaced))
    assert isinstance(ubl, DocumentRecord)
    assert isinstance(cii, DocumentRecord)
    assert (ubl.group, ubl.answer) == ("DE123456789 RE-1", cii.answer)
    assert ubl.group == cii.group


@pytest.mark.parametrize(
    ("removed", "group"),
    [("DE123456789", "acme gmbh RE-1"), ("RE-1", "")],
)
def test_without_a_vat_number_the_name_counts_and_without_an_invoice_number_nothing(
    tmp_path: Path, removed: str, group: str
) -> None:
    (record,) = read(write(tmp_path, a__xml=without_charge(UBL).replace(removed.encode(), b"")))
    assert isinstance(record, DocumentRecord)
    assert record.group == group


@pytest.mark.parametrize(
    ("content", "gate", "reason"),
    [
        (UBL.replace('<Amount currencyID="EUR">5.00</Amount>', "").encode(), "canonical", "charge 1 of the document"),
        (UBL.replace('currencyID="EUR">5.00', 'currencyID="USD">5.00').encode(), "canonical", "marked with USD"),
        (b"", "source", "neither XML nor PDF"),
        (b"\x89PNG", "source", "neither XML nor PDF"),
        (b"<html/>", "source", "no e-invoice"),
        (b"<!DOCTYPE a><a/>", "source", "DOCTYPE"),
        (UBL.replace(">2<", ">two<").encode(), "source", "is no decimal number"),
        (b"%PDF-1.7", "source", "no PDF that can be read"),
        (pdf(), "source", "a PDF without attachments"),
        (pdf(a=b"<a>"), "source", "'a': line 1: not well-formed XML"),
        (b"<" * (MAX_XML_BYTES + 1), "source", "more than the limit of 16,777,216"),
    ],
)
def test_a_file_that_gives_no_record_is_rejected_with_the_reason(
    tmp_path: Path, content: bytes, gate: str, reason: str
) -> None:
    (rejection,) = read(write(tmp_path, a__xml=content))
    assert isinstance(rejection, Rejection)
    assert (rejection.source, rejection.line, rejection.document_id) == (str(tmp_path), 1, "a.xml")
    assert rejection.gate == gate
    assert reason in rejection.reason


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", a__xml=without_charge(UBL), a__pdf=text_pdf([]))
    folder = write(tmp_path / "folder", b__xml=without_charge(UBL), c__xml=without_charge(UBL))
    (folder / "a.xml").symlink_to(outside / "a.xml")
    (folder / "b.pdf").symlink_to(outside / "a.pdf")
    (folder / "c.pdf").symlink_to(folder / "c.pdf")
    (folder / "d.xml").symlink_to("b.xml")
    (folder / "e").symlink_to(outside)
    readings = {reading.document_id: reading for reading in read(folder)}
    reasons = {name: found.reason for name, found in readings.items() if isinstance(found, Rejection)}
    pages = {name: found.pdf for name, found in readings.items() if isinstance(found, DocumentRecord)}
    assert pages == {"b.xml": None, "c.xml": None, "d.xml": None}
    assert reasons == {
        "a.xml": f"a link that leaves the folder {folder}",
        "b.pdf": f"a link that leaves the folder {folder}",
        "c.pdf": "no such file, or a link to none",
        "e": "a link to a folder, which is not followed: name that folder as a source of its own",
    }


def test_what_is_no_regular_file_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.xml")
    (rejection,) = read(tmp_path)
    assert isinstance(rejection, Rejection)
    assert (rejection.gate, rejection.reason) == ("source", "no regular file")


def test_a_name_that_is_no_utf8_still_names_the_document(tmp_path: Path) -> None:
    (tmp_path / "rechnung-\udcfc.xml").write_bytes(without_charge(UBL))
    (record,) = read(tmp_path)
    assert record.document_id == "rechnung-\N{REPLACEMENT CHARACTER}.xml"


def test_a_source_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no such file or folder"):
        einvoice_files(tmp_path / "gone")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_the_disk_does_not_let_be_read_stops_the_run(tmp_path: Path) -> None:
    (write(tmp_path, a__xml=b"") / "a.xml").chmod(0)
    with pytest.raises(AdapterError, match=r"a\.xml: cannot be read"):
        read(tmp_path)


FRAGMENTS = st.sampled_from(["", "<", "-", "0", "9" * 18, "0.0000000000000001", "USD", "381", "\0"])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([UBL, CII]), st.integers(0, 7000), st.integers(0, 30), FRAGMENTS | st.text(max_size=6))
def test_a_damaged_invoice_gives_a_record_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, text: str, start: int, length: int, put: str
) -> None:
    whole = without_charge(text).decode()
    path = tmp_path_factory.getbasetemp() / "damaged.xml"
    path.write_bytes((whole[:start] + put + whole[start + length :]).encode(errors="surrogatepass"))
    (reading,) = read(path)
    assert reading.reason if isinstance(reading, Rejection) else rules.check(reading.answer)


CASES = Path(__file__).parent / "cases" / "einvoice"


def test_every_case_is_a_record_but_for_the_broken_attachment() -> None:
    found = {reading.document_id: reading for reading in read(CASES)}
    refused = {name: reading.reason for name, reading in found.items() if isinstance(reading, Rejection)}
    assert len(found) == 11
    assert list(refused) == ["20_broken_xml.pdf"]
    assert "'factur-x.xml': line 2: not well-formed XML: mismatched tag" in refused["20_broken_xml.pdf"]


@pytest.mark.parametrize(
    ("name", "part", "expected"),
    [
        ("05_chargeindicator_0", "discounts", [{"description": "Reason", "amount": D("10.00")}]),
        ("16_zero_charge", "charges", [{"description": "Reason", "amount": D("0.00")}]),
        ("44_minimum_profile", "taxes", [{"amount": D("19.00")}]),
    ],
)
def test_a_case_has_its_amounts_in_the_answer(name: str, part: str, expected: list[dict[str, Any]]) -> None:
    invoice = read_einvoice((CASES / f"{name}.xml").read_bytes()).invoice
    assert structured(invoice)["financial_summary"][part] == expected


def test_sub_lines_are_the_lines_of_their_group() -> None:
    invoice = read_einvoice((CASES / "45_ext_sublines.xml").read_bytes()).invoice
    assert [line["description"] for line in structured(invoice)["line_items"]] == ["Thing 1.1", "Thing 1.2"]


CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "xrechnung"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_the_official_examples_map_and_keep_the_rules() -> None:
    readings = read(CORPUS)
    records = [reading for reading in readings if isinstance(reading, DocumentRecord)]
    assert [reading for reading in readings if isinstance(reading, Rejection)] == []
    assert [record.document_id for record in records if rules.failures(rules.check(record.answer))] == []
    assert [record.document_id for record in records if rules.failures(record.findings or ())] == []
