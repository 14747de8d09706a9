"""One line of `active_learning.jsonl` in each of its twelve formats, about one invoice."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import simplejson
from data_examples import OCR, answer, automatic_log, correction, flat_correction
from source_examples import read_log

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.loading import INVOICE

WRONG = simplejson.dumps(answer(grand_total=1119))
PROMPT = INVOICE.prompts.analysis_request(OCR, with_image=True)


def receipt(**summary: Any) -> dict[str, Any]:
    """Return the invoice as a receipt; keywords change its financial summary."""
    return {
        "document_type": "receipt",
        "receipt_type": "sale",
        "merchant_info": {"name": "Acme GmbH", "address": "Weg 1, 10115 Berlin, DE"},
        "transaction_info": {"number": "RE-1", "date": "2025-01-15"},
        "line_items": [
            {"description": "Stuhl", "quantity": 2, "unit_price": 50, "total": 100, "bbox": [44, 300, 576, 324]}
        ],
        "financial_summary": {
            "subtotal": 100,
            "tax": 19,
            "discount": 0,
            "grand_total": 119,
            "currency": "$",
            **summary,
        },
        "payment_info": {"method": "card", "terms": None},
    }


def flat(**changes: Any) -> dict[str, Any]:
    """Return the invoice as flat fields, with other names of some writers."""
    return {
        "vendor_name": "Acme GmbH",
        "invoice_number": "RE-1",
        "invoice_date": "15.01.2025",
        "currency": "EUR",
        "subtotal": "100.00",
        "grand_total": "119,00",
        "line_items": [{"desc": "Stuhl", "qty": 2, "line_total": 100, "tax_rate": "19%", "tax_amount": 19}],
        **changes,
    }


def logged(shape: str, **changes: Any) -> dict[str, Any]:
    """Return a line of a format; keywords replace its values."""
    return copy.deepcopy(SHAPES[shape]) | changes


def envelope(payload: Any, depth: int = 1) -> Any:
    """Return a line in a number of envelopes."""
    for _ in range(depth):
        payload = {"ts": "2025-01-15T10:00:00Z", "payload": payload}
    return payload


SHAPES: dict[str, dict[str, Any]] = {
    "1": flat_correction() | {"ocr_context": {"structured_ocr": OCR}},
    "2": automatic_log() | {"difficulty_label": "easy", "error_type": None},
    "2, receipt": {
        **automatic_log(),
        "model_output": receipt(grand_total=1119),
        "validation": {"is_valid": True, "math_ok": True, "dates_ok": True, "issues": [], "needs_review": False},
    },
    "3": correction(),
    "4": {
        "prompt": PROMPT,
        "completion": WRONG,
        "corrections": {"grand_total": "119.00"},
        "meta": {"doc_id": "doc-1", "saved_at": "2025-01-15T10:00:00", "source": "review"},
    },
    "5": {
        "prompt": PROMPT,
        "completion": answer(),
        "meta": {"doc_id": "doc-1", "filename": "scan.png", "saved_at": "2025-01-15T10:00:00"},
    },
    "6": {
        "job_id": "doc-1",
        "result_id": "result-1",
        "model_version": "v3",
        "ocr_payload": OCR,
        "model_output": json_text.parse(WRONG),
        "user_correction": [{"field_name": "total", "value": "€ 119.00", "confidence": 1}],
        "timestamp": "2025-01-15T10:00:00",
    },
    "7": {"prompt": PROMPT, "completion": flat()},
    "8": envelope(correction()),
    "9": {
        "job_id": "job-9",
        "page_key": "pages/9.png",
        "ocr_artifact_key": "ocr/9.json",
        "structured_key": "structured/9.json",
        "timestamp": "2025-01-15T10:00:00",
        "confidence_score": 0.97,
        "validation": {"is_valid": True},
    },
    "10": {
        "doc_id": "doc-1",
        "corrected": answer(),
        "meta": {"user_id": "u1"},
        "timestamp": 1736935200.25,
        "demo_mode": False,
        "ocr_context": {"structured_ocr": OCR},
    },
    "11": {"instruction": "Read the invoice.", "input": PROMPT, "output": simplejson.dumps(answer())},
    "12": {"timestamp": "2025-01-15T10:00:00", "invoice_id": "doc-1", "input": OCR, "output": answer()},
}
# The user and the type of correction: with them, output of a line without a correction is accepted.
SIGNED = {"metadata": {"user_id": "u1", "correction_type": "total"}}
CORRECTED = ("1", "3", "4", "6", "8", "10")
AUTOMATIC = ("2", "2, receipt", "5", "7", "11", "12")


def read(folder: Path, *values: Any) -> list[RecordOrRejection]:
    """Return the records and rejections of a log with these lines."""
    return read_log(folder, *values)


def read_record(folder: Path, value: Any) -> DocumentRecord:
    """Return the record of a log with one line."""
    (found,) = read(folder, value)
    assert isinstance(found, DocumentRecord), found
    return found


def read_rejection(folder: Path, value: Any) -> Rejection:
    """Return the rejection of a log with one line."""
    (found,) = read(folder, value)
    assert isinstance(found, Rejection), found
    return found
