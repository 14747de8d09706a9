"""The validated content of `document_type.yaml`, with every problem at its line."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from erniekit_adapter.documents.declared.definition import Definition, RuleSection
from erniekit_adapter.yaml_files import LocatedFile


def read_definition(file: LocatedFile) -> Definition | None:
    """Return the definition; None if it is wrong, with its problems added to the file."""
    if not isinstance(file.data, dict):
        file.add((), "contains no definition", "write at least title: and a name for people")
        return None
    try:
        return Definition.model_validate(file.data)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            _add(file, dict(item))
        return None


def _add(file: LocatedFile, item: dict[str, Any]) -> None:
    key, found = tuple(item["loc"]), item.get("input")
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        file.add(key, "unknown key", _near_key(key))
    elif item["type"] == "missing":
        file.add(key, "missing", f"add {key[-1]}")
    elif item["type"] == "string_type" and isinstance(found, (int, float)):
        file.add(key, f"expected text, found {str(found)[:60]}", f"write it in quotes: '{str(found)[:60]}'")
    elif item["type"] == "string_pattern_mismatch":
        file.add(key, f"found {str(found)[:60]!r}", "write visible text without control characters, on one line")
    elif isinstance(found, (dict, list, BaseModel)):
        file.add(key, message)
    else:
        file.add(key, f"{message}; found {str(found)[:60]!r}")


def _near_key(key: tuple[str | int, ...]) -> str:
    """Return a hint with the key that an unknown one most likely means."""
    model: type[BaseModel] | None = Definition
    for part in key[:-1]:
        model = _section(model, str(part)) if not isinstance(part, int) else model
    if model is None:
        return "remove it"
    near = difflib.get_close_matches(str(key[-1]), model.model_fields, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"remove it; the keys are {', '.join(model.model_fields)}"


def _section(model: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    """Return the model of a section or of a list's items."""
    if name == "rules":
        return RuleSection
    field = model.model_fields.get(name) if model else None
    for kind in getattr(field.annotation, "__args__", (field.annotation,)) if field else ():
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
