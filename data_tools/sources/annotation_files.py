"""Files of annotations: which of a folder's files are some, and the documents in each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.records import Rejection
from data_tools.sources.entries import BrokenEntry, read_entries
from data_tools.sources.reading import is_folder, refuse_folder
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import is_inside, read_lines

_JSON, _LINES, _EITHER = frozenset({".json"}), frozenset({".jsonl", ".ndjson"}), frozenset({".txt"})
_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class AnnotationItem:
    """One document in a file of annotations.

    Attributes:
        path: the file.
        number: its place in a list, or its line, from 1; None where the file is about one document.
        value: what the file holds of it; the bytes of a line; None where the whole file is to be read.
    """

    path: Path
    number: int | None = None
    value: Any = None


def annotation_files(path: Path) -> list[Path]:
    """The files of a source: the file itself, or every file of JSON below a folder, sorted.

    Files named `.txt` are among them if they begin as JSON does: SROIE and WildReceipt use that name. Links to folders
    are not followed.

    Raises:
        AdapterError: there is no such file or folder, or a folder cannot be read.
    """
    if not is_folder(path, "give an export, or a folder of annotations"):
        return [path]
    found = []
    for folder, names, files in os.walk(path, onerror=refuse_folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found += [Path(folder, name) for name in files if _may_hold_json(Path(folder, name))]
    return sorted(found)


def annotation_items(source: Path) -> Iterator[AnnotationItem | Rejection]:
    """The documents of a source, in order, and a rejection for each file or entry that is none.

    Raises:
        AdapterError: a file cannot be read, or is no JSON list although it begins as one.
    """
    for path in annotation_files(source):
        if path != source and path.is_symlink() and not is_inside(source, path):
            yield Rejection(str(path), None, None, "source", f"a link that leaves the folder {source}")
        elif not path.is_file():
            yield Rejection(str(path), None, None, "source", "no regular file, or a link to none")
        elif path == source:
            yield from _items(path)
        else:
            yield from _items_of_one(path)


def _items_of_one(path: Path) -> Iterator[AnnotationItem | Rejection]:
    """The documents of one file among others: one that cannot be read leaves these alone."""
    try:
        yield from _items(path)
    except AdapterError as error:
        what = "; ".join(problem.what for problem in error.problems)
        yield Rejection(str(path), None, None, "source", what[:2000])


def _items(path: Path) -> Iterator[AnnotationItem | Rejection]:
    if _head(path).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
        entries = read_entries(path)
        for number, value in enumerate(entries, start=1):
            if isinstance(value, BrokenEntry):
                yield Rejection(str(path), number, None, "source", value.problem)
            else:
                yield AnnotationItem(path, number if len(entries) > 1 else None, value)
    elif _is_lines(path):
        for number, raw in read_lines(path):
            yield AnnotationItem(path, number, raw if raw is not None else b"")
    else:
        yield AnnotationItem(path)


def _may_hold_json(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return False
    return suffix in _JSON | _LINES or (suffix in _EITHER and _head(path).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{")


def _is_lines(path: Path) -> bool:
    """Whether a file holds an object on each line, and not one object alone."""
    if path.suffix.lower() in _LINES:
        return True
    lines = [line.strip() for line in _head(path).splitlines() if line.strip()]
    return len(lines) > 1 and lines[0].endswith(b"}") and lines[1].startswith(b"{")


def _head(path: Path) -> bytes:
    """The beginning of a file; empty where it cannot be read, which reading it says by name."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    except OSError:
        return b""
