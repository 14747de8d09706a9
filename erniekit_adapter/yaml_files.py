"""YAML and JSON files whose values keep their lines, for error messages: projects, presets and document types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from erniekit_adapter.errors import AdapterError, Problem, UsageError, usage_error
from erniekit_adapter.files import read_bytes

MAX_BYTES, MAX_VALUES, MAX_DEPTH = 1024 * 1024, 20_000, 60
Key = tuple[str | int, ...]


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which reads `2e-4` as a number, as YAML 1.2 does."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Construct a value; an impossible one (the date 2025-13-45) is a YAML error with its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, TypeError, AttributeError, IndexError) as error:
            raise yaml.constructor.ConstructorError(None, None, f"not a value: {error}", node.start_mark) from error


Loader.yaml_implicit_resolvers = {  # a copy, to leave SafeLoader unchanged
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass
class LocatedFile:
    """The content of a file, the place of every key, and the problems found in it so far.

    Attributes:
        path: the file.
        data: its content; None for an empty file.
        lines: place of each key: `mine.yaml:12`.
        problems: the problems so far.
    """

    path: Path
    data: Any = None
    lines: dict[Key, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, key: Key, finding: str, hint: str = "") -> None:
        """Add a problem of a key."""
        self.problems.append(Problem(self.location(key), finding, hint))

    def location(self, key: Key) -> str:
        """Return `file:line dotted.key` of a key, with the line of its nearest part in the file."""
        known = next((key[:size] for size in range(len(key), 0, -1) if key[:size] in self.lines), None)
        place = self.lines[known] if known else str(self.path)
        return f"{place} {dotted(key)}".strip()


def dotted(key: Key) -> str:
    """Return `("data", "sources", 0, "path")` as `data.sources[0].path`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def read_yaml(path: Path, kind: str = "file", max_values: int = MAX_VALUES) -> LocatedFile:
    """Parse a YAML file, with the line of each key and a problem for each duplicate key.

    Args:
        path: the file.
        kind: name of the kind of file, for hints.
        max_values: the most keys and values.

    Raises:
        UsageError: the file cannot be read, is too large, or is not YAML.
    """
    found = LocatedFile(path)
    try:
        found.data = _read_nodes(found, _text(path), kind, max_values)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise usage_error(f"{path}:{line}", f"not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise usage_error(path, f"not UTF-8 text: {error}") from error
    except RecursionError as error:
        raise usage_error(path, "nested too deeply") from error
    return found


def read_json(path: Path, kind: str = "file", max_values: int = MAX_VALUES) -> LocatedFile:
    """Parse a JSON file; its lines are those of the same text as YAML, if it can be read as YAML.

    Raises:
        UsageError: the file cannot be read, is too large, or is not JSON.
    """
    found, text = LocatedFile(path), _text(path)
    try:
        found.data = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(found.data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise usage_error(
            f"{path}:{error.lineno}", f"not JSON: {error.msg}", "correct the text at this line"
        ) from error
    except RecursionError as error:
        raise usage_error(path, "nested too deeply") from error
    except ValueError as error:
        raise usage_error(path, f"not JSON: {error}"[:300], "correct the text") from error
    with suppress(yaml.YAMLError, RecursionError):
        # YAML forbids tabs as indentation.
        _read_nodes(found, text.replace("\t", " "), kind, max_values)
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _text(path: Path) -> str:
    try:
        return read_bytes(path, MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise usage_error(path, f"not UTF-8 text: {error}") from error
    except AdapterError as error:
        raise UsageError(error.problems) from error


def _read_nodes(found: LocatedFile, text: str, kind: str, max_values: int) -> Any:
    """Return the content of a YAML text; note the line of each key and the duplicate keys."""
    _check_size(found.path, text, kind, max_values)
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        for count, (key, child, parent) in enumerate(_walk(node, ())):
            if count > max_values:
                raise usage_error(found.path, f"more than {max_values:,} values", f"check that this is a {kind}")
            _note_key(found, key, child, parent)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(path: Path, text: str, kind: str, max_values: int) -> None:
    """Refuse files that are too deep or long for PyYAML, whose time grows with the square of the depth."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise usage_error(f"{path}:{line}", f"nested more than {MAX_DEPTH} levels deep", "use fewer levels")
        if count > 3 * max_values:
            raise usage_error(path, f"more than {max_values:,} values", f"check that this is a {kind}")


def _walk(node: yaml.Node, key: Key) -> Iterator[tuple[Key, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield (*key, str(name.value)), name, node
            yield from _walk(value, (*key, str(name.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*key, index), value, node
            yield from _walk(value, (*key, index))


def _note_key(found: LocatedFile, key: Key, node: yaml.Node, parent: yaml.Node) -> None:
    place = f"{found.path}:{node.start_mark.line + 1}"
    if key in found.lines and isinstance(parent, yaml.MappingNode):
        found.problems.append(
            Problem(f"{place} {dotted(key)}", f"duplicate key, first at {found.lines[key]}", "remove one of them")
        )
    found.lines.setdefault(key, place)
