"""The formats of a logged line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import simplejson
from data_examples import OCR, answer, correction
from logged_examples import (
    AUTOMATIC,
    CORRECTED,
    PROMPT,
    SHAPES,
    SIGNED,
    envelope,
    flat,
    logged,
    read_record,
    read_rejection,
)

from data_tools.sources.active_learning import MAX_ENVELOPES


@pytest.mark.parametrize("shape", CORRECTED)
def test_accepts_lines_with_a_correction(tmp_path: Path, shape: str) -> None:
    found = read_record(tmp_path, SHAPES[shape])
    assert (found.reviewed, found.group, found.ocr, found.unused_keys) == (True, "doc-1", OCR, ())
    assert found.answer
    assert (found.answer.summary.grand_total, found.answer.summary.currency) == (119, "EUR")


@pytest.mark.parametrize("shape", AUTOMATIC)
def test_rejects_lines_without_a_correction(tmp_path: Path, shape: str) -> None:
    found = read_rejection(tmp_path, SHAPES[shape])
    assert found.filter == "reviewed"
    assert "confirmed this" in found.reason


def test_rejects_paths_without_an_answer(tmp_path: Path) -> None:
    found = read_rejection(tmp_path, SHAPES["9"])
    assert (found.filter, found.document_id) == ("canonical", "job-9")
    assert "no answer to train on" in found.reason


@pytest.mark.parametrize(
    ("shape", "correction_name"),
    [("1", "correction"), ("4", "corrections"), ("6", "user_correction"), ("10", "corrected")],
)
@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_rejects_an_empty_correction(tmp_path: Path, shape: str, correction_name: str, empty: Any) -> None:
    found = read_rejection(tmp_path, logged(shape, **{correction_name: empty}))
    assert found.filter == "reviewed"
    assert f"{correction_name} is empty" in found.reason


@pytest.mark.parametrize(
    ("shape", "correction_name"), [("1", "correction"), ("4", "corrections"), ("6", "user_correction")]
)
def test_rejects_a_line_whose_correction_was_removed(tmp_path: Path, shape: str, correction_name: str) -> None:
    value = logged(shape)
    del value[correction_name]
    assert read_rejection(tmp_path, value).filter == "reviewed"


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ("4", ("completion", "corrections")),
        ("6", ("model_output", "user_correction")),
        ("1", ("extracted_data", "correction")),
    ],
)
@pytest.mark.parametrize("whole", [answer(), simplejson.dumps(answer())], ids=["object", "JSON in a string"])
def test_correction_by_a_whole_answer(tmp_path: Path, shape: str, names: tuple[str, str], whole: Any) -> None:
    found = read_record(tmp_path, logged(shape, **{names[0]: "unreadable", names[1]: whole}))
    assert found.answer
    assert found.answer.summary.grand_total == 119


@pytest.mark.parametrize("mode", [True, "yes", 1, {"a": 1}])
@pytest.mark.parametrize("shape", [*CORRECTED, *AUTOMATIC])
def test_rejects_a_demonstration(tmp_path: Path, shape: str, mode: Any) -> None:
    value = logged(shape)
    inner = value["payload"] if shape == "8" else value
    inner["demo_mode"] = mode
    found = read_rejection(tmp_path, value)
    assert found.filter == "reviewed"
    assert "demo_mode" in found.reason


@pytest.mark.parametrize("mode", [None, False])
def test_accepts_lines_with_demo_mode_off(tmp_path: Path, mode: bool | None) -> None:
    assert read_record(tmp_path, logged("10", demo_mode=mode)).answer


@pytest.mark.parametrize("shape", ["5", "7", "11", "12"])
@pytest.mark.parametrize("place", ["line", "metadata", "meta"])
def test_accepts_output_with_user_and_correction_type(tmp_path: Path, shape: str, place: str) -> None:
    signs = SIGNED["metadata"]
    found = read_record(tmp_path, logged(shape, **(signs if place == "line" else {place: signs})))
    assert (found.reviewed, found.ocr, found.unused_keys) == (True, OCR, ())
    assert found.answer
    assert found.answer.summary.grand_total == 119


@pytest.mark.parametrize(
    "signs",
    [
        {"user_id": "u1"},
        {"correction_type": "total"},
        {"user_id": "u1", "correction_type": None},
        {"user_id": " ", "correction_type": "total"},
        {"user_id": True, "correction_type": ["total"]},
    ],
)
@pytest.mark.parametrize("shape", ["5", "7", "11", "12"])
def test_rejects_output_with_user_or_correction_type_only(tmp_path: Path, shape: str, signs: dict[str, Any]) -> None:
    found = read_rejection(tmp_path, logged(shape, metadata=signs))
    assert found.filter == "reviewed"
    assert "no user_id with a correction_type" in found.reason


@pytest.mark.parametrize("shape", ["2", "2, receipt"])
def test_rejects_a_signed_automatic_log(tmp_path: Path, shape: str) -> None:
    assert read_rejection(tmp_path, logged(shape, **SIGNED)).filter == "reviewed"


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("depth", [1, 2, MAX_ENVELOPES])
def test_reads_the_content_of_an_envelope(tmp_path: Path, shape: str, depth: int) -> None:
    already = 1 if shape == "8" else 0
    bare = read_record if shape in CORRECTED else read_rejection
    assert bare(tmp_path, envelope(SHAPES[shape], depth - already)) == bare(tmp_path, SHAPES[shape])


def test_reads_a_payload_as_json_string(tmp_path: Path) -> None:
    wrapped = envelope(simplejson.dumps(correction()))
    assert read_record(tmp_path, wrapped) == read_record(tmp_path, correction())


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (envelope(correction(), MAX_ENVELOPES + 1), f"more than {MAX_ENVELOPES} envelopes"),
        (envelope(correction(), 200), "envelopes"),
        (envelope([correction()]), "payload is not an object"),
        (envelope(None), "payload is not an object"),
        (envelope("{"), "not JSON"),
        (envelope({}), "its keys are none"),
    ],
)
def test_rejects_an_envelope_without_an_object(tmp_path: Path, value: Any, named: str) -> None:
    found = read_rejection(tmp_path, value)
    assert found.filter == "source"
    assert named in found.reason


def test_reports_other_keys_of_an_envelope(tmp_path: Path) -> None:
    assert read_record(tmp_path, envelope(correction()) | {"tenant": "x"}).unused_keys == ("tenant",)


def test_unknown_format_gets_a_hint(tmp_path: Path) -> None:
    found = read_rejection(tmp_path, {f"key_{number:02}": 1 for number in range(30)})
    assert all(f"key_{number:02}" in found.reason for number in range(30))
    assert "docs/data.md" in found.reason


@pytest.mark.parametrize(
    "prompt",
    [
        PROMPT,
        f"{PROMPT}\nCheck the totals [twice] before you answer.",
        f"Correct Preliminary OCR Data.\n**Preliminary OCR Data** (JSON):\n```json\n{simplejson.dumps(OCR)}\n```",
    ],
    ids=["as the service sends it", "with text behind it", "fenced, named twice"],
)
def test_reads_ocr_from_a_prompt(tmp_path: Path, prompt: str) -> None:
    assert read_record(tmp_path, logged("4", prompt=prompt)).ocr == OCR


@pytest.mark.parametrize("prompt", ["", None, 5, "Read it.", "Preliminary OCR Data: none", "Preliminary OCR Data: [1,"])
def test_reads_no_ocr_from_a_prompt_without_it(tmp_path: Path, prompt: Any) -> None:
    assert read_record(tmp_path, logged("4", prompt=prompt)).ocr is None


@pytest.mark.parametrize(
    ("payload", "ocr"),
    [
        ({"raw_ocr": "Acme", "structured_ocr": None}, "Acme"),
        ({"raw_ocr": "Acme", "structured_ocr": OCR}, OCR),
        ({"raw_ocr": ""}, None),
        ("Acme 119.00", "Acme 119.00"),
        ([], None),
    ],
)
def test_reads_ocr_from_the_ocr_payload(tmp_path: Path, payload: Any, ocr: Any) -> None:
    assert read_record(tmp_path, logged("6", ocr_payload=payload)).ocr == ocr


@pytest.mark.parametrize(
    ("given", "ocr"),
    [(PROMPT, OCR), (OCR, OCR), ("Acme 119.00", "Acme 119.00"), ("Preliminary OCR Data: [1", None), ("", None)],
)
def test_reads_ocr_from_the_input(tmp_path: Path, given: Any, ocr: Any) -> None:
    found = read_record(tmp_path, logged("11", **SIGNED, input=given))
    assert found.ocr == ocr


def test_finds_an_image_under_each_key(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(b"png")
    meta = {"doc_id": "doc-1", "filename": "scan.png"}
    assert read_record(tmp_path, logged("4", meta=meta)).images == (tmp_path / "scan.png",)


@pytest.mark.parametrize(
    ("shape", "change", "name"),
    [
        ("7", {}, ""),
        ("5", {}, "doc-1"),
        ("5", {"meta": {"doc_id": 5}}, "5"),
        ("12", {"invoice_id": "inv-7"}, "inv-7"),
        ("12", {"invoice_id": {"a": 1}}, ""),
    ],
)
def test_names_a_document_by_each_key(tmp_path: Path, shape: str, change: dict[str, Any], name: str) -> None:
    assert read_rejection(tmp_path, logged(shape, **change)).document_id == (name or "active_learning.jsonl:1")


def test_reads_a_flat_document_with_other_names(tmp_path: Path) -> None:
    found = read_record(tmp_path, logged("10", corrected=flat()))
    assert found.answer
    (line,) = found.answer.lines
    assert (line.description, line.quantity, line.total) == ("Stuhl", 2, 100)
