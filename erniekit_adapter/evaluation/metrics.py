"""How well answers match what was expected: one sample's score, and the figures of a whole test set.

Every rate is over all samples: an answer that cannot be read counts as wrong, never as absent. Every figure is a ratio
of two sums over samples, so one bootstrap serves them all; a ratio whose denominator is 0 is None, neither 0 nor 1.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import BaseModel

from erniekit_adapter.errors import fail
from erniekit_adapter.invoice import rules
from erniekit_adapter.invoice.answer import Answer, Discount, LineItem, Tax
from erniekit_adapter.invoice.parsing import parse_answer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = str | Decimal | date | bool
Row = tuple[Value | None, ...]

LINE_ITEMS = "line_items"
_TAXES = "financial_summary.taxes"
_DISCOUNTS = "financial_summary.discounts"
_BLOCKS = ("vendor_block", "client_info", "financial_summary", "payment_terms")
# How sure the model says it is stands on no page: not a field to be found.
_UNSCORED = "confidence"
_COLUMNS = {
    table: tuple(name for name in part.model_fields if name != _UNSCORED)
    for table, part in ((LINE_ITEMS, LineItem), (_TAXES, Tax), (_DISCOUNTS, Discount))
}
_INTERVAL_PERCENT = (2.5, 97.5)


@dataclass(frozen=True)
class Counts:
    """Values found right, found wrong, and missed; a wrong value is both found wrong and missed."""

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
        """Whether nothing is wrong and nothing is missed."""
        return self.false_positives == self.false_negatives == 0


@dataclass(frozen=True)
class SampleScore:
    """One answer held against the expected one.

    Attributes:
        sample: the sample's id, by which two systems are paired; empty where it has none.
        strict_json: the text is JSON as it is.
        repaired_json: the text became JSON with help; never together with `strict_json`.
        schema_valid: the JSON, repaired or not, is a canonical answer.
        rule_compliant: the answer's own numbers keep the rules of level error.
        arithmetic_verified: the answer's totals, recomputed, add up.
        arithmetic_coverage: share of arithmetic rules that had all their operands, from 0 to 1.
        math_flag_right: the answer's `math_verified` says what the recomputation says.
        expected_rule_compliant, expected_arithmetic_verified: the same of the expected answer: on an invoice that is
            itself wrong, a faithful answer is not compliant.
        fields: counts by field (`vendor_block.name`) and by column of a table (`line_items.total`).
        rows_expected, rows_exact: line items expected, and those of them found with every cell right.
        document_exact: every field and every row is right and nothing was added.
        said_valid: the answer's `is_valid`; None where it gives no verdict.
        expected_valid: the expected `is_valid`, the truth; None where there is none.
    """

    sample: str
    strict_json: bool
    repaired_json: bool
    schema_valid: bool
    rule_compliant: bool
    arithmetic_verified: bool
    arithmetic_coverage: float
    math_flag_right: bool
    expected_rule_compliant: bool
    expected_arithmetic_verified: bool
    fields: Mapping[str, Counts]
    rows_expected: int
    rows_exact: int
    document_exact: bool
    said_valid: bool | None
    expected_valid: bool | None

    @property
    def field_counts(self) -> Counts:
        """All fields together, tax and discount cells among them; line items are counted apart."""
        return _total(counts for name, counts in self.fields.items() if not _is_line_cell(name))

    @property
    def line_cell_counts(self) -> Counts:
        """All cells of the line items together."""
        return _total(counts for name, counts in self.fields.items() if _is_line_cell(name))


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


def score_sample(expected: Answer, text: str, *, sample: str = "") -> SampleScore:
    """Score the text that a model wrote against the expected answer; no text makes it raise.

    Fields are compared typed and normalised: amounts by value, dates as dates, text in NFKC with folded white space.
    A field absent on both sides counts for nothing; blank text is absent, 0 and false are values. Where the text gives
    no canonical answer, every expected field is missed.
    """
    parsed = parse_answer(text)
    answer = parsed.answer
    findings = rules.check(answer) if answer else ()
    expected_findings = rules.check(expected)
    verified = answer is not None and rules.is_arithmetic_verified(findings)
    said = answer.validation_summary if answer else None
    fields, rows_expected, rows_exact = _count_fields(expected, answer)
    return SampleScore(
        sample=sample,
        strict_json=parsed.form == "strict",
        repaired_json=parsed.form == "repaired",
        schema_valid=answer is not None,
        rule_compliant=answer is not None and rules.is_compliant(findings),
        arithmetic_verified=verified,
        arithmetic_coverage=rules.arithmetic_coverage(findings) if answer else 0.0,
        math_flag_right=said is not None and said.math_verified == verified,
        expected_rule_compliant=rules.is_compliant(expected_findings),
        expected_arithmetic_verified=rules.is_arithmetic_verified(expected_findings),
        fields=fields,
        rows_expected=rows_expected,
        rows_exact=rows_exact,
        document_exact=answer is not None and all(counts.is_exact for counts in fields.values()),
        said_valid=said.is_valid if said else None,
        expected_valid=expected.validation_summary.is_valid if expected.validation_summary else None,
    )


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


def _count_fields(expected: Answer, answer: Answer | None) -> tuple[dict[str, Counts], int, int]:
    """The counts by field and column, how many line items were expected, and how many are exactly right."""
    tally: dict[str, Counts] = {}
    expected_fields, found_fields = _fields(expected), _fields(answer)
    for name in expected_fields.keys() | found_fields.keys():
        tally[name] = _compare(expected_fields.get(name), found_fields.get(name))
    rows_expected = rows_exact = 0
    expected_tables, found_tables = _tables(expected), _tables(answer)
    for table, columns in _COLUMNS.items():
        for wanted, found in _pair_rows(expected_tables[table], found_tables[table], len(columns)):
            for column, wanted_cell, found_cell in zip(columns, wanted, found, strict=True):
                if (counts := _compare(wanted_cell, found_cell)) != Counts():
                    name = f"{table}.{column}"
                    tally[name] = tally.get(name, Counts()) + counts
            rows_exact += table == LINE_ITEMS and wanted == found
        rows_expected += len(expected_tables[table]) if table == LINE_ITEMS else 0
    return dict(sorted(tally.items())), rows_expected, rows_exact


def _compare(expected: Value | None, found: Value | None) -> Counts:
    if expected == found:
        return Counts(true_positives=int(expected is not None))
    return Counts(0, int(found is not None), int(expected is not None))


def _fields(answer: Answer | None) -> dict[str, Value]:
    """The fields that an answer gives, without its tables."""
    found: dict[str, Value] = {}
    if answer is None:
        return found
    for block in _BLOCKS:
        for name, value in getattr(answer.structured_data, block) or ():
            path = f"{block}.{name}"
            if name != _UNSCORED and path not in _COLUMNS and (normal := _normal(value)) is not None:
                found[path] = normal
    return found


def _tables(answer: Answer | None) -> dict[str, list[Row]]:
    """The rows of an answer's tables, by table."""
    if answer is None:
        return {table: [] for table in _COLUMNS}
    return {
        LINE_ITEMS: _rows(answer.lines),
        _TAXES: _rows(answer.summary.taxes or []),
        _DISCOUNTS: _rows(answer.summary.discounts or []),
    }


