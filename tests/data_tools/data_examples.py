"""One invoice in every format of a source, for the tests of data_tools."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import simplejson
from PIL import Image, ImageDraw

from data_tools.records import DocumentRecord
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.invoice.answer import read_answer

# Lines of the page of `answer`.
OCR = {
    "tokens": [
        "Acme GmbH",
        "Weg 1, 10115 Berlin, DE",
        "Tel +49 30 1234",
        "Beta AG",
        "RE-1",
        "15.01.2025",
        "14.02.2025",
        "Stuhl 2 x 50.00 100.00",
        "Summe 100.00",
        "MwSt 19% 19.00",
        "Gesamt EUR 119.00",
        "30 Tage",
    ]
}
# A user-defined request with the text of the page.
ASKED = f"What does it say? {simplejson.dumps(OCR)}"


def answer(**summary: Any) -> dict[str, Any]:
    """Return a consistent answer; keywords change its financial summary."""
    return json_text.parse(
        simplejson.dumps(
            {
                "structured_data": {
                    "vendor_block": {"name": "Acme GmbH", "address": "Weg 1, 10115 Berlin, DE"},
                    "client_info": {
                        "name": "Beta AG",
                        "invoice_number": "RE-1",
                        "invoice_date": "2025-01-15",
                        "due_date": "2025-02-14",
                    },
                    "line_items": [{"description": "Stuhl", "quantity": 2, "unit_price": 50, "total": 100}],
                    "financial_summary": {
                        "subtotal": 100,
                        "taxes": [{"rate": 0.19, "amount": 19}],
                        "grand_total": 119,
                        "currency": "EUR",
                        **summary,
                    },
                }
            }
        )
    )


def ground_truth(**changes: Any) -> dict[str, Any]:
    """Return the same invoice as synthetic ground truth."""
    party = {"name": "Acme GmbH", "address": "Weg 1", "city": "Berlin", "country": "DE", "postal_code": "10115"}
    return {
        "invoice_id": "RE-1",
        "issue_date": "2025-01-15",
        "due_date": "2025-02-14",
        "currency": "EUR",
        "language": "de",
        "layout_type": "classic",
        "vendor": {**party, "phone": "+49 30 1234", "email": "unseen@acme.example"},
        "client": {**party, "name": "Beta AG"},
        "items": [{"description": "Stuhl", "quantity": 2, "unit_price": 50.0, "tax_rate": 19.0, "discount": 0}],
        "payment_terms": "30 Tage",
        "subtotal": 100.0,
        "tax_total": 19.0,
        "discount_total": 0,
        "grand_total": 119.0,
        **changes,
    }


def correction(document_id: str = "doc-1", **changes: Any) -> dict[str, Any]:
    """Return shape 3: a reviewed answer with its OCR."""
    return {
        "document_id": document_id,
        "timestamp": "2025-01-15T10:00:00",
        "type": "correction",
        "prompt": "…",
        "completion": simplejson.dumps(answer()),
        "metadata": {"user_id": "u1", "image_path": "missing.png"},
        "original_output": "{}",
        "corrected_output": simplejson.dumps(answer()),
        "ocr_context": {"raw_ocr": "Acme", "structured_ocr": OCR},
        **changes,
    }


def flat_correction(document_id: str = "doc-1", **correction_fields: Any) -> dict[str, Any]:
    """Return shape 1: extracted fields with a misread vendor name, and their correction."""
    extracted = {
        "vendor_name": "Acne GmbH",
        "invoice_number": "RE-1",
        "invoice_date": "15.01.2025",
        "currency": "€",
        "subtotal": "100.00",
        "tax_rate": "19%",
        "tax_amount": "€ 19",
        "total": "119.00",
    }
    return {
        "document_id": document_id,
        "source_file": "scan.png",
        "extracted_data": [{"field_name": k, "value": v, "confidence": 0.9} for k, v in extracted.items()],
        "correction": {"vendor_name": "Acme GmbH", **correction_fields},
        "timestamp": "2025-01-15T10:00:00",
    }


def automatic_log(document_id: str = "doc-1") -> dict[str, Any]:
    """Return shape 2: an unreviewed answer marked as valid although its total is wrong by 1000."""
    return {
        "document_id": document_id,
        "source_file": "scan.png",
        "timestamp": "2025-01-15T10:00:00",
        "model_output": answer(grand_total=1119),
        "validation": {"is_valid": True, "errors": []},
        "needs_review": False,
    }


def interchange(**changes: Any) -> dict[str, Any]:
    """Return a ready-made training example."""
    return {
        "image": "page.png",
        "conversations": [
            {"role": "human", "content": ASKED},
            {"role": "assistant", "content": simplejson.dumps(answer())},
        ],
        **changes,
    }


def record(**changes: Any) -> DocumentRecord:
    """Return a record that passes every filter."""
    values: dict[str, Any] = {
        "document_id": "doc-1",
        "source": "log.jsonl",
        "line": 1,
        "images": (),
        "ocr": OCR,
        "answer": read_answer(answer()),
        "reviewed": True,
        "group": "doc-1",
    }
    return DocumentRecord(**{**values, **changes})


def numbered(value: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the same correction for another document, with another id, invoice number and OCR."""
    found = copy.deepcopy(value) | {"document_id": f"doc-{number}"}
    written = found["corrected_output"]
    reviewed = json_text.parse(written) if isinstance(written, str) else written
    reviewed["structured_data"]["client_info"]["invoice_number"] = f"RE-{number}"
    found["corrected_output"] = json_text.compose(reviewed)
    found["ocr_context"] = {"structured_ocr": {"tokens": [*OCR["tokens"], f"RE-{number}"]}}
    return found


def write_page(path: Path, text: str = "Acme GmbH") -> Path:
    """Write a page image with a line of text, and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page = Image.new("L", (210, 297), 250)
    ImageDraw.Draw(page).text((20, 40), text, 20)
    page.save(path)
    return path


def write_lines(path: Path, values: list[Any]) -> Path:
    """Write a JSON Lines file; bytes are written unchanged."""
    lines = [value if isinstance(value, bytes) else simplejson.dumps(value).encode() for value in values]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write a JSON file, and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(simplejson.dumps(value))
    return path
