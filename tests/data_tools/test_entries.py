"""What is broken in one entry or line is no fault of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_examples import OCR, correction, ground_truth, write_json, write_lines

from data_tools.records import DocumentRecord, Rejection
from data_tools.sources.active_learning import read_active_learning
from data_tools.sources.annotation_files import annotation_items
from data_tools.sources.manifest import read_manifest

GOOD = b'{"invoice_id": "RE-1", "ground_truth_path": "truth.json", "ocr_path": "ocr.json"}'
BROKEN = {
    "half a character": (b'{"invoice_id": "\\ud800"}', "no UTF-8"),
    "bytes that are no UTF-8": (b'{"invoice_id": "\xff\xfe"}', "no UTF-8"),
    "escaped NUL": (b'{"invoice_id": "a\\u0000b"}', "NUL"),
    "NUL": (b'{"invoice_id": "a\0b"}', "NUL"),
    "a key given twice": (b'{"invoice_id": "a", "invoice_id": "b"}', "the key 'invoice_id' is given twice"),
    "a key given twice inside": (b'{"invoice_id": {"a": 1, "a": 2}}', "the key 'a' is given twice"),
    "NaN": (b'{"invoice_id": NaN}', "NaN is no number"),
    "thousands of figures": (b'{"invoice_id": ' + b"9" * 5000 + b"}", "is no number"),
    "a number beyond all limits": (b'{"invoice_id": 1e99999999999999999999}', "is no number"),
    "a broken key": (b'{"\\udfff": 1}', "no UTF-8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_entry_of_a_manifest_is_rejected_alone(tmp_path: Path, name: str) -> None:
    entry, reason = BROKEN[name]
    write_json(tmp_path / "truth.json", ground_truth())
    write_json(tmp_path / "ocr.json", OCR)
    (tmp_path / "m.json").write_bytes(b"[" + entry + b"," + GOOD + b"]")
    rejected, accepted = read_manifest(tmp_path / "m.json")
    assert isinstance(rejected, Rejection)
    assert (rejected.line, rejected.gate) == (1, "source")
    assert reason in rejected.reason
    rejected.reason.encode()
    assert isinstance(accepted, DocumentRecord)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_of_a_log_is_rejected_alone(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / "log.jsonl", [BROKEN[name][0], correction()])
    rejected, accepted = read_active_learning(path)
    assert isinstance(rejected, Rejection)
    assert isinstance(accepted, DocumentRecord)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_document_of_annotations_is_rejected_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(b"[" + BROKEN[name][0] + b', {"vendor": "x"}]')
    rejected, _ = annotation_items(path)
    assert isinstance(rejected, Rejection)
