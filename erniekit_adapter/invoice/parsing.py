"""From the text that a model wrote to an answer, saying how much help that needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.answer import Answer, read_answer
from erniekit_adapter.invoice.reasoning import cut_off

# Longer than any answer; it bounds what a repair may cost.
MAX_ANSWER_CHARACTERS = 200_000

_CLOSING = {"{": "}", "[": "]"}


@dataclass(frozen=True)
class ParsedAnswer:
    """What became of a model's text.

    Attributes:
        form: strict when the text is JSON as it is, repaired when it became JSON with help, as without its reasoning,
            none otherwise.
        value: the JSON object; None when there is none.
        answer: the canonical answer; None when `value` is not of that shape.
        problem: why there is no value or no answer; empty when there is one.
        text: what was read: the model's text without its reasoning.
        reasoning: what was cut off before it.
    """

    form: Literal["strict", "repaired", "none"]
    value: dict[str, Any] | None
    answer: Answer | None
    problem: str = ""
    text: str = ""
    reasoning: str = ""


def parse_answer(text: str) -> ParsedAnswer:
    """Read a model's text as a canonical answer, without its reasoning; never raises."""
    answer, reasoning = cut_off(text)
    return replace(_parse(answer, was_cut=answer != text), text=answer, reasoning=reasoning)


def _parse(text: str, *, was_cut: bool) -> ParsedAnswer:
    if len(text) > MAX_ANSWER_CHARACTERS:
        return ParsedAnswer("none", None, None, f"longer than {MAX_ANSWER_CHARACTERS:,} characters")
    if was_cut and not text.strip():
        return ParsedAnswer("none", None, None, "reasoning without an answer behind it")
    form: Literal["strict", "repaired"] = "repaired" if was_cut else "strict"
    try:
        value, reason = jsontext.parse(text), ""
    except ValueError as error:
        value, form, reason = repaired(text), "repaired", str(error)
    if not isinstance(value, dict) or not value:
        return ParsedAnswer("none", None, None, reason or "JSON, but no object")
    try:
        return ParsedAnswer(form, value, read_answer(value))
    except ValueError as error:
        return ParsedAnswer(form, value, None, str(error))


def repaired(text: str) -> dict[str, Any] | None:
    """The longest JSON object in a text: out of prose or a code fence, without trailing commas, ended if cut.

    Numbers and texts stay as they were written; whatever was cut in half is dropped, never completed.
    """
    for segment in sorted(_objects(text), key=len, reverse=True):
        try:
            value = jsontext.parse(segment)
        except ValueError:
            continue
        if isinstance(value, dict) and value:
            return value
    return None


def _objects(text: str) -> Iterator[str]:
    """Each outermost `{…}` of a text, without trailing commas; one left open ends after its last whole value."""
    kept: list[str] = []
    brackets: list[str] = []
    whole = depth = 0  # how much of `kept` ends after a whole value, and how many brackets are open there
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
