"""Example answers from JSON files, JSON lists, JSON Lines and folders; amounts keep their digits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erniekit_adapter.documents import json_text
from erniekit_adapter.errors import AdapterError, Problem, UsageError, usage_error
from erniekit_adapter.files import read_bytes, read_lines, similar_path

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_EXAMPLES, MAX_VALUES, MAX_LEVELS = 1000, 200_000, 20
_SUFFIXES = (".json", ".jsonl", ".ndjson")
_HINT = 'an example is the JSON object that the model must answer, for example {"number": "A-1", "total": 119.00}'


@dataclass(frozen=True)
class ExampleAnswer:
    """An example answer and its place: `bills.jsonl:3`, `bills.json[2]`."""

    location: str
    value: dict[str, Any]


def read_examples(paths: Iterable[Path]) -> list[ExampleAnswer]:
    """Return the example answers of files and folders, in their order.

    Raises:
        UsageError: a file is missing, too large or not JSON, an example is not an object, or there are too many; every
            problem of the files is reported.
    """
    found: list[ExampleAnswer] = []
    problems: list[Problem] = []
    values = 0
    for path in paths:
        try:
            for example in _of_path(path):
                values += _counted(example)
                if len(found) >= MAX_EXAMPLES or values > MAX_VALUES:
                    limits = f"more than {MAX_EXAMPLES:,} examples or {MAX_VALUES:,} values"
                    raise usage_error(example.location, limits, "ten different examples are enough")
                found.append(example)
        except AdapterError as error:
            problems += error.problems
    if problems:
        raise UsageError(problems)
    if not found:
        raise usage_error("--from", "no examples", _HINT)
    return found


def _of_path(path: Path) -> Iterator[ExampleAnswer]:
    if not path.exists():
        near = similar_path(path, lambda inner: inner.is_dir() or inner.suffix in _SUFFIXES)
        raise usage_error(path, "no such file", f"did you mean {near}?" if near else _HINT)
    if path.is_dir():
        names = sorted(inner for inner in path.iterdir() if inner.suffix in _SUFFIXES and inner.is_file())
        if not names:
            raise usage_error(path, f"has no {', '.join(_SUFFIXES)} file", "name the files")
        for name in names:
            yield from _of_file(name)
    else:
        yield from _of_file(path)


def _of_file(path: Path) -> Iterator[ExampleAnswer]:
    if path.suffix in _SUFFIXES[1:]:
        read_bytes(path, MAX_FILE_BYTES)
        for number, line in read_lines(path):
            location = f"{path}:{number}"
            if line is None:
                raise usage_error(location, "the line is too long", "split the file")
            yield from _objects(location, _parsed(location, line))
        return
    value = _parsed(str(path), read_bytes(path, MAX_FILE_BYTES).removeprefix(b"\xef\xbb\xbf"))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _objects(f"{path}[{index}]", item)
    else:
        yield from _objects(str(path), value)


def _parsed(location: str, content: bytes) -> Any:
    try:
        return json_text.parse(content)
    except ValueError as error:
        raise usage_error(location, f"not JSON: {error}"[:300], "check the file with: python -m json.tool") from error


def _objects(location: str, value: Any) -> Iterator[ExampleAnswer]:
    if not isinstance(value, dict) or not value:
        found = "an empty object" if value == {} else type(value).__name__
        raise usage_error(location, f"expected a JSON object, found {found}", _HINT)
    try:
        json_text.compose(value).encode()
    except UnicodeEncodeError as error:
        raise usage_error(location, "a text with half of a surrogate pair", "correct the characters") from error
    except RecursionError as error:
        raise usage_error(location, f"nested more than {MAX_LEVELS} levels deep", "use fewer levels") from error
    yield ExampleAnswer(location, value)


def _counted(example: ExampleAnswer) -> int:
    """Return the number of values in an example."""
    count = 0
    level: list[Any] = [example.value]
    for _ in range(MAX_LEVELS):
        inner: list[Any] = [part for value in level for part in (value.values() if isinstance(value, dict) else value)]
        count += len(inner)
        level = [part for part in inner if isinstance(part, (dict, list))]
        if not level:
            return count
    raise usage_error(example.location, f"nested more than {MAX_LEVELS} levels deep", "use fewer levels")
