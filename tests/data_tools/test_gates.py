from __future__ import annotations

from typing import Any

import pytest
from data_examples import answer, record

from data_tools.build_settings import BuildSettings
from data_tools.pairs.pairs import Pair
from data_tools.records import DocumentRecord
from data_tools.stage.gates import Verdicts, judge_pair, judge_record, something_to_read
from erniekit_adapter.invoice import rules
from erniekit_adapter.invoice.answer import read_answer
from erniekit_adapter.project.schema import DataFormat, GatesSection

WRONG_TOTAL = read_answer(answer(grand_total=1119))
DUE_TOO_EARLY = answer()
DUE_TOO_EARLY["structured_data"]["client_info"]["due_date"] = "2025-01-01"
SHORT = BuildSettings(max_seq_length=100)


def judged(found: DocumentRecord, **levels: Any) -> Verdicts:
    verdicts = Verdicts(GatesSection(**levels))
    findings = rules.check(found.answer, complete=found.complete) if found.answer else ()
    assert judge_record(found, findings, verdicts) == (verdicts.refused is not None)
    return verdicts


def judged_pair(request: str = "a", answer_text: str = "{}", tokens: int | None = None) -> tuple[str, str] | None:
    verdicts = Verdicts(GatesSection())
    judge_pair(Pair("doc-1", "doc-1", request, answer_text, tokens=tokens), SHORT, verdicts)
    return verdicts.refused


def test_a_good_record_passes_without_a_word() -> None:
    verdicts = judged(record())
    assert (verdicts.refused, verdicts.warned) == (None, [])


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"reviewed": False}, "reviewed"),
        ({"answer": None}, "canonical"),
        ({"answer": read_answer({"structured_data": {}})}, "canonical"),
        ({"answer": read_answer({"structured_data": {"vendor_block": {"name": " "}, "line_items": []}})}, "canonical"),
        ({"answer": WRONG_TOTAL}, "arithmetic"),
        ({"answer": read_answer(answer(currency=None)), "complete": True}, "arithmetic"),
    ],
)
def test_a_bad_record_is_refused_by_its_gate(changes: dict[str, Any], gate: str) -> None:
    refused = judged(record(**changes)).refused
    assert refused
    assert refused[0] == gate


def test_broken_arithmetic_names_the_rule_and_both_amounts() -> None:
    refused = judged(record(answer=WRONG_TOTAL)).refused
    assert refused
    assert all(part in refused[1] for part in ("BR-CO-15", "1119", "119"))


def test_broken_arithmetic_passes_where_the_page_is_known_to_break_it() -> None:
    assert judged(record(answer=WRONG_TOTAL, declared_fault="grand_total")).refused is None


@pytest.mark.parametrize(("level", "refused", "warned"), [("error", 1, 0), ("warn", 0, 1), ("off", 0, 0)])
@pytest.mark.parametrize(
    ("gate", "broken"),
    [("arithmetic", WRONG_TOTAL), ("dates", read_answer(DUE_TOO_EARLY))],
    ids=["arithmetic", "dates"],
)
def test_the_project_says_what_a_finding_does(gate: str, broken: Any, level: str, refused: int, warned: int) -> None:
    verdicts = judged(record(answer=broken), **{gate: level})
    assert (verdicts.refused is not None, len(verdicts.warned)) == (bool(refused), warned)


def test_a_due_date_before_the_invoice_date_only_warns_by_itself() -> None:
    ((gate, reason),) = judged(record(answer=read_answer(DUE_TOO_EARLY))).warned
    assert gate == "dates"
    assert "2025-01-01 before invoice date 2025-01-15" in reason


@pytest.mark.parametrize("ocr", [None, {}, "", {"tokens": []}, [" "]])
def test_a_text_model_needs_ocr(ocr: Any) -> None:
    assert "no OCR" in (something_to_read(record(ocr=ocr), "erniekit") or "")


@pytest.mark.parametrize("form", ["erniekit-vl", "paddleformers"])
def test_a_model_that_sees_the_page_needs_none(form: DataFormat, tmp_path: Any) -> None:
    assert something_to_read(record(ocr=None, images=(tmp_path / "1.png",)), form) is None
    assert something_to_read(record(ocr=None), form) is not None


def test_a_request_of_its_own_is_something_to_read() -> None:
    assert something_to_read(record(ocr=None, request="What does it say?"), "erniekit") is None


@pytest.mark.parametrize(("tokens", "passes"), [(None, True), (68, True), (69, False)])
def test_a_line_fits_with_the_templates_tokens_reserved(tokens: int | None, passes: bool) -> None:
    assert (judged_pair(tokens=tokens) is None) == passes


def test_a_line_that_is_too_long_tells_both_numbers() -> None:
    refused = judged_pair(tokens=90)
    assert refused
    assert refused[0] == "length"
    assert "122 tokens" in refused[1]
    assert "max_seq_length 100" in refused[1]


@pytest.mark.parametrize(("request_text", "answer_text"), [("", "{}"), (" \n", "{}"), ("a", " ")])
def test_what_the_toolkit_would_skip_is_refused(request_text: str, answer_text: str) -> None:
    refused = judged_pair(request_text, answer_text)
    assert refused
    assert refused[0] == "toolkit"


@pytest.mark.parametrize("gate", ["reviewed", "canonical", "toolkit", "length"])
def test_gates_that_keep_falsehoods_out_and_the_toolkit_running_cannot_be_set(gate: str) -> None:
    assert gate not in GatesSection.model_fields
    assert Verdicts(GatesSection()).level(gate) == "error"


def test_an_amount_with_too_many_decimals_is_named_as_the_cause_and_nothing_else() -> None:
    found = judged(record(answer=read_answer(answer(subtotal="100.005")))).refused
    assert found == ("arithmetic", "BR-DEC: subtotal 100.005 with more than 2 decimals (EUR)")
