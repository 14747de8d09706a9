"""Rule kind `equation`: two sides of a sum or product over fields are equal, as `formula` parses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from erniekit_adapter.documents.rules.context import (
    Check,
    RuleContext,
    cell_of,
    first_rows,
    number_of,
    rows_at,
    value_at,
)
from erniekit_adapter.documents.rules.formula import Equation, Term
from erniekit_adapter.documents.verdict import Verdict, missing

# Enough digits for a product of several amounts, so that no intermediate result is rounded.
_EXACT = Context(prec=120)


@dataclass
class _Evaluation:
    """One side of an equation on one document or row, and the operands that are missing or known.

    Attributes:
        content: the document.
        rows: the rows of the equation's table; empty without one.
        index: the row, from 0.
        percent: the fields that are written as 19 for 0.19.
        absent: fields without which the side has no value.
        unstated: fields that counted as 0, each with the sign of its influence on the side; 0 if it is unknown.
        known: number of fields that have a value.
    """

    content: Mapping[str, Any]
    rows: Sequence[Any]
    index: int
    percent: frozenset[str]
    absent: list[str] = field(default_factory=list)
    unstated: list[tuple[str, int]] = field(default_factory=list)
    known: int = 0

    def value(self, term: Term, sign: int = 1) -> Decimal | None:
        """Return the value of a term; None if one of its operands is missing."""
        if term.op == "number":
            return term.number
        if term.op == "column":
            return self._column(term, sign)
        if term.path:
            return self._operand(term, sign)
        sign = -sign if term.op == "-" else 0 if term.op == "*" else sign
        values = [self.value(part, sign) for part in term.parts]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        if term.op == "-":
            return known[0].copy_negate()
        total = known[0]
        for value in known[1:]:
            total = _EXACT.multiply(total, value) if term.op == "*" else _EXACT.add(total, value)
        return total

    def _operand(self, term: Term, sign: int) -> Decimal | None:
        found = self._number(term)
        if found is not None:
            self.known += 1
        elif term.is_optional:
            self.unstated.append((term.path, sign))
            return Decimal(0)
        else:
            self.absent.append(term.path)
        return found

    def _number(self, term: Term) -> Decimal | None:
        index = self.index - 1 if term.op == "previous" else self.index
        if index < 0:
            return self._number(term.parts[0]) if term.parts else None
        table, is_column, name = term.path.partition("[]")
        value = cell_of(self.rows[index], name) if is_column else value_at(self.content, table)
        number = self._fraction(number_of(value), term.path)
        return abs(number) if term.is_absolute and number is not None else number

    def _fraction(self, number: Decimal | None, path: str) -> Decimal | None:
        return number.scaleb(-2) if number is not None and path in self.percent else number

    def _column(self, term: Term, sign: int) -> Decimal | None:
        """Return the sum of a column; with `?`, the rows without a value count as 0."""
        table, _, name = term.path.partition("[]")
        cells = [number_of(cell_of(row, name)) for row in rows_at(self.content, table)]
        values = [value for cell in cells if (value := self._fraction(cell, term.path)) is not None]
        if len(values) < len(cells) or not cells:
            if not term.is_optional:
                self.absent.append(term.path)
                return None
            self.unstated.append((term.path, sign))
        self.known += len(values)
        return sum(values, Decimal(0))


def equation_check(
    equations: Sequence[Equation], tolerance_minor_units: Decimal, percent: frozenset[str] = frozenset()
) -> Check:
    """Return the check that an equation is true, or one of several; its sides may differ by a tolerance.

    Args:
        equations: the equation, or the forms that documents use, such as a tax on the prices and a tax in them; all are
            about the rows of the same table, or none is.
        tolerance_minor_units: largest difference in minor units of the document's currency.
        percent: fields of rates that are written as 19 for 0.19.
    """

    def check(_: object, context: RuleContext) -> Verdict:
        tolerance = tolerance_minor_units * context.unit
        if equations[0].table is None:
            return _compare_all(equations, context, _Sides((), 0, percent), tolerance)
        rows = rows_at(context.content, equations[0].table)
        sides = (_Sides(rows, index, percent) for index in range(len(rows)))
        return _of_rows([_compare_all(equations, context, each, tolerance) for each in sides], equations[0])

    return check


@dataclass(frozen=True)
class _Sides:
    """The row for which both sides are computed, as in `_Evaluation`."""

    rows: Sequence[Any]
    index: int
    percent: frozenset[str]

    def of(self, content: Mapping[str, Any], side: Term) -> tuple[Decimal | None, _Evaluation]:
        """Return the value of a side, and its evaluation."""
        evaluation = _Evaluation(content, self.rows, self.index, self.percent)
        return evaluation.value(side), evaluation


def _of_rows(verdicts: Sequence[Verdict], equation: Equation) -> Verdict:
    failed = [f"row {number}: {detail}" for number, (status, detail) in enumerate(verdicts, 1) if status == "fail"]
    if failed:
        return "fail", first_rows(failed)
    checked = sum(status == "pass" for status, _ in verdicts)
    if not checked:
        return missing(f"a row with {', '.join(equation.paths)}")
    skipped = len(verdicts) - checked
    return "pass", f"{checked} rows" + (f", {skipped} not checkable" if skipped else "")


def _compare_all(equations: Sequence[Equation], context: RuleContext, sides: _Sides, tolerance: Decimal) -> Verdict:
    """Return the verdict of the first equation that passes; without one, a failure only if every equation fails."""
    found: Verdict | None = None
    for equation in equations:
        verdict = _compare(equation, context, sides, tolerance)
        if verdict[0] == "pass":
            return verdict
        if found is None or (found[0] == "fail" and verdict[0] != "fail"):
            found = verdict
    return found or missing()


def _compare(equation: Equation, context: RuleContext, sides: _Sides, tolerance: Decimal) -> Verdict:
    left, on_left = sides.of(context.content, equation.left)
    right, on_right = sides.of(context.content, equation.right)
    if left is None or right is None:
        return missing(*dict.fromkeys(on_left.absent + on_right.absent))
    unstated = [path for path, _ in on_left.unstated + on_right.unstated]
    if not context.complete and unstated and not _is_known(on_left, on_right):
        return missing(*dict.fromkeys(unstated))
    difference = _EXACT.subtract(left, right)
    if abs(difference) > tolerance and context.may_lack_values and abs(difference) <= max(abs(left), abs(right)) / 2:
        # A value that the answer does not list can explain a difference in its direction, if it is not too large.
        direction = 1 if difference > 0 else -1
        unstated = [path for path, sign in on_right.unstated if sign in (0, direction)]
        unstated += [path for path, sign in on_left.unstated if sign in (0, -direction)]
        if unstated:
            missed = " or ".join(dict.fromkeys(unstated))
            return (
                "not checkable",
                f"{equation.left_text} {_plain(left)} is not {_plain(right)}: {missed} may be missing",
            )
    sign = "≠" if abs(difference) > tolerance else "≈" if difference else "="
    detail = f"{equation.left_text} {_plain(left)} {sign} {equation.right_text} {_plain(right)}"
    return "fail" if sign == "≠" else "pass", detail


def _is_known(*sides: _Evaluation) -> bool:
    """Return whether each side that has fields has the value of one: 0 for all of them is a guess."""
    return all(side.known or not side.unstated for side in sides)


def _plain(number: Decimal) -> str:
    return f"{number:f}"
