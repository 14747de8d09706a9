from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from data_examples import OCR, answer, automatic_log, correction, flat_correction
from logged_examples import read, read_record, read_rejection

from data_tools.records import Rejection


def test_correction_overrides_extracted_fields(tmp_path: Path) -> None:
    found = read_record(tmp_path, flat_correction(grand_total="1,119.50"))
    assert found.answer
    assert found.answer.structured_data.vendor_block
    assert found.answer.structured_data.vendor_block.name == "Acme GmbH"
    assert found.answer.summary.grand_total == Decimal("1119.50")


def test_unchanged_field_is_kept(tmp_path: Path) -> None:
    found = read_record(tmp_path, flat_correction())
    assert found.reviewed
    assert found.answer
    assert (found.answer.summary.subtotal, found.answer.summary.currency) == (100, "EUR")
    (tax,) = found.answer.summary.taxes or []
    assert (tax.rate, tax.amount) == (Decimal("0.19"), 19)


def test_correction_to_null_removes_the_field(tmp_path: Path) -> None:
    found = read_record(tmp_path, flat_correction(subtotal=None))
    assert found.answer
    assert found.answer.summary.subtotal is None


def test_reads_other_names_in_corrected_line_items(tmp_path: Path) -> None:
    found = read_record(tmp_path, flat_correction(line_items=[{"desc": "Stuhl", "qty": "2", "line_total": "100,00"}]))
    assert found.answer
    assert [(line.description, line.quantity, line.total) for line in found.answer.lines] == [("Stuhl", 2, 100)]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"grand_total": "a lot"}, "grand_total: 'a lot' is not an amount"),
        ({"line_items": "none"}, "line_items: 'none'"),
        ({"total": 1, "grand_total": 2}, "grand_total: given twice, 1 and 2"),
        ({"vendor_name": {"a": 1}}, 'vendor_name: {"a":1} is not text'),
        ({"invoice_date": "31.02.2025"}, "invoice_date: '31.02.2025'"),
    ],
)
def test_lists_unreadable_fields(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    found = read_rejection(tmp_path, flat_correction(**fields))
    assert found.filter == "canonical"
    assert named in found.reason


def test_reports_unused_keys_and_reads_the_rest(tmp_path: Path) -> None:
    found = read_record(tmp_path, flat_correction(colour=1, size=2, line_items=[{"desc": "Stuhl", "colour": "red"}]))
    assert found.unused_keys == ("correction.colour", "correction.size", "correction.line_items[].colour")


def test_rejects_a_correction_without_known_fields(tmp_path: Path) -> None:
    found = read_rejection(tmp_path, flat_correction() | {"correction": {"colour": "red"}})
    assert (found.filter, found.reason) == ("canonical", 'correction: {"colour":"red"} has no field')


def test_rejects_an_automatic_log(tmp_path: Path) -> None:
    assert read_rejection(tmp_path, automatic_log()).filter == "reviewed"


def test_reads_corrected_output_with_ocr(tmp_path: Path) -> None:
    found = read_record(tmp_path, correction(completion="{}"))
    assert found.answer
    assert (found.answer.summary.grand_total, found.ocr, found.reviewed) == (119, OCR, True)


@pytest.mark.parametrize("missing", [None, "absent"])
def test_uses_the_completion_without_a_corrected_output(tmp_path: Path, missing: str | None) -> None:
    value = correction(corrected_output=None)
    if missing == "absent":
        del value["corrected_output"]
    found = read_record(tmp_path, value)
    assert found.answer
    assert found.answer.summary.grand_total == 119


def test_uses_raw_ocr_without_structured_ocr(tmp_path: Path) -> None:
    found = read_record(tmp_path, correction(ocr_context={"raw_ocr": "Acme 119.00", "structured_ocr": None}))
    assert found.ocr == "Acme 119.00"


@pytest.mark.parametrize("page", ["Acme 119.00", ["Acme", "119.00"], {"tokens": ["Acme", "119.00"]}])
def test_reads_a_context_that_is_a_page(tmp_path: Path, page: Any) -> None:
    assert read_record(tmp_path, correction(ocr_context=page)).ocr == page


def test_reads_corrected_output_as_object(tmp_path: Path) -> None:
    assert read_record(tmp_path, correction(corrected_output=answer())).answer


def test_keeps_digits_as_written(tmp_path: Path) -> None:
    text = simplejson.dumps(answer()).replace('"subtotal": 100', '"subtotal": 100.00')
    found = read_record(tmp_path, correction(corrected_output=text))
    assert found.answer
    assert str(found.answer.summary.subtotal) == "100.00"


@pytest.mark.parametrize("written", ["not json", "[]", "{}", '{"structured_data":{"colour":1}}', "7", None, 5, "\\"])
def test_rejects_corrected_output_without_an_answer(tmp_path: Path, written: Any) -> None:
    value = correction(corrected_output=written, completion=written)
    assert read_rejection(tmp_path, value).filter == "canonical"


def test_rejects_types_other_than_correction(tmp_path: Path) -> None:
    assert read_rejection(tmp_path, correction(type="inference")).filter == "reviewed"


def test_issues_of_a_reviewed_answer_declare_a_fault(tmp_path: Path) -> None:
    summary = {"is_valid": False, "math_verified": False, "issues": ["BR-CO-15: off by 1000"]}
    found = read_record(tmp_path, correction(corrected_output={**answer(), "validation_summary": summary}))
    assert found.declared_fault == "BR-CO-15: off by 1000"


def test_finds_an_image_beside_the_log(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(b"png")
    found = read_record(tmp_path, correction(metadata={"image_path": "page.png"}))
    assert found.images == (tmp_path / "page.png",)


@pytest.mark.parametrize("image", ["../../etc/passwd", "/etc/passwd", "https://a.example/x.png", "gone.png", 5])
def test_ignores_an_image_in_another_folder(tmp_path: Path, image: Any) -> None:
    assert read_record(tmp_path, correction(metadata={"image_path": image})).images == ()


def test_ignores_a_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "page.png").symlink_to("/etc/passwd")
    assert read_record(tmp_path, correction(metadata={"image_path": "page.png"})).images == ()


@pytest.mark.parametrize("value", [{"job_id": 1, "page_key": "x"}, {}, {"prompt": "p", "output": "c"}])
def test_rejects_an_unknown_format_with_its_keys(tmp_path: Path, value: dict[str, Any]) -> None:
    found = read_rejection(tmp_path, value)
    assert found.filter == "source"
    assert all(key in found.reason for key in value)


def test_reports_an_unknown_key(tmp_path: Path) -> None:
    assert read_record(tmp_path, correction(tenant="x")).unused_keys == ("tenant",)


def test_rejection_names_line_and_document(tmp_path: Path) -> None:
    _, found = read(tmp_path, correction(), automatic_log("doc-9"))
    assert isinstance(found, Rejection)
    assert (found.line, found.document_id) == (2, "doc-9")
