"""What lines of every format are made of: an object of JSON, its texts and image paths, written and read back."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import orjson

from data_tools.sources.reading import shown

IMAGE_MARK = "<image>"
# The toolkits fetch an image whose name begins like this, even where it names a file.
_URL_START = "http"


def json_line(value: dict[str, Any]) -> bytes:
    """An object as a line of JSON.

    Raises:
        ValueError: a text holds what UTF-8 cannot.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"cannot be written as UTF-8: {error}") from error


def read_object(line: bytes, needed: AbstractSet[str], allowed: AbstractSet[str] = frozenset()) -> dict[str, Any]:
    """The object that a line holds.

    Args:
        line: one line of JSON.
        needed: keys that it must have.
        allowed: keys that it may have as well; any other would be lost.

    Raises:
        ValueError: no JSON, no object, or other keys.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    return checked_object("the line", value, needed, allowed)


def checked_object(
    where: str, value: object, needed: AbstractSet[str], allowed: AbstractSet[str] = frozenset()
) -> dict[str, Any]:
    """The value, where it is an object with these keys.

    Raises:
        ValueError: no object, or other keys.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, found {quoted(value)}")
    if not needed <= value.keys() <= needed | allowed:
        keys = ", ".join(sorted(needed | allowed))
        raise ValueError(f"{where}: expected the keys {keys}, found {quoted(sorted(value))}")
    return value


def checked_list(where: str, value: object, length: int | None = None) -> list[Any]:
    """The value, where it is a list, of a certain length where one is given.

    Raises:
        ValueError: something else.
    """
    if not isinstance(value, list) or length not in (None, len(value)):
        expected = "a list" if length is None else f"a list of {length}"
        raise ValueError(f"{where}: expected {expected}, found {quoted(value)}")
    return value


def checked_text(where: str, value: object) -> str:
    """The value, where it is text.

    Raises:
        ValueError: something else.
    """
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected text, found {quoted(value)}")
    return value


def only_text(where: str, value: object) -> str:
    """The text of a list that holds nothing else.

    Raises:
        ValueError: something else.
    """
    return checked_text(where, checked_list(where, value, 1)[0])


def without_marks(where: str, text: str, images: int) -> str:
    """The text behind its image marks, one for each image.

    Raises:
        ValueError: it has fewer.
    """
    marks = IMAGE_MARK * images
    if not text.startswith(marks):
        raise ValueError(f"{where}: expected {IMAGE_MARK} {images} times in front, found {quoted(text)}")
    return text[len(marks) :]


def relative_name(image: Path, folder: Path) -> str:
    """The image's path as a toolkit's line in `folder` names it: relative, with `..` where it lies outside."""
    name = os.path.relpath(image, folder)
    if goes_up(name):
        # The system follows a link before it goes up from there, so the way is counted from the real folder.
        name = os.path.relpath(Path(os.path.realpath(image.parent), image.name), os.path.realpath(folder))
    return f"./{name}" if name.startswith(_URL_START) else name


def image_paths(where: str, names: object, folder: Path) -> tuple[Path, ...]:
    """The images that a toolkit's line in `folder` names: the inverse of `relative_name`.

    Raises:
        ValueError: no list of paths, or one on the network.
    """
    return tuple(_image_path(where, checked_text(where, name), folder) for name in checked_list(where, names))


def quoted(value: object) -> str:
    """A value as a message quotes it, however it is nested."""
    try:
        return shown(value)
    except RecursionError:
        return "something nested too deeply"


def goes_up(name: str) -> bool:
    """Whether a relative path leads out of its folder first."""
    return name == ".." or name.startswith("../")


def _image_path(where: str, name: str, folder: Path) -> Path:
    if name.startswith(_URL_START):
        raise ValueError(f"{where}: expected a path, found {quoted(name)}, which a toolkit would fetch")
    return Path(os.path.normpath(Path(os.path.realpath(folder), name))) if goes_up(name) else folder / name
