"""UBL, CII and PDF give one model of an invoice; hostile XML is rejected with its location."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from einvoice_examples import CII, CREDIT_NOTE, UBL, pdf
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.pages import pdf_content
from data_tools.pages.pdf_content import unpack_attachments
from data_tools.sources.einvoices.parse import read_einvoice, read_pdf
from data_tools.sources.files.xml_tree import MAX_XML_BYTES
from erniekit_adapter.documents.invoice.einvoice import (
    Address,
    AllowanceCharge,
    EInvoice,
    InvoiceLine,
    Party,
    PaymentMeans,
    Totals,
    VatRow,
)
from erniekit_adapter.documents.invoice.einvoice_rules import check_einvoice
from erniekit_adapter.documents.rules.rule import failures

D = Decimal
EXPECTED = EInvoice(
    number="RE-1",
    type_code="380",
    issue_date=date(2025, 1, 15),
    due_date=date(2025, 2, 14),
    payment_terms="30 Tage",
    payment_means=(PaymentMeans("58", "Überweisung"), PaymentMeans("48")),
    currency="EUR",
    seller=Party(
        "Acme GmbH",
        "DE123456789",
        Address(("Weg 1", "Hof 2", "Tor 3"), "10115", "Berlin", country="DE"),
        "+49 30 1234",
        "post@acme.example",
    ),
    buyer=Party("Beta AG", address=Address((), "LS1 1AA", "Leeds", "West Yorkshire", "GB")),
    lines=(
        InvoiceLine("1", "Stuhl", D(2), D(100), D(600), D(10), "S", D(19), (AllowanceCharge(D(20)),)),
        InvoiceLine("2", "Buch", D(1), D(20), D(20), None, "S", D(7)),
    ),
    allowances=(AllowanceCharge(D(10), category="S", rate=D(19), reason="Rabatt", reason_code="95"),),
    charges=(AllowanceCharge(D(5), category="S", rate=D(7)),),
    vat_breakdown=(VatRow(D(90), D("17.10"), "S", D(19)), VatRow(D(25), D("1.75"), "S", D(7))),
    totals=Totals(
        lines=D(120),
        allowances=D(10),
        charges=D(5),
        without_vat=D(115),
        vat=D("18.85"),
        with_vat=D("133.85"),
        paid=D("33.85"),
        payable=D(100),
    ),
)
BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]><a>&c;&c;&c;</a>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


@pytest.mark.parametrize(("kind", "text"), [("UBL invoice", UBL), ("CII invoice", CII)])
def test_both_syntaxes_give_the_same_invoice(kind: str, text: str) -> None:
    found = read_einvoice(text.encode())
    expected = replace(EXPECTED, syntax="CII" if text is CII else "UBL")
    assert (found.kind, replace(found.invoice, marked_currencies=frozenset())) == (kind, expected)


def test_reads_amounts_marked_with_another_currency() -> None:
    marked = UBL.replace('currencyID="EUR">5.00', 'currencyID="USD">5.00')
    assert read_einvoice(marked.encode()).invoice.marked_currencies == {"EUR", "USD"}


def test_reads_lines_and_due_date_of_a_credit_note() -> None:
    found = read_einvoice(CREDIT_NOTE.encode())
    marks = frozenset({"EUR"})
    expected = replace(EXPECTED, type_code="381", is_credit_note_document=True, marked_currencies=marks)
    assert (found.kind, found.invoice) == ("UBL credit note", expected)


def test_reads_the_invoice_in_a_pdf_under_any_name() -> None:
    found = read_pdf(pdf(readme=b"Guten Tag", drawing=b" " * (MAX_XML_BYTES + 1), rechnung=CII.encode()))
    assert (found.kind, found.invoice) == ("CII invoice in a PDF", replace(EXPECTED, syntax="CII"))


ZUGFERD_1 = """<rsm:CrossIndustryDocument xmlns:rsm="urn:ferd:CrossIndustryDocument:invoice:1p0"
  xmlns:ram="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:12"/>"""


@pytest.mark.parametrize(
    ("attachments", "reason"),
    [
        ({}, "a PDF without attachments"),
        ({"a": UBL.encode(), "b": CII.encode()}, "a PDF with 2 e-invoices, expected one: 'a', 'b'"),
        ({"a": b"<html/>"}, "'a': XML of 'html', which is not an e-invoice"),
        ({"a": b"<a>\n<b></a>"}, "'a': line 2: not well-formed XML: mismatched tag"),
        ({"a": ZUGFERD_1.encode()}, "'a': ZUGFeRD 1.0 (urn:ferd:CrossIndustryDocument:invoice:1p0), which is not read"),
        ({"a": b"<?xml version='1.0' encoding='klingon'?><a/>"}, "'a': line 1: encoding 'klingon' is unknown"),
        ({"a": b"<?xml version='1.0' encoding='shift_jis'?><a/>"}, "'a': line 1: encoding 'shift_jis' is unknown or"),
        ({"a": b"<a>\n\xfc</a>"}, "'a': line 2: byte 0xfc is not UTF-8"),
        ({"a": b"<!DOCTYPE a><a/>"}, "'a': line 1: a document type"),
        ({"photo": b"\xff\xd8\xff", "invoice.xml": b"nothing"}, "'invoice.xml': not XML; 'photo': not XML"),
        ({"a": b" " * (MAX_XML_BYTES + 1)}, "'a': empty, damaged, or more than 16,777,216 bytes"),
        ({f"a{n}": b"x" for n in range(12)}, "; and 2 more"),
    ],
)
def test_pdf_without_an_invoice_names_each_reason(attachments: dict[str, bytes], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_pdf(pdf(**attachments))


def test_unreadable_attachment_hides_no_invoice() -> None:
    assert read_pdf(pdf(broken=b"<a>", rechnung=CII.encode())).invoice.number == "RE-1"


def test_names_the_version_of_zugferd_1() -> None:
    with pytest.raises(ValueError, match=r"ZUGFeRD 1\.0 .* convert it to ZUGFeRD 2"):
        read_einvoice(ZUGFERD_1.encode())


@pytest.mark.parametrize(("flag", "is_charge"), [("0", False), ("false", False), (" 1\n", True), ("\ttrue ", True)])
@pytest.mark.parametrize("text", [UBL, CII])
def test_charge_indicator_is_an_xml_boolean(text: str, flag: str, is_charge: bool) -> None:
    changed = text.replace(">true<", f">{flag}<")
    assert len(read_einvoice(changed.encode()).invoice.charges) == is_charge


SUB_LINES = CII.replace("<LineID>1</LineID>", "<LineID>1</LineID><ParentLineID>0</ParentLineID>").replace(
    "<LineID>2</LineID>", "<LineID>2</LineID><LineStatusReasonCode>{code}</LineStatusReasonCode>"
)
EXTENDED = """<m:ExchangedDocumentContext><GuidelineSpecifiedDocumentContextParameter>
<ID>{profile}</ID></GuidelineSpecifiedDocumentContextParameter></m:ExchangedDocumentContext><m:ExchangedDocument>"""
FACTUR_X = "urn:cen.eu:en16931:2017#conformant#urn:factur-x.eu:1p0:extended"
XRECHNUNG = "urn:cen.eu:en16931:2017#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0"


def with_profile(text: str, profile: str) -> str:
    return text.replace("<m:ExchangedDocument>", EXTENDED.replace("{profile}", profile))


@pytest.mark.parametrize(
    ("profile", "code", "counted"),
    [
        (FACTUR_X, "GROUP", 1),
        (FACTUR_X, "INFORMATION", 1),
        (FACTUR_X, "DETAIL", 2),
        ("urn:cen.eu:en16931:2017#conformant#urn:zugferd.de:2p0:extended", "GROUP", 1),
        ("urn.cpro.gouv.fr:1p0:extended-ctc-fr", "GROUP", 1),
        (XRECHNUNG, "GROUP", 2),
        (f"{XRECHNUNG}#conformant#urn:xeinkauf.de:kosit:extension:xrechnung_3.0", "GROUP", 2),
    ],
)
def test_groups_of_lines_count_once_in_extended(profile: str, code: str, counted: int) -> None:
    invoice = read_einvoice(with_profile(SUB_LINES.replace("{code}", code), profile).encode()).invoice
    assert (len(invoice.lines), len(invoice.group_lines)) == (counted, 2 - counted)
    assert invoice.is_extended == ("extended" in profile)


FREIGHT = """<SpecifiedLogisticsServiceCharge><Description>Fracht</Description><AppliedAmount>5.00</AppliedAmount>
<AppliedTradeTax><CategoryCode>S</CategoryCode><RateApplicablePercent>7</RateApplicablePercent></AppliedTradeTax>
</SpecifiedLogisticsServiceCharge>"""


def test_logistics_charge_is_a_charge_with_its_vat() -> None:
    before, charge, after = CII.partition("  <SpecifiedTradeAllowanceCharge><ChargeIndicator><u:Indicator>true")
    rest = after.partition("</SpecifiedTradeAllowanceCharge>")[2]
    assert charge
    invoice = read_einvoice((before + FREIGHT + rest).encode()).invoice
    assert invoice.charges == (AllowanceCharge(D("5.00"), category="S", rate=D(7), reason="Fracht"),)
    assert not failures(check_einvoice(invoice))


def test_logistics_charge_with_two_taxes_has_no_vat() -> None:
    tax = FREIGHT[FREIGHT.index("<AppliedTradeTax>") : FREIGHT.index("</SpecifiedLogistics")]
    place = "<SpecifiedTradePaymentTerms>"
    text = CII.replace(place, FREIGHT.replace(tax, tax * 2) + place)
    charge = read_einvoice(text.encode()).invoice.charges[-1]
    assert (charge.amount, charge.category, charge.rate) == (D("5.00"), None, None)


def test_rejects_attachments_that_are_too_large_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_content, "MAX_UNPACKED_BYTES", 20_000)
    with pytest.raises(ValueError, match="attachments of more than 20,000 bytes"):
        list(unpack_attachments(pdf(invoice=UBL.encode(), drawing=bytes(10_000), photo=bytes(10_000)), MAX_XML_BYTES))


def test_rejects_too_much_xml_before_parsing() -> None:
    half = UBL.encode() + b" " * (MAX_XML_BYTES // 2)
    with pytest.raises(ValueError, match="more than 16,777,216 bytes of XML attached"):
        read_pdf(pdf(invoice=half, another=half))


def test_rejects_a_broken_pdf() -> None:
    with pytest.raises(ValueError, match="not a readable PDF"):
        read_pdf(b"%PDF-1.7 and nothing else")


@pytest.mark.parametrize(
    "removed",
    ["<PrepaidAmount>33.85</PrepaidAmount>", "<PayableAmount>100.00</PayableAmount>", "<DueDate>2025-02-14</DueDate>"],
)
def test_missing_values_are_none_not_zero(removed: str) -> None:
    invoice = read_einvoice(UBL.replace(removed, "").encode()).invoice
    found = (invoice.totals.paid, invoice.totals.payable, invoice.due_date)
    assert found.count(None) == 1
    assert D(0) not in found


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_reads_other_encodings(encoding: str) -> None:
    text = UBL.replace("Acme", "Ästhetik").replace("UTF-8", encoding)
    assert read_einvoice(text.encode(encoding)).invoice.seller.name == "Ästhetik GmbH"


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, '<?xml version="1.0"?>\n<!DOCTYPE html><html/>'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_rejects_a_doctype_before_reading_entities(text: str, encoding: str) -> None:
    with pytest.raises(ValueError, match="DOCTYPE"):
        read_einvoice(text.encode(encoding))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no element found"),
        (b"<a>", "not well-formed"),
        (b"<a/>", "XML of 'a', which is not an e-invoice"),
        (b'<Invoice xmlns="urn:other"/>', "which is not an e-invoice"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "encoding"),
        (b"<a>" * 100 + b"</a>" * 100, "nested deeper than 64"),
        pytest.param(
            b"<a>" + b"<b/>" * 500_001 + b"</a>", "more than 500,000 elements", marks=pytest.mark.slow, id="wide"
        ),
        pytest.param(b"<a>" + b" " * MAX_XML_BYTES + b"</a>", "more than the limit", id="large"),
    ],
    ids=["empty", "cut off", "another root", "another namespace", "encoding", "deep", None, None],
)
def test_rejects_other_xml_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_einvoice(content)


@pytest.mark.parametrize(
    ("text", "before", "after", "message"),
    [
        (
            UBL,
            ">100.00</PayableAmount>",
            ">1,5</PayableAmount>",
            "line 42: cbc:PayableAmount '1,5' is not a decimal number",
        ),
        (UBL, ">100.00</PayableAmount>", "></PayableAmount>", "cbc:PayableAmount '' is not a decimal number"),
        (UBL, ">100.00</PayableAmount>", ">1e9</PayableAmount>", "'1e9' is not a decimal number"),
        (UBL, ">100.00</PayableAmount>", f">{'9' * 40}</PayableAmount>", "is not an amount of money"),
        (UBL, "<PayableAmount>", "<PayableAmount>1</PayableAmount><PayableAmount>", "cbc:PayableAmount is given twice"),
        (UBL, 'currencyID="SEK"', 'currencyID="EUR"', "cac:TaxTotal in the invoice's currency is given twice"),
        (UBL, "2025-01-15", "15.01.2025", "cbc:IssueDate '15.01.2025' is not a date"),
        (UBL, "2025-01-15", "2025-02-31", "is not a date"),
        (UBL, ">false<", ">no<", "cbc:ChargeIndicator is 'no', expected true, false, 1 or 0"),
        (CII, "20250115", "2025-01-15", "udt:DateTimeString '2025-01-15' is not a date"),
        (CII, 'format="102">20250115', 'format="610">202501', "is not a date"),
        (CII, ">false<", "><", "ram:ChargeIndicator is missing, expected true, false, 1 or 0"),
        (CII, 'currencyID="SEK"', 'currencyID="EUR"', "ram:TaxTotalAmount in the invoice's currency is given twice"),
    ],
)
def test_rejects_unreadable_values_with_their_location(text: str, before: str, after: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_einvoice(text.replace(before, after).encode())


FRAGMENTS = st.sampled_from(
    [
        "",
        "<",
        "&amp;",
        "&x;",
        "<ID>",
        "</i:Invoice>",
        "-0",
        "1E+99",
        "9" * 18,
        "0." + "0" * 16 + "1",
        "\0",
        "\ud800",
        "<!DOCTYPE a>",
    ]
)


def read_and_check(content: bytes) -> str | EInvoice:
    """Return the invoice after checking every rule, or the reason why it cannot be read."""
    try:
        invoice = read_einvoice(content).invoice
    except ValueError as reason:
        return str(reason)
    assert check_einvoice(invoice)
    return invoice


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([UBL, CII]),
    st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 40), FRAGMENTS | st.text(max_size=6)), max_size=4),
)
def test_broken_xml_gives_findings_or_a_reason(text: str, cuts: list[tuple[int, int, str]]) -> None:
    for start, length, put in cuts:
        text = text[:start] + put + text[start + length :]
    assert read_and_check(text.encode(errors="surrogatepass"))


AMOUNTS = (">600.00<", ">10</Base", ">17.10<", ">19<", ">100.00<", ">2<", ">90.00<", ">20.00<")
NUMBERS = st.from_regex(r"-?[0-9]{1,18}(\.[0-9]{1,17})?", fullmatch=True)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(AMOUNTS), NUMBERS)
def test_checks_or_rejects_any_number_in_any_element(place: str, number: str) -> None:
    after = place.partition("<")[2]
    assert read_and_check(UBL.replace(place, f">{number}<{after}").encode())
