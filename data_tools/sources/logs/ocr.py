"""The OCR output in a line of a log, which each format keeps elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from data_tools.sources.files.json_values import parse_value
from erniekit_adapter.documents.prompt_set import OCR_MARKS

_NAMES = ("structured_ocr", "raw_ocr", "ocr_text", "ocr")
# Keys of the output of an OCR engine; a context around it has none of them.
_OF_ENGINES = frozenset({"tokens", "text"})
# The words of the service, then a colon, a code fence or the like, then JSON.
_MARKS = tuple(mark.rstrip(":") for mark in OCR_MARKS.values())
_MARKED = re.compile(rf"(?:{'|'.join(map(re.escape, _MARKS))})" + r'[^\[{"]{0,20}(?=[\[{"])')
# Marks of other writers before the plain text of a page.
_TEXT_MARK = re.compile(
    r"^[ \t]*(?:raw[ _]?ocr|ocr(?:[ _](?:text|output|data|result))?|document[ _]text|invoice[ _]text)[ \t]*:[ \t]*\n?",
    re.IGNORECASE | re.MULTILINE,
)
_FENCED = re.compile(r"\A\s*```\w*\n(.*?)\n```", re.DOTALL)
# How a paragraph with instructions to the model begins, after the page.
_INSTRUCTION = re.compile(
    r"(?:please\s+)?(?:extract|return|output|respond|answer|provide|produce|generate|parse|convert|fill|correct|validate|"
    r"give|write|read|analy[sz]e|structure|now|task|instructions?)\b",
    re.IGNORECASE,
)
# A prompt that consists of a page has at least this number of lines, some of them with numbers.
_PAGE_LINES, _PAGE_NUMBERS = 3, 2
_NUMBER = re.compile(r"\d[\d.,/-]{2,}")
_MAX_PROMPT_CHARACTERS = 200_000


def ocr_of(line: Mapping[str, Any]) -> Any:
    """Return the input of the model: output of the OCR engine if the line has it, otherwise the page in its request."""
    for name, read in _LOCATIONS:
        if name in line and (ocr := read(line[name])) not in (None, "", [], {}):
            return ocr
    return None


def ocr_in_request(request: object) -> Any:
    """Return the OCR output in a request of the service; None without one, or if it is not JSON."""
    if not isinstance(request, str):
        return None
    for mark in _MARKED.finditer(request):
        try:
            # The request may continue after the JSON: only its end is needed here.
            _, end = json.JSONDecoder().raw_decode(request, mark.end())
            return parse_value(request[mark.end() : end].encode())
        except (ValueError, RecursionError):
            continue
    return None


def page_in_prompt(prompt: object) -> str | None:
    """Return the plain text of a page in a prompt: after a mark such as `OCR_TEXT:`, or the whole prompt.

    A prompt of the service, and one with instructions only, has no such text.
    """
    if not isinstance(prompt, str) or len(prompt) > _MAX_PROMPT_CHARACTERS or any(mark in prompt for mark in _MARKS):
        return None
    if mark := _TEXT_MARK.search(prompt):
        text = prompt[mark.end() :]
        if fenced := _FENCED.match(text):
            return fenced[1].strip() or None
        return _without_instructions(text).strip() or None
    return prompt.strip() if _is_page(prompt) else None


def _without_instructions(text: str) -> str:
    """Return a text without the last paragraphs, if they are instructions to the model."""
    paragraphs = re.split(r"\n\s*\n", text)
    while len(paragraphs) > 1 and (_INSTRUCTION.match(paragraphs[-1].strip()) or not paragraphs[-1].strip()):
        paragraphs.pop()
    return "\n\n".join(paragraphs)


def _is_page(prompt: str) -> bool:
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    if len(lines) < _PAGE_LINES or "{" in prompt:
        return False
    is_instruction = any(_INSTRUCTION.match(line) for line in (lines[0], lines[-1]))
    return not is_instruction and sum(bool(_NUMBER.search(line)) for line in lines) >= _PAGE_NUMBERS


def _in_prompt(prompt: object) -> Any:
    found = ocr_in_request(prompt)
    return page_in_prompt(prompt) if found is None else found


def _in_context(context: object) -> Any:
    """Return structured OCR output if there is any, otherwise the raw text."""
    if not isinstance(context, dict):
        return None
    return next((_plain(context[name]) for name in _NAMES if context.get(name)), None)


def _in_ocr_context(context: object) -> Any:
    """Return a page without a key: a text, a list, or the output of an OCR engine."""
    if isinstance(context, (str, list)) or (isinstance(context, dict) and context.keys() & _OF_ENGINES):
        return _plain(context)
    return _in_context(context)


def _in_payload(payload: object) -> Any:
    named = isinstance(payload, dict) and not payload.keys().isdisjoint(_NAMES)
    return _in_context(payload) if named else _plain(payload)


def _in_input(given: object) -> Any:
    if isinstance(given, str):
        if _MARKED.search(given):
            return ocr_in_request(given)
        return page_in_prompt(given) if _TEXT_MARK.search(given) else given
    return _in_payload(given)


def _plain(ocr: object) -> Any:
    """Return the text of an object that has only a text."""
    if isinstance(ocr, dict) and ocr.keys() == {"text"} and isinstance(ocr["text"], str):
        return ocr["text"]
    return ocr


# The first one is used: the engine's own output before a copy of it in a request.
_LOCATIONS: tuple[tuple[str, Callable[[object], Any]], ...] = (
    ("ocr_context", _in_ocr_context),
    ("ocr_payload", _in_payload),
    ("meta", _in_context),
    ("metadata", _in_context),
    ("ocr_text", _plain),
    ("prompt", _in_prompt),
    ("input", _in_input),
)
