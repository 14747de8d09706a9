"""Every kind of source in a project with a declared document type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from data_examples import write_json, write_lines, write_page
from receipt_type_examples import plain, receipt_type
from source_examples import make_source, read_log, read_source
from type_examples import write_type

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from data_tools.sources.registry import open_source
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.errors import UsageError


@pytest.fixture
def slip(tmp_path: Path) -> DocumentType:
    return receipt_type(tmp_path, verdict=True)


FLAT = {"merchant": "Kiosk", "Grand total": "5,00 €"}
CONTENT = {"store": {"name": "Kiosk"}, "total": "5.00"}


def only(found: list[RecordOrRejection]) -> DocumentRecord:
    (record,) = found
    assert isinstance(record, DocumentRecord), record
    return record


def rejection(found: list[RecordOrRejection]) -> Rejection:
    (rejected,) = found
    assert isinstance(rejected, Rejection), rejected
    return rejected


def content(record: DocumentRecord, document_type: DocumentType) -> Any:
    assert record.answer
    return plain(document_type.content_of(record.answer))


def manifest(folder: Path, truth: Any, document_type: DocumentType, **keys: Any) -> list[RecordOrRejection]:
    write_page(folder / "a.png")
    write_json(folder / "truth.json", truth)
    write_json(folder / "m.json", [{"image_path": "a.png", "ground_truth_path": "truth.json"}])
    return read_source(make_source("manifest", folder / "m.json", **keys), document_type=document_type)


def test_manifest_yields_answers_of_the_type(tmp_path: Path, slip: DocumentType) -> None:
    record = only(manifest(tmp_path, {**FLAT, "language": "de-DE", "fault": "sum", "complete": True, "x": 1}, slip))
    assert content(record, slip) == CONTENT
    assert (record.language, record.declared_fault, record.complete) == ("de", "sum", True)
    assert record.unused_keys == ("ground truth x",)


def test_manifest_uses_labels_and_currency(tmp_path: Path, slip: DocumentType) -> None:
    keys = {"labels": {"Summe": "total"}, "currency": "IDR", "complete": True}
    record = only(manifest(tmp_path, {"Summe": "33,000"}, slip, **keys))
    assert content(record, slip) == {"total": "33000", "currency": "IDR"}
    assert record.complete


def test_manifest_rejects_unreadable_values(tmp_path: Path, slip: DocumentType) -> None:
    rejected = rejection(manifest(tmp_path, {"total": "1,234"}, slip))
    assert rejected.filter == "canonical"
    assert "total: '1,234' is ambiguous: thousands or three decimals (set currency: on its source" in rejected.reason


@pytest.mark.parametrize("kind", ["manifest", "annotations"])
def test_labels_name_fields_of_the_type(tmp_path: Path, slip: DocumentType, kind: str) -> None:
    path = write_json(tmp_path / "m.json", [])
    with pytest.raises(UsageError, match=r"no such field: Summe: vendor_name(?s:.*)the fields are store.name"):
        read_source(make_source(kind, path, labels={"Summe": "vendor_name"}), document_type=slip)


def test_annotations_are_a_folder_of_answers(tmp_path: Path, slip: DocumentType) -> None:
    folder = tmp_path / "pages"
    for name, truth in {"a": FLAT, "b": {"structured_data": {}}, "c": [FLAT]}.items():
        write_page(folder / f"{name}.png")
        write_json(folder / f"{name}.json", truth)
    found = read_source(make_source("annotations", folder), document_type=slip)
    first, second, third = found
    assert isinstance(first, DocumentRecord)
    assert isinstance(third, DocumentRecord)
    assert content(first, slip) == content(third, slip) == CONTENT
    assert isinstance(second, Rejection)
    assert "no ground truth of type slip" in second.reason


def test_annotations_read_lines_of_donut(tmp_path: Path, slip: DocumentType) -> None:
    write_page(tmp_path / "a.png")
    line = {"file_name": "a.png", "ground_truth": '{"gt_parse": {"total": {"total_price": "5.00", "cashprice": "6"}}}'}
    path = write_lines(tmp_path / "metadata.jsonl", [line])
    record = only(read_source(make_source("annotations", path), document_type=slip))
    assert content(record, slip) == {"total": "5.00", "cash": "6"}


def test_annotations_keep_fields_named_as_the_page(tmp_path: Path) -> None:
    kind = write_type(tmp_path / "photo", {"image": {"type": "string"}, "title": {"type": "string"}})
    write_page(tmp_path / "a.png")
    path = write_json(tmp_path / "a.json", {"image": "a.png", "title": "A"})
    record = only(read_source(make_source("annotations", path), document_type=kind))
    assert content(record, kind) == {"image": "a.png", "title": "A"}


CORRECTIONS = [
    ({"extracted_data": {**FLAT, "cash": 1}, "correction": {"Merchant": "Kiosk 2"}}, {"store": {"name": "Kiosk 2"}}),
    ({"completion": FLAT, "corrections": {"store": {"name": "Kiosk 2"}}}, {"store": {"name": "Kiosk 2"}}),
    ({"model_output": [{"field_name": "total", "value": 5}], "user_correction": '{"cash": "6"}'}, {"cash": "6"}),
    ({"corrected_output": FLAT, "original_output": {"total": 4}}, {}),
    ({"doc_id": "d", "corrected": FLAT}, {}),
    ({"extracted_data": FLAT, "correction": {"merchant": None}}, {"store": None}),
    ({"model_output": {"items": [{"nm": "a"}]}, "user_correction": {"items": [{"nm": "b"}, {"nm": "c"}]}},
     {"items": [{"name": "b"}, {"name": "c"}], "total": None}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "changes"), CORRECTIONS)
def test_logs_yield_corrected_answers(
    tmp_path: Path, slip: DocumentType, line: dict[str, Any], changes: dict[str, Any]
) -> None:
    record = only(read_log(tmp_path, line, document_type=slip))
    found = content(record, slip)
    assert {key: found.get(key) for key in changes} == changes
    assert changes.get("total", "5.00") is None or found["total"] in ("5", "5.00")


def test_logs_keep_the_output_of_the_model(tmp_path: Path, slip: DocumentType) -> None:
    line = {"model_output": FLAT, "user_correction": {"cash": 6}, "document_id": "d"}
    record = only(read_log(tmp_path, line, document_type=slip))
    assert (record.model_output, record.document_id) == (FLAT, "d")


def test_whole_corrections_replace_the_output(tmp_path: Path, slip: DocumentType) -> None:
    verdict = {"is_valid": False, "math_verified": False, "issues": ["the sum is wrong"]}
    line = {"model_output": {"cash": 9}, "user_correction": {"total": 5, "validation_summary": verdict}}
    record = only(read_log(tmp_path, line, document_type=slip))
    assert (content(record, slip), record.declared_fault) == ({"total": "5"}, "the sum is wrong")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"model_output": FLAT, "user_correction": {"colour": "red"}}, "user_correction: .* has no field of slip"),
        ({"model_output": {"a": 1}, "user_correction": {"cash": 1}}, "model_output: .* has no field of slip"),
        ({"model_output": FLAT, "user_correction": {"cash": "x"}}, "cash: 'x' is not an amount"),
        (
            {"model_output": FLAT, "user_correction": {"cash": 1, "items[0].sum": 2}},
            r"items\[0\].sum: give the whole table",
        ),
        ({"model_output": FLAT, "user_correction": {"cash": 1, "items": {"0": {"sum": 2}}}}, "give the whole table"),
        ({"model_output": FLAT}, "no reviewer confirmed"),
        ({"doc_id": "d", "corrected": {"vendor": "x"}}, "corrected: no ground truth of type slip"),
    ],
)
def test_logs_reject_other_corrections(tmp_path: Path, slip: DocumentType, line: dict[str, Any], reason: str) -> None:
    rejected = rejection(read_log(tmp_path, line, document_type=slip))
    assert re.search(reason, rejected.reason), rejected.reason


def test_training_examples_have_answers_of_the_type(tmp_path: Path, slip: DocumentType) -> None:
    good = {"src": ["Read"], "tgt": ['{"total": 5.00}']}
    path = write_lines(tmp_path / "lines.jsonl", [good, {"src": ["Read"], "tgt": ['{"grand_total": 5.00}']}])
    record, rejected = read_source(make_source("training_examples", path), document_type=slip)
    assert isinstance(record, DocumentRecord)
    assert isinstance(rejected, Rejection)
    assert content(record, slip) == {"total": "5.00"}
    assert "grand_total: Extra inputs" in rejected.reason


def test_einvoices_are_invoices(tmp_path: Path, slip: DocumentType) -> None:
    with pytest.raises(UsageError, match=r"e-invoices are invoices, and document_type is slip\n.*remove this source"):
        open_source(make_source("einvoice", tmp_path), document_type=slip)
