"""From a YAML file and overrides to a project; everything that is wrong is said at once, each with its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from erniekit_adapter.errors import AdapterError, Problem, UsageError, misuse
from erniekit_adapter.files import read_bytes
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.synonyms import project_key_of

MAX_PROJECT_BYTES = 1024 * 1024
MAX_PROJECT_NODES = 10_000

# What the place of a problem begins with where its key is known and its line is not.
PROJECT = "project"

Key = tuple[str | int, ...]
Loaded = TypeVar("Loaded", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, reading `2e-4` as the number it is in YAML 1.2."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a value; one that cannot be (the date 2025-13-45) is a YAML error with its line, as all others are."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, TypeError, AttributeError, IndexError) as error:
            raise yaml.constructor.ConstructorError(None, None, f"not a value: {error}", node.start_mark) from error


_Loader.yaml_implicit_resolvers = {  # a copy: the resolvers of SafeLoader itself stay as they are
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass
class _Document:
    """A YAML file as data, with the place of every key."""

    path: Path
    data: Any = None
    lines: dict[Key, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, key: Key) -> str:
        """`file:line dotted.key` of a key, or of the nearest part of it that is written down."""
        known = next((key[:size] for size in range(len(key), 0, -1) if key[:size] in self.lines), None)
        place = self.lines[known] if known else str(self.path)
        return f"{place} {dotted(key)}".strip()


# Where each key that is given was given: `{"training.seed": "mine.yaml:12"}`, or `--set`.
Places = Mapping[str, str]


def load_project(path: Path, overrides: Sequence[str] = ()) -> Project:
    """Read a project file with its preset and apply overrides of the form `section.key=value`.

    Raises:
        UsageError: every unknown key, wrong value, duplicate key and impossible override, each with its line.
    """
    return load_project_with_places(path, overrides)[0]


def load_project_with_places(path: Path, overrides: Sequence[str] = ()) -> tuple[Project, Places]:
    """Read a project file as `load_project` does, and say where each of its keys was given.

    Raises:
        UsageError: as `load_project`.
    """
    document = read_yaml(path)
    if isinstance(document.data, dict) and isinstance(document.data.get("preset"), str):
        _lay_over_preset(document, path.parent / Path(document.data["preset"]).expanduser())
    _apply_overrides(document, overrides)
    project = _validated(document, Project, "project file: expected sections such as model, training")
    return project, {dotted(key): place for key, place in document.lines.items()}


def placed(problems: Iterable[Problem], path: Path, places: Places) -> list[Problem]:
    """Problems of a project's keys with the file and the line of each; `where` is then `mine.yaml:12 training.seed`."""
    found = []
    for problem in problems:
        key = problem.where.removeprefix(PROJECT).strip()
        known = next((key.rsplit(".", cut)[0] for cut in range(3) if key.rsplit(".", cut)[0] in places), None)
        foreign = " " in key
        where = key if foreign else f"{places[known] if known else path} {key}"
        found.append(replace(problem, where=where))
    return found


def load_file(path: Path, kind: type[Loaded], expected: str, overrides: Sequence[str] = ()) -> Loaded:
    """Read a YAML file as a model of this kind; `expected` says what a file that holds no mapping should have been.

    Raises:
        UsageError: every unknown key, wrong value, duplicate key and impossible override, each with its line.
    """
    document = read_yaml(path)
    _apply_overrides(document, overrides)
    return _validated(document, kind, expected)


def _validated(document: _Document, kind: type[Loaded], expected: str) -> Loaded:
    if not isinstance(document.data, dict):
        document.problems.append(Problem(str(document.path), f"is no {expected}"))
    if document.problems:
        raise UsageError(document.problems)
    try:
        return kind.model_validate(document.data)
    except ValidationError as error:
        raise UsageError([_problem(document, dict(item), kind) for item in error.errors()]) from error


