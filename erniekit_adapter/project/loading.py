"""Load a project from a YAML file and overrides; all errors are reported together, each with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from erniekit_adapter import yaml_files
from erniekit_adapter.errors import AdapterError, Problem, UsageError, usage_error
from erniekit_adapter.files import similar_path
from erniekit_adapter.project.schema import SOURCE_KINDS, Project
from erniekit_adapter.project.synonyms import FORMER_SOURCE_KINDS, RENAMED_KEYS, project_key_of
from erniekit_adapter.project.type_sources import source_problems
from erniekit_adapter.yaml_files import MAX_BYTES, Key, Loader, LocatedFile, dotted

MAX_PROJECT_BYTES = MAX_BYTES
MAX_PROJECT_NODES = 10_000
_SUFFIXES = (".yaml", ".yml")

# Start of a problem's location if its key is known but not its line.
PROJECT = "project"

Loaded = TypeVar("Loaded", bound=BaseModel)

# The place of each key: `{"training.seed": "mine.yaml:12"}`, or `--set`.
Places = Mapping[str, str]


def load_project(path: Path, overrides: Sequence[str] = ()) -> Project:
    """Load a project file and its preset, and apply overrides of the form `section.key=value`.

    Raises:
        UsageError: unknown keys, wrong values, duplicate keys and impossible overrides, each with its line.
    """
    return load_project_with_places(path, overrides)[0]


def load_project_with_places(path: Path, overrides: Sequence[str] = ()) -> tuple[Project, Places]:
    """Load a project as `load_project` does, and return the place of each key.

    Raises:
        UsageError: as `load_project`.
    """
    _check_file(path)
    document = read_yaml(path)
    if isinstance(document.data, dict) and isinstance(document.data.get("preset"), str):
        _lay_over_preset(document, path.parent / Path(document.data["preset"]).expanduser())
    _apply_overrides(document, overrides)
    project = _validated(document, Project, "project file: it needs sections such as model and training")
    places = {dotted(key): place for key, place in document.lines.items()}
    try:
        _check_prompt_templates(project)
        _check_validation(project)
        problems = source_problems(project)
    except UsageError as error:
        raise UsageError(placed(error.problems, path, places)) from error
    if problems:
        raise UsageError(placed(problems, path, places))
    return project, places


def _check_file(path: Path) -> None:
    """Check that a project file exists; a folder, or a wrong name, gets the file as hint."""
    if path.is_dir():
        found = sorted(islice((inner for inner in path.iterdir() if inner.suffix in _SUFFIXES), 20))
        hint = f"give the project file: {found[0]}" if found else "give the project file, such as configs/demo-cpu.yaml"
        raise usage_error(path, "is a folder", hint)
    if not path.exists():
        near = similar_path(path, lambda inner: inner.suffix in _SUFFIXES)
        hint = f"did you mean {near}?" if near else "give the path of the project file, such as configs/demo-cpu.yaml"
        raise usage_error(path, "no such file", hint)


def _check_validation(project: Project) -> None:
    """Check that answers have a verdict if the validation task is learnt."""
    documents, share = project.documents, project.data.tasks.validation
    if share and documents.verdict is None:
        finding = f"found {share:g}; answers of {documents.name} have no verdict to learn"
        hint = "remove it, or set answer: {verdict: true} in document_type.yaml"
        raise usage_error("data.tasks.validation", finding, hint)


def _check_prompt_templates(project: Project) -> None:
    """Check that the project's document type can be read, and has as many prompt templates as the project uses."""
    documents, wanted = project.documents, project.data.prompt_templates
    if wanted > documents.prompts.templates:
        finding = f"{wanted}, but {documents.name} has {documents.prompts.templates} for a task"
        hint = f"set data.prompt_templates: {documents.prompts.templates}, or write more in its document_type.yaml"
        raise usage_error("data.prompt_templates", finding, hint)


