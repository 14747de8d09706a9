"""Pairs as lines of JSON, and back: ERNIEKit's text form, and the interchange form that people exchange."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from data_tools.pairs import Pair


def toolkit_line(pair: Pair) -> bytes:
    """The line as ERNIEKit reads it: one turn of `src` and `tgt`."""
    return _line({"src": [pair.request], "tgt": [pair.answer_text]})


def check_line(pair: Pair, line_id: str) -> bytes:
    """The line as evaluate reads it: the toolkit's, with an id that no other line of the file has."""
    return _line({"id": line_id, "src": [pair.request], "tgt": [pair.answer_text]})


def interchange_line(pair: Pair, folder: Path) -> bytes:
    """The line in the interchange form, with image paths relative to its file's `folder` where they lie in it."""
    images = [image_name(image, folder) for image in pair.images]
    image = {"image": images[0] if len(images) == 1 else images} if images else {}
    turns = [{"role": "human", "content": pair.request}, {"role": "assistant", "content": pair.answer_text}]
    return _line({"id": pair.document_id, "group": pair.group, **image, "conversations": turns})


def image_name(image: Path, folder: Path) -> str:
    """The image's path as a line in `folder` names it: relative inside the folder, absolute outside."""
    relative = os.path.relpath(image, folder)
    return str(image.absolute()) if relative.startswith("..") else relative


def read_toolkit_line(line: bytes) -> tuple[str, str]:
    """The request and the answer of a line that `toolkit_line` or `check_line` wrote."""
    value = orjson.loads(line)
    return _only(value["src"]), _only(value["tgt"])


def read_interchange_line(line: bytes, folder: Path) -> Pair:
    """The pair of a line that `interchange_line` wrote for `folder`."""
    value = orjson.loads(line)
    images = value.get("image", [])
    names = images if isinstance(images, list) else [images]
    request, answer = (turn["content"] for turn in value["conversations"])
    return Pair(value["id"], value["group"], request, answer, tuple(folder / name for name in names))


def _only(turns: Sequence[str]) -> str:
    (turn,) = turns
    return turn


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
