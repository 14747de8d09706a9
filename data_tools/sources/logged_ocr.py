"""The OCR of a logged line, wherever its writer put it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from data_tools.sources.reading import parse_value
from erniekit_adapter.invoice.prompts import OCR_MARK

_NAMES = ("structured_ocr", "raw_ocr")
# The service's words, then a colon, a code fence or the like, then JSON.
_MARKED = re.compile(re.escape(OCR_MARK.rstrip(":")) + r'[^\[{"]{0,20}(?=[\[{"])')


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


def _in_context(context: object) -> Any:
    """Structured where there is some, else the raw text."""
    if not isinstance(context, dict):
        return None
    return next((context[name] for name in _NAMES if context.get(name)), None)


def _in_payload(payload: object) -> Any:
    named = isinstance(payload, dict) and not payload.keys().isdisjoint(_NAMES)
    return _in_context(payload) if named else payload


def _in_input(given: object) -> Any:
    if isinstance(given, str) and _MARKED.search(given):
        return ocr_in_request(given)
    return given


# What stands first counts: the engine's own output before what a request repeats of it.
_PLACES: tuple[tuple[str, Callable[[object], Any]], ...] = (
    ("ocr_context", _in_context),
    ("ocr_payload", _in_payload),
    ("prompt", ocr_in_request),
    ("input", _in_input),
)
