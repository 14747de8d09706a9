"""Scoring of one answer against the expected answer: JSON validity, rules, and correct, incorrect and missed values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.parsing import parse_answer
from erniekit_adapter.evaluation.answer_values import (
    AnswerValues,
    TablePlace,
    Value,
    answer_places,
    answer_values,
)
from erniekit_adapter.evaluation.row_assignment import assign_rows
from erniekit_adapter.metrics import AnswerScore, Counts

_ABSENT, _CORRECT = Counts(), Counts(true_positives=1)
_INVENTED, _MISSED, _WRONG = Counts(0, 1, 0), Counts(0, 0, 1), Counts(0, 1, 1)


def score_answer(document_type: DocumentType, expected: AnyAnswer, text: str, *, sample: str = "") -> AnswerScore:
    """Score the text of a model against the expected answer of a document type; never raises.

    Fields are compared by type after normalisation: numbers by value, dates as dates, text in NFKC with single blanks.
    A field that is absent on both sides is not counted; blank text is absent, 0 and false are values. If the text is
    not a valid answer, every expected field is missed. A figure is None if the type has no rules or verdict for it.
    """
    parsed = parse_answer(document_type, text)
    answer, has_verdict = parsed.answer, document_type.verdict is not None
    found, truth = _computed(document_type, answer), _computed(document_type, expected)
    claimed = document_type.claimed_summary(answer) if answer is not None and has_verdict else None
    expected_claim = document_type.claimed_summary(expected) if has_verdict else None
    flag_right = claimed is not None and claimed.math_verified == found.sums
    tally = _tally(document_type, answer_values(document_type, expected), answer_values(document_type, answer))
    return AnswerScore(
        sample=sample,
        strict_json=parsed.form == "strict",
        repaired_json=parsed.form == "repaired",
        schema_valid=answer is not None,
        rule_compliant=found.is_compliant,
        arithmetic_verified=found.is_verified,
        arithmetic_coverage=found.coverage,
        math_flag_right=flag_right if has_verdict and document_type.rules.can_verify_sums else None,
        expected_rule_compliant=truth.is_compliant,
        expected_arithmetic_verified=truth.is_verified,
        fields=dict(sorted(tally.counted.items())),
        line_items=document_type.line_items,
        rows_expected=tally.rows_expected,
        rows_exact=tally.rows_exact,
        document_exact=answer is not None and all(counts.is_exact for counts in tally.counted.values()),
        said_valid=claimed.is_valid if claimed else None,
        expected_valid=expected_claim.is_valid if expected_claim else None,
    )


@dataclass(frozen=True)
class _Computed:
    """Results of the rules on an answer; None if the type has no rules for them.

    Attributes:
        is_compliant: every rule of level error passes.
        is_verified: the sums are correct.
        coverage: share of the arithmetic rules that had their operands.
        sums: result of the arithmetic rules, None if it is unknown.
    """

    is_compliant: bool | None
    is_verified: bool | None
    coverage: float | None
    sums: bool | None


def _computed(document_type: DocumentType, answer: AnyAnswer | None) -> _Computed:
    rules = document_type.rules
    findings = rules.check(answer) if answer is not None else ()
    is_valid = rules.validity(findings) is True if findings else False
    sums = rules.arithmetic_validity(findings) if findings else None
    return _Computed(
        is_compliant=is_valid if rules.can_judge else None,
        is_verified=sums is True if rules.can_verify_sums else None,
        coverage=rules.arithmetic_coverage(findings) if rules.counts_arithmetic else None,
        sums=sums,
    )


@dataclass
class _Tally:
    """Counts by field and column, the number of expected line items, and of those that are exact."""

    counted: dict[str, Counts] = field(default_factory=dict)
    rows_expected: int = 0
    rows_exact: int = 0

    def add(self, name: str, counts: Counts) -> None:
        if counts is not _ABSENT:
            self.counted[name] = self.counted[name] + counts if name in self.counted else counts


def _tally(document_type: DocumentType, expected: AnswerValues, found: AnswerValues) -> _Tally:
    tally = _Tally()
    for name in expected.fields.keys() | found.fields.keys():
        tally.add(name, _compare(expected.fields.get(name), found.fields.get(name)))
    for name in expected.lists.keys() | found.lists.keys():
        tally.add(name, _compare_lists(expected.lists.get(name, ()), found.lists.get(name, ())))
    for table in answer_places(document_type).tables:
        _add_table(tally, table, expected, found, is_line_items=table.path == document_type.line_items)
    return tally


def _add_table(
    tally: _Tally, table: TablePlace, expected: AnswerValues, found: AnswerValues, *, is_line_items: bool
) -> None:
    rows, found_rows = expected.tables.get(table.path, []), found.tables.get(table.path, [])
    exact = 0
    for row, other in assign_rows(rows, found_rows, len(table.columns)):
        for column, cell, found_cell in zip(table.columns, row, other, strict=True):
            tally.add(column.name, _compare(cell, found_cell))
        exact += row == other
    if is_line_items:
        tally.rows_expected, tally.rows_exact = len(rows), exact


def _compare(expected: Value | None, found: Value | None) -> Counts:
    if expected == found:
        return _ABSENT if expected is None else _CORRECT
    if expected is None:
        return _INVENTED
    return _MISSED if found is None else _WRONG


def _compare_lists(expected: Sequence[Value], found: Sequence[Value]) -> Counts:
    """Compare lists of values in any order; a value that occurs twice is expected twice."""
    correct = (Counter(expected) & Counter(found)).total()
    return Counts(correct, len(found) - correct, len(expected) - correct)
