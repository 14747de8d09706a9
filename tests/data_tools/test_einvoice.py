"""UBL, CII and PDF become one model of an invoice; hostile XML is refused with its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from einvoice_examples import CII, CREDIT_NOTE, UBL, pdf
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.pages import pdf_content
from data_tools.pages.pdf_content import unpack_attachments
from data_tools.sources.einvoice import read_einvoice, read_pdf
from data_tools.sources.xmltree import MAX_XML_BYTES
from erniekit_adapter.invoice.einvoice import (
    Address,
    AllowanceCharge,
    EInvoice,
    InvoiceLine,
    Party,
    PaymentMeans,
    Totals,
    VatRow,
)
from erniekit_adapter.invoice.einvoice_rules import check_einvoice

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
def test_both_syntaxes_say_the_same_invoice(kind: str, text: str) -> None:
    found = read_einvoice(text.encode())
    assert (found.kind, replace(found.invoice, marked_currencies=frozenset())) == (kind, EXPECTED)


def test_amounts_that_are_marked_with_another_currency_are_seen() -> None:
    marked = UBL.replace('currencyID="EUR">5.00', 'currencyID="USD">5.00')
    assert read_einvoice(marked.encode()).invoice.marked_currencies == {"EUR", "USD"}


def test_a_credit_note_has_lines_and_a_due_date_of_its_own() -> None:
    found = read_einvoice(CREDIT_NOTE.encode())
    expected = replace(EXPECTED, type_code="381", marked_currencies=frozenset({"EUR"}))
    assert (found.kind, found.invoice) == ("UBL credit note", expected)


def test_a_pdf_carries_its_invoice_under_any_name() -> None:
    found = read_pdf(pdf(readme=b"Guten Tag", drawing=b" " * (MAX_XML_BYTES + 1), rechnung=CII.encode()))
    assert (found.kind, found.invoice) == ("CII invoice in a PDF", EXPECTED)


@pytest.mark.parametrize(
    ("attachments", "count"), [({}, 0), ({"a": b"<html/>"}, 0), ({"a": UBL.encode(), "b": CII.encode()}, 2)]
)
def test_a_pdf_without_exactly_one_invoice_is_refused(attachments: dict[str, bytes], count: int) -> None:
    with pytest.raises(ValueError, match=f"a PDF with {count} e-invoices, expected one"):
        read_pdf(pdf(**attachments))


def test_a_pdf_whose_attachments_are_too_large_together_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_content, "MAX_UNPACKED_BYTES", 20_000)
    with pytest.raises(ValueError, match="attachments of more than 20,000 bytes"):
        list(unpack_attachments(pdf(invoice=UBL.encode(), drawing=bytes(10_000), photo=bytes(10_000)), MAX_XML_BYTES))


def test_a_pdf_with_too_much_xml_is_refused_before_any_is_parsed() -> None:
    half = UBL.encode() + b" " * (MAX_XML_BYTES // 2)
    with pytest.raises(ValueError, match="more than 16,777,216 bytes of XML attached"):
        read_pdf(pdf(invoice=half, another=half))


def test_a_broken_pdf_is_refused() -> None:
    with pytest.raises(ValueError, match="no PDF that can be read"):
        read_pdf(b"%PDF-1.7 and nothing else")


@pytest.mark.parametrize(
    "removed",
    ["<PrepaidAmount>33.85</PrepaidAmount>", "<PayableAmount>100.00</PayableAmount>", "<DueDate>2025-02-14</DueDate>"],
)
def test_what_is_not_there_is_none_and_never_zero(removed: str) -> None:
    invoice = read_einvoice(UBL.replace(removed, "").encode()).invoice
    found = (invoice.totals.paid, invoice.totals.payable, invoice.due_date)
    assert found.count(None) == 1
    assert D(0) not in found


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_other_encodings_are_read(encoding: str) -> None:
    text = UBL.replace("Acme", "Ästhetik").replace("UTF-8", encoding)
    assert read_einvoice(text.encode(encoding)).invoice.seller.name == "Ästhetik GmbH"


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, '<?xml version="1.0"?>\n<!DOCTYPE html><html/>'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_before_an_entity_is_read(text: str, encoding: str) -> None:
    with pytest.raises(ValueError, match="DOCTYPE"):
        read_einvoice(text.encode(encoding))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no element found"),
        (b"<a>", "not well-formed"),
        (b"<a/>", "XML of 'a', which is no e-invoice"),
        (b'<Invoice xmlns="urn:other"/>', "which is no e-invoice"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "encoding"),
        (b"<a>" * 100 + b"</a>" * 100, "nested deeper than 64"),
        (b"<a>" + b"<b/>" * 500_001 + b"</a>", "more than 500,000 elements"),
        (b"<a>" + b" " * MAX_XML_BYTES + b"</a>", "more than the limit"),
    ],
    ids=["empty", "cut off", "another root", "another namespace", "encoding", "deep", "wide", "large"],
)
def test_other_xml_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_einvoice(content)


@pytest.mark.parametrize(
    ("text", "before", "after", "message"),
    [
        (
            UBL,
            ">100.00</PayableAmount>",
            ">1,5</PayableAmount>",
            "line 42: cbc:PayableAmount '1,5' is no decimal number",
        ),
        (UBL, ">100.00</PayableAmount>", "></PayableAmount>", "cbc:PayableAmount '' is no decimal number"),
        (UBL, ">100.00</PayableAmount>", ">1e9</PayableAmount>", "'1e9' is no decimal number"),
        (UBL, ">100.00</PayableAmount>", f">{'9' * 40}</PayableAmount>", "is no amount of money"),
        (UBL, "<PayableAmount>", "<PayableAmount>1</PayableAmount><PayableAmount>", "cbc:PayableAmount is given twice"),
        (UBL, 'currencyID="SEK"', 'currencyID="EUR"', "cac:TaxTotal in the invoice's currency is given twice"),
        (UBL, "2025-01-15", "15.01.2025", "cbc:IssueDate '15.01.2025' is no date"),
        (UBL, "2025-01-15", "2025-02-31", "is no date"),
        (UBL, ">false<", ">no<", "cbc:ChargeIndicator 'no' is neither true nor false"),
        (CII, "20250115", "2025-01-15", "udt:DateTimeString '2025-01-15' is no date"),
        (CII, 'format="102">20250115', 'format="610">202501', "is no date"),
        (CII, ">false<", "><", "ram:ChargeIndicator None is neither true nor false"),
        (CII, 'currencyID="SEK"', 'currencyID="EUR"', "ram:TaxTotalAmount in the invoice's currency is given twice"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_with_its_place(
    text: str, before: str, after: str, message: str
) -> None:
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
    """The invoice, held against every rule; or the reason why it cannot be read."""
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
def test_broken_xml_gives_an_invoice_with_findings_or_a_reason(text: str, cuts: list[tuple[int, int, str]]) -> None:
    for start, length, put in cuts:
        text = text[:start] + put + text[start + length :]
    assert read_and_check(text.encode(errors="surrogatepass"))


AMOUNTS = (">600.00<", ">10</Base", ">17.10<", ">19<", ">100.00<", ">2<", ">90.00<", ">20.00<")
NUMBERS = st.from_regex(r"-?[0-9]{1,18}(\.[0-9]{1,17})?", fullmatch=True)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(AMOUNTS), NUMBERS)
def test_any_number_in_any_place_is_checked_or_refused(place: str, number: str) -> None:
    after = place.partition("<")[2]
    assert read_and_check(UBL.replace(place, f">{number}<{after}").encode())
