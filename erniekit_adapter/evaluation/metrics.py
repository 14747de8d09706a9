"""How well answers match what was expected: the figures of a whole test set, each with its interval.

Every rate is over all samples: an answer that cannot be read counts as wrong, never as absent. Every figure is a ratio
of two sums over samples, so one bootstrap serves them all; a ratio whose denominator is 0 is None, neither 0 nor 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from erniekit_adapter.errors import fail
from erniekit_adapter.evaluation.scoring import Counts, SampleScore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_INTERVAL_PERCENT = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% bootstrap interval; None where nothing supports it."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class FieldScore:
    """Precision, recall and F1 of one field; `support` is how often the field was expected."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class VerdictCounts:
    """How well the answers catch bad invoices, over the samples whose expected answer carries a verdict.

    Attributes:
        caught: bad invoices called bad.
        missed: bad invoices called valid, or given no verdict.
        false_alarms: valid invoices called bad.
        passed: valid invoices called valid.
        silent: valid invoices given no verdict.
        precision: caught / (caught + false_alarms).
        recall: caught / (caught + missed).
        agreement: (caught + passed) / all five counts.
    """

    caught: int
    missed: int
    false_alarms: int
    passed: int
    silent: int
    precision: float | None
    recall: float | None
    agreement: float | None


@dataclass(frozen=True)
class Metrics:
    """The figures of one system on one test set; see `SampleScore` for what each rate counts.

    Attributes:
        samples: how many samples were scored.
        field_precision, field_recall, field_f1: micro figures over all fields but the line items.
        line_item_f1: micro F1 over the cells of line items, after the best assignment of rows.
        row_exact: line items found with every cell right, of all that were expected.
        fields: figures by field and by column, sorted by name.
        verdicts: the answers' own verdicts against the expected ones.
        expected_rule_compliant, expected_arithmetic_verified: what a perfect copy of the expected answers would reach.
    """

    samples: int
    strict_json: Estimate
    repaired_json: Estimate
    schema_valid: Estimate
    rule_compliant: Estimate
    arithmetic_verified: Estimate
    arithmetic_coverage: Estimate
    math_flag_right: Estimate
    field_precision: Estimate
    field_recall: Estimate
    field_f1: Estimate
    line_item_f1: Estimate
    row_exact: Estimate
    document_exact: Estimate
    fields: dict[str, FieldScore]
    verdicts: VerdictCounts
    expected_rule_compliant: float
    expected_arithmetic_verified: float


# What one sample adds to the numerator and to the denominator of a figure.
Measure = Callable[[SampleScore], tuple[float, float]]


def _precision(counts: Counts) -> tuple[float, float]:
    return counts.true_positives, counts.true_positives + counts.false_positives


def _recall(counts: Counts) -> tuple[float, float]:
    return counts.true_positives, counts.true_positives + counts.false_negatives


def _f1(counts: Counts) -> tuple[float, float]:
    """F1 = 2TP / (2TP + FP + FN), the harmonic mean of precision and recall (van Rijsbergen, 1979)."""
    twice = 2 * counts.true_positives
    return twice, twice + counts.false_positives + counts.false_negatives


MEASURES: Mapping[str, Measure] = {
    "strict_json": lambda score: (score.strict_json, 1),
    "repaired_json": lambda score: (score.repaired_json, 1),
    "schema_valid": lambda score: (score.schema_valid, 1),
    "rule_compliant": lambda score: (score.rule_compliant, 1),
    "arithmetic_verified": lambda score: (score.arithmetic_verified, 1),
    "arithmetic_coverage": lambda score: (score.arithmetic_coverage, 1),
    "math_flag_right": lambda score: (score.math_flag_right, 1),
    "field_precision": lambda score: _precision(score.field_counts),
    "field_recall": lambda score: _recall(score.field_counts),
    "field_f1": lambda score: _f1(score.field_counts),
    "line_item_f1": lambda score: _f1(score.line_cell_counts),
    "row_exact": lambda score: (score.rows_exact, score.rows_expected),
    "document_exact": lambda score: (score.document_exact, 1),
}