def _rows(parts: Sequence[BaseModel]) -> list[Row]:
    """The rows that hold anything, sorted, so that the order in which a model lists them changes no figure."""
    rows = [tuple(_normal(value) for name, value in part if name != _UNSCORED) for part in parts]
    held = [row for row in rows if any(cell is not None for cell in row)]
    return sorted(held, key=lambda row: [(cell is not None, str(cell)) for cell in row])


def _normal(value: object) -> Value | None:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).split()) or None
    if isinstance(value, Decimal):
        return value.normalize()
    if value is None or isinstance(value, (bool, date)):
        return value
    raise TypeError(f"no way to compare a field of type {type(value).__name__}")


def _pair_rows(expected: list[Row], found: list[Row], width: int) -> Iterator[tuple[Row, Row]]:
    """Pair rows so that the most cells agree (Kuhn, 1955); a row without a partner gets an empty one.

    Among pairings with equally many right cells, the one with the most rows exactly right is taken.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    exact_weight = min(len(expected), len(found)) + 1
    gain = np.zeros((len(expected), len(found)), dtype=np.int64)
    for i, wanted in enumerate(expected):
        for j, row in enumerate(found):
            agreeing = sum(a is not None and a == b for a, b in zip(wanted, row, strict=True))
            gain[i, j] = agreeing * exact_weight + (wanted == row)
    chosen = linear_sum_assignment(gain, maximize=True)
    partner = dict(zip(chosen[0].tolist(), chosen[1].tolist(), strict=True))
    empty: Row = (None,) * width
    for i, wanted in enumerate(expected):
        yield wanted, found[partner[i]] if i in partner else empty
    taken = set(partner.values())
    yield from ((empty, row) for j, row in enumerate(found) if j not in taken)


def _is_line_cell(name: str) -> bool:
    return name.startswith(f"{LINE_ITEMS}.")


def _total(counts: Iterable[Counts]) -> Counts:
    return sum(counts, Counts())


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
