from __future__ import annotations

from typing import Any

import pytest
from data_examples import answer, record

from data_tools.examples.building import TrainingExample
from data_tools.filters import FilterOutcome, filter_example, filter_record, readable_request
from data_tools.records import DocumentRecord
from erniekit_adapter.architectures.toolkits import DataFormat
from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.project.schema import FiltersSection

WRONG_TOTAL = read_answer(answer(grand_total=1119))
DUE_TOO_EARLY = answer()
DUE_TOO_EARLY["structured_data"]["client_info"]["due_date"] = "2025-01-01"


def filtered(found: DocumentRecord, **levels: Any) -> FilterOutcome:
    outcome = FilterOutcome(FiltersSection(**levels))
    findings = RULES.check(found.answer, complete=found.complete) if found.answer else ()
    assert filter_record(found, findings, outcome, INVOICE) == (outcome.rejection is not None)
    return outcome


def filtered_example(request: str = "a", answer_text: str = "{}", tokens: int | None = None) -> tuple[str, str] | None:
    outcome = FilterOutcome(FiltersSection())
    filter_example(TrainingExample("doc-1", "doc-1", request, answer_text, tokens=tokens), "erniekit", 100, outcome)
    return outcome.rejection


def test_a_good_record_has_no_findings() -> None:
    outcome = filtered(record())
    assert (outcome.rejection, outcome.warnings) == (None, [])


@pytest.mark.parametrize(
    ("changes", "filter_name"),
    [
        ({"reviewed": False}, "reviewed"),
        ({"answer": None}, "canonical"),
        ({"answer": read_answer({"structured_data": {}})}, "canonical"),
        ({"answer": read_answer({"structured_data": {"vendor_block": {"name": " "}, "line_items": []}})}, "canonical"),
        ({"answer": WRONG_TOTAL}, "arithmetic"),
        ({"answer": read_answer(answer(currency=None)), "complete": True}, "arithmetic"),
    ],
)
def test_rejects_a_bad_record_by_its_filter(changes: dict[str, Any], filter_name: str) -> None:
    rejection = filtered(record(**changes)).rejection
    assert rejection
    assert rejection[0] == filter_name


def test_arithmetic_names_the_rule_and_both_amounts() -> None:
    rejection = filtered(record(answer=WRONG_TOTAL)).rejection
    assert rejection
    assert all(part in rejection[1] for part in ("BR-CO-15", "1119", "119"))


def test_arithmetic_accepts_a_declared_fault() -> None:
    assert filtered(record(answer=WRONG_TOTAL, declared_fault="grand_total")).rejection is None


@pytest.mark.parametrize(("level", "rejection", "warned"), [("error", 1, 0), ("warn", 0, 1), ("off", 0, 0)])
@pytest.mark.parametrize(
    ("filter_name", "broken"),
    [("arithmetic", WRONG_TOTAL), ("dates", read_answer(DUE_TOO_EARLY))],
    ids=["arithmetic", "dates"],
)
def test_levels_set_the_effect_of_a_finding(
    filter_name: str, broken: Any, level: str, rejection: int, warned: int
) -> None:
    outcome = filtered(record(answer=broken), **{filter_name: level})
    assert (outcome.rejection is not None, len(outcome.warnings)) == (bool(rejection), warned)


def test_a_due_date_before_the_invoice_date_warns() -> None:
    ((filter_name, reason),) = filtered(record(answer=read_answer(DUE_TOO_EARLY))).warnings
    assert filter_name == "dates"
    assert "2025-01-01 before invoice date 2025-01-15" in reason


@pytest.mark.parametrize("ocr", [None, {}, "", {"tokens": []}, [" "]])
def test_a_text_model_needs_ocr(ocr: Any) -> None:
    assert "no OCR" in (readable_request(record(ocr=ocr), "erniekit") or "")


@pytest.mark.parametrize("data_format", ["erniekit-vl", "paddleformers"])
def test_a_multimodal_model_needs_no_ocr(data_format: DataFormat, tmp_path: Any) -> None:
    assert readable_request(record(ocr=None, images=(tmp_path / "1.png",)), data_format) is None
    assert readable_request(record(ocr=None), data_format) is not None


def test_a_ready_made_request_needs_no_ocr() -> None:
    assert readable_request(record(ocr=None, request="Read the page."), "erniekit") is None


@pytest.mark.parametrize(("tokens", "passes"), [(None, True), (68, True), (69, False)])
def test_length_reserves_tokens_for_the_template(tokens: int | None, passes: bool) -> None:
    assert (filtered_example(tokens=tokens) is None) == passes


def test_length_names_both_numbers() -> None:
    rejection = filtered_example(tokens=90)
    assert rejection
    assert rejection[0] == "length"
    assert "122 tokens" in rejection[1]
    assert "max_seq_length 100" in rejection[1]


@pytest.mark.parametrize(("request_text", "answer_text"), [("", "{}"), (" \n", "{}"), ("a", " ")])
def test_toolkit_rejects_blank_texts(request_text: str, answer_text: str) -> None:
    rejection = filtered_example(request_text, answer_text)
    assert rejection
    assert rejection[0] == "toolkit"


@pytest.mark.parametrize("filter_name", ["reviewed", "canonical", "toolkit", "length"])
def test_required_filters_cannot_be_set(filter_name: str) -> None:
    assert filter_name not in FiltersSection.model_fields
    assert FilterOutcome(FiltersSection()).level(filter_name) == "error"


def test_too_many_decimals_are_the_only_named_cause() -> None:
    found = filtered(record(answer=read_answer(answer(subtotal="100.005")))).rejection
    assert found == ("arithmetic", "BR-DEC: subtotal 100.005 with more than 2 decimals (EUR)")
