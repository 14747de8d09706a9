"""Each file of a bundle, read once: it has the manifest's hash, and its content is what its name promises."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

from erniekit_adapter.adapters.bundle_configs import config_problems
from erniekit_adapter.adapters.bundle_layout import FileKind, kind_of_file, most_bytes
from erniekit_adapter.adapters.chat_templates import template_problems
from erniekit_adapter.adapters.verify_weights import read_weights
from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.strict_json import parse_strict
from erniekit_adapter.tensor_files import StoredTensor

AGAIN = "copy the bundle again, or export it again"
_MOST_PROBLEMS = 20  # of one file
_HINT = "export the bundle again"


@dataclass(frozen=True)
class ReadFile:
    """One file of a bundle.

    Attributes:
        name: its name in the bundle.
        problems: what is wrong with it.
        value: its parsed content, if it is JSON.
        tensors: name and place of each tensor, if it is a safetensors file.
    """

    name: str
    problems: list[Problem]
    value: Any = None
    tensors: Mapping[str, StoredTensor] = field(default_factory=dict)


def open_regular(path: Path) -> tuple[FileIO, os.stat_result]:
    """Open a file for reading that is a regular one, has one name only, and is not reached through a link.

    Raises:
        AdapterError: it is something else.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK, opening a named pipe would wait for its writer.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    stream = FileIO(path, opener=lambda name, given: os.open(name, given | flags))
    about = os.fstat(stream.fileno())
    if not stat.S_ISREG(about.st_mode):
        stream.close()
        raise fail(path, "is not a regular file", AGAIN)
    if about.st_nlink > 1:
        stream.close()
        what = f"has {about.st_nlink} names (hard links), and whoever holds another one can change it"
        raise fail(path, what, "copy the bundle: cp -r BUNDLE COPY")
    return stream, about


def read_small(path: Path, limit_bytes: int) -> bytes:
    """Read a regular file whole.

    Raises:
        AdapterError: it is missing, not a regular file of one name, larger than the limit, or cannot be read.
    """
    try:
        stream, about = open_regular(path)
        with stream:
            if about.st_size > limit_bytes:
                raise fail(path, f"{about.st_size:,} bytes, more than the limit of {limit_bytes:,}")
            return stream.read(limit_bytes)
    except FileNotFoundError as error:
        raise fail(path, "no such file", AGAIN) from error
    except OSError as error:
        raise fail(path, "is a link" if path.is_symlink() else f"cannot be read: {error.strerror or error}") from error


def read_listed(root: Path, name: str, entry: Mapping[str, Any]) -> ReadFile:
    """Read a file that the manifest lists, and check size, hash, kind and content.

    Args:
        root: the bundle's folder.
        name: the file's name in it, which `kind_of_file` knows.
        entry: its entry in the manifest.
    """
    path, kind = root / name, kind_of_file(name)
    if kind is None:
        return ReadFile(name, [Problem(str(path), "is not a file of a bundle", "remove it")])
    try:
        stream, before = open_regular(path)
        with stream:
            if before.st_size != entry["size_bytes"]:
                what = f"{before.st_size:,} bytes, and {entry['size_bytes']:,} in the manifest"
                return ReadFile(name, [Problem(str(path), what, AGAIN)])
            found, digest = _read(path, name, kind, stream, before.st_size)
            after = os.fstat(stream.fileno())
    except AdapterError as error:
        return ReadFile(name, list(error.problems))
    except OSError as error:
        return ReadFile(name, [Problem(str(path), f"cannot be read: {error.strerror or error}")])
    if (before.st_mtime_ns, before.st_ctime_ns) != (after.st_mtime_ns, after.st_ctime_ns):
        return ReadFile(name, [Problem(str(path), "was changed while it was read", AGAIN)])
    if digest != entry["sha256"]:
        return ReadFile(name, [Problem(str(path), "was changed: its SHA-256 is not the manifest's", AGAIN)])
    return found


def _read(path: Path, name: str, kind: FileKind, stream: FileIO, size_bytes: int) -> tuple[ReadFile, str]:
    if kind == "weights":
        weights = read_weights(path, stream, size_bytes)
        return ReadFile(name, weights.problems, tensors=weights.tensors), weights.sha256
    if size_bytes > (most := most_bytes(name, kind)):
        what = f"{size_bytes:,} bytes, more than the limit of {most:,}"
        return ReadFile(name, [Problem(str(path), what, _HINT)]), ""
    content = stream.readall()
    found = ReadFile(name, *check_content(str(path), name, content))
    return found, hashlib.sha256(content).hexdigest()


def check_content(where: str, name: str, content: bytes) -> tuple[list[Problem], Any]:
    """Check a file that is read whole, and return what is wrong with it and, if it is JSON, its parsed content.

    Args:
        where: the file, for messages.
        name: its name in the bundle, which `kind_of_file` knows.
        content: its bytes.
    """
    kind = kind_of_file(name)
    try:
        if kind == "config" or kind == "index":
            value = parse_strict(where, content)
            found = islice(config_problems(where, name, value), _MOST_PROBLEMS) if kind == "config" else ()
            return list(found), value
        if kind == "sentencepiece":
            return list(_sentencepiece_problems(where, content)), None
        text = _text(where, content)
    except AdapterError as error:
        return list(error.problems), None
    if kind == "template":
        return template_problems(where, text), None
    front = text.startswith("---\n") and "\n---\n" in text[3:]
    return ([] if front else [Problem(where, "does not begin as a model card: ---", _HINT)]), None


def _text(where: str, content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise fail(where, f"is not UTF-8: {error.reason} at byte {error.start:,}", _HINT) from error
    if strange := next((letter for letter in text if letter < " " and letter not in "\n\r\t"), None):
        raise fail(where, f"is not text: it holds the control character {ord(strange):#04x}", _HINT)
    return text


def _sentencepiece_problems(where: str, content: bytes) -> Iterator[Problem]:
    """A SentencePiece model is a protocol buffer whose fields are messages: pieces (1), specifications (2 to 5)."""
    place, pieces = 0, 0
    while place < len(content):
        tag, place = _varint(content, place)
        length, place = _varint(content, place)
        if tag & 7 != 2 or not (1 <= tag >> 3 <= 5 or tag >> 3 >= 200) or not 0 <= length <= len(content) - place:
            yield Problem(where, "is not a SentencePiece model", _HINT)
            return
        pieces += tag >> 3 == 1
        place += length
    if not pieces:
        yield Problem(where, "is a SentencePiece model without a piece", _HINT)


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number of a protocol buffer, and where the next one begins; -1 if there is none."""
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
