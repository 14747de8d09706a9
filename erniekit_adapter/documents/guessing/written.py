"""Example answers in the notation of a document type: ISO dates, plain numbers, no missing values."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from erniekit_adapter.documents.fields import NUMBER_KINDS
from erniekit_adapter.documents.guessing.kinds import FieldGuess
from erniekit_adapter.documents.guessing.shape import AnswerShape, Part
from erniekit_adapter.documents.guessing.values import Notation, date_in, number_in
from erniekit_adapter.documents.money import parse_currency


class ExampleWriter:
    """Writes the content of examples as the document type has it.

    Attributes:
        lost: values that the kind of their field cannot have, by path; they are left out.
    """

    def __init__(self, root: Part, shape: AnswerShape, guesses: Mapping[str, FieldGuess], notation: Notation) -> None:
        self._root, self._shape, self._guesses, self._notation = root, shape, guesses, notation
        self.lost: dict[str, list[Any]] = {}

    def content(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the content of an example; keys without a value are left out."""
        found = self._written(self._root, value)
        return found if isinstance(found, dict) else {}

    def _written(self, part: Part, value: Any) -> Any:
        if part.path in self._shape.left_out or value in (None, "", [], {}):
            return None
        if isinstance(value, dict) and part.items is not None:
            value = [value]  # one row, written as an object
        if part.items is not None:
            rows = value if isinstance(value, list) else [value]
            return [row for item in rows if (row := self._written(part.items, item)) not in (None, {})] or None
        if isinstance(value, dict):
            by_key = {inner.key: (name, inner) for name, inner in part.parts.items()}
            pairs = ((*by_key[key], item) for key, item in value.items() if key in by_key)
            found = {name: self._written(inner, item) for name, inner, item in pairs}
            return {name: item for name, item in found.items() if item is not None} or None
        guess = self._guesses.get(part.path)
        return None if guess is None or isinstance(value, list) else self._value(guess, value)

    def _value(self, guess: FieldGuess, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            return None
        found: Any = value
        if guess.kind == "date":
            read = date_in(value, self._notation, is_compact_allowed=True)
            found = read.isoformat() if read else None
        elif guess.kind in NUMBER_KINDS:
            found = number_in(value, self._notation)
            if found is not None:
                text = format(found, "f")  # without an exponent
                found = text if guess.json_type == "string" else Decimal(text)
        elif guess.kind == "currency":
            found = _currency(str(value))
        elif guess.kind != "flag":
            found = str(value) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else value
            found = ("true" if value else "false") if isinstance(value, bool) else found
        if found is None:
            self.lost.setdefault(guess.path, []).append(value)
        return found


def _currency(text: str) -> str:
    try:
        return parse_currency(text)
    except ValueError:
        return text
