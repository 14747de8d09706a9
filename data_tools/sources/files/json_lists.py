"""JSON lists whose entries are read one by one, so that a broken entry does not affect the others."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.sources.files.json_values import shown
from erniekit_adapter.documents import json_text
from erniekit_adapter.errors import failure
from erniekit_adapter.files import read_bytes

# Lone surrogates, from JSON escapes or from bytes that are not UTF-8, and NUL.
_BROKEN_TEXT = re.compile("[\ud800-\udfff\0]")


@dataclass(frozen=True)
class BrokenEntry:
    """An entry that cannot be used, with the reason."""

    problem: str


class _InvalidNumber(str):
    """NaN, Infinity, or a number beyond all limits, as written."""


class _RepeatedKeyObject(dict[str, Any]):
    """An object with a repeated key; `key` is the first one."""

    key = ""


def read_entries(path: Path) -> list[Any]:
    """Read a JSON list; an entry with broken text or a repeated key is returned as BrokenEntry.

    Raises:
        AdapterError: the file cannot be read, or is not a JSON list.
    """
    entries = parse_entries(path, read_bytes(path).removeprefix(BOM_UTF8))
    if not isinstance(entries, list):
        raise failure(path, f"not a JSON list of entries: {shown(entries)}", "write [{...}, {...}]")
    return [checked(entry) for entry in entries]


def parse_entries(path: Path, raw: bytes) -> Any:
    """Parse JSON in which single entries may be broken; `checked` finds those.

    Raises:
        AdapterError: the file is not JSON.
    """
    try:
        # Bytes that are not UTF-8 become lone surrogates, which no valid text has.
        text = raw.decode("utf-8", "surrogateescape")
        return json.loads(
            text,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_InvalidNumber,
            object_pairs_hook=_object,
            strict=False,
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        finding = "nested too deeply" if isinstance(error, RecursionError) else f"not JSON: {error}"
        raise failure(
            path, finding[:300], "a manifest is a JSON list of objects with image_path, ground_truth_path"
        ) from error


def checked(entry: Any) -> Any:
    """Return the entry, or a BrokenEntry with its first problem."""
    problem = _problem(entry)
    return entry if problem is None else BrokenEntry(problem)


def broken_text(value: Any) -> str | None:
    """Return the problem of the first broken text in a value; None without one."""
    return _problem(value)


def _problem(value: Any) -> str | None:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, _RepeatedKeyObject):
            return f"the key {part.key!r} is given twice"
        if isinstance(part, dict):
            pending += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            pending += part
        elif isinstance(part, _InvalidNumber):
            return f"{part[:40]} is not a JSON number"
        elif isinstance(part, str) and (found := _BROKEN_TEXT.search(part)):
            finding = "NUL" if found[0] == "\0" else "bytes or half a character that are not UTF-8"
            return f"text that contains {finding}: {part[max(found.start() - 20, 0) : found.start() + 20]!a}"
    return None


def _decimal(text: str) -> Any:
    try:
        return json_text.decimal(text)
    except ValueError:
        return _InvalidNumber(text)


def _integer(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return _InvalidNumber(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = _RepeatedKeyObject(found)
    twice.key = next(name for name in names if names.count(name) > 1)[:60]
    return twice
