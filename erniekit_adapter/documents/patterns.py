"""Regular expressions from the files of a team, matched in linear time.

Python's `re` can take exponential time for a pattern such as `(a+)+$`. The engine of pydantic, a crate of Rust, cannot:
it has no look-around and no back-references, and limits the size of a pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

MAX_PATTERN_CHARACTERS = 500
MAX_MATCHED_CHARACTERS = 2000


@dataclass(frozen=True)
class Pattern:
    """A regular expression that is searched in a text, as JSON Schema does; `^` and `$` bind it to the whole text."""

    text: str
    adapter: TypeAdapter[str]

    def matches(self, value: str) -> bool:
        """Return whether a text of at most 2,000 characters has a match; longer texts have none."""
        if len(value) > MAX_MATCHED_CHARACTERS:
            return False
        try:
            self.adapter.validate_python(value)
        except ValidationError:
            return False
        return True


def read_pattern(text: str) -> Pattern:
    """Compile a pattern.

    Raises:
        ValueError: not a regular expression, too long, or with parts that the engine does not have; with a hint.
    """
    if not text or len(text) > MAX_PATTERN_CHARACTERS:
        raise ValueError(f"has {len(text)} characters", f"use 1 to {MAX_PATTERN_CHARACTERS}")
    try:
        return Pattern(text, TypeAdapter(Annotated[str, StringConstraints(pattern=text)]))
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("error: ").strip()[:200]
        raise ValueError(
            f"not a pattern: {reason}", "use a regular expression without look-around and back-references"
        ) from error
