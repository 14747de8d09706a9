"""Comparison of two systems on the same test examples: size of each difference and whether it is significant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.evaluation.bootstrap import interval, ratio, ratios, resampled_totals, terms
from erniekit_adapter.metrics import AnswerScore, Metric, compared_metrics

Verdict = Literal["better", "worse", "no difference shown"]

# If all differing examples favour one system, an exact sign test needs six of them for 5% (2 / 2⁶ = 3%; 2 / 2⁵ = 6%).
# The percentile bootstrap on its own would call four such examples "better", and even a test set of one example.
MIN_DIFFERING_SAMPLES = 6


@dataclass(frozen=True)
class Difference:
    """A metric of both systems and its difference.

    Attributes:
        base, tuned: figure of each system; None if its denominator is 0.
        difference: tuned - base.
        low, high: 95% paired bootstrap interval of the difference.
        differing_samples: number of test examples on which the two systems score differently.
        verdict: better or worse if the interval excludes 0 and at least six test examples differ.
    """

    base: float | None
    tuned: float | None
    difference: float | None
    low: float | None
    high: float | None
    differing_samples: int
    verdict: Verdict


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test: of the answers that only one system got right, does one system have more than half?

    Attributes:
        only_base, only_tuned: number of answers that only that system got right.
        p_value: two-sided binomial test; 1 if both systems got the same answers right.
    """

    only_base: int
    only_tuned: int
    p_value: float


@dataclass(frozen=True)
class SystemComparison:
    """Comparison of a tuned system with its base.

    Attributes:
        samples: number of test examples.
        differences: the compared metrics, by name.
        schema_validity: McNemar test on the answers that match the schema.
    """

    samples: int
    differences: Mapping[str, Difference]
    schema_validity: McNemar

    def as_json(self) -> dict[str, Any]:
        """Return the entry `comparison` of `results.json`: every difference under the name of its metric."""
        nested = asdict(self)
        return {**nested.pop("differences"), **nested}


def compare(
    base: Sequence[AnswerScore], tuned: Sequence[AnswerScore], *, seed: int = 0, resamples: int = 1000
) -> SystemComparison:
    """Compare two systems on the same test examples in the same order.

    Args:
        base: scores before tuning.
        tuned: scores after tuning.
        seed: seed of the bootstrap; the same seed gives the same intervals.
        resamples: number of test sets that the bootstrap draws; each has the same examples for both systems.

    Raises:
        AdapterError: the examples differ, the test set is empty, or `resamples` is below 1.
    """
    if mismatch := _mismatch(base, tuned):
        raise mismatch
    return SystemComparison(
        samples=len(base),
        differences={metric.name: _difference(metric, base, tuned, seed, resamples) for metric in compared_metrics()},
        schema_validity=_mcnemar([score.schema_valid for score in base], [score.schema_valid for score in tuned]),
    )


def _mismatch(base: Sequence[AnswerScore], tuned: Sequence[AnswerScore]) -> AdapterError | None:
    hint = "score both systems on the same test examples, in the same order"
    if len(base) != len(tuned):
        return failure("comparison", f"{len(base)} examples of the base, {len(tuned)} of the tuned model", hint)
    for number, (before, after) in enumerate(zip(base, tuned, strict=True), start=1):
        if before.sample != after.sample:
            return failure("comparison", f"example {number} is {before.sample!r} and {after.sample!r}", hint)
    return None


def _difference(
    metric: Metric, base: Sequence[AnswerScore], tuned: Sequence[AnswerScore], seed: int, resamples: int
) -> Difference:
    """Return the difference with its paired bootstrap interval (Efron and Tibshirani, 1993; Koehn, 2004)."""
    import numpy as np

    before, after = terms(base, metric), terms(tuned, metric)
    totals = resampled_totals(np.hstack([before, after]), seed=seed, resamples=resamples)
    low, high = interval(ratios(totals[:, 2:]) - ratios(totals[:, :2]))
    differing = int((before != after).any(axis=1).sum())
    base_figure, tuned_figure = ratio(*before.sum(axis=0).tolist()), ratio(*after.sum(axis=0).tolist())
    return Difference(
        base=base_figure,
        tuned=tuned_figure,
        difference=None if base_figure is None or tuned_figure is None else tuned_figure - base_figure,
        low=low,
        high=high,
        differing_samples=differing,
        verdict=_verdict(metric, low, high, differing),
    )


def _verdict(metric: Metric, low: float | None, high: float | None, differing_samples: int) -> Verdict:
    if low is None or high is None or low <= 0 <= high or differing_samples < MIN_DIFFERING_SAMPLES:
        return "no difference shown"
    return "better" if (low > 0) == (metric.better == "higher") else "worse"


def _mcnemar(base: Sequence[bool], tuned: Sequence[bool]) -> McNemar:
    """Return McNemar's test (1947) in its exact form: without a difference, each system wins with p = ½."""
    from scipy.stats import binomtest

    pairs = list(zip(base, tuned, strict=True))
    only_base, only_tuned = pairs.count((True, False)), pairs.count((False, True))
    discordant = only_base + only_tuned
    p_value = float(binomtest(only_tuned, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_base, only_tuned, p_value)
