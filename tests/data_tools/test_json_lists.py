"""Broken entries and lines do not affect the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_examples import OCR, correction, ground_truth, write_json
from source_examples import make_source, read_log, read_source

from data_tools.records import DocumentRecord, Rejection
from data_tools.sources.files.annotation_files import annotation_items

GOOD = b'{"invoice_id": "RE-1", "ground_truth_path": "truth.json", "ocr_path": "ocr.json"}'
BROKEN = {
    "half a character": (b'{"invoice_id": "\\ud800"}', "not UTF-8"),
    "bytes that are not UTF-8": (b'{"invoice_id": "\xff\xfe"}', "not UTF-8"),
    "escaped NUL": (b'{"invoice_id": "a\\u0000b"}', "NUL"),
    "NUL": (b'{"invoice_id": "a\0b"}', "NUL"),
    "a key given twice": (b'{"invoice_id": "a", "invoice_id": "b"}', "the key 'invoice_id' is given twice"),
    "a key given twice inside": (b'{"invoice_id": {"a": 1, "a": 2}}', "the key 'a' is given twice"),
    "NaN": (b'{"invoice_id": NaN}', "NaN is not a JSON number"),
    "thousands of figures": (b'{"invoice_id": ' + b"9" * 5000 + b"}", "is not a JSON number"),
    "a number beyond all limits": (b'{"invoice_id": 1e99999999999999999999}', "is not a JSON number"),
    "a broken key": (b'{"\\udfff": 1}', "not UTF-8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_rejects_only_the_broken_entry_of_a_manifest(tmp_path: Path, name: str) -> None:
    entry, reason = BROKEN[name]
    write_json(tmp_path / "truth.json", ground_truth())
    write_json(tmp_path / "ocr.json", OCR)
    (tmp_path / "m.json").write_bytes(b"[" + entry + b"," + GOOD + b"]")
    rejected, accepted = read_source(make_source("manifest", tmp_path / "m.json"))
    assert isinstance(rejected, Rejection)
    assert (rejected.line, rejected.filter) == (1, "source")
    assert reason in rejected.reason
    rejected.reason.encode()
    assert isinstance(accepted, DocumentRecord)


@pytest.mark.parametrize("name", BROKEN)
def test_rejects_only_the_broken_line_of_a_log(tmp_path: Path, name: str) -> None:
    rejected, accepted = read_log(tmp_path, BROKEN[name][0], correction())
    assert isinstance(rejected, Rejection)
    assert isinstance(accepted, DocumentRecord)


@pytest.mark.parametrize("name", BROKEN)
def test_rejects_only_the_broken_document_of_annotations(tmp_path: Path, name: str) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(b"[" + BROKEN[name][0] + b', {"vendor": "x"}]')
    rejected, _ = annotation_items(path)
    assert isinstance(rejected, Rejection)
