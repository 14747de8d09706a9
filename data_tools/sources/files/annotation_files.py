"""Annotation files: the files of a folder that contain annotations, and the documents in each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.records import Rejection
from data_tools.sources.files.json_lists import BrokenEntry, read_entries
from data_tools.sources.files.paths import is_folder, refuse_folder
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import is_inside, read_lines

_JSON, _LINES, _EITHER = frozenset({".json"}), frozenset({".jsonl", ".ndjson"}), frozenset({".txt"})
_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class AnnotationItem:
    """One document in an annotation file.

    Attributes:
        path: the file.
        number: its index in a list, or its line, from 1; None if the file is about one document.
        value: its content in the file: an object, or the bytes of a line; None to read the whole file.
    """

    path: Path
    number: int | None = None
    value: Any = None


def annotation_files(path: Path) -> list[Path]:
    """Return the files of a source: the file itself, or each JSON file in a folder and its subfolders, sorted.

    Files named `.txt` are included if they begin as JSON does: SROIE and WildReceipt use that name. Links to folders
    are not followed.

    Raises:
        AdapterError: the path does not exist, or a folder cannot be read.
    """
    if not is_folder(path, "give an export, or a folder of annotations"):
        return [path]
    found = []
    for folder, names, files in os.walk(path, onerror=refuse_folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found += [Path(folder, name) for name in files if _may_contain_json(Path(folder, name))]
    return sorted(found)


def annotation_items(source: Path) -> Iterator[AnnotationItem | Rejection]:
    """Yield the documents of a source in order, and a rejection for each file or entry that cannot be read.

    Raises:
        AdapterError: the only file of the source cannot be read, or begins as a JSON list and is not one.
    """
    for path in annotation_files(source):
        if path != source and path.is_symlink() and not is_inside(source, path):
            yield Rejection(str(path), None, None, "source", f"a link that leaves the folder {source}")
        elif not path.is_file():
            yield Rejection(str(path), None, None, "source", "not a regular file, or a broken link")
        elif path == source:
            yield from _items(path)
        else:
            yield from _items_or_rejection(path)


def _items_or_rejection(path: Path) -> Iterator[AnnotationItem | Rejection]:
    """Yield the documents of one file of a folder; an unreadable file does not affect the others."""
    try:
        yield from _items(path)
    except AdapterError as error:
        finding = "; ".join(problem.finding for problem in error.problems)
        yield Rejection(str(path), None, None, "source", finding[:2000])


def _items(path: Path) -> Iterator[AnnotationItem | Rejection]:
    if _first_character(path) == b"[":
        entries = read_entries(path)
        for number, value in enumerate(entries, start=1):
            if isinstance(value, BrokenEntry):
                yield Rejection(str(path), number, None, "source", value.problem)
            else:
                yield AnnotationItem(path, number if len(entries) > 1 else None, value)
    elif _is_json_lines(path):
        for number, raw in read_lines(path):
            yield AnnotationItem(path, number, raw if raw is not None else b"")
    else:
        yield AnnotationItem(path)


def _may_contain_json(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return False
    return suffix in _JSON | _LINES or (suffix in _EITHER and _first_character(path) == b"{")


def _is_json_lines(path: Path) -> bool:
    """Return whether a file has an object on each line, rather than one object."""
    if path.suffix.lower() in _LINES:
        return True
    lines = [line.strip() for line in _head(path).splitlines() if line.strip()]
    return len(lines) > 1 and lines[0].endswith(b"}") and lines[1].startswith(b"{")


def _first_character(path: Path) -> bytes:
    return _head(path).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]


def _head(path: Path) -> bytes:
    """Return the beginning of a file; empty if it cannot be read, which is reported when the file is read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    except OSError:
        return b""
