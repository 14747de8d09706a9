"""Structures of example answers: tables, envelopes, contradictions, and parts that a type cannot have."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from guess_examples import equations, guessed, notes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.guessing.examples import read_examples
from erniekit_adapter.documents.guessing.guess import write_guess
from erniekit_adapter.errors import UsageError

LEFT_OUT: list[tuple[list[dict[str, Any]], str, str]] = [
    ([{"n": 1, "x": [[1, 2]]}], "x", "a list of lists"),
    ([{"n": 1, "x": []}], "x", "an empty list or object"),
    ([{"n": 1, "x": {}}], "x", "an empty list or object"),
    ([{"n": 1, "rows": [{"a": 1, "sub": [{"b": 1}]}]}], "rows[].sub", "a list inside the rows of a list"),
    ([{"n": 1, "rows": [{"a": 1, "sub": ["b"]}]}], "rows[].sub", "a list inside the rows of a list"),
    ([{"n": 1, "x": 5}, {"n": 2, "x": {"y": 5}}], "x", "values of several kinds: object, number"),
    ([{"n": 1, "x": [{"a": 1}, 5]}], "x", "rows of several kinds"),
    (
        [{"n": 1, "a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}],
        "a.b.c.d.e.f.g.h",
        "nested more than 6 levels",
    ),
]


@pytest.mark.parametrize(("answers", "path", "reason"), LEFT_OUT, ids=[reason for _, _, reason in LEFT_OUT])
def test_impossible_parts_are_left_out_and_named(answers: list[dict[str, Any]], path: str, reason: str) -> None:
    guess = guessed(*answers)
    assert not any(field.path.startswith(path) for field in guess.fields)
    assert f"{path}: left out of the type: {reason}" in notes(guess)
    assert len(guess.answers) == len(answers)


@pytest.mark.parametrize(
    ("answers", "paths", "written"),
    [
        ([{"n": 1, "items": {"a": "x"}}, {"n": 2, "items": [{"a": "y"}]}], ["n", "items[].a"], [{"a": "x"}]),
        ([{"n": 1, "items": "x"}, {"n": 2, "items": ["y", "z"]}], ["n", "items[]"], ["x"]),
    ],
)
def test_single_row_becomes_a_list(answers: list[dict[str, Any]], paths: list[str], written: list[Any]) -> None:
    guess = guessed(*answers)
    assert [field.path for field in guess.fields] == paths
    assert guess.answers[0]["items"] == written
    assert "a list in some examples" in notes(guess)


@pytest.mark.parametrize("key", ["a.b", "a[0]", "what?", "two\nlines", "`q`", " "])
def test_odd_keys_are_renamed(key: str) -> None:
    guess = guessed({"n": "1", key: "x"})
    assert len(guess.fields) == 2
    assert len(guess.answers[0]) == 2
    assert "was renamed" in notes(guess)


def test_renamed_keys_stay_apart() -> None:
    answer = {"a.b": "x", "a_b": "y", "A-B": "z", "ä": "1", "a": "2", "?": "3"}
    assert [field.path for field in guessed(answer).fields] == ["a_b", "a_b_2", "A-B_3", "ä", "a_2", "value"]


def test_field_of_one_example_is_reported() -> None:
    assert "vat: in example 2 only" in notes(guessed({"total": 1}, {"total": 2, "vat": 1}))


def test_nulls_are_left_out_of_the_answers() -> None:
    guess = guessed({"total": 1, "note": None}, {"total": 2, "note": " "})
    assert [field.path for field in guess.fields] == ["total", "note"]
    assert guess.answers == ({"total": 1}, {"total": 2})
    assert "note: no value in any example" in notes(guess)


def test_single_outer_key_is_the_content_key(tmp_path: Path) -> None:
    guess = guessed({"gt_parse": {"total": {"total_price": "5.00"}, "menu": [{"nm": "Tea"}]}})
    assert guess.content_key == "gt_parse"
    made = write_guess(guess, tmp_path / "receipt")
    assert made.content_key == "gt_parse"
    assert made.content_of(made.read(guess.answers[0])) == guess.answers[0]["gt_parse"]


def test_verdict_in_examples_is_kept(tmp_path: Path) -> None:
    verdict = {"is_valid": True, "math_verified": None, "issues": []}
    guess = guessed({"total": 5, "number": "A-1", "validation_summary": verdict})
    made = write_guess(guess, tmp_path / "bill")
    assert made.verdict is not None
    summary = made.claimed_summary(made.read(guess.answers[0]))
    assert summary is not None
    assert summary.is_valid is True


def test_too_many_fields_are_an_error() -> None:
    with pytest.raises(UsageError, match="301 fields"):
        guessed({f"field {number}": 1 for number in range(301)})


READABLE = [
    ("a.json", '{"total": 1.10}', 1),
    ("a.json", '[{"total": 1.10}, {"total": 2}]', 2),
    ("a.jsonl", '{"total": 1.10}\n\n{"total": 2}\n', 2),
    ("a.json", '\ufeff{"total": 1.10}', 1),
]


@pytest.mark.parametrize(("name", "text", "count"), READABLE)
def test_examples_are_read_from_files(tmp_path: Path, name: str, text: str, count: int) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(read_examples([tmp_path / name])) == count
    assert len(read_examples([tmp_path])) == count
    assert json_text.compose(read_examples([tmp_path])[0].value) == '{"total":1.10}'


HOSTILE = [
    ("", "not JSON"),
    ("{", "not JSON"),
    ('{"a": NaN}', "NaN"),
    ('{"a": 1, "a": 2}', "repeated keys"),
    ("[" * 100_000, "nested too deeply"),
    ('{"a":' * 60 + "1" + "}" * 60, "nested more than"),
    ("5", "expected a JSON object, found int"),
    ('{"a": "\\ud800"}', "half of a surrogate pair"),
    ("{}", "an empty object"),
    ("[]", "no examples"),
    ('[{"a": 1}, 5]', "expected a JSON object"),
    (json.dumps([{"a": 1}] * 1001), "more than 1,000 examples"),
    (json.dumps({"a": list(range(200_001))}), "200,000 values"),
    ('{"a": 1e999999999999999999999}', "out of range"),
]


@pytest.mark.parametrize(("text", "finding"), HOSTILE, ids=[text[:12] for text, _ in HOSTILE])
def test_broken_files_are_refused(tmp_path: Path, text: str, finding: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match=finding):
        read_examples([tmp_path / "a.json"])


def test_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    (tmp_path / "b.json").write_bytes(b" " * (16 * 1024 * 1024 + 1))
    with pytest.raises(UsageError) as caught:
        read_examples([tmp_path / "a.json", tmp_path / "b.json", tmp_path / "none.json"])
    assert [problem.location for problem in caught.value.problems] == [
        str(tmp_path / name) for name in ("a.json", "b.json", "none.json")
    ]


KEYS = st.sampled_from([
    "total", "net", "tax", "items", "name", "qty", "price", "date", "due_date", "iban", "currency", "vat_rate", "x.y",
    "金额",
])  # fmt: skip
TEXTS = st.sampled_from([
    "A-1", "1,234", "12,50", "19 %", "2025-01-31", "03/04/2025", "€", "EUR", "\x7f", "\x00", "9" * 50,
])  # fmt: skip
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=4)
NUMBERS = st.integers() | st.decimals(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | NUMBERS | TEXTS | ANY_TEXT


def objects(inner: st.SearchStrategy[Any], size: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(KEYS | ANY_TEXT, inner, min_size=1, max_size=size)


PARTS = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | objects(inner, 4), max_leaves=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(objects(PARTS, 6), min_size=1, max_size=4))
def test_every_guess_loads_and_fits_its_examples(tmp_path_factory: Any, answers: list[dict[str, Any]]) -> None:
    try:
        guess = guessed(*answers)
    except UsageError:
        return  # no value at all
    made = write_guess(guess, tmp_path_factory.mktemp("types") / "made")
    for value in guess.answers:
        findings = made.rules.check(made.read(value), as_given=True)
        assert [finding for finding in findings if finding.status == "fail"] == []
    assert {rule.section["name"] for rule in guess.rules} <= {
        finding.rule
        for value in guess.answers
        for finding in made.rules.check(made.read(value), as_given=True)
        if finding.status == "pass"
    }


def test_wrong_documents_do_not_contradict_rules() -> None:
    right = {"is_valid": True, "math_verified": True, "issues": []}
    wrong = {"is_valid": False, "math_verified": False, "issues": ["total 99 is not 119.12"]}
    answer = {"net": Decimal("100.10"), "vat": Decimal("19.02"), "total": Decimal("119.12")}
    guess = guessed(
        {"invoice": answer, "validation_summary": right},
        {"invoice": {**answer, "total": 99}, "validation_summary": wrong},
    )
    assert equations(guess) == {"total = net + vat"}
    assert len(guess.answers) == 2


def test_an_answer_without_a_value_is_not_written() -> None:
    guess = guessed({"total": "", "rows": [[1]]})
    assert guess.answers == ()
    assert "not written to examples: it has no value of the type" in notes(guess)


def test_an_answer_without_any_field_names_the_reason() -> None:
    with pytest.raises(UsageError, match=r"0 fields.*rows: left out of the type: a list of lists"):
        guessed({"rows": [[1, 2]]})


@pytest.mark.parametrize(("amounts", "is_signed"), [(("-5.00", "6.00"), True), (("5.00", "6.00"), False)])
def test_movements_in_both_directions_are_signed(tmp_path: Path, amounts: tuple[str, ...], is_signed: bool) -> None:
    guess = guessed({"movements": [{"text": "Rent", "amount": Decimal(amount)} for amount in amounts]})
    document_type = write_guess(guess, tmp_path / "statement")
    assert document_type.fields["movements[].amount"].is_signed is is_signed


def test_missing_example_gets_the_nearest_file_as_hint(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"total": 1}\n')
    with pytest.raises(UsageError, match=r"answer\.jsonl: no such file\n.*did you mean .*/answers\.jsonl\?"):
        read_examples([tmp_path / "answer.jsonl"])
