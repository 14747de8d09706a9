"""JSON lists whose entries are read one by one: what is broken in one of them is no fault of the others."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.sources.reading import shown
from erniekit_adapter.errors import fail
from erniekit_adapter.files import read_bytes
from erniekit_adapter.invoice import jsontext

# Half a character, as JSON can escape it and as bytes that are no UTF-8 are read here; and NUL.
_BROKEN_TEXT = re.compile("[\ud800-\udfff\0]")


@dataclass(frozen=True)
class BrokenEntry:
    """An entry that cannot be used, and why."""

    problem: str


class _NoNumber(str):
    """NaN, Infinity, or a number beyond all limits, as it is written."""


class _GivenTwice(dict[str, Any]):
    """An object with a key that was given twice; `key` is the first of them."""

    key = ""


def read_entries(path: Path) -> list[Any]:
    """Read a JSON list; an entry with broken text, or with a key given twice, comes as BrokenEntry.

    Raises:
        AdapterError: the file cannot be read, or is no JSON list.
    """
    entries = parse_entries(path, read_bytes(path).removeprefix(BOM_UTF8))
    if not isinstance(entries, list):
        raise fail(path, f"no JSON list of entries: {shown(entries)}", "write [{...}, {...}]")
    return [checked(entry) for entry in entries]


def parse_entries(path: Path, raw: bytes) -> Any:
    """Read JSON in which single entries may be broken; `checked` finds those.

    Raises:
        AdapterError: no JSON at all.
    """
    try:
        # Bytes that are no UTF-8 become halves of characters, which no text has.
        text = raw.decode("utf-8", "surrogateescape")
        return json.loads(
            text,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_NoNumber,
            object_pairs_hook=_object,
            strict=False,
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else f"not JSON: {error}"
        raise fail(
            path, what[:300], "a manifest is a JSON list of objects with image_path, ground_truth_path"
        ) from error


def checked(entry: Any) -> Any:
    """The entry, or what is broken in it."""
    problem = _problem(entry)
    return entry if problem is None else BrokenEntry(problem)


def broken_text(value: Any) -> str | None:
    """What is wrong with the first broken text in a value; None where all are sound."""
    return _problem(value)


def _problem(value: Any) -> str | None:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, _GivenTwice):
            return f"the key {part.key!r} is given twice"
        if isinstance(part, dict):
            pending += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            pending += part
        elif isinstance(part, _NoNumber):
            return f"{part[:40]} is no number that JSON has"
        elif isinstance(part, str) and (found := _BROKEN_TEXT.search(part)):
            what = "NUL" if found[0] == "\0" else "bytes or half a character that are no UTF-8"
            return f"text that holds {what}: {part[max(found.start() - 20, 0) : found.start() + 20]!a}"
    return None


def _decimal(text: str) -> Any:
    try:
        return jsontext.decimal(text)
    except ValueError:
        return _NoNumber(text)


def _integer(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return _NoNumber(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = _GivenTwice(found)
    twice.key = next(name for name in names if names.count(name) > 1)[:60]
    return twice
