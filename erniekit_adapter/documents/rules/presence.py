"""Rule kind `required`, and the condition `when` of every rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from erniekit_adapter.documents.rules.context import (
    Check,
    RuleContext,
    cells_at,
    first_rows,
    is_given,
    number_of,
    shown,
    value_at,
)
from erniekit_adapter.documents.verdict import Verdict, missing


def required_check(paths: Sequence[str]) -> Check:
    """Return the check that a document has values; of a column, in every row.

    A missing value is a failure only in a complete document: an answer can lack values that the page does not show.
    """

    def check(_: object, context: RuleContext) -> Verdict:
        absent = []
        for path in paths:
            cells = [(place, is_given(value)) for place, value in cells_at(context.content, path)]
            absent += [f"{place}{path}" for place, has_value in cells if not has_value] if cells else [path]
        if absent:
            return "fail" if context.complete else "not checkable", f"missing: {first_rows(absent)}"
        return "pass", ", ".join(paths)

    return check


@dataclass(frozen=True)
class Condition:
    """The condition of a rule: a field has a value, or a certain one.

    Attributes:
        path: the field.
        value: the value; None for any value.
    """

    path: str
    value: str | None = None

    def is_met_by(self, found: object) -> bool:
        """Return whether a given value meets the condition; numbers are compared by value."""
        if self.value is None:
            return True
        number = number_of(found)
        if number is None or isinstance(found, str):
            return (str(found).lower() if isinstance(found, bool) else str(found).strip()) == self.value
        try:
            return number == Decimal(self.value)
        except InvalidOperation:
            return False


def parse_condition(text: str) -> Condition:
    """Parse `field` or `field = value`.

    Raises:
        ValueError: the field or the value is empty.
    """
    path, equals, value = (part.strip() for part in text.partition("="))
    if not path or (equals and not value):
        raise ValueError(f"found {text[:80]!r}", "use when: field, or when: field = value")
    return Condition(path.strip("`"), value.strip("\"'") if equals else None)


def conditional(check: Check, condition: Condition) -> Check:
    """Return a check that applies only if a condition is met.

    A document with another value passes. Without the field it is unknown whether the rule applies: it is not checkable.
    """

    def checked(answer: object, context: RuleContext) -> Verdict:
        found = value_at(context.content, condition.path)
        if not is_given(found):
            return missing(condition.path)
        if not condition.is_met_by(found):
            return "pass", f"does not apply: {condition.path} is {shown(found)}"
        return check(answer, context)

    return checked
