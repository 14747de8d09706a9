"""Parts shared by all JSONL formats: objects, texts and image paths, written and read."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import orjson

from data_tools.sources.files.json_values import shown

IMAGE_MARK = "<image>"
# Toolkits fetch an image whose name starts like this, even if it names a file.
_URL_START = "http"


def json_line(value: dict[str, Any]) -> bytes:
    """Write an object as one line of JSON.

    Raises:
        ValueError: a text contains characters that UTF-8 cannot represent.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"cannot be written as UTF-8: {error}") from error


def parse_object(line: bytes, needed: AbstractSet[str], allowed: AbstractSet[str] = frozenset()) -> dict[str, Any]:
    """Parse the object of one JSON line.

    Args:
        line: one line of JSON.
        needed: required keys.
        allowed: optional keys. Any other key is an error, because its value would be lost.

    Raises:
        ValueError: the line is not JSON, not an object, or has other keys.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    return checked_object("the line", value, needed, allowed)


def checked_object(
    location: str, value: object, needed: AbstractSet[str], allowed: AbstractSet[str] = frozenset()
) -> dict[str, Any]:
    """Return the value if it is an object with these keys.

    Raises:
        ValueError: it is not an object, or has other keys.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{location}: expected an object, found {quoted(value)}")
    if not needed <= value.keys() <= needed | allowed:
        keys = ", ".join(sorted(needed | allowed))
        raise ValueError(f"{location}: expected the keys {keys}, found {quoted(sorted(value))}")
    return value


def checked_list(location: str, value: object, length: int | None = None) -> list[Any]:
    """Return the value if it is a list, of the given length if one is given.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(value, list) or length not in (None, len(value)):
        expected = "a list" if length is None else f"a list of {length}"
        raise ValueError(f"{location}: expected {expected}, found {quoted(value)}")
    return value


def checked_text(location: str, value: object) -> str:
    """Return the value if it is text.

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(value, str):
        raise ValueError(f"{location}: expected text, found {quoted(value)}")
    return value


def single_text(location: str, value: object) -> str:
    """Return the only item of a list, which must be text.

    Raises:
        ValueError: it is anything else.
    """
    return checked_text(location, checked_list(location, value, 1)[0])


def without_image_marks(location: str, text: str, images: int) -> str:
    """Remove one image mark per image from the start of a text.

    Raises:
        ValueError: the text starts with fewer marks.
    """
    marks = IMAGE_MARK * images
    if not text.startswith(marks):
        raise ValueError(f"{location}: expected {images} × {IMAGE_MARK} at the start, found {quoted(text)}")
    return text[len(marks) :]


def relative_image_path(image: Path, folder: Path) -> str:
    """Return an image's path relative to `folder`, as toolkits read it; it starts with `..` if the image is outside."""
    name = os.path.relpath(image, folder)
    if leaves_folder(name):
        # The system resolves a link before `..`, so the path must start from the real folder.
        name = os.path.relpath(Path(os.path.realpath(image.parent), image.name), os.path.realpath(folder))
    return f"./{name}" if name.startswith(_URL_START) else name


def image_paths(location: str, names: object, folder: Path) -> tuple[Path, ...]:
    """Return the images that an example in `folder` names: the inverse of `relative_image_path`.

    Raises:
        ValueError: not a list of paths, or a URL.
    """
    return tuple(_image_path(location, checked_text(location, name), folder) for name in checked_list(location, names))


def quoted(value: object) -> str:
    """Return a short quotation of a value for a message; the depth of nesting does not matter."""
    try:
        return shown(value)
    except RecursionError:
        return "something nested too deeply"


def leaves_folder(name: str) -> bool:
    """Return whether a relative path starts outside its folder."""
    return name == ".." or name.startswith("../")


def _image_path(location: str, name: str, folder: Path) -> Path:
    if name.startswith(_URL_START):
        raise ValueError(f"{location}: expected a path, found {quoted(name)}: toolkits would fetch it from the network")
    return Path(os.path.normpath(Path(os.path.realpath(folder), name))) if leaves_folder(name) else folder / name
