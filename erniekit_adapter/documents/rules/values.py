"""Rule kinds on single values, or on each value of a column: `values`, `pattern` and `checksum`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from erniekit_adapter.documents.patterns import Pattern
from erniekit_adapter.documents.rules.checksums import MAX_NUMBER_CHARACTERS, checksum_problem, is_masked
from erniekit_adapter.documents.rules.context import (
    Check,
    RuleContext,
    cells_at,
    first_rows,
    is_given,
    number_of,
    shown,
)
from erniekit_adapter.documents.verdict import Verdict, missing

# Returns the reason why a value is wrong; None if it is right.
ValueProblem = Callable[[Any], str | None]


def value_check(path: str, problem_of: ValueProblem, *, with_masks: bool = True) -> Check:
    """Return the check that every given value of a field is right; missing values are skipped.

    Without `with_masks`, values with hidden characters, such as DE89 **** 1234, are skipped too.
    """

    def check(_: object, context: RuleContext) -> Verdict:
        cells = [(place, value) for place, value in cells_at(context.content, path) if is_given(value)]
        if not with_masks and (shown_whole := [cell for cell in cells if not is_masked(str(cell[1]))]) != cells:
            if not shown_whole:
                return "not checkable", f"{path} is masked"
            cells = shown_whole
        wrong = [
            f"{place}{path} {shown(value)!r} {problem}" for place, value in cells if (problem := problem_of(value))
        ]
        if wrong:
            return "fail", first_rows(wrong)
        if not cells:
            return missing(path)
        return "pass", f"{len(cells)} rows" if "[]" in path else f"{path} {shown(cells[0][1])}"

    return check


def values_problem(values: Sequence[str | int | float | bool], *, of_numbers: bool) -> ValueProblem:
    """Return the check of one value against a list; numbers are compared by value, so that 0.1 is 0.10."""
    listed = ", ".join(map(str, values[:10])) + (f" and {len(values) - 10} more" if len(values) > 10 else "")
    if of_numbers:
        numbers = frozenset(Decimal(str(value)) for value in values)
        return lambda value: None if number_of(value) in numbers else f"is not one of {listed}"
    texts = frozenset(map(_as_text, values))
    return lambda value: None if _as_text(value) in texts else f"is not one of {listed}"


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def pattern_problem(pattern: Pattern) -> ValueProblem:
    """Return the check of one text against a pattern."""
    return lambda value: None if pattern.matches(str(value)) else f"does not match {pattern.text}"


def checksum_of(name: str) -> ValueProblem:
    """Return the check of one number against a format with check digits.

    Raises:
        ValueError: no such format; with a hint.
    """
    problem = checksum_problem(name)

    def problem_of(value: Any) -> str | None:
        text = str(value).strip()
        if len(text) > MAX_NUMBER_CHARACTERS:
            return f"has more than {MAX_NUMBER_CHARACTERS} characters"
        return f"{found} ({name})" if (found := problem(text)) else None

    return problem_of
