from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.evaluation.comparison import Difference, SystemComparison, compare
from erniekit_adapter.evaluation.scoring import score_answer
from erniekit_adapter.metrics import AnswerScore

EXPECTED = read_answer(
    {
        "structured_data": {
            "vendor_block": {"name": "Acme"},
            "line_items": [{"description": "Bolt", "total": 20}],
            "financial_summary": {"subtotal": 20, "taxes": [], "grand_total": 20, "currency": "EUR"},
        }
    }
)
RIGHT = INVOICE.text_of(EXPECTED)
TEXTS = {
    "right": RIGHT,
    "fenced": f"```json\n{RIGHT}\n```",
    "misread": RIGHT.replace('"grand_total":20', '"grand_total":28'),
    "unreadable": "no",
}


def scores(*texts: str) -> list[AnswerScore]:
    return [score_answer(INVOICE, EXPECTED, TEXTS[text], sample=str(number)) for number, text in enumerate(texts)]


def differences(comparison: SystemComparison) -> dict[str, Difference]:
    return dict(comparison.differences)


def test_identical_systems_show_no_difference() -> None:
    same = scores("right", "misread", "unreadable", "fenced")
    comparison = compare(same, same)
    for difference in differences(comparison).values():
        assert (difference.difference, difference.low, difference.high) == (0, 0, 0)
        assert difference.differing_samples == 0
        assert difference.verdict == "no difference shown"
    assert comparison.schema_validity.p_value == 1


@pytest.mark.parametrize(
    ("base", "tuned", "verdicts"),
    [
        (
            ["misread"] * 20,
            ["right"] * 20,
            {"field_f1": "better", "arithmetic_verified": "better", "strict_json": "no difference shown"},
        ),
        (["right"] * 20, ["unreadable"] * 20, {"field_f1": "worse", "strict_json": "worse", "schema_valid": "worse"}),
        (["fenced"] * 20, ["right"] * 20, {"strict_json": "better", "schema_valid": "no difference shown"}),
        (
            ["right", "misread"] * 10,
            ["misread", "right"] * 10,
            {"field_f1": "no difference shown", "rule_compliant": "no difference shown"},
        ),
    ],
)
def test_verdict_follows_the_interval(base: list[str], tuned: list[str], verdicts: dict[str, str]) -> None:
    found = differences(compare(scores(*base), scores(*tuned)))
    assert {name: found[name].verdict for name in verdicts} == verdicts


def test_difference_is_tuned_minus_base_and_in_its_interval() -> None:
    comparison = compare(scores(*["unreadable"] * 10, *["right"] * 10), scores(*["right"] * 20))
    found = comparison.differences["strict_json"]
    assert (found.base, found.tuned, found.difference, found.differing_samples) == (0.5, 1.0, 0.5, 10)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.5 < found.high < 1
    assert comparison.samples == 20


def test_pairing_detects_small_differences() -> None:
    hard = ["unreadable"] * 40 + ["right"] * 40
    tuned = ["right"] * 8 + hard[8:]
    found = compare(scores(*hard), scores(*tuned)).differences["strict_json"]
    # The interval of each rate is ± 0.11, that of their difference of 0.1 is ± 0.07.
    assert found.verdict == "better"


@pytest.mark.parametrize(
    ("differing", "verdict"), [(1, "no difference shown"), (5, "no difference shown"), (6, "better")]
)
def test_fewer_than_six_differing_examples_show_no_difference(differing: int, verdict: str) -> None:
    found = compare(scores(*["unreadable"] * differing), scores(*["right"] * differing)).differences["strict_json"]
    assert (found.difference, found.verdict) == (1, verdict)


def test_interval_that_ends_at_0_shows_no_difference() -> None:
    base, tuned = ["unreadable"] * 8 + ["right"] * 2, ["right"] * 8 + ["unreadable"] * 2
    found = compare(scores(*base), scores(*tuned)).differences["strict_json"]
    assert (found.low, found.high, found.verdict) == (0, 1, "no difference shown")


def test_figure_without_support_has_no_difference() -> None:
    empty = [score_answer(INVOICE, read_answer({"structured_data": {}}), "no", sample="a")]
    found = compare(empty, empty).differences["field_f1"]
    assert found == Difference(None, None, None, None, None, 0, "no difference shown")


@pytest.mark.parametrize(
    ("only_base", "only_tuned", "p_value"), [(0, 0, 1.0), (0, 1, 1.0), (0, 6, 0.03125), (1, 7, 0.0703125), (5, 5, 1.0)]
)
def test_mcnemar_test_is_exact(only_base: int, only_tuned: int, p_value: float) -> None:
    base = scores("right", *["right"] * only_base, *["unreadable"] * only_tuned)
    tuned = scores("right", *["unreadable"] * only_base, *["right"] * only_tuned)
    found = compare(base, tuned).schema_validity
    assert (found.only_base, found.only_tuned) == (only_base, only_tuned)
    assert found.p_value == pytest.approx(p_value)


@pytest.mark.parametrize(
    ("base", "tuned", "message"),
    [
        (scores("right"), scores("right", "right"), "1 examples of the base, 2 of the tuned model"),
        (scores("right", "right"), scores("right", "right")[::-1], "example 1 is '0' and '1'"),
        ([], [], "no test examples to score"),
    ],
)
def test_rejects_different_test_examples(
    base: Sequence[AnswerScore], tuned: Sequence[AnswerScore], message: str
) -> None:
    with pytest.raises(AdapterError, match=message):
        compare(base, tuned)


def test_comparison_repeats_with_its_seed_and_writes_json() -> None:
    base, tuned = scores(*["misread", "fenced"] * 8), scores(*["right", "unreadable"] * 8)
    comparison = compare(base, tuned, seed=3)
    assert comparison == compare(base, tuned, seed=3)
    assert compare(base, tuned, seed=3, resamples=5) != compare(base, tuned, seed=4, resamples=5)
    assert json.loads(json.dumps(comparison.as_json()))["schema_valid"]["verdict"] == "worse"


@given(st.lists(st.tuples(st.sampled_from(sorted(TEXTS)), st.sampled_from(sorted(TEXTS))), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_exchanging_the_systems_negates_every_difference(pairs: list[tuple[str, str]]) -> None:
    base, tuned = scores(*(pair[0] for pair in pairs)), scores(*(pair[1] for pair in pairs))
    there, back = (differences(compare(*systems, resamples=40)) for systems in ((base, tuned), (tuned, base)))
    turned = {"better": "worse", "worse": "better"}
    for name, difference in there.items():
        other = back[name]
        assert difference.difference is not None
        assert other.difference == pytest.approx(-difference.difference)
        assert other.low == pytest.approx(-(difference.high or 0.0))
        assert other.verdict == turned.get(difference.verdict, difference.verdict)
