"""Texts that wrap or are hyphenated, and names in the language of the page."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from data_tools.pages.pdf import text_layer
from data_tools.sources.einvoices.answer import einvoice_answer
from data_tools.sources.einvoices.parse import read_einvoice
from data_tools.visibility import drop_unseen, page_mismatch, page_text
from erniekit_adapter.documents.invoice.answer import as_json, read_answer
from erniekit_adapter.documents.loading import INVOICE

PAGES = Path(__file__).parent / "cases" / "pages"


def shows(ocr: Any, name: str) -> bool:
    value = as_json(read_answer({"structured_data": {"vendor_block": {"name": name}}}))
    return not drop_unseen(INVOICE, value["structured_data"], page_text(ocr))


def printed(page: Any, **blocks: Any) -> Any:
    """Return the answer after removal of values not on the page."""
    value = as_json(read_answer({"structured_data": blocks}))
    drop_unseen(INVOICE, value["structured_data"], page_text(page))
    return value["structured_data"]


def cell(*rows: tuple[int, int, str]) -> dict[str, Any]:
    return {
        "tokens": [text for _, _, text in rows],
        "bboxes": [[x, y, x + 8 * len(text), y + 14] for x, y, text in rows],
    }


def case(name: str) -> tuple[dict[str, Any], Any]:
    """Return the answer of an e-invoice and the text of its page."""
    found = read_einvoice((PAGES / f"{name}.xml").read_bytes())
    answer, _ = einvoice_answer(found.invoice)
    return as_json(answer), text_layer((PAGES / f"{name}.pdf").read_bytes())


def test_finds_a_description_that_wraps_in_its_cell() -> None:
    value, ocr = case("wrapped")
    before = copy.deepcopy(value)
    assert drop_unseen(INVOICE, value["structured_data"], page_text(ocr)) == ()
    assert value == before


def test_page_of_another_invoice_is_a_mismatch() -> None:
    value, ocr = case("mismatch")
    before = copy.deepcopy(value)
    page = page_text(ocr)
    drop_unseen(INVOICE, value["structured_data"], page)
    reason = page_mismatch(INVOICE, before["structured_data"], value["structured_data"], page, 0.5)
    assert reason
    assert all(part in reason for part in ("T-M", "Other Vendor", "166.28", "428,00", "INVOICE T-A"))


@pytest.mark.parametrize(
    "ocr",
    [
        cell((100, 10, "Index dividers"), (500, 10, "20"), (600, 10, "9,90"), (100, 26, "coloured A4")),
        cell((100, 10, "Index"), (500, 18, "20"), (100, 26, "dividers"), (600, 18, "9,90"), (100, 42, "coloured A4")),
        "Index dividers 20 9,90 198,00\ncoloured A4",
        "1 Index dividers 20 Stk 9,90 198,00\nArt coloured A4\n2 Pen 1 2,00",
        ["Index dividers", "20", "9,90", "198,00", "coloured A4"],
    ],
)
def test_finds_wrapped_text(ocr: Any) -> None:
    assert shows(ocr, "Index dividers coloured A4")


@pytest.mark.parametrize(
    "ocr",
    [
        cell((100, 10, "Schlagbohr-"), (500, 10, "20"), (100, 26, "maschine blau")),
        cell((100, 10, "Schlagbohr\u00ad"), (500, 10, "20"), (100, 26, "maschine blau")),
        "Schlagbohr- 20 9,90\nmaschine blau",
        "Schlagbohr-\nmaschine blau 20 9,90",
        "Schlag\u00adbohr\u00admaschine blau",
    ],
)
def test_finds_a_hyphenated_word(ocr: Any) -> None:
    assert shows(ocr, "Schlagbohrmaschine blau")


@pytest.mark.parametrize(
    "ocr",
    [
        "Index dividers 20 9,90\nPen coloured",
        "Index dividers 20 9,90\nwhite A5",
        "Index dividers, made to order in any size\ncoloured A4",
        cell((100, 10, "Index dividers"), (500, 10, "coloured A4")),
        "Index 20\nA4 5 coloured 6 dividers",
    ],
)
def test_does_not_join_parts_that_do_not_follow_each_other(ocr: Any) -> None:
    found = shows(ocr, "Index dividers coloured A4")
    # Side by side in one row they follow each other.
    assert found == ("coloured A4" in str(ocr) and "made" not in str(ocr))


TAXES = [
    ("MwSt. 19 % 19,00", "MwSt."),
    ("USt 19 % 19,00", "USt"),
    ("TVA 20 % 19,00", "TVA"),
    ("IVA 22 % 19,00", "IVA"),
    ("BTW 21% 19,00", "BTW"),
    ("消費税 10% 19,00", "消費税"),
    ("增值税 13% 19,00", "增值税"),
    ("GST 19.00", "GST"),
    ("VAT 19.00 (MwSt)", "VAT"),
    ("USt-IdNr. DE1\nMwSt. 19 % 19,00", "MwSt."),
    ("Partita IVA 123\nImposta 19,00", None),
    ("VAT ID DE123", None),
    ("Tax 19.00", None),
]


@pytest.mark.parametrize(("page", "name"), TAXES)
def test_keeps_a_tax_name_as_printed(page: str, name: str | None) -> None:
    found = printed(page, financial_summary={"taxes": [{"type": "VAT"}]}).get("financial_summary", {})
    assert found.get("taxes", [{}])[0].get("type") == name


METHODS = [
    ("Credit transfer", "Zahlung per Überweisung", "Überweisung"),
    ("SEPA credit transfer", "Règlement par virement", "virement"),
    ("SEPA credit transfer", "Pagamento: bonifico bancario", "bonifico bancario"),
    ("Credit transfer", "Forma de pago: transferencia", "transferencia"),
    ("Credit transfer", "Betaling per overschrijving", "overschrijving"),
    ("Direct debit", "SEPA-Lastschrift am 1.2.", "SEPA-Lastschrift"),
    ("Cash", "Espèces", "Espèces"),
    ("Credit card", "Kreditkarte", "Kreditkarte"),
    ("Credit card", "Paid by credit card", "Credit card"),
    ("Cash", "Barbara GmbH", None),
    ("Barter", "Barter", "Barter"),
]


@pytest.mark.parametrize(("method", "page", "name"), METHODS)
def test_keeps_a_payment_method_as_printed(method: str, page: str, name: str | None) -> None:
    terms = printed(page, payment_terms={"payment_method": method}).get("payment_terms", {})
    assert terms.get("payment_method") == name


@pytest.mark.parametrize("page", ["Credit note 7", "GUTSCHRIFT 7", "Avoir n° 7", "Nota di credito 7", "贷记 7"])
def test_credit_note_needs_its_word_on_the_page(page: str) -> None:
    assert printed(page, document_type="credit_note") == {"document_type": "credit_note"}
    assert printed("Invoice 7", document_type="credit_note") == {}


def test_searches_for_new_amounts() -> None:
    summary = {"charges": [{"description": "Freight", "amount": 9}], "amount_paid": 5, "rounding": 1, "amount_due": 4}
    assert printed("Freight 9.00 paid 5.00 rounding 1.00 due 4.00", financial_summary=summary) == {
        "financial_summary": summary
    }
    assert printed("Nothing", financial_summary=summary) == {}