def read_yaml(path: Path) -> _Document:
    """Read a YAML file into plain data, noting the line of each key and every key that is given twice.

    Raises:
        UsageError: not readable, too large, or not YAML.
    """
    document = _Document(path)
    try:
        loader = _Loader(read_bytes(path, MAX_PROJECT_BYTES).decode())
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise misuse(path, f"not UTF-8 text: {error}") from error
    except AdapterError as error:
        raise UsageError(error.problems) from error
    try:
        node = loader.get_single_node()
        if node is not None:
            for count, (key, child, parent) in enumerate(_walk(node, ())):
                if count > MAX_PROJECT_NODES:
                    raise misuse(path, f"more than {MAX_PROJECT_NODES:,} values", "is this the right file?")
                _note_key(document, key, child, parent)
            document.data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise misuse(f"{path}:{line}", f"not YAML: {error.problem}") from error
    except RecursionError as error:
        raise misuse(path, "nested too deeply") from error
    finally:
        loader.dispose()
    return document


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings into a plain dictionary.

    Raises:
        UsageError: not readable, not YAML, no mapping, or a key given twice.
    """
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        document.problems.append(Problem(str(path), "holds no settings: expected key: value lines"))
    if document.problems:
        raise UsageError(document.problems)
    return {str(key): value for key, value in document.data.items()}


def _walk(node: yaml.Node, key: Key) -> Iterator[tuple[Key, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield (*key, str(name.value)), name, node
            yield from _walk(value, (*key, str(name.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*key, index), value, node
            yield from _walk(value, (*key, index))


def _note_key(document: _Document, key: Key, node: yaml.Node, parent: yaml.Node) -> None:
    place = f"{document.path}:{node.start_mark.line + 1}"
    if key in document.lines and isinstance(parent, yaml.MappingNode):
        document.problems.append(
            Problem(f"{place} {dotted(key)}", f"given twice, first at {document.lines[key]}", "keep one of them")
        )
    document.lines.setdefault(key, place)


def _lay_over_preset(document: _Document, path: Path) -> None:
    """Take from the preset what the project does not say itself; a list is taken or said as a whole."""
    where = document.where(("preset",))
    try:
        preset = read_yaml(path)
    except AdapterError as error:
        document.problems += [Problem(f"{where} {each.where}", each.what, each.remedy) for each in error.problems]
        return
    if not isinstance(preset.data, dict) or "preset" in preset.data:
        what = "has a preset of its own" if isinstance(preset.data, dict) else "is no project file"
        document.problems.append(Problem(where, f"{path} {what}", "name a project file without one"))
        return
    document.problems += preset.problems
    if _section(document.data, "lora").get("enabled") is False:
        _drop_lora_keys(preset, keep=())
    document.data = _merged(preset.data, document.data)
    # Laid over once: a project that is written down again holds the preset's keys themselves.
    del document.data["preset"]
    own = [key for key in document.lines if not _is_mapping(document.data, key)]
    for key, place in preset.lines.items():
        if not any(key[: len(each)] == each for each in own):
            document.lines.setdefault(key, place)


def _merged(below: dict[Any, Any], above: dict[Any, Any]) -> dict[Any, Any]:
    both = {
        key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return {**below, **both}


def _is_mapping(data: Any, key: Key) -> bool:
    for part in key:
        data = data.get(part) if isinstance(data, dict) else None
    return isinstance(data, dict)


def _section(data: Any, name: str) -> dict[Any, Any]:
    section = data.get(name) if isinstance(data, dict) else None
    return section if isinstance(section, dict) else {}


def _drop_lora_keys(document: _Document, keep: Iterable[Key]) -> None:
    """Drop a lower layer's LoRA keys because a preset's user, or `--set`, switches LoRA off.

    Otherwise no project with LoRA could be run without it but by editing a copy.
    """
    section = _section(document.data, "lora")
    for name in [name for name in section if name != "enabled" and ("lora", name) not in set(keep)]:
        del section[name]
        document.lines = {key: place for key, place in document.lines.items() if key[:2] != ("lora", name)}


def _apply_overrides(document: _Document, overrides: Sequence[str]) -> None:
    """Apply overrides of the form `section.key=value`; one that would undo another is a problem."""
    given: dict[Key, str] = {}
    for override in overrides:
        parsed = _parsed_override(document, override)
        if parsed is None:
            continue
        key, value = parsed
        leaves = [*_leaves(key, value)]
        clashes = [
            other for other in given if any(_overlap(other, leaf) for leaf in leaves) or key == other[: len(key)]
        ]
        if clashes:
            what = f"given twice: --set {given[clashes[0]]} is there as well"
            document.problems.append(Problem(f"--set {override}", what, "keep one of them"))
        given |= dict.fromkeys(leaves, override)
        _apply_override(document, key, value)
    if ("lora", "enabled") in given and _section(document.data, "lora").get("enabled") is False:
        _drop_lora_keys(document, keep=given)


def _leaves(key: Key, value: Any) -> Iterator[Key]:
    """Yield the keys that a value sets, mappings entered."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves((*key, str(name)), part)
    else:
        yield key


