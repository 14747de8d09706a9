"""Cutting off what a model thought before its answer: `<think>…</think>` and its variants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from erniekit_adapter.invoice import jsontext

# ERNIE 4.5 writes `thoughts </think> <response> answer </response>`, where the chat template has written `<think>`.
_NAMES = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection)"
# White space is bounded: without a bound, a long run of it would be searched once for each of its characters.
_TAG = re.compile(
    rf"<\s{{0,8}}(?P<close>/?)\s{{0,8}}{_NAMES}\s{{0,8}}>"
    rf"|<[|｜](?P<close_piped>/|end_of_|end_)?(?:begin_of_|begin_|start_of_)?{_NAMES}(?P<close_last>_end)?(?:_start)?[|｜]>"
    r"|◁(?P<close_kimi>/?)think▷"
    r"|\[(?P<close_square>/?)THINK\]",
    re.IGNORECASE,
)
_ANSWER_BEGINS = re.compile(r"\s*(?:<response>\s*)?(?:```\w*\s*)?\{\s*(?:[\"}]|\Z)", re.IGNORECASE)
# A text with more of them is hostile; each costs an attempt to read what is behind it.
_MAX_ENDS = 16


class Thought(NamedTuple):
    """A model's text in its two parts.

    Attributes:
        answer: the text behind the reasoning; the whole text if there is no reasoning.
        reasoning: the text before it, or all if the reasoning did not end; empty if there is none.
    """

    answer: str
    reasoning: str


def cut_off(text: str) -> Thought:
    """Separate a model's reasoning from its answer; never raises.

    A tag inside a JSON text of the answer is part of the answer. A draft before the end of the reasoning is reasoning.
    """
    tags = list(_TAG.finditer(text)) if _may_have_tags(text) else []
    if not tags:
        return Thought(_without_response(text), "")
    if _is_object(text.strip()):
        return Thought(text, "")
    outside = list(_tags_outside_of_texts(text))
    begin = _end_of_reasoning(text, [tag.end() for tag in tags if _closes(tag)], outside)
    if begin:
        rest = text[begin:]
        behind = next(_tags_outside_of_texts(rest), None)
        return Thought(_without_response(rest[: behind.start()] if behind else rest), text[:begin])
    if not outside:
        return Thought(text, "")
    # Nothing follows the reasoning: what the model wrote before it began to think is left, if there is anything.
    begin = 0 if _closes(outside[0]) else outside[0].start()
    return Thought(_without_response(text[:begin]), text[begin:])


def _without_response(text: str) -> str:
    """A text without `<response>` at its beginning and `</response>` at its end."""
    begin, end = "<response>", "</response>"
    if (inner := text.lstrip())[: len(begin)].lower() == begin:
        text = inner[len(begin) :].lstrip()
    if (inner := text.rstrip())[-len(end) :].lower() == end:
        text = inner[: -len(end)].rstrip()
    return text


def _may_have_tags(text: str) -> bool:
    return any(mark in text for mark in ("<", "◁", "["))


def _closes(tag: re.Match[str]) -> bool:
    return any(tag.groupdict().values())


def _end_of_reasoning(text: str, ends: list[int], outside: list[re.Match[str]]) -> int:
    """The place where the answer begins; 0 if no object follows the end of the reasoning."""
    # An answer may have texts with `</think>` in them, but nothing that begins inside of such a text is a whole object.
    tried = ends if len(ends) <= _MAX_ENDS else [*ends[: _MAX_ENDS // 2], *ends[-_MAX_ENDS // 2 :]]
    for end in tried:
        if (first := _whole_object(text, end)) is not None:
            return max(other for other in ends if other <= first)
    if ends and text.rfind("}") > ends[-1] and _whole_object(text, 0) is not None:
        return 0
    # The answer was cut: its end cannot show where it begins.
    outer = [tag.end() for tag in outside if _closes(tag)]
    for end in reversed(outer or ends):
        if _ANSWER_BEGINS.match(text, end):
            return end
    last = outer[-1] if outer else 0
    return last if "{" in text[last:] else 0


def _whole_object(text: str, begin: int) -> int | None:
    """Return where an object begins that goes from the first to the last brace of a text; None if it is not whole."""
    first, last = text.find("{", begin), text.rfind("}") + 1
    return first if 0 <= first < last and _is_object(text[first:last]) else None


def _is_object(text: str) -> bool:
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return isinstance(jsontext.parse(text), dict)
    except ValueError:
        return False


def _tags_outside_of_texts(text: str) -> Iterator[re.Match[str]]:
    depth, place, in_text, escaped = 0, 0, False, False
    for tag in _TAG.finditer(text):
        for character in text[place : tag.start()]:
            if in_text:
                in_text = escaped or character != '"'
                escaped = character == "\\" and not escaped
            elif character == '"':
                in_text = depth > 0
            elif character in "{}":
                depth = max(0, depth + (1 if character == "{" else -1))
        place = tag.end()
        if not in_text:
            yield tag
