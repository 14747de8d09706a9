"""Scoring of one answer against the expected answer: JSON validity, rules, and correct, incorrect and missed values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

from pydantic import BaseModel

from erniekit_adapter.documents.invoice import rules
from erniekit_adapter.documents.invoice.answer import Answer, Charge, Discount, LineItem, Tax
from erniekit_adapter.documents.invoice.parsing import parse_answer
from erniekit_adapter.metrics import LINE_ITEMS, AnswerScore, Counts

Value = str | Decimal | date | bool
Cells = tuple[Value | None, ...]

_TAXES = "financial_summary.taxes"
_DISCOUNTS = "financial_summary.discounts"
_CHARGES = "financial_summary.charges"
_DOCUMENT_TYPE = "document_type"
_BLOCKS = ("vendor_block", "client_info", "financial_summary", "payment_terms")
# The model's confidence is not printed on the page, so it is not a field to score.
_UNSCORED = "confidence"
_COLUMNS = {
    table: tuple(name for name in part.model_fields if name != _UNSCORED)
    for table, part in ((LINE_ITEMS, LineItem), (_TAXES, Tax), (_DISCOUNTS, Discount), (_CHARGES, Charge))
}


def score_answer(expected: Answer, text: str, *, sample: str = "") -> AnswerScore:
    """Score the text of a model against the expected answer; never raises.

    Fields are compared by type after normalisation: amounts by value, dates as dates, text in NFKC with single blanks.
    A field that is absent on both sides is not counted; blank text is absent, 0 and false are values. If the text is
    not a valid answer, every expected field is missed.
    """
    parsed = parse_answer(text)
    answer = parsed.answer
    findings = rules.check(answer) if answer else ()
    expected_findings = rules.check(expected)
    verified = rules.arithmetic_validity(findings) if answer else None
    summary = answer.validation_summary if answer else None
    fields, rows_expected, rows_exact = _count_fields(expected, answer)
    return AnswerScore(
        sample=sample,
        strict_json=parsed.form == "strict",
        repaired_json=parsed.form == "repaired",
        schema_valid=answer is not None,
        rule_compliant=answer is not None and rules.validity(findings) is True,
        arithmetic_verified=verified is True,
        arithmetic_coverage=rules.arithmetic_coverage(findings) if answer else 0.0,
        math_flag_right=summary is not None and summary.math_verified == verified,
        expected_rule_compliant=rules.validity(expected_findings) is True,
        expected_arithmetic_verified=rules.arithmetic_validity(expected_findings) is True,
        fields=fields,
        rows_expected=rows_expected,
        rows_exact=rows_exact,
        document_exact=answer is not None and all(counts.is_exact for counts in fields.values()),
        said_valid=summary.is_valid if summary else None,
        expected_valid=expected.validation_summary.is_valid if expected.validation_summary else None,
    )


def _count_fields(expected: Answer, answer: Answer | None) -> tuple[dict[str, Counts], int, int]:
    """Return the counts by field and column, the number of expected line items, and of those that are exact."""
    counted: dict[str, Counts] = {}
    expected_fields, found_fields = _fields(expected), _fields(answer)
    for name in expected_fields.keys() | found_fields.keys():
        counted[name] = _compare(expected_fields.get(name), found_fields.get(name))
    rows_expected = rows_exact = 0
    expected_tables, found_tables = _tables(expected), _tables(answer)
    for table, columns in _COLUMNS.items():
        for row, found in _assign_rows(expected_tables[table], found_tables[table], len(columns)):
            for column, cell, found_cell in zip(columns, row, found, strict=True):
                if (counts := _compare(cell, found_cell)) != Counts():
                    name = f"{table}.{column}"
                    counted[name] = counted.get(name, Counts()) + counts
            rows_exact += table == LINE_ITEMS and row == found
        rows_expected += len(expected_tables[table]) if table == LINE_ITEMS else 0
    return dict(sorted(counted.items())), rows_expected, rows_exact


def _compare(expected: Value | None, found: Value | None) -> Counts:
    if expected == found:
        return Counts(true_positives=int(expected is not None))
    return Counts(0, int(found is not None), int(expected is not None))


def _fields(answer: Answer | None) -> dict[str, Value]:
    """Return the fields of an answer without its tables."""
    found: dict[str, Value] = {}
    if answer is None:
        return found
    # An answer without a type describes an invoice.
    if answer.structured_data.document_type not in (None, "invoice"):
        found[_DOCUMENT_TYPE] = answer.structured_data.document_type
    for block in _BLOCKS:
        for name, value in getattr(answer.structured_data, block) or ():
            path = f"{block}.{name}"
            if name != _UNSCORED and path not in _COLUMNS and (normal := _normalized(value)) is not None:
                found[path] = normal
    return found


def _tables(answer: Answer | None) -> dict[str, list[Cells]]:
    """Return the rows of an answer's tables, by table."""
    if answer is None:
        return {table: [] for table in _COLUMNS}
    return {
        LINE_ITEMS: _rows(answer.lines),
        _TAXES: _rows(answer.summary.taxes or []),
        _DISCOUNTS: _rows(answer.summary.discounts or []),
        _CHARGES: _rows(answer.summary.charges or []),
    }


def _rows(parts: Sequence[BaseModel]) -> list[Cells]:
    """Return the rows that are not empty, sorted: the order in the answer must not change a figure."""
    rows = [tuple(_normalized(value) for name, value in part if name != _UNSCORED) for part in parts]
    filled = [row for row in rows if any(cell is not None for cell in row)]
    return sorted(filled, key=lambda row: [(cell is not None, str(cell)) for cell in row])


def _normalized(value: object) -> Value | None:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).split()) or None
    if isinstance(value, Decimal):
        return value.normalize()
    if value is None or isinstance(value, (bool, date)):
        return value
    raise TypeError(f"cannot compare a field of type {type(value).__name__}")


def _assign_rows(expected: list[Cells], found: list[Cells], width: int) -> Iterator[tuple[Cells, Cells]]:
    """Yield expected and found rows, assigned so that the most cells agree (Kuhn, 1955).

    A row without a partner is yielded with an empty one. Among assignments with the same number of correct cells, the
    one with the most exact rows is taken.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    exact_weight = min(len(expected), len(found)) + 1
    gain = np.zeros((len(expected), len(found)), dtype=np.int64)
    for i, row in enumerate(expected):
        for j, other in enumerate(found):
            agreeing = sum(a is not None and a == b for a, b in zip(row, other, strict=True))
            gain[i, j] = agreeing * exact_weight + (row == other)
    chosen = linear_sum_assignment(gain, maximize=True)
    partner = dict(zip(chosen[0].tolist(), chosen[1].tolist(), strict=True))
    empty: Cells = (None,) * width
    for i, row in enumerate(expected):
        yield row, found[partner[i]] if i in partner else empty
    taken = set(partner.values())
    yield from ((empty, row) for j, row in enumerate(found) if j not in taken)
