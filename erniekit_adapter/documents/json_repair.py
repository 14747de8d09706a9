"""Repair of JSON that a model wrote: extraction from prose or a code fence, trailing commas, truncated ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from erniekit_adapter.documents import json_text

_CLOSING = {"{": "}", "[": "]"}


def repaired(text: str) -> dict[str, Any] | None:
    """Return the longest JSON object in a text, or None.

    The object may be inside prose or a code fence, have trailing commas, or be truncated. Numbers and strings keep
    their characters; a truncated value is dropped, never completed.
    """
    for segment in sorted(_objects(text), key=len, reverse=True):
        try:
            value = json_text.parse(segment)
        except ValueError:
            continue
        if isinstance(value, dict) and value:
            return value
    return None


def _objects(text: str) -> Iterator[str]:
    """Yield each outermost `{…}` of a text without trailing commas; close an open one after its last whole value."""
    kept: list[str] = []
    brackets: list[str] = []
    whole = depth = 0  # length of `kept` up to the last whole value, and the number of brackets that are open there
    in_text = escaped = False
    for character in text:
        if not brackets and character != "{":
            continue
        if in_text:
            in_text = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_text = True
        elif character in "{[":
            brackets.append(character)
        elif character in "}]":
            _drop_trailing_comma(kept)
            if _CLOSING[brackets.pop()] != character:
                kept, brackets = [], []
                continue
        elif character == ",":
            whole, depth = len(kept), len(brackets)
        kept.append(character)
        if not in_text and character in "{[}]":
            whole, depth = len(kept), len(brackets)
        if not brackets:
            yield "".join(kept)
            kept = []
    if brackets:
        yield "".join(kept[:whole]) + "".join(_CLOSING[bracket] for bracket in reversed(brackets[:depth]))


def _drop_trailing_comma(kept: list[str]) -> None:
    position = len(kept)
    while position and kept[position - 1].isspace():
        position -= 1
    if position and kept[position - 1] == ",":
        del kept[position - 1]
