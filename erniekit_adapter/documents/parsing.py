"""Parsing of a model's text as an answer; the result records whether the JSON had to be repaired."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.json_repair import repaired
from erniekit_adapter.documents.reasoning import cut_off

# Longer than any answer; it limits the time of a repair.
MAX_ANSWER_CHARACTERS = 200_000


@dataclass(frozen=True)
class ParsedAnswer:
    """Result of parsing a model's text.

    Attributes:
        form: `strict` if the text is JSON without repair; `repaired` if it became JSON after repair, including the
            removal of reasoning; `none` otherwise.
        value: the JSON object, or None.
        answer: the answer; None if `value` does not match the schema.
        problem: the reason for a missing `value` or `answer`; else empty.
        text: the parsed text: the model's text without its reasoning.
        reasoning: the reasoning before the answer.
    """

    form: Literal["strict", "repaired", "none"]
    value: dict[str, Any] | None
    answer: AnyAnswer | None
    problem: str = ""
    text: str = ""
    reasoning: str = ""


def parse_answer(document_type: DocumentType, text: str) -> ParsedAnswer:
    """Parse a model's text as an answer, without its reasoning; never raises."""
    answer, reasoning = cut_off(text)
    return replace(_parse(document_type, answer, was_cut=answer != text), text=answer, reasoning=reasoning)


def _parse(document_type: DocumentType, text: str, *, was_cut: bool) -> ParsedAnswer:
    if len(text) > MAX_ANSWER_CHARACTERS:
        return ParsedAnswer("none", None, None, f"longer than {MAX_ANSWER_CHARACTERS:,} characters")
    if was_cut and not text.strip():
        return ParsedAnswer("none", None, None, "reasoning without an answer after it")
    form: Literal["strict", "repaired"] = "repaired" if was_cut else "strict"
    try:
        value, reason = json_text.parse(text), ""
    except ValueError as error:
        value, form, reason = repaired(text), "repaired", str(error)
    if not isinstance(value, dict) or not value:
        return ParsedAnswer("none", None, None, reason or "JSON, but not an object")
    try:
        return ParsedAnswer(form, value, document_type.read(value))
    except ValueError as error:
        return ParsedAnswer(form, value, None, str(error))
