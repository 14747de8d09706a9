"""Small inputs in shapes of other programs about one invoice, each with the right answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from format_examples import read, source_of

from data_tools.records import DocumentRecord, Rejection
from erniekit_adapter.documents.invoice.answer import as_json

CASES = Path(__file__).parent / "cases"
VENDOR, CLIENT, NUMBER = "Nordlicht Werkzeuge GmbH", "Muster AG", "R-1001"
DATES = {"invoice_date": "2025-03-14", "due_date": "2025-04-13"}
LINES = [
    {"description": "Drill bit set", "quantity": 2, "unit_price": 25, "total": 50},
    {"description": "Bench vise", "quantity": 1, "unit_price": 150, "total": 150},
]
TOTALS = {"subtotal": 200, "grand_total": 238, "currency": "EUR"}
# The whole invoice, and the part of it that most of these files have.
WHOLE = {
    "vendor_block": {"name": VENDOR},
    "client_info": {"name": CLIENT, "invoice_number": NUMBER, **DATES},
    "line_items": LINES,
    "financial_summary": {**TOTALS, "taxes": [{"rate": 0.19, "amount": 38}]},
}
WITHOUT_DATES = WHOLE | {"client_info": {"name": CLIENT, "invoice_number": NUMBER}}
DUE = {"payment_terms": {"due_date": DATES["due_date"]}}
MANIFESTS: dict[str, dict[str, Any]] = {
    "m_gt_canonical": WHOLE,
    "m_ocr_plain": WHOLE,
    "m_gt_generator": WHOLE | DUE,
    "m_gt_flat": {
        "vendor_block": {"name": VENDOR},
        "client_info": {"invoice_number": NUMBER, **DATES},
        "financial_summary": TOTALS,
        **DUE,
    },
    "m_gt_flat_total": {
        "client_info": {"invoice_number": NUMBER},
        "financial_summary": {"grand_total": 238, "currency": "EUR"},
    },
    "m_gt_cord": {
        "line_items": [LINES[0], {key: LINES[1][key] for key in ("description", "quantity", "total")}],
        "financial_summary": {"subtotal": 200, "grand_total": 238, "taxes": [{"amount": 38}]},
    },
    "m_gt_aws": {"vendor_block": {"name": VENDOR}, "financial_summary": {"grand_total": 238}},
    "m_gt_invoice2data": {
        "vendor_block": {"name": VENDOR},
        "client_info": {"invoice_number": NUMBER, **DATES},
        "financial_summary": {**TOTALS, "taxes": [{"amount": 38}]},
        **DUE,
    },
}
LOGS: dict[str, dict[str, Any]] = {
    "frontend": WITHOUT_DATES,
    "prompt_completion_reviewed": WITHOUT_DATES,
    "training_queue": WITHOUT_DATES,
    "log_correction": WHOLE,
    "h_date_de": {
        "client_info": {"invoice_number": NUMBER, "invoice_date": DATES["invoice_date"]},
        "financial_summary": {"grand_total": 238, "currency": "EUR"},
    },
    "h_full_no_tax": {"client_info": {"invoice_number": NUMBER}, "financial_summary": TOTALS},
    "h_total": {
        "vendor_block": {"name": VENDOR},
        "client_info": {"invoice_number": NUMBER, "invoice_date": DATES["invoice_date"]},
        "financial_summary": {"grand_total": 238, "currency": "EUR"},
    },
}
# One of two rows is in this file.
UNUSED = {"m_gt_invoice2data": ("ground truth lines (1 of 50.00, and amount_untaxed is 200.0: rows are missing)",)}
OF_MODELS = ("m_gt_aws", "m_gt_invoice2data")


def record(typed: str) -> DocumentRecord:
    (found,) = read(source_of(typed, CASES))
    assert isinstance(found, DocumentRecord), found
    return found


def data_of(found: DocumentRecord) -> Any:
    assert found.answer
    data = as_json(found.answer)["structured_data"]
    for tax in data.get("financial_summary", {}).get("taxes", ()):
        tax.update({key: float(value) for key, value in tax.items()})
    return data


@pytest.mark.parametrize("name", MANIFESTS)
def test_reads_every_value_of_a_manifest(name: str) -> None:
    found = record(f"{{kind: manifest, path: shapes/{name}.json, reviewed: true}}")
    assert data_of(found) == MANIFESTS[name]
    assert found.images == (CASES / "shapes/r1001.png",)
    assert found.unused_keys == UNUSED.get(name, ())


@pytest.mark.parametrize("name", OF_MODELS)
def test_rejects_unreviewed_model_output(name: str) -> None:
    (found,) = read(source_of(f"{{kind: manifest, path: shapes/{name}.json}}", CASES))
    assert isinstance(found, Rejection)
    assert (found.filter, "set reviewed: true" in found.reason) == ("reviewed", True)


def test_reads_plain_text_as_ocr() -> None:
    found = record("{kind: manifest, path: shapes/m_ocr_plain.json}")
    assert found.ocr == (CASES / "shapes/ocr_plain.txt").read_text().strip()


@pytest.mark.parametrize("name", LOGS)
def test_reads_every_value_of_a_log(name: str) -> None:
    reviewed = ", reviewed: true" if name == "training_queue" else ""
    found = record(f"{{kind: active_learning, path: logs/{name}.jsonl{reviewed}}}")
    assert data_of(found) == LOGS[name]
    assert found.unused_keys == ()
    assert found.ocr == (CASES / "shapes/ocr_plain.txt").read_text().strip()


def test_unreviewed_queue_names_the_setting() -> None:
    (found,) = read(source_of("{kind: active_learning, path: logs/training_queue.jsonl}", CASES))
    assert isinstance(found, Rejection)
    assert "set reviewed: true on its source" in found.reason


def test_reads_label_studio_without_region_ids() -> None:
    found = record("{kind: annotations, path: shapes/labelstudio.json}")
    assert data_of(found) == {"vendor_block": {"name": VENDOR}}


def test_reads_a_line_of_donut_metadata() -> None:
    found = record("{kind: annotations, path: shapes/cord_lines.jsonl}")
    assert data_of(found) == MANIFESTS["m_gt_cord"]
