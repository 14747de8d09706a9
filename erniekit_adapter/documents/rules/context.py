"""Context that the declared rules of a document type share for one document, and access to its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from erniekit_adapter.documents.money import minor_unit
from erniekit_adapter.documents.verdict import Verdict

_MAX_NAMED_ROWS = 3
_MAX_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class RuleContext:
    """One document, as declared rules see it.

    Attributes:
        content: the content as JSON: amounts are Decimal, dates ISO text.
        complete: whether the answer has every field of the document.
        as_given: whether the answer itself is checked, not a document that it describes.
        unit: the smallest amount of the document's currency, 0.01 if it is unknown.
    """

    content: Mapping[str, Any]
    complete: bool
    as_given: bool
    unit: Decimal

    @property
    def may_lack_values(self) -> bool:
        """True if the document may have values that the content does not list."""
        return not (self.complete or self.as_given)


def context_maker(
    content_of: Callable[[Any], Mapping[str, Any]], currency_path: str | None
) -> Callable[[Any, bool, bool], RuleContext]:
    """Return the `prepare` of a rule set.

    Args:
        content_of: returns the content of an answer as JSON.
        currency_path: field with the currency of all amounts; None without one.
    """

    def prepare(answer: Any, complete: bool, as_given: bool) -> RuleContext:
        content = content_of(answer)
        currency = value_at(content, currency_path) if currency_path else None
        return RuleContext(content, complete, as_given, minor_unit(currency if isinstance(currency, str) else None))

    return prepare


def value_at(content: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path outside of lists, `vendor.name`; None if a key is missing."""
    found: Any = content
    for key in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def rows_at(content: Mapping[str, Any], table: str) -> list[Any]:
    """Return the rows of a table; empty if it is missing."""
    found = value_at(content, table)
    return found if isinstance(found, list) else []


def cells_at(content: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Yield each value of a field with its place: `` for a single value, `row 2: ` for a value of a column."""
    table, is_column, name = path.partition("[]")
    if not is_column:
        yield "", value_at(content, path)
        return
    for number, row in enumerate(rows_at(content, table), start=1):
        yield f"row {number}: ", cell_of(row, name)


def cell_of(row: Any, name: str) -> Any:
    """Return the value of a row at `.total`, or the row itself if the name is empty."""
    return value_at(row, name.removeprefix(".")) if name else row


def is_given(value: object) -> bool:
    """Return whether a value is present; blank text, an empty list and an empty object are not."""
    return bool(value.strip()) if isinstance(value, str) else value not in (None, [], {})


def shown(value: object) -> str:
    """Return a value for a detail: short, on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def first_rows(details: list[str]) -> str:
    """Return the details of some rows in one text: the first three, and the number of the others."""
    more = f"; {len(details) - _MAX_NAMED_ROWS} more" if len(details) > _MAX_NAMED_ROWS else ""
    return "; ".join(details[:_MAX_NAMED_ROWS]) + more


Check = Callable[[object, RuleContext], Verdict]


def values_at(content: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Yield the values of a field, of each row if it is a column; missing ones are left out."""
    return (value for _, value in cells_at(content, path) if value is not None)


def number_of(value: object) -> Decimal | None:
    """Return a number of a content, also one that is written as text; None for other values."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    if isinstance(value, str):
        try:
            number = Decimal(value)
        except ArithmeticError:
            return None
        return number if number.is_finite() else None
    return None
