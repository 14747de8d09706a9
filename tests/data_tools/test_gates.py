from __future__ import annotations

from typing import Any

import pytest
from data_examples import answer, record

from data_tools.gates import PAIR_GATES, RECORD_GATES, GateSettings, refuse_pair, refuse_record
from data_tools.pairs import Pair
from erniekit_adapter.invoice.answer import read_answer

WRONG_TOTAL = read_answer(answer(grand_total=1119))
ERROR, WARN = GateSettings("error", 100), GateSettings("warn", 100)


def pair(request: str = "a", answer_text: str = "{}", tokens: int | None = None) -> Pair:
    return Pair("doc-1", "doc-1", request, answer_text, tokens=tokens)


def test_the_gates_have_fixed_names_in_a_fixed_order() -> None:
    assert [name for name, _ in (*RECORD_GATES, *PAIR_GATES)] == [
        "reviewed", "canonical", "arithmetic", "visible", "toolkit", "length",
    ]  # fmt: skip


def test_a_good_record_passes() -> None:
    assert refuse_record(record(), ERROR) is None


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"reviewed": False}, "reviewed"),
        ({"answer": None}, "canonical"),
        ({"answer": read_answer({"structured_data": {}})}, "canonical"),
        ({"answer": read_answer({"structured_data": {"vendor_block": {"name": " "}, "line_items": []}})}, "canonical"),
        ({"answer": WRONG_TOTAL}, "arithmetic"),
        ({"answer": read_answer(answer(currency=None))}, "arithmetic"),
        ({"ocr": None}, "visible"),
        ({"ocr": {}}, "visible"),
        ({"ocr": ""}, "visible"),
    ],
)
def test_a_bad_record_is_refused_by_its_gate(changes: dict[str, Any], gate: str) -> None:
    refusal = refuse_record(record(**changes), ERROR)
    assert refusal
    assert refusal[0] == gate


def test_broken_arithmetic_names_the_rule_and_both_amounts() -> None:
    refusal = refuse_record(record(answer=WRONG_TOTAL), ERROR)
    assert refusal
    assert all(part in refusal[1] for part in ("BR-CO-15", "1119", "119"))


@pytest.mark.parametrize(("fault", "settings"), [("grand_total", ERROR), (None, WARN)])
def test_broken_arithmetic_passes_where_it_is_known_or_only_warned_of(
    fault: str | None, settings: GateSettings
) -> None:
    assert refuse_record(record(answer=WRONG_TOTAL, declared_fault=fault), settings) is None


def test_a_request_of_its_own_is_something_to_read() -> None:
    assert refuse_record(record(ocr=None, request="What does it say?"), ERROR) is None


@pytest.mark.parametrize(("tokens", "passes"), [(None, True), (68, True), (69, False)])
def test_a_line_fits_with_the_templates_tokens_reserved(tokens: int | None, passes: bool) -> None:
    assert (refuse_pair(pair(tokens=tokens), ERROR) is None) == passes


def test_a_line_that_is_too_long_tells_both_numbers() -> None:
    refusal = refuse_pair(pair(tokens=90), ERROR)
    assert refusal
    assert refusal[0] == "length"
    assert "122 tokens" in refusal[1]
    assert "max_seq_length 100" in refusal[1]


@pytest.mark.parametrize(("request_text", "answer_text"), [("", "{}"), (" \n", "{}"), ("a", " ")])
def test_what_the_toolkit_would_skip_is_refused(request_text: str, answer_text: str) -> None:
    refusal = refuse_pair(pair(request_text, answer_text), ERROR)
    assert refusal
    assert refusal[0] == "toolkit"