def _overlap(one: Key, other: Key) -> bool:
    size = min(len(one), len(other))
    return one[:size] == other[:size]


def _parsed_override(document: _Document, override: str) -> tuple[Key, Any] | None:
    """Return an override's key and value; None, with a problem noted, if it has none."""
    name, equals, text = override.partition("=")
    key = tuple(name.strip().split("."))
    if not equals or not all(key):
        document.problems.append(Problem(f"--set {override}", "expected section.key=value"))
        return None
    try:
        return key, _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError):
        document.problems.append(Problem(f"--set {override}", "the value is not YAML"))
        return None


def _apply_override(document: _Document, key: Key, value: Any) -> None:
    target = document.data if isinstance(document.data, dict) else {}
    document.data = target
    for part in key[:-1]:
        child = target.get(part)
        target[part] = target = dict(child) if isinstance(child, dict) else {}
    target[key[-1]] = value
    document.lines[key] = "--set"


def _problem(document: _Document, error: dict[str, Any], kind: type[BaseModel]) -> Problem:
    key: Key = tuple(part for part in error["loc"] if not _is_union_member(part))
    where, found = document.where(key), error.get("input")
    if error["type"] == "extra_forbidden":
        nearest = nearest_key(dotted(key), kind)
        return Problem(where, "unknown key", f"did you mean {nearest}?" if nearest else "remove it")
    if error["type"] == "missing":
        return Problem(where, "is required and missing", f"add {dotted(key)}")
    message = str(error["msg"]).removeprefix("Value error, ")
    return Problem(where, message if isinstance(found, (dict, BaseModel)) else f"{message}; found {found!r}"[:300])


def _is_union_member(part: object) -> bool:
    # pydantic names the member of a union that it tried, as in ('lora', 'target_modules', 'list[literal[…]]', 0).
    return isinstance(part, str) and (part.startswith(("literal[", "list[")) or part in _SOURCE_KINDS)


_SOURCE_KINDS = ("active_learning", "manifest", "lines", "einvoice", "table")


def dotted(key: Key) -> str:
    """`("data", "sources", 0, "path")` as `data.sources[0].path`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def keys_of(kind: type[BaseModel] = Project) -> list[str]:
    """Every key that a project file, or another kind of file, may hold, dotted; lists are not entered."""
    found = []
    for name, part in kind.model_fields.items():
        section = part.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += [f"{name}.{key}" for key in keys_of(section)]
        found.append(name)
    return found


def nearest_key(name: str, kind: type[BaseModel] = Project) -> str | None:
    """The key that a misspelt one most likely means: another trainer's word for it, or one that is spelt alike."""
    known = keys_of(kind)
    if name not in known and (found := project_key_of(name)) in known:
        return found
    if matches := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
        return matches[0]
    # The right key in the wrong section, or one forgotten section.
    last = name.rpartition(".")[2]
    by_last = {key.rpartition(".")[2]: key for key in known}
    matches = difflib.get_close_matches(last, list(by_last), n=1, cutoff=0.75)
    return by_last[matches[0]] if matches else None
