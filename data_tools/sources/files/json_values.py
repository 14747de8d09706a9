"""JSON values of lines and files that can be written again as UTF-8."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.documents import json_text
from erniekit_adapter.files import MAX_LINE_BYTES, read_bytes

# Lines with their numbers, as returned by files.read_lines; None is a line that was too long.
NumberedLines = Iterable[tuple[int, bytes | None]]
LINE_TOO_LONG = f"longer than {MAX_LINE_BYTES:,} bytes"
_SHOWN_CHARACTERS = 120


def parse_value(raw: bytes) -> Any:
    """Read one JSON value that can be written again as UTF-8.

    Raises:
        ValueError: the bytes are not such a value; the message gives the reason.
    """
    try:
        value = json_text.parse(raw)
        if b"\\u" in raw:
            json_text.compose(value).encode()
            if b"\\u0000" in raw and _has_nul(value):
                raise ValueError("text with a NUL character")
    except UnicodeError as error:
        raise ValueError(f"text that is not UTF-8: {error}"[:300]) from error
    except ArithmeticError as error:
        raise ValueError("a number beyond all limits") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError as error:
        finding = str(error)
        raise ValueError(finding if finding.startswith("text ") else f"not JSON: {finding}"[:300]) from error
    return value


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return any(map(_has_nul, parts))


def is_text(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8: it has no lone surrogate, also none from a file name's bytes."""
    if text.isascii():  # true for almost every text, and checked without a copy
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(text: str) -> str:
    """Return a text for display, with escapes for characters that UTF-8 cannot encode."""
    return text if is_text(text) else text.encode(errors="backslashreplace").decode()


def parse_object(raw: bytes | None) -> dict[str, Any]:
    """Read the JSON object of a line; None is a line that was too long.

    Raises:
        ValueError: the line is not a JSON object; the message shows its content.
    """
    if raw is None:
        raise ValueError(LINE_TOO_LONG)
    value = parse_value(raw)
    if not isinstance(value, dict):
        raise ValueError(f"JSON, but not an object: {shown(value)}")
    return value


def read_value(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        AdapterError: the file cannot be read or is too large.
        ValueError: the file is not JSON; the message gives the reason.
    """
    return parse_value(read_bytes(path).removeprefix(BOM_UTF8))


def identifier(value: object, default: str) -> str:
    """Return the name of a document, a text or an integer; `default` for other values."""
    if isinstance(value, str) and value.strip():
        return value.strip()[:200]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else default


def unused(value: Mapping[str, Any], used: Iterable[str]) -> tuple[str, ...]:
    """Return the keys that have a value and are not used."""
    known = frozenset(used)
    return tuple(key for key in value if key not in known and value[key] not in (None, "", [], {}))


def shown(value: object) -> str:
    """Return a value as messages quote it, shortened to one line."""
    text = repr(value) if isinstance(value, str) else json_text.compose(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
