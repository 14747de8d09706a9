"""The files of a guessed document type: schema.json, document_type.yaml, examples.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.declared import DEFINITION_FILE, SCHEMA_FILE
from erniekit_adapter.documents.fields import Role
from erniekit_adapter.documents.guessing.kinds import FieldGuess
from erniekit_adapter.documents.guessing.rules import RuleProposal
from erniekit_adapter.documents.guessing.words import title_of
from erniekit_adapter.files import write_text

EXAMPLES_FILE = "examples.jsonl"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LINE_CHARACTERS = 118
_NO_RULES = "# No rule holds in every example. docs/your-own-document.md shows how to write one.\n"


def schema_value(
    title: str,
    guesses: Sequence[FieldGuess],
    roles: Mapping[str, Role],
    aliases: Mapping[str, tuple[str, ...]],
    line_items: str | None,
) -> dict[str, Any]:
    """Return the content of `schema.json`."""
    root: dict[str, Any] = {"$schema": _DIALECT, "title": title, "type": "object", "properties": {}}
    for guess in guesses:
        *parents, last = guess.path.split(".")
        part, path = root, ""
        for parent in parents:
            path = f"{path}.{parent}" if path else parent
            part = _inner(part, parent, is_line_items=line_items is not None and path == f"{line_items}[]")
        value = _value_schema(guess, roles.get(guess.path), aliases.get(guess.path, ()))
        name = last.removesuffix("[]")
        part["properties"][name] = {"type": "array", "items": value} if last.endswith("[]") else value
    return root


def _inner(part: dict[str, Any], key: str, *, is_line_items: bool) -> dict[str, Any]:
    """Return the object under a key, or the rows of the list under it; it is made if it is missing."""
    properties = part["properties"]
    name = key.removesuffix("[]")
    if not key.endswith("[]"):
        inner: dict[str, Any] = properties.setdefault(name, {"type": "object", "properties": {}})
        return inner
    marks = {"x-line-items": True} if is_line_items else {}
    rows = {"type": "array", **marks, "items": {"type": "object", "properties": {}}}
    items: dict[str, Any] = properties.setdefault(name, rows)["items"]
    return items


def _value_schema(guess: FieldGuess, role: Role | None, aliases: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": guess.json_type, "x-kind": guess.kind, "title": title_of(guess.part.key)}
    found |= {"enum": list(guess.choices)} if guess.choices else {}
    found |= {"x-role": role} if role else {}
    found |= {"x-aliases": list(aliases)} if aliases else {}
    found |= {"x-percent": True} if guess.is_percent else {}
    found |= {"x-signed": True} if role == "line_total" and any(map(_is_negative, guess.part.values)) else {}
    return found | ({"x-printed": False} if not guess.is_printed and guess.kind != "flag" else {})


def _is_negative(value: tuple[int, Any]) -> bool:
    return str(value[1]).lstrip().startswith(("-", "−"))


def definition_value(
    title: str, language: str, content_key: str | None, has_verdict: bool, rules: Sequence[RuleProposal]
) -> dict[str, Any]:
    """Return the content of `document_type.yaml`."""
    answer: dict[str, Any] = {"content_key": content_key} if content_key else {}
    answer |= {"verdict": True} if has_verdict else {}
    found: dict[str, Any] = {"title": title, "language": language}
    found |= {"answer": answer} if answer else {}
    return found | ({"rules": [rule.section for rule in rules]} if rules else {})


def write_type_files(
    folder: Path, schema: dict[str, Any], definition: dict[str, Any], answers: Sequence[dict[str, Any]]
) -> None:
    """Write the three files of a document type."""
    write_text(folder / SCHEMA_FILE, f"{_json(schema, 0)}\n")
    text = yaml.safe_dump(definition, allow_unicode=True, sort_keys=False, width=_LINE_CHARACTERS)
    write_text(folder / DEFINITION_FILE, text if definition.get("rules") else text + _NO_RULES)
    write_text(folder / EXAMPLES_FILE, "".join(f"{json_text.compose(answer)}\n" for answer in answers))


def _json(value: Any, indent: int) -> str:
    """Return JSON with an object in one line if it fits, so that each field of a schema is one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict):
        return line
    is_flat = not any(isinstance(part, dict) for part in value.values())
    if is_flat and len(line) + indent <= _LINE_CHARACTERS:
        return line
    blank = " " * (indent + 2)
    parts = [f"{blank}{json.dumps(key, ensure_ascii=False)}: {_json(part, indent + 2)}" for key, part in value.items()]
    return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"
