"""Check of a small file's content by the kind of the file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

from erniekit_adapter.errors import AdapterError, Problem, failure
from erniekit_adapter.file_checks.chat_templates import template_problems
from erniekit_adapter.file_checks.configs import EXPORT_AGAIN, config_problems
from erniekit_adapter.strict_json import parse_strict

FileKind = Literal["weights", "index", "config", "sentencepiece", "template", "model card", "document type"]

# Files beside the weights of a model, by name.
MODEL_FILES: dict[str, FileKind] = {
    **dict.fromkeys(("config.json", "generation_config.json"), "config"),
    **dict.fromkeys(("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"), "config"),
    **dict.fromkeys(("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"), "config"),
    "tokenizer.json": "config",
    "tokenizer.model": "sentencepiece",
    "chat_template.jinja": "template",
    "chat_template.json": "config",
    "model.safetensors.index.json": "index",
}
_MAX_PROBLEMS = 20  # of one file


def check_content(location: str, name: str, kind: FileKind, content: bytes) -> tuple[list[Problem], Any]:
    """Check a file that is not weights.

    Args:
        location: the file, for messages.
        name: its name, without a folder.
        kind: its kind.
        content: its bytes.

    Returns:
        The problems, and the parsed content if the file is JSON.
    """
    try:
        if kind == "config" or kind == "index":
            value = parse_strict(location, content)
            found = islice(config_problems(location, name, value), _MAX_PROBLEMS) if kind == "config" else ()
            return list(found), value
        if kind == "sentencepiece":
            return list(_sentencepiece_problems(location, content)), None
        text = _text(location, content)
    except AdapterError as error:
        return list(error.problems), None
    if kind == "template":
        return template_problems(location, text), None
    if kind == "document type":
        return [], None  # its files are checked together, see bundle.document_types
    has_front_matter = text.startswith("---\n") and "\n---\n" in text[3:]
    return (
        [] if has_front_matter else [Problem(location, "does not begin with a model card's ---", EXPORT_AGAIN)]
    ), None


def _text(location: str, content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise failure(location, f"is not UTF-8: {error.reason} at byte {error.start:,}", EXPORT_AGAIN) from error
    if control := next((letter for letter in text if letter < " " and letter not in "\n\r\t"), None):
        raise failure(location, f"is not text: it contains the control character {ord(control):#04x}", EXPORT_AGAIN)
    return text


def _sentencepiece_problems(location: str, content: bytes) -> Iterator[Problem]:
    """Check a SentencePiece model: a protocol buffer of messages, pieces (1) and specifications (2 to 5)."""
    place, pieces = 0, 0
    while place < len(content):
        tag, place = _varint(content, place)
        length, place = _varint(content, place)
        if tag & 7 != 2 or not (1 <= tag >> 3 <= 5 or tag >> 3 >= 200) or not 0 <= length <= len(content) - place:
            yield Problem(location, "is not a SentencePiece model", EXPORT_AGAIN)
            return
        pieces += tag >> 3 == 1
        place += length
    if not pieces:
        yield Problem(location, "is a SentencePiece model without a piece", EXPORT_AGAIN)


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Return a number of a protocol buffer and the position after it; -1 without a number."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            return -1, place
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    return -1, place