def placed(problems: Iterable[Problem], path: Path, places: Places) -> list[Problem]:
    """Return problems of a project with file and line in their location: `mine.yaml:12 training.seed`."""
    found = []
    for problem in problems:
        key = problem.location.removeprefix(PROJECT).strip()
        known = next((key.rsplit(".", cut)[0] for cut in range(3) if key.rsplit(".", cut)[0] in places), None)
        foreign = " " in key
        location = key if foreign else f"{places[known] if known else path} {key}"
        found.append(replace(problem, location=location))
    return found


def load_file(path: Path, kind: type[Loaded], expected: str, overrides: Sequence[str] = ()) -> Loaded:
    """Load a YAML file into a pydantic model.

    Args:
        path: the file.
        kind: the model.
        expected: description of the file, for the error if it is not a mapping.
        overrides: of the form `section.key=value`.

    Raises:
        UsageError: unknown keys, wrong values, duplicate keys and impossible overrides, each with its line.
    """
    document = read_yaml(path)
    _apply_overrides(document, overrides)
    return _validated(document, kind, expected)


def _validated(document: LocatedFile, kind: type[Loaded], expected: str) -> Loaded:
    if not isinstance(document.data, dict):
        document.problems.append(Problem(str(document.path), f"not a {expected}"))
    if document.problems:
        raise UsageError(document.problems)
    try:
        return kind.model_validate(document.data)
    except ValidationError as error:
        raise UsageError([_problem(document, dict(item), kind) for item in error.errors()]) from error


def read_yaml(path: Path) -> LocatedFile:
    """Parse a YAML file, with the line of each key and a problem for each duplicate key.

    Raises:
        UsageError: the file cannot be read, is too large, or is not YAML.
    """
    return yaml_files.read_yaml(path, "project file", MAX_PROJECT_NODES)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file of settings.

    Raises:
        UsageError: the file cannot be read, is not a YAML mapping, or has a duplicate key.
    """
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        document.problems.append(Problem(str(path), "contains no settings: expected lines of the form key: value"))
    if document.problems:
        raise UsageError(document.problems)
    return {str(key): value for key, value in document.data.items()}


def _lay_over_preset(document: LocatedFile, path: Path) -> None:
    """Add the preset's values for keys that the project does not set; lists are not merged."""
    location = document.location(("preset",))
    try:
        preset = read_yaml(path)
    except AdapterError as error:
        document.problems += [
            Problem(f"{location} {each.location}", each.finding, each.hint) for each in error.problems
        ]
        return
    if not isinstance(preset.data, dict) or "preset" in preset.data:
        finding = "has a preset itself" if isinstance(preset.data, dict) else "is not a project file"
        document.problems.append(Problem(location, f"{path} {finding}", "use a project file without a preset"))
        return
    document.problems += preset.problems
    if _section(document.data, "lora").get("enabled") is False:
        _drop_lora_keys(preset, keep=())
    document.data = _merged(preset.data, document.data)
    # The merged project has the preset's keys itself.
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


def _drop_lora_keys(document: LocatedFile, keep: Iterable[Key]) -> None:
    """Remove the LoRA keys of a preset or file, as the project or `--set` disables LoRA.

    Otherwise these keys, unused without LoRA, would be errors.
    """
    section = _section(document.data, "lora")
    for name in [name for name in section if name != "enabled" and ("lora", name) not in set(keep)]:
        del section[name]
        document.lines = {key: place for key, place in document.lines.items() if key[:2] != ("lora", name)}


def _apply_overrides(document: LocatedFile, overrides: Sequence[str]) -> None:
    """Apply overrides of the form `section.key=value`; conflicting ones are problems."""
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
            finding = f"conflicts with --set {given[clashes[0]]}"
            document.problems.append(Problem(f"--set {override}", finding, "remove one of them"))
        given |= dict.fromkeys(leaves, override)
        _apply_override(document, key, value)
    if ("lora", "enabled") in given and _section(document.data, "lora").get("enabled") is False:
        _drop_lora_keys(document, keep=given)


