"""Figures of one system on one test set, each with its confidence interval.

Every rate is over all test examples: an unreadable answer counts as wrong, not as absent. A ratio with denominator 0 is
None, not 0 or 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.fields import KINDS
from erniekit_adapter.evaluation.answer_values import scored_name
from erniekit_adapter.evaluation.bootstrap import interval, ratio, ratios, resampled_totals, terms
from erniekit_adapter.metrics import METRICS, AnswerScore, Counts, total


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% bootstrap interval; None if the denominator is 0."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class FieldScore:
    """Precision, recall and F1 of one field, or of all fields of a kind; `support` is the number of expected values."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class VerdictCounts:
    """Detection of wrong documents, over the test examples whose expected answer has a verdict.

    Attributes:
        caught: wrong documents that the answer calls invalid.
        missed: wrong documents that the answer calls valid, or gives no verdict.
        false_alarms: valid documents that the answer calls invalid.
        passed: valid documents that the answer calls valid.
        silent: valid documents without a verdict in the answer.
        precision: caught / (caught + false_alarms).
        recall: caught / (caught + missed).
        agreement: (caught + passed) / sum of the five counts.
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
class Figures:
    """Figures of one system on one test set.

    Attributes:
        samples: number of scored test examples.
        estimates: the metrics with an interval, by name.
        constants: the metrics without an interval, by name.
        fields: figures by field and by column, sorted by name.
        kinds: figures of all fields and columns of a kind, in the order of the kinds; only those with values.
        verdicts: the answers' own verdicts compared with the expected ones; None if answers have no verdict.
    """

    samples: int
    estimates: Mapping[str, Estimate]
    constants: Mapping[str, float | None]
    fields: Mapping[str, FieldScore]
    kinds: Mapping[str, FieldScore]
    verdicts: VerdictCounts | None

    def as_json(self) -> dict[str, Any]:
        """Return the entries of `results.json` for this system: every metric under its name."""
        nested = asdict(self)
        return {**nested.pop("estimates"), **nested.pop("constants"), **nested}


def summarize(
    document_type: DocumentType, scores: Sequence[AnswerScore], *, seed: int = 0, resamples: int = 1000
) -> Figures:
    """Compute the figures of a test set.

    Args:
        document_type: the type of the documents.
        scores: one score for each test example.
        seed: seed of the bootstrap; the same seed gives the same intervals.
        resamples: number of test sets that the bootstrap draws.

    Raises:
        AdapterError: `scores` is empty, or `resamples` is below 1.
    """
    by_field = _by_field(scores)
    return Figures(
        samples=len(scores),
        estimates=_estimates(scores, seed, resamples),
        constants=_constants(scores),
        fields={name: _field_score(counts) for name, counts in sorted(by_field.items())},
        kinds=_by_kind(document_type, by_field),
        verdicts=_verdicts(scores) if document_type.verdict is not None else None,
    )


def _estimates(scores: Sequence[AnswerScore], seed: int, resamples: int) -> dict[str, Estimate]:
    import numpy as np

    columns = {name: terms(scores, metric) for name, metric in METRICS.items() if metric.interval == "bootstrap"}
    totals = resampled_totals(np.hstack(list(columns.values())), seed=seed, resamples=resamples)
    found = {}
    for index, (name, column) in enumerate(columns.items()):
        low, high = interval(ratios(totals[:, 2 * index : 2 * index + 2]))
        found[name] = Estimate(ratio(*column.sum(axis=0).tolist()), low, high)
    return found


def _constants(scores: Sequence[AnswerScore]) -> dict[str, float | None]:
    metrics = [metric for metric in METRICS.values() if metric.interval == "none"]
    return {metric.name: ratio(*terms(scores, metric).sum(axis=0).tolist()) for metric in metrics}


def _by_field(scores: Sequence[AnswerScore]) -> dict[str, Counts]:
    totals: dict[str, Counts] = {}
    for score in scores:
        for name, counts in score.fields.items():
            totals[name] = totals.get(name, Counts()) + counts
    return totals


def _by_kind(document_type: DocumentType, by_field: Mapping[str, Counts]) -> dict[str, FieldScore]:
    kind_of = {scored_name(path): field.kind for path, field in document_type.fields.items()}
    found = {kind: total(by_field[name] for name in by_field if kind_of[name] == kind) for kind in KINDS}
    return {kind: _field_score(counts) for kind, counts in found.items() if counts != Counts()}


def _field_score(counts: Counts) -> FieldScore:
    return FieldScore(
        precision=ratio(counts.true_positives, counts.predicted),
        recall=ratio(counts.true_positives, counts.support),
        f1=ratio(2 * counts.true_positives, counts.predicted + counts.support),
        support=counts.support,
    )


def _verdicts(scores: Sequence[AnswerScore]) -> VerdictCounts:
    of_wrong = [score.said_valid for score in scores if score.expected_valid is False]
    of_valid = [score.said_valid for score in scores if score.expected_valid is True]
    caught, false_alarms, passed = of_wrong.count(False), of_valid.count(False), of_valid.count(True)
    return VerdictCounts(
        caught=caught,
        missed=len(of_wrong) - caught,
        false_alarms=false_alarms,
        passed=passed,
        silent=of_valid.count(None),
        precision=ratio(caught, caught + false_alarms),
        recall=ratio(caught, len(of_wrong)),
        agreement=ratio(caught + passed, len(of_wrong) + len(of_valid)),
    )
