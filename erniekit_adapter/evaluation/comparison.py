"""Two systems on the same samples: how large the difference is, and whether it is shown at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from erniekit_adapter.errors import AdapterError, fail
from erniekit_adapter.evaluation.metrics import (
    MEASURES,
    interval,
    measured,
    ratio,
    ratios,
    resampled_totals,
)
from erniekit_adapter.evaluation.scoring import SampleScore

Verdict = Literal["better", "worse", "no difference shown"]

# Even where all differing samples point one way, an exact sign test needs six for 5% (2 / 2⁶ = 3%; 2 / 2⁵ = 6%). The
# percentile bootstrap alone would call four of any number "better", and a test set of one sample too.
MIN_DIFFERING_SAMPLES = 6


@dataclass(frozen=True)
class Difference:
    """One figure of both systems, the tuned one's less the base's.

    Attributes:
        base, tuned: the figure of each; None where nothing supports it.
        difference: tuned - base.
        low, high: the 95% paired bootstrap interval of the difference.
        differing_samples: samples on which the two systems score differently.
        verdict: better or worse where the interval lies on one side of 0 and at least six samples differ.
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
    """The exact McNemar test: of the samples that one system alone gets right, does one system have more than half.

    Attributes:
        only_base, only_tuned: samples right in that system alone.
        p_value: two-sided binomial; 1 where no sample is right in one system alone.
    """

    only_base: int
    only_tuned: int
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """A tuned system against its base; `schema_validity` tests for which of them more answers are canonical."""

    samples: int
    field_f1: Difference
    line_item_f1: Difference
    strict_json: Difference
    schema_valid: Difference
    rule_compliant: Difference
    arithmetic_verified: Difference
    document_exact: Difference
    schema_validity: McNemar


def compare(
    base: Sequence[SampleScore], tuned: Sequence[SampleScore], *, seed: int = 0, resamples: int = 1000
) -> Comparison:
    """Compare two systems on the same samples in the same order.

    Args:
        base: the scores before tuning.
        tuned: the scores after tuning.
        seed: of the bootstrap; the same seed gives the same intervals.
        resamples: how many test sets the bootstrap draws; each is the same samples for both systems.

    Raises:
        AdapterError: the samples are not the same, there is none, or `resamples` is below 1.
    """
    if mismatch := _mismatch(base, tuned):
        raise mismatch
    return Comparison(
        samples=len(base),
        **{name: _difference(name, base, tuned, seed, resamples) for name in _COMPARED},
        schema_validity=_mcnemar([score.schema_valid for score in base], [score.schema_valid for score in tuned]),
    )


_COMPARED = (
    "field_f1",
    "line_item_f1",
    "strict_json",
    "schema_valid",
    "rule_compliant",
    "arithmetic_verified",
    "document_exact",
)


def _mismatch(base: Sequence[SampleScore], tuned: Sequence[SampleScore]) -> AdapterError | None:
    remedy = "score both systems on the same test lines, in the same order"
    if len(base) != len(tuned):
        return fail("comparison", f"{len(base)} samples of the base, {len(tuned)} of the tuned model", remedy)
    for number, (before, after) in enumerate(zip(base, tuned, strict=True), start=1):
        if before.sample != after.sample:
            return fail("comparison", f"sample {number} is {before.sample!r} and {after.sample!r}", remedy)
    return None


def _difference(
    name: str, base: Sequence[SampleScore], tuned: Sequence[SampleScore], seed: int, resamples: int
) -> Difference:
    """The paired bootstrap (Efron and Tibshirani, 1993; Koehn, 2004): both figures of each draw, and their gap."""
    import numpy as np

    before, after = measured(base, MEASURES[name]), measured(tuned, MEASURES[name])
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
        verdict=_verdict(low, high, differing),
    )


def _verdict(low: float | None, high: float | None, differing_samples: int) -> Verdict:
    if low is None or high is None or low <= 0 <= high or differing_samples < MIN_DIFFERING_SAMPLES:
        return "no difference shown"
    return "better" if low > 0 else "worse"


def _mcnemar(base: Sequence[bool], tuned: Sequence[bool]) -> McNemar:
    """McNemar's test (1947) in its exact form: under no difference, either system alone is right with p = ½."""
    from scipy.stats import binomtest

    pairs = list(zip(base, tuned, strict=True))
    only_base, only_tuned = pairs.count((True, False)), pairs.count((False, True))
    discordant = only_base + only_tuned
    p_value = float(binomtest(only_tuned, discordant, 0.5).pvalue) if discordant else 1.0
    return McNemar(only_base, only_tuned, p_value)
