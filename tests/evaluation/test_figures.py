from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
from answer_examples import ANSWERS, EXPECTED, answer, verdict
from hypothesis import given, settings

from erniekit_adapter.documents.invoice.answer import Answer, read_answer
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.evaluation.figures import Estimate, FieldScore, summarize
from erniekit_adapter.evaluation.scoring import score_answer
from erniekit_adapter.metrics import METRICS, Counts


def test_rejects_an_empty_test_set() -> None:
    with pytest.raises(AdapterError, match="no test examples to score"):
        summarize(INVOICE, [])


def test_rejects_zero_resamples() -> None:
    with pytest.raises(AdapterError, match="resamples is 0"):
        summarize(INVOICE, [score_answer(INVOICE, EXPECTED, "")], resamples=0)


def test_rates_include_every_test_example() -> None:
    perfect = INVOICE.text_of(EXPECTED)
    texts = [perfect, f"```json\n{perfect}\n```", '{"total":1}', "nothing"]
    figures = summarize(INVOICE, [score_answer(INVOICE, EXPECTED, text) for text in texts])
    assert figures.samples == 4
    assert figures.estimates["strict_json"].value == 0.5
    assert figures.estimates["repaired_json"].value == 0.25
    assert figures.estimates["schema_valid"].value == 0.5
    assert figures.estimates["rule_compliant"].value == 0.5
    assert figures.estimates["arithmetic_verified"].value == 0.5
    assert figures.estimates["arithmetic_coverage"].value == 0.5
    assert figures.estimates["math_flag_right"].value == 0.5
    assert figures.estimates["document_exact"].value == 0.5
    assert figures.estimates["field_precision"].value == 1
    assert figures.estimates["field_recall"].value == 0.5
    assert figures.estimates["field_f1"].value == pytest.approx(2 / 3)
    assert figures.estimates["line_item_f1"].value == pytest.approx(2 / 3)
    assert figures.estimates["row_exact"].value == 0.5
    assert figures.fields["vendor_block.name"] == FieldScore(1.0, 0.5, 2 * 2 / (2 * 2 + 2), 4)
    assert figures.constants == {"expected_rule_compliant": 1, "expected_arithmetic_verified": 1}


def test_figure_without_support_is_none() -> None:
    figures = summarize(INVOICE, [score_answer(INVOICE, answer(), '{"structured_data":{}}')])
    nothing = Estimate(None, None, None)
    assert (
        figures.estimates["field_precision"]
        == figures.estimates["field_recall"]
        == figures.estimates["field_f1"]
        == nothing
    )
    assert figures.estimates["line_item_f1"] == figures.estimates["row_exact"] == nothing
    assert figures.fields == {}
    assert figures.verdicts.precision is figures.verdicts.recall is figures.verdicts.agreement is None


def test_invented_field_has_no_recall() -> None:
    text = INVOICE.text_of(answer(vendor_block={"phone": "123"}))
    assert summarize(INVOICE, [score_answer(INVOICE, answer(), text)]).fields["vendor_block.phone"] == FieldScore(
        0.0, None, 0.0, 0
    )


def test_intervals_contain_the_figure_and_repeat_with_the_seed() -> None:
    scores = [score_answer(INVOICE, EXPECTED, INVOICE.text_of(EXPECTED) if i % 3 else "") for i in range(60)]
    figures = summarize(INVOICE, scores, seed=1)
    assert figures == summarize(INVOICE, scores, seed=1)
    assert summarize(INVOICE, scores, seed=1, resamples=5) != summarize(INVOICE, scores, seed=2, resamples=5)
    strict = figures.estimates["strict_json"]
    assert strict.value == pytest.approx(2 / 3)
    # The normal approximation gives 2/3 ± 1.96 √(2/9 / 60) = 0.547 to 0.786.
    assert strict.low == pytest.approx(0.547, abs=0.03)
    assert strict.high == pytest.approx(0.786, abs=0.03)


def test_compares_verdicts_with_the_expected_ones() -> None:
    verdicts = [
        (False, False),
        (False, False),
        (False, True),
        (False, None),
        (True, False),
        (True, True),
        (True, True),
        (True, None),
        (None, False),
    ]
    scores = [
        score_answer(INVOICE, read_answer(verdict(truth)), json.dumps(verdict(found))) for truth, found in verdicts
    ]
    found = summarize(INVOICE, scores).verdicts
    assert (found.caught, found.missed, found.false_alarms, found.passed, found.silent) == (2, 2, 1, 2, 1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == 0.5
    assert found.agreement == 0.5


def test_unreadable_answer_misses_a_wrong_invoice() -> None:
    found = summarize(INVOICE, [score_answer(INVOICE, read_answer(verdict(False)), "")]).verdicts
    assert (found.missed, found.recall, found.precision) == (1, 0.0, None)


def test_figures_and_scores_can_be_written_as_json() -> None:
    score = score_answer(INVOICE, EXPECTED, INVOICE.text_of(EXPECTED))
    figures = summarize(INVOICE, [score])
    found = json.loads(json.dumps(figures.as_json()))
    assert found["field_f1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert set(found) == {"samples", "fields", "kinds", "verdicts", *METRICS}
    assert json.loads(json.dumps(dataclasses.asdict(score)))["fields"]["vendor_block.name"]["true_positives"] == 1


def test_import_does_not_load_numpy_or_scipy() -> None:
    program = "import sys, erniekit_adapter.evaluation.comparison; print({'numpy', 'scipy'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


@given(ANSWERS)
@settings(max_examples=60, deadline=None)
def test_expected_answer_scores_perfectly_against_itself(expected: Answer) -> None:
    score = score_answer(INVOICE, expected, INVOICE.text_of(expected))
    figures = summarize(INVOICE, [score], resamples=2)
    assert score.document_exact
    assert score.rows_exact == score.rows_expected
    assert figures.estimates["field_f1"].value in (1.0, None)
    assert figures.estimates["line_item_f1"].value in (1.0, None)
    assert (figures.estimates["field_f1"].value is None) == (score.field_counts == Counts())


@given(ANSWERS, ANSWERS)
@settings(max_examples=60, deadline=None)
def test_figures_are_between_0_and_1_and_symmetric(expected: Answer, found: Answer) -> None:
    score, mirrored = (
        score_answer(INVOICE, expected, INVOICE.text_of(found)),
        score_answer(INVOICE, found, INVOICE.text_of(expected)),
    )
    figures = summarize(INVOICE, [score], resamples=2)
    for estimate in figures.estimates.values():
        assert estimate.value is None or 0 <= estimate.value <= 1
    for counts, other in (
        (score.field_counts, mirrored.field_counts),
        (score.line_cell_counts, mirrored.line_cell_counts),
    ):
        assert counts == Counts(other.true_positives, other.false_negatives, other.false_positives)
