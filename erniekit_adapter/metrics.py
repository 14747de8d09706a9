"""The metric registry: every figure of an evaluation is one entry of `METRICS`.

A metric is a ratio of two sums over the scored answers of a test set, so one bootstrap serves all metrics. To add a
metric, add an entry here and its row to the table in docs/evaluation.md. Results, comparison, summary, model card and
sweep table read the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Counts:
    """Numbers of correct, incorrect and missed values; an incorrect value is a false positive and a false negative."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )

    @property
    def is_exact(self) -> bool:
        """True if there are neither false positives nor false negatives."""
        return self.false_positives == self.false_negatives == 0

    @property
    def predicted(self) -> int:
        """Number of values in the answer."""
        return self.true_positives + self.false_positives

    @property
    def support(self) -> int:
        """Number of expected values."""
        return self.true_positives + self.false_negatives


@dataclass(frozen=True)
class AnswerScore:
    """Score of one answer against the expected answer.

    Attributes:
        sample: id of the test example, which pairs the scores of two systems; empty if it has none.
        strict_json: the text is valid JSON without repair.
        repaired_json: the text became valid JSON after repair; never together with `strict_json`.
        schema_valid: the JSON, repaired or not, matches the schema of an answer.
        rule_compliant: the answer's own values pass every rule of level error; None without such rules.
        arithmetic_verified: the answer's totals agree with the recomputed ones; None without rules on sums.
        arithmetic_coverage: share of the arithmetic rules whose operands are all present, from 0 to 1; None without
            arithmetic rules.
        math_flag_right: the answer's `math_verified` equals the recomputed result; None if answers of this document
            type have no verdict, or no rules on sums.
        expected_rule_compliant, expected_arithmetic_verified: the same for the expected answer. If the document itself
            is wrong, a faithful answer is not compliant.
        fields: counts by field (`vendor_block.name`) and by column of a table (`line_items.total`).
        line_items: path of the table of line items; None without tables.
        rows_expected, rows_exact: number of expected line items, and of those with every cell correct.
        document_exact: every field and every row is correct and nothing was added.
        said_valid: the answer's `is_valid`; None if the answer has no verdict.
        expected_valid: the expected `is_valid`; None if the expected answer has no verdict.
    """

    sample: str
    strict_json: bool
    repaired_json: bool
    schema_valid: bool
    rule_compliant: bool | None
    arithmetic_verified: bool | None
    arithmetic_coverage: float | None
    math_flag_right: bool | None
    expected_rule_compliant: bool | None
    expected_arithmetic_verified: bool | None
    fields: Mapping[str, Counts]
    line_items: str | None
    rows_expected: int
    rows_exact: int
    document_exact: bool
    said_valid: bool | None
    expected_valid: bool | None

    @property
    def field_counts(self) -> Counts:
        """Sum over all fields, including the cells of other tables; without line items."""
        return total(counts for name, counts in self.fields.items() if not self._is_line_cell(name))

    @property
    def line_cell_counts(self) -> Counts:
        """Sum over all cells of the line items."""
        return total(counts for name, counts in self.fields.items() if self._is_line_cell(name))

    def _is_line_cell(self, name: str) -> bool:
        return self.line_items is not None and name.startswith(f"{self.line_items}.")


# A term of a ratio: the contribution of one answer to the numerator or to the denominator.
Term = Callable[[AnswerScore], float]
# A fact about one answer; None if its document type has no rules or no verdict for it.
Fact = Callable[[AnswerScore], float | None]


@dataclass(frozen=True)
class Metric:
    """Definition of a metric: the sum of `numerator` over all answers, divided by the sum of `denominator`.

    Attributes:
        name: key in `results.json`.
        label: name in tables and in the model card.
        meaning: the ratio in words, for the documentation.
        numerator, denominator: contributions of one answer.
        interval: `bootstrap` for a 95% percentile interval; `none` for a property of the test set.
        is_compared: whether base and tuned model are compared.
        is_shown: whether the summary and the model card show the metric; it must be compared.
        better: the direction of an improvement.
    """

    name: str
    label: str
    meaning: str
    numerator: Term
    denominator: Term
    interval: Literal["bootstrap", "none"] = "bootstrap"
    is_compared: bool = False
    is_shown: bool = False
    better: Literal["higher", "lower"] = "higher"


def _one(_: AnswerScore) -> float:
    return 1


def _value(fact: Fact) -> Term:
    """Return the numerator of a rate whose fact can be unknown."""
    return lambda score: fact(score) or 0


def _known(fact: Fact) -> Term:
    """Return the denominator of a rate: 1 if the fact is known, 0 if the document type does not have it."""
    return lambda score: fact(score) is not None


