"""Separating a model's reasoning from its answer: `<think>…</think>` and its variants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from erniekit_adapter.documents import json_text

# ERNIE 4.5 writes `thoughts </think> <response> answer </response>`, where the chat template has written `<think>`.
_NAMES = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection)"
# White space is limited, because a long run of it would otherwise take quadratic time.
_TAG = re.compile(
    rf"<\s{{0,8}}(?P<close>/?)\s{{0,8}}{_NAMES}\s{{0,8}}>"
    rf"|<[|｜](?P<close_piped>/|end_of_|end_)?(?:begin_of_|begin_|start_of_)?{_NAMES}(?P<close_last>_end)?(?:_start)?[|｜]>"
    r"|◁(?P<close_kimi>/?)think▷"
    r"|\[(?P<close_square>/?)THINK\]",
    re.IGNORECASE,
)
_ANSWER_BEGINS = re.compile(r"\s*(?:<response>\s*)?(?:```\w*\s*)?\{\s*(?:[\"}]|\Z)", re.IGNORECASE)
# More of them occur in hostile texts only; each costs one attempt to parse the rest.
_MAX_ENDS = 16


class Thought(NamedTuple):
    """The two parts of a model's text.

    Attributes:
        answer: the text after the reasoning; the whole text without reasoning.
        reasoning: the text before the answer; the whole text if the reasoning did not end; may be empty.
    """

    answer: str
    reasoning: str


def cut_off(text: str) -> Thought:
    """Separate a model's reasoning from its answer; never raises.

    A tag inside a JSON string of the answer belongs to the answer. A draft before the end of the reasoning belongs to
    the reasoning.
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
        next_tag = next(_tags_outside_of_texts(rest), None)
        return Thought(_without_response(rest[: next_tag.start()] if next_tag else rest), text[:begin])
    if not outside:
        return Thought(text, "")
    # Without text after the reasoning, return the text before it.
    begin = 0 if _closes(outside[0]) else outside[0].start()
    return Thought(_without_response(text[:begin]), text[begin:])


def _without_response(text: str) -> str:
    """Return the text without `<response>` at its beginning and `</response>` at its end."""
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
    """Return the position where the answer begins; 0 if no object follows the end of the reasoning."""
    # Strings of an answer can contain `</think>`, but no complete object begins inside such a string.
    tried = ends if len(ends) <= _MAX_ENDS else [*ends[: _MAX_ENDS // 2], *ends[-_MAX_ENDS // 2 :]]
    for end in tried:
        if (first := _whole_object(text, end)) is not None:
            return max(other for other in ends if other <= first)
    if ends and text.rfind("}") > ends[-1] and _whole_object(text, 0) is not None:
        return 0
    # The answer is truncated, so its end cannot show its beginning.
    outer = [tag.end() for tag in outside if _closes(tag)]
    for end in reversed(outer or ends):
        if _ANSWER_BEGINS.match(text, end):
            return end
    last = outer[-1] if outer else 0
    return last if "{" in text[last:] else 0


def _whole_object(text: str, begin: int) -> int | None:
    """Return the start of the object from the first to the last brace of a text; None if it is incomplete."""
    first, last = text.find("{", begin), text.rfind("}") + 1
    return first if 0 <= first < last and _is_object(text[first:last]) else None


def _is_object(text: str) -> bool:
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return isinstance(json_text.parse(text), dict)
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