def summarize(scores: Sequence[SampleScore], *, seed: int = 0, resamples: int = 1000) -> Metrics:
    """Sum up the scores of a test set.

    Args:
        scores: one score for each sample.
        seed: of the bootstrap; the same seed gives the same intervals.
        resamples: how many test sets the bootstrap draws.

    Raises:
        AdapterError: there is no score, or `resamples` is below 1.
    """
    return Metrics(
        samples=len(scores),
        **_estimates(scores, seed, resamples),
        fields=_by_field(scores),
        verdicts=_verdicts(scores),
        expected_rule_compliant=sum(score.expected_rule_compliant for score in scores) / len(scores),
        expected_arithmetic_verified=sum(score.expected_arithmetic_verified for score in scores) / len(scores),
    )


def _by_field(scores: Sequence[SampleScore]) -> dict[str, FieldScore]:
    totals: dict[str, Counts] = {}
    for score in scores:
        for name, counts in score.fields.items():
            totals[name] = totals.get(name, Counts()) + counts
    return {
        name: FieldScore(
            precision=ratio(*_precision(counts)),
            recall=ratio(*_recall(counts)),
            f1=ratio(*_f1(counts)),
            support=counts.true_positives + counts.false_negatives,
        )
        for name, counts in sorted(totals.items())
    }


def _verdicts(scores: Sequence[SampleScore]) -> VerdictCounts:
    said_of_bad = [score.said_valid for score in scores if score.expected_valid is False]
    said_of_good = [score.said_valid for score in scores if score.expected_valid is True]
    caught, false_alarms, passed = said_of_bad.count(False), said_of_good.count(False), said_of_good.count(True)
    return VerdictCounts(
        caught=caught,
        missed=len(said_of_bad) - caught,
        false_alarms=false_alarms,
        passed=passed,
        silent=said_of_good.count(None),
        precision=ratio(caught, caught + false_alarms),
        recall=ratio(caught, len(said_of_bad)),
        agreement=ratio(caught + passed, len(said_of_bad) + len(said_of_good)),
    )


def _estimates(scores: Sequence[SampleScore], seed: int, resamples: int) -> dict[str, Estimate]:
    """Every measure over all samples, with its interval."""
    import numpy as np

    parts = {name: measured(scores, measure) for name, measure in MEASURES.items()}
    totals = resampled_totals(np.hstack(list(parts.values())), seed=seed, resamples=resamples)
    found = {}
    for index, (name, part) in enumerate(parts.items()):
        low, high = interval(ratios(totals[:, 2 * index : 2 * index + 2]))
        found[name] = Estimate(ratio(*part.sum(axis=0).tolist()), low, high)
    return found


def measured(scores: Sequence[SampleScore], measure: Measure) -> NDArray[np.float64]:
    """What each sample adds to a figure: one row for each, numerator and denominator."""
    import numpy as np

    return np.array([measure(score) for score in scores], dtype=np.float64).reshape(-1, 2)


def resampled_totals(parts: NDArray[np.float64], *, seed: int, resamples: int) -> NDArray[np.float64]:
    """Column sums of as many test sets as asked for, each drawn from the samples with replacement (Efron, 1979).

    Raises:
        AdapterError: there is no sample to draw from, or nothing is to be drawn.
    """
    import numpy as np

    samples = len(parts)
    if not samples:
        raise fail("evaluation", "no sample to score", "give at least one test line")
    if resamples < 1:
        raise fail("evaluation", f"resamples is {resamples}", "draw at least 1; 1000 is usual")
    rng = np.random.default_rng(seed)
    # One draw at a time: memory grows with the samples, not with samples × resamples.
    draws = (np.bincount(rng.integers(samples, size=samples), minlength=samples) for _ in range(resamples))
    return np.stack([times_drawn @ parts for times_drawn in draws])


def ratios(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numerator over denominator of each row; NaN where the denominator is 0."""
    import numpy as np

    found = np.full(len(totals), np.nan)
    np.divide(totals[:, 0], totals[:, 1], out=found, where=totals[:, 1] != 0)
    return found


def interval(resampled: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """The 95% percentile interval, over the draws that have a figure; None and None where none has.

    A figure that is the same in every sample has an interval of no width, however few the samples are.
    """
    import numpy as np

    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return None, None
    low, high = np.percentile(known, _INTERVAL_PERCENT)
    return float(low), float(high)


def ratio(numerator: float, denominator: float) -> float | None:
    """A quotient, or None where nothing supports it."""
    return numerator / denominator if denominator else None