def _twice_correct(counts: Counts) -> float:
    """Return the numerator of F1 = 2TP / (2TP + FP + FN), the harmonic mean of precision and recall."""
    return 2 * counts.true_positives


def _predicted_and_expected(counts: Counts) -> float:
    """Return the denominator of F1, 2TP + FP + FN (van Rijsbergen, 1979)."""
    return counts.predicted + counts.support


_REGISTERED = (
    Metric(
        "strict_json",
        "JSON validity",
        "answers that are valid JSON without repair / answers",
        lambda score: score.strict_json,
        _one,
        is_compared=True,
        is_shown=True,
    ),
    Metric(
        "schema_valid",
        "schema valid",
        "answers that match the schema, repaired or not / answers",
        lambda score: score.schema_valid,
        _one,
        is_compared=True,
        is_shown=True,
    ),
    Metric(
        "field_f1",
        "field F1",
        "2 × correct fields / (fields in answers + expected fields)",
        lambda score: _twice_correct(score.field_counts),
        lambda score: _predicted_and_expected(score.field_counts),
        is_compared=True,
        is_shown=True,
    ),
    Metric(
        "line_item_f1",
        "line item F1",
        "2 × correct cells / (cells in answers + expected cells), after the best assignment of rows",
        lambda score: _twice_correct(score.line_cell_counts),
        lambda score: _predicted_and_expected(score.line_cell_counts),
        is_compared=True,
        is_shown=True,
    ),
    Metric(
        "rule_compliant",
        "rule compliance",
        "answers whose own values pass every rule of level error / answers",
        _value(lambda score: score.rule_compliant),
        _known(lambda score: score.rule_compliant),
        is_compared=True,
        is_shown=True,
    ),
    Metric(
        "arithmetic_verified",
        "arithmetic rate",
        "answers whose totals agree with the recomputed ones / answers",
        _value(lambda score: score.arithmetic_verified),
        _known(lambda score: score.arithmetic_verified),
        is_compared=True,
        is_shown=True,
    ),
    Metric(
        "document_exact",
        "exact documents",
        "answers with every value correct and none added / answers",
        lambda score: score.document_exact,
        _one,
        is_compared=True,
    ),
    Metric(
        "repaired_json",
        "repaired JSON",
        "answers that became valid JSON after repair / answers",
        lambda score: score.repaired_json,
        _one,
        better="lower",
    ),
    Metric(
        "field_precision",
        "field precision",
        "correct fields / fields in answers",
        lambda score: score.field_counts.true_positives,
        lambda score: score.field_counts.predicted,
    ),
    Metric(
        "field_recall",
        "field recall",
        "correct fields / expected fields",
        lambda score: score.field_counts.true_positives,
        lambda score: score.field_counts.support,
    ),
    Metric(
        "row_exact",
        "exact line items",
        "expected line items found with every cell correct / expected line items",
        lambda score: score.rows_exact,
        lambda score: score.rows_expected,
    ),
    Metric(
        "arithmetic_coverage",
        "arithmetic coverage",
        "sum of the shares of arithmetic rules with all operands / answers",
        _value(lambda score: score.arithmetic_coverage),
        _known(lambda score: score.arithmetic_coverage),
    ),
    Metric(
        "math_flag_right",
        "correct `math_verified`",
        "answers whose `math_verified` equals the recomputed result / answers",
        _value(lambda score: score.math_flag_right),
        _known(lambda score: score.math_flag_right),
    ),
    Metric(
        "expected_rule_compliant",
        "rule compliance of the truth",
        "expected answers that pass every rule of level error / test examples",
        _value(lambda score: score.expected_rule_compliant),
        _known(lambda score: score.expected_rule_compliant),
        interval="none",
    ),
    Metric(
        "expected_arithmetic_verified",
        "arithmetic rate of the truth",
        "expected answers whose totals agree with the recomputed ones / test examples",
        _value(lambda score: score.expected_arithmetic_verified),
        _known(lambda score: score.expected_arithmetic_verified),
        interval="none",
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _REGISTERED}


def compared_metrics() -> tuple[Metric, ...]:
    """Return the metrics for which base and tuned model are compared."""
    return tuple(metric for metric in METRICS.values() if metric.is_compared)


def shown_metrics() -> tuple[Metric, ...]:
    """Return the metrics of the summary and the model card, in their order."""
    return tuple(metric for metric in METRICS.values() if metric.is_shown)


def total(counts: Iterable[Counts]) -> Counts:
    """Return the sum of the counts."""
    return sum(counts, Counts())
