"""Logs with `reviewed: true`, and the names and locations that logs share with manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import simplejson
from data_examples import OCR, answer
from logged_examples import AUTOMATIC, PROMPT, flat, logged
from source_examples import read_log

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from data_tools.sources.logs.ocr import page_in_prompt
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.invoice.answer import as_json

PAGE = "Acme GmbH\nInvoice RE-1\n15.01.2025\nNet 100.00\nVAT 19% 19.00\nTotal EUR 119.00"
# One invoice as frontends of logs write it.
MIXED = {
    "document_type": "invoice",
    "vendor": {"name": "Acme GmbH"},
    "client": {"name": "Beta AG", "invoice_number": "RE-1"},
    "line_items": [{"desc": "Stuhl", "qty": 2, "unit_price": 50.0, "line_total": 100.0}],
    "financial_summary": {
        "subtotal": 100.0,
        "tax_rate": 0.19,
        "tax_amount": 19.0,
        "grand_total": 119.0,
        "currency": "EUR",
    },
}
UNWRAPPED = answer()["structured_data"]


def read(folder: Path, value: Any, *, reviewed: bool = True, date_order: DateOrder | None = None) -> RecordOrRejection:
    (found,) = read_log(folder, value, reviewed=reviewed, date_order=date_order)
    return found


def record(folder: Path, value: Any, *, reviewed: bool = True, date_order: DateOrder | None = None) -> DocumentRecord:
    found = read(folder, value, reviewed=reviewed, date_order=date_order)
    assert isinstance(found, DocumentRecord), found
    return found


@pytest.mark.parametrize("shape", AUTOMATIC)
def test_accepts_a_reviewed_log(tmp_path: Path, shape: str) -> None:
    found = record(tmp_path, logged(shape))
    assert found.reviewed
    assert found.answer
    assert found.answer.summary.grand_total in (119, 1119)


@pytest.mark.parametrize("shape", AUTOMATIC)
def test_rejection_names_the_setting_reviewed(tmp_path: Path, shape: str) -> None:
    found = read(tmp_path, logged(shape), reviewed=False)
    assert isinstance(found, Rejection)
    assert found.filter == "reviewed"
    assert "set reviewed: true on its source" in found.reason


def test_empty_correction_confirms_the_output(tmp_path: Path) -> None:
    found = record(tmp_path, logged("6", user_correction={}))
    assert found.answer
    assert found.answer.summary.grand_total == 1119


@pytest.mark.parametrize("shape", AUTOMATIC)
def test_rejects_a_demonstration(tmp_path: Path, shape: str) -> None:
    assert isinstance(read(tmp_path, logged(shape, demo_mode=True)), Rejection)


@pytest.mark.parametrize("written", [MIXED, simplejson.dumps(MIXED)], ids=["object", "JSON in a string"])
@pytest.mark.parametrize("shape", ["10", "5", "11", "12"])
def test_reads_names_of_frontends_in_every_format(tmp_path: Path, shape: str, written: Any) -> None:
    name = {"10": "corrected", "5": "completion"}.get(shape, "output")
    found = record(tmp_path, logged(shape, **{name: written}))
    assert found.unused_keys == ()
    assert found.answer
    assert as_json(found.answer)["structured_data"] == {
        "vendor_block": {"name": "Acme GmbH"},
        "client_info": {"name": "Beta AG", "invoice_number": "RE-1"},
        "line_items": [{"description": "Stuhl", "quantity": 2, "unit_price": 50, "total": 100}],
        "financial_summary": {
            "subtotal": 100,
            "taxes": [{"rate": json_text.parse("0.19"), "amount": 19}],
            "grand_total": 119,
            "currency": "EUR",
        },
    }


def test_correction_overrides_nested_output(tmp_path: Path) -> None:
    value = logged("4", completion=MIXED, corrections={"grand_total": 120, "vendor": {"name": "Acme AG"}})
    found = record(tmp_path, value)
    assert found.answer
    assert found.answer.structured_data.vendor_block
    assert (found.answer.summary.grand_total, found.answer.structured_data.vendor_block.name) == (120, "Acme AG")


def test_reads_an_answer_without_its_wrapper(tmp_path: Path) -> None:
    bare, wrapped = (record(tmp_path, logged("10", corrected=logged_answer)) for logged_answer in (UNWRAPPED, answer()))
    assert bare.answer == wrapped.answer


@pytest.mark.parametrize(
    ("kind", "expected"), [("receipt", None), ("credit_note", "credit_note"), ("Gutschrift", "credit_note")]
)
def test_keeps_the_document_type_of_credit_notes(tmp_path: Path, kind: str, expected: str | None) -> None:
    found = record(tmp_path, logged("10", corrected=MIXED | {"document_type": kind}))
    assert found.answer
    assert (found.answer.structured_data.document_type, found.unused_keys) == (expected, ())


def test_rejects_other_document_types(tmp_path: Path) -> None:
    found = read(tmp_path, logged("10", corrected=MIXED | {"document_type": "delivery_note"}))
    assert isinstance(found, Rejection)
    assert "is not invoice, receipt or credit_note" in found.reason


def test_reads_other_dates_and_amounts_in_an_answer(tmp_path: Path) -> None:
    logged_answer = answer(grand_total="119,00 €")
    logged_answer["structured_data"]["client_info"]["invoice_date"] = "15. Januar 2025"
    found = record(tmp_path, logged("10", corrected=logged_answer))
    assert found.answer
    assert found.answer.structured_data.client_info
    assert str(found.answer.structured_data.client_info.invoice_date) == "2025-01-15"
    assert found.answer.summary.grand_total == 119


def test_uses_date_order(tmp_path: Path) -> None:
    value = logged("10", corrected=flat(invoice_date="03/04/2025"))
    assert isinstance(read(tmp_path, value, reviewed=False), Rejection)
    found = record(tmp_path, value, reviewed=False, date_order="month_first").answer
    assert found
    assert found.structured_data.client_info
    assert str(found.structured_data.client_info.invoice_date) == "2025-03-04"


@pytest.mark.parametrize(
    "places",
    [
        {"meta": {"ocr_text": PAGE}},
        {"metadata": {"ocr_text": PAGE}},
        {"input": {"text": PAGE}},
        {"input": {"ocr_text": PAGE}},
        {"ocr_text": PAGE},
        {"ocr_context": {"raw_ocr": {"text": PAGE}}},
        {"prompt": PAGE},
        {"prompt": f"OCR_TEXT:\n{PAGE}\n\nExtract structured JSON."},
        {"prompt": f"You read invoices.\nOCR Text: {PAGE}"},
        {"prompt": f"OCR_TEXT:\n```\n{PAGE}\n```\nReturn JSON."},
    ],
)
def test_reads_the_text_of_the_page(tmp_path: Path, places: dict[str, Any]) -> None:
    value = {"doc_id": "d", "corrected": flat()} | places
    assert record(tmp_path, value).ocr == PAGE


@pytest.mark.parametrize(
    "prompt",
    [
        "Read it.",
        "Extract these fields:\n1. total 100\n2. number 200\n3. date 300",
        'Answer with {"total": 119.00}\nand 100.00\nand 19.00',
        "one line 119.00 100.00",
        "a\nb\nc",
        PROMPT,
        5,
        None,
    ],
)
def test_ignores_a_prompt_without_a_page(prompt: Any) -> None:
    assert page_in_prompt(prompt) is None


def test_prefers_the_engine_s_output_to_a_prompt(tmp_path: Path) -> None:
    value = {"doc_id": "d", "corrected": flat(), "ocr_context": {"structured_ocr": OCR}, "prompt": PAGE}
    assert record(tmp_path, value).ocr == OCR


@pytest.mark.parametrize(
    ("more", "unused"),
    [
        (
            {"client": {"name": "Beta AG", "id": 77, "number": "C-9", "invoice_number": "RE-1"}},
            ["client.id", "client.number"],
        ),
        ({"shipping": {"address": "Weg 1"}}, ["shipping"]),
        ({"lines": ["Acme GmbH", "Total 119.00"]}, ["lines"]),
        ({"paid": True}, ["paid"]),
        ({"phone": "555"}, ["phone"]),
    ],
)
def test_reports_a_name_with_another_meaning(tmp_path: Path, more: dict[str, Any], unused: list[str]) -> None:
    found = record(tmp_path, logged("10", corrected=MIXED | more))
    assert found.unused_keys == tuple(f"corrected.{key}" for key in unused)
    assert found.answer
    assert found.answer.structured_data.client_info
    assert found.answer.structured_data.client_info.invoice_number == "RE-1"


def test_reads_amounts_with_currency_and_tax_rows(tmp_path: Path) -> None:
    logged_answer = {
        "total": {"amount": "119.00", "currency": "EUR"},
        "tax": [{"rate": 19, "amount": 19}],
        "freight": "5.00",
    }
    summary = record(tmp_path, logged("10", corrected=logged_answer)).answer
    assert summary
    found = as_json(summary)["structured_data"]["financial_summary"]
    assert found == {
        "taxes": [{"rate": json_text.parse("0.19"), "amount": 19}],
        "charges": [{"amount": 5}],
        "grand_total": 119,
        "currency": "EUR",
    }
