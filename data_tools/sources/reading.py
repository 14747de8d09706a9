"""What every reader needs: a line or file as a JSON value that can be written again, and paths that stay inside."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from erniekit_adapter.errors import fail
from erniekit_adapter.files import MAX_LINE_BYTES, read_bytes
from erniekit_adapter.invoice import jsontext

# Lines with their numbers, as files.read_lines gives them; None stands for one that was too long.
NumberedLines = Iterable[tuple[int, bytes | None]]
LINE_TOO_LONG = f"longer than {MAX_LINE_BYTES:,} bytes"
_URL = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]+://|data:)")
_SHOWN_CHARACTERS = 120


def parse_value(raw: bytes) -> Any:
    """Read one JSON value that can be written again as UTF-8.

    Raises:
        ValueError: no such value; the message says what is wrong with it.
    """
    try:
        value = jsontext.parse(raw)
        if b"\\u" in raw:
            jsontext.compose(value).encode()
            if b"\\u0000" in raw and _holds_nul(value):
                raise ValueError("text that holds NUL")
    except UnicodeError as error:
        raise ValueError(f"text that is no UTF-8: {error}"[:300]) from error
    except ArithmeticError as error:
        raise ValueError("a number beyond all limits") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError as error:
        what = str(error)
        raise ValueError(what if what.startswith("text that") else f"not JSON: {what}"[:300]) from error
    return value


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return any(map(_holds_nul, parts))


def is_text(text: str) -> bool:
    """Whether UTF-8 can hold a text: not half a character, nor a file name whose bytes are not UTF-8."""
    if text.isascii():  # nearly every text, and known without a copy
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(text: str) -> str:
    """The text itself, or with signs in place of what UTF-8 cannot hold, to be shown."""
    return text if is_text(text) else text.encode(errors="backslashreplace").decode()


def parse_object(raw: bytes | None) -> dict[str, Any]:
    """Read a line's JSON object; None stands for a line that was too long.

    Raises:
        ValueError: no JSON object; the message says what was found.
    """
    if raw is None:
        raise ValueError(LINE_TOO_LONG)
    value = parse_value(raw)
    if not isinstance(value, dict):
        raise ValueError(f"JSON, but no object: {shown(value)}")
    return value


def read_value(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        AdapterError: the file cannot be read or is too large.
        ValueError: it holds no JSON value; the message says what is wrong with it.
    """
    return parse_value(read_bytes(path).removeprefix(BOM_UTF8))


class LeavesFolderError(ValueError):
    """A path that leads out of the folder that it must lie in."""


def is_folder(path: Path, hint: str) -> bool:
    """Return whether a source is a folder, and not a file.

    Raises:
        AdapterError: there is no such file or folder, or it cannot be read.
    """
    try:
        if not path.exists():
            raise fail(path, "no such file or folder", hint)
        return path.is_dir()
    except OSError as error:
        raise fail(path, f"cannot be read: {error.strerror or error}") from error


def refuse_folder(error: OSError) -> None:
    """Raise what os.walk met as an AdapterError that names the folder."""
    raise fail(error.filename, f"cannot be read: {error.strerror or error}") from error


def path_inside(folder: Path, name: object) -> Path:
    """Give the path that a source names, relative to `folder`, without opening anything.

    Raises:
        LeavesFolderError: the path leaves the folder.
        ValueError: no path, or a URL.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{shown(name)} is no path")
    if _URL.match(name):
        raise ValueError(f"{shown(name)} is a URL: only local files are read")
    try:
        path = folder / name
        inside = path.resolve().is_relative_to(_resolved(folder.absolute()))
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{shown(name)} is no usable path: {error}"[:300]) from error
    if not inside:
        raise LeavesFolderError(f"{shown(name)} leaves the folder {folder}")
    return path


@lru_cache(maxsize=64)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def file_inside(folder: Path, name: object) -> Path:
    """Give the file that a source names, relative to `folder`.

    Raises:
        ValueError: no path, a URL, a path that leaves the folder, or no file there.
    """
    path = path_inside(folder, name)
    try:
        exists = path.is_file()
    except (OSError, ValueError) as error:
        raise ValueError(f"{shown(name)} is no usable path: {error}"[:300]) from error
    if not exists:
        raise ValueError(f"{shown(name)}: no such file in {folder}")
    return path


def image_inside(folder: Path, name: object) -> Path | None:
    """Give the image that a log names where it is a file in the log's folder; anything else is never opened."""
    # Most logs name images that are long gone: that is found out with a single look.
    if not isinstance(name, str) or not os.path.isfile(os.path.join(folder, name)):  # noqa: PTH113, PTH118
        return None
    try:
        return file_inside(folder, name)
    except ValueError:
        return None


def identifier(value: object, otherwise: str) -> str:
    """Give a document's name: text or a whole number, and `otherwise` where there is none."""
    if isinstance(value, str) and value.strip():
        return value.strip()[:200]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else otherwise


def unused(value: Mapping[str, Any], used: Iterable[str]) -> tuple[str, ...]:
    """The keys that hold something and that no reader uses."""
    known = frozenset(used)
    return tuple(key for key in value if key not in known and value[key] not in (None, "", [], {}))


def shown(value: object) -> str:
    """A value as a message quotes it: not longer than a line."""
    text = repr(value) if isinstance(value, str) else jsontext.compose(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