def _leaves(key: Key, value: Any) -> Iterator[Key]:
    """Yield the keys that a value sets, with those of nested mappings."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves((*key, str(name)), part)
    else:
        yield key


def _overlap(one: Key, other: Key) -> bool:
    size = min(len(one), len(other))
    return one[:size] == other[:size]


def _parsed_override(document: LocatedFile, override: str) -> tuple[Key, Any] | None:
    """Return an override's key and value; None, with a problem added, if it is malformed."""
    name, equals, text = override.partition("=")
    key = tuple(name.strip().split("."))
    if not equals or not all(key):
        document.problems.append(Problem(f"--set {override}", "expected section.key=value"))
        return None
    try:
        return key, Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError):
        document.problems.append(Problem(f"--set {override}", "the value is not YAML"))
        return None


def _apply_override(document: LocatedFile, key: Key, value: Any) -> None:
    target = document.data if isinstance(document.data, dict) else {}
    document.data = target
    for part in key[:-1]:
        child = target.get(part)
        target[part] = target = dict(child) if isinstance(child, dict) else {}
    target[key[-1]] = value
    for size in range(1, len(key)):
        document.lines.setdefault(key[:size], "--set")
    document.lines[key] = "--set"


def _problem(document: LocatedFile, error: dict[str, Any], kind: type[BaseModel]) -> Problem:
    key: Key = tuple(part for part in error["loc"] if not _is_union_member(part))
    location, found = document.location(key), error.get("input")
    if error["type"] == "extra_forbidden":
        if renamed := RENAMED_KEYS.get(dotted(key)):
            return Problem(location, f"is now called {renamed}", f"rename it to {renamed}")
        nearest = nearest_key(dotted(key), kind)
        return Problem(location, "unknown key", f"did you mean {nearest}?" if nearest else "remove it")
    if error["type"] == "union_tag_invalid":
        return _unknown_kind(document.location((*key, "kind")), str(error["ctx"]["tag"]))
    if error["type"] == "missing":
        return Problem(location, "missing", f"add {dotted(key)}")
    message = str(error["msg"]).removeprefix("Value error, ")
    hint = f"write it in quotes: '{found}'" if error["type"] == "string_type" and type(found) in (int, float) else ""
    finding = message if isinstance(found, (dict, BaseModel)) else f"{message}; found {found!r}"[:300]
    return Problem(location, finding, hint)


def _is_union_member(part: object) -> bool:
    # pydantic adds the member of a union that it tried, as in ('lora', 'target_modules', 'list[literal[…]]', 0).
    return isinstance(part, str) and (part.startswith(("literal[", "list[")) or part in SOURCE_KINDS)


def _unknown_kind(location: str, kind: str) -> Problem:
    """Return the problem of a source with an unknown kind; a former name gets the current one as hint."""
    if new_kind := FORMER_SOURCE_KINDS.get(kind):
        return Problem(location, f"{kind} has a new name", f"write kind: {new_kind}")
    nearest = difflib.get_close_matches(kind, SOURCE_KINDS, n=1, cutoff=0.6)
    finding = f"unknown kind of source {kind!r}"[:300]
    return Problem(location, finding, f"write one of {', '.join([*nearest, *sorted({*SOURCE_KINDS} - {*nearest})])}")


def keys_of(kind: type[BaseModel] = Project) -> list[str]:
    """Return the dotted keys of a pydantic model, by default the project file; lists are not entered."""
    found = []
    for name, part in kind.model_fields.items():
        section = part.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += [f"{name}.{key}" for key in keys_of(section)]
        found.append(name)
    return found


def nearest_key(name: str, kind: type[BaseModel] = Project) -> str | None:
    """Return the key that an unknown one most likely means, by other trainers' names or similar spelling."""
    known = keys_of(kind)
    if name not in known and (found := project_key_of(name)) in known:
        return found
    if matches := difflib.get_close_matches(name, known, n=1, cutoff=0.75):
        return matches[0]
    # The right key in the wrong section, or without its section.
    last = name.rpartition(".")[2]
    by_last = {key.rpartition(".")[2]: key for key in known}
    matches = difflib.get_close_matches(last, list(by_last), n=1, cutoff=0.75)
    return by_last[matches[0]] if matches else None
