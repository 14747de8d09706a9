"""The OCR of a logged line, wherever its writer put it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from data_tools.sources.reading import parse_value
from erniekit_adapter.invoice.prompts import OCR_MARK

_NAMES = ("structured_ocr", "raw_ocr", "ocr_text", "ocr")
# What the output of an engine has, and a context around it has not.
_OF_ENGINES = frozenset({"tokens", "text"})
# The service's words, then a colon, a code fence or the like, then JSON.
_MARKED = re.compile(re.escape(OCR_MARK.rstrip(":")) + r'[^\[{"]{0,20}(?=[\[{"])')
# What other writers put before the plain text of a page.
_TEXT_MARK = re.compile(
    r"^[ \t]*(?:raw[ _]?ocr|ocr(?:[ _](?:text|output|data|result))?|document[ _]text|invoice[ _]text)[ \t]*:[ \t]*\n?",
    re.IGNORECASE | re.MULTILINE,
)
_FENCED = re.compile(r"\A\s*```\w*\n(.*?)\n```", re.DOTALL)
# How the paragraph behind a page begins, where it tells the model what to do.
_INSTRUCTION = re.compile(
    r"(?:please\s+)?(?:extract|return|output|respond|answer|provide|produce|generate|parse|convert|fill|correct|validate|"
    r"give|write|read|analy[sz]e|structure|now|task|instructions?)\b",
    re.IGNORECASE,
)
# A prompt that is a page and nothing else has lines enough, and numbers on some of them.
_PAGE_LINES, _PAGE_NUMBERS = 3, 2
_NUMBER = re.compile(r"\d[\d.,/-]{2,}")
_MAX_PROMPT_CHARACTERS = 200_000


def ocr_of(line: Mapping[str, Any]) -> Any:
    """What the model was given to read: the engine's output where the line has it, else what its request carries."""
    for name, read in _PLACES:
        if name in line and (ocr := read(line[name])) not in (None, "", [], {}):
            return ocr
    return None


def ocr_in_request(request: object) -> Any:
    """The OCR output that a request of the service carries; None where there is none, or no JSON."""
    if not isinstance(request, str):
        return None
    for mark in _MARKED.finditer(request):
        try:
            # Only where the JSON ends is asked here: the request may go on behind it.
            _, end = json.JSONDecoder().raw_decode(request, mark.end())
            return parse_value(request[mark.end() : end].encode())
        except (ValueError, RecursionError):
            continue
    return None


def page_in_prompt(prompt: object) -> str | None:
    """The plain text of a page in a prompt: behind a mark such as `OCR_TEXT:`, or the prompt where it is nothing else.

    A prompt of the service, and one that only says what to do, has none.
    """
    if not isinstance(prompt, str) or len(prompt) > _MAX_PROMPT_CHARACTERS or OCR_MARK.rstrip(":") in prompt:
        return None
    if mark := _TEXT_MARK.search(prompt):
        text = prompt[mark.end() :]
        if fenced := _FENCED.match(text):
            return fenced[1].strip() or None
        return _without_instructions(text).strip() or None
    return prompt.strip() if _is_page(prompt) else None


def _without_instructions(text: str) -> str:
    """A text without the last paragraphs, as far as they tell the model what to do."""
    paragraphs = re.split(r"\n\s*\n", text)
    while len(paragraphs) > 1 and (_INSTRUCTION.match(paragraphs[-1].strip()) or not paragraphs[-1].strip()):
        paragraphs.pop()
    return "\n\n".join(paragraphs)


def _is_page(prompt: str) -> bool:
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    if len(lines) < _PAGE_LINES or "{" in prompt:
        return False
    told = any(_INSTRUCTION.match(line) for line in (lines[0], lines[-1]))
    return not told and sum(bool(_NUMBER.search(line)) for line in lines) >= _PAGE_NUMBERS


def _in_prompt(prompt: object) -> Any:
    found = ocr_in_request(prompt)
    return page_in_prompt(prompt) if found is None else found


def _in_context(context: object) -> Any:
    """Structured where there is some, else the raw text."""
    if not isinstance(context, dict):
        return None
    return next((_plain(context[name]) for name in _NAMES if context.get(name)), None)


def _in_ocr_context(context: object) -> Any:
    """The page itself, where it stands without a name: as text, as a list, or as an engine's output."""
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
    """The text of an object that holds nothing else."""
    if isinstance(ocr, dict) and ocr.keys() == {"text"} and isinstance(ocr["text"], str):
        return ocr["text"]
    return ocr


# What stands first counts: the engine's own output before what a request repeats of it.
_PLACES: tuple[tuple[str, Callable[[object], Any]], ...] = (
    ("ocr_context", _in_ocr_context),
    ("ocr_payload", _in_payload),
    ("meta", _in_context),
    ("metadata", _in_context),
    ("ocr_text", _plain),
    ("prompt", _in_prompt),
    ("input", _in_input),
)
