"""One answer held against the expected one: the JSON funnel, and values found right, wrong or missed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pydantic import BaseModel

from erniekit_adapter.invoice import rules
from erniekit_adapter.invoice.answer import Answer, Charge, Discount, LineItem, Tax
from erniekit_adapter.invoice.parsing import parse_answer

Value = str | Decimal | date | bool
Row = tuple[Value | None, ...]

LINE_ITEMS = "line_items"
_TAXES = "financial_summary.taxes"
_DISCOUNTS = "financial_summary.discounts"
_CHARGES = "financial_summary.charges"
_DOCUMENT_TYPE = "document_type"
_BLOCKS = ("vendor_block", "client_info", "financial_summary", "payment_terms")
# How sure the model says it is stands on no page: not a field to be found.
_UNSCORED = "confidence"
_COLUMNS = {
    table: tuple(name for name in part.model_fields if name != _UNSCORED)
    for table, part in ((LINE_ITEMS, LineItem), (_TAXES, Tax), (_DISCOUNTS, Discount), (_CHARGES, Charge))
}


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
        return total(counts for name, counts in self.fields.items() if not _is_line_cell(name))

    @property
    def line_cell_counts(self) -> Counts:
        """All cells of the line items together."""
        return total(counts for name, counts in self.fields.items() if _is_line_cell(name))


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
    verified = rules.arithmetic_validity(findings) if answer else None
    said = answer.validation_summary if answer else None
    fields, rows_expected, rows_exact = _count_fields(expected, answer)
    return SampleScore(
        sample=sample,
        strict_json=parsed.form == "strict",
        repaired_json=parsed.form == "repaired",
        schema_valid=answer is not None,
        rule_compliant=answer is not None and rules.validity(findings) is True,
        arithmetic_verified=verified is True,
        arithmetic_coverage=rules.arithmetic_coverage(findings) if answer else 0.0,
        math_flag_right=said is not None and said.math_verified == verified,
        expected_rule_compliant=rules.validity(expected_findings) is True,
        expected_arithmetic_verified=rules.arithmetic_validity(expected_findings) is True,
        fields=fields,
        rows_expected=rows_expected,
        rows_exact=rows_exact,
        document_exact=answer is not None and all(counts.is_exact for counts in fields.values()),
        said_valid=said.is_valid if said else None,
        expected_valid=expected.validation_summary.is_valid if expected.validation_summary else None,
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
    # An answer without a type is one of an invoice.
    if answer.structured_data.document_type not in (None, "invoice"):
        found[_DOCUMENT_TYPE] = answer.structured_data.document_type
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
        _CHARGES: _rows(answer.summary.charges or []),
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


def total(counts: Iterable[Counts]) -> Counts:
    """All counts together."""
    return sum(counts, Counts())
