"""Parsing and repair of model texts; values are never invented."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.json_repair import repaired
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.parsing import MAX_ANSWER_CHARACTERS, parse_answer

TOTAL = '{"structured_data":{"financial_summary":{"grand_total":3025.00}}}'
WHOLE = (
    '{"structured_data":{"vendor_block":{"name":"Acme \\"A\\" {GmbH}, [Berlin]"},'
    '"line_items":[{"description":"Stuhl, rot","quantity":2,"unit_price":50.00,"total":100.00},{"total":1234.50}],'
    '"financial_summary":{"taxes":[{"rate":0.19,"amount":19.00}],"grand_total":119.00,"currency":"EUR"}},'
    '"validation_summary":{"is_valid":true,"math_verified":true,"issues":["a, b"]}}'
)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (TOTAL, "strict"),
        (f"\n {TOTAL} \n", "strict"),
        (f"```json\n{TOTAL}\n```", "repaired"),
        (f"Here is the result: {TOTAL} I hope it helps!", "repaired"),
        (f"<think>perhaps {{1}} or []</think>{TOTAL}", "repaired"),
        (TOTAL.replace("3025.00", "3025.00,"), "repaired"),
        (TOTAL.replace("}}}", "} , } , }"), "repaired"),
        (TOTAL.removesuffix("}}"), "repaired"),
        (f"{TOTAL}{TOTAL}", "repaired"),
        ("", "none"),
        ("I cannot read this invoice.", "none"),
        ("[1, 2]", "none"),
        ('"text"', "none"),
        ("{}", "none"),
        ("null", "none"),
        ("{'structured_data': {}}", "none"),
        ('{"structured_data": NaN}', "none"),
        (TOTAL.replace("3025.00", "1,234.50"), "none"),
    ],
)
def test_form_tells_strict_from_repaired_json(text: str, form: str) -> None:
    assert parse_answer(INVOICE, text).form == form


@pytest.mark.parametrize("text", [TOTAL, f"```\n{TOTAL}\n```", f"Sure: {TOTAL}.", TOTAL.replace("}}}", ",}}}")])
def test_repair_keeps_digits(text: str) -> None:
    answer = parse_answer(INVOICE, text).answer
    assert answer is not None
    assert str(answer.summary.grand_total) == "3025.00"
    assert INVOICE.text_of(answer) == TOTAL


def test_keeps_a_value_that_is_not_an_answer_with_the_reason() -> None:
    parsed = parse_answer(INVOICE, '{"total": 5}')
    assert (parsed.form, parsed.value, parsed.answer) == ("strict", {"total": 5}, None)
    assert "structured_data: Field required" in parsed.problem
    assert "total: Extra inputs" in parsed.problem


def test_missing_value_has_a_reason() -> None:
    parsed = parse_answer(INVOICE, "no idea")
    assert (parsed.value, parsed.answer) == (None, None)
    assert parsed.problem


def test_takes_the_longest_object() -> None:
    assert repaired(f'first {{"a": 1}} then {TOTAL} and {{"b": 2}}') == json_text.parse(TOTAL)


def test_rejects_repeated_keys() -> None:
    parsed = parse_answer(INVOICE, '{"structured_data": {}, "structured_data": {}}')
    assert (parsed.form, parsed.problem) == ("none", "repeated keys: structured_data")


def test_truncated_answer_keeps_whole_values_only() -> None:
    whole = json_text.parse(WHOLE)
    cut = {end: parse_answer(INVOICE, WHOLE[:end]) for end in range(len(WHOLE))}
    assert {parsed.form for parsed in cut.values()} == {"none", "repaired"}
    assert [end for end, parsed in cut.items() if not is_part_of(parsed.value or {}, whole)] == []
    assert all(parsed.form == "repaired" for end, parsed in cut.items() if end > WHOLE.index("line_items"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "one", "b": "tw', {"a": "one"}),
        ('{"a": 1, "b": 2', {"a": 1}),
        ('{"a": [1, 2, 3', {"a": [1, 2]}),
        ('{"a": {"b": [1], "c', {"a": {"b": [1]}}),
        ('{"a": {"b": true, "c": fal', {"a": {"b": True}}),
        ('{"a": [{"b": 1}, {"c": 2}', {"a": [{"b": 1}, {"c": 2}]}),
        ('{"a": 1, "b":', {"a": 1}),
        ('{"a": "x, y", "b": "\\', {"a": "x, y"}),
    ],
)
def test_closes_a_truncated_object_after_its_last_whole_value(text: str, value: object) -> None:
    assert repaired(text) == value


def is_part_of(part: object, whole: object) -> bool:
    """Return whether everything in `part` is in `whole` at the same position and unchanged."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and is_part_of(value, whole[name]) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(is_part_of, part, whole))
    return type(part) is type(whole) and str(part) == str(whole)


def test_drops_a_truncated_number() -> None:
    cut = WHOLE[: WHOLE.index("119.00") + len("119")]
    value = parse_answer(INVOICE, cut).value
    assert value is not None
    assert value["structured_data"]["financial_summary"] == {
        "taxes": [{"rate": Decimal("0.19"), "amount": Decimal("19.00")}]
    }


@pytest.mark.parametrize(
    "text",
    [
        "{" * MAX_ANSWER_CHARACTERS,
        "[" * MAX_ANSWER_CHARACTERS,
        '{"a":' * (MAX_ANSWER_CHARACTERS // 5),
        '{"a":' + "[" * 90_000 + "]" * 90_000 + "}",
        "{]" * (MAX_ANSWER_CHARACTERS // 2),
        "{a}" * (MAX_ANSWER_CHARACTERS // 3),
        '{"a":1},' * (MAX_ANSWER_CHARACTERS // 8),
        '{"' + "\\" * (MAX_ANSWER_CHARACTERS - 2),
        '{"a":' + "9" * 150_000 + "}",
        '{"a":1' + " " * 100_000 + "," + " " * 90_000 + "}",
        '{"structured_data":' * 900 + "1" + "}" * 900,
        '{"structured_data":{"financial_summary":{"grand_total":1e999999999}}}',
        '{"structured_data":{"financial_summary":{"grand_total":1e99999999999999999999}}}',
    ],
    ids=lambda text: text[:20],
)
def test_rejects_hostile_text_quickly(text: str) -> None:
    started = time.monotonic()
    assert parse_answer(INVOICE, text).answer is None
    assert time.monotonic() - started < 2


def test_rejects_text_over_the_limit() -> None:
    parsed = parse_answer(INVOICE, TOTAL + " " * MAX_ANSWER_CHARACTERS)
    assert (parsed.form, parsed.problem) == ("none", "longer than 200,000 characters")


@given(text=st.text(max_size=60) | st.text(alphabet='{}[]",:\\ 1a', max_size=40))
def test_parsing_never_raises(text: str) -> None:
    parsed = parse_answer(INVOICE, text)
    assert (parsed.value is None) == (parsed.form == "none")
    assert parsed.answer is not None or parsed.problem
