"""`schema.json` of a document type: the fields of its content, from a JSON Schema with our keywords.

Our keywords: `x-kind` (how a value is parsed, searched, compared and written), `x-aliases` (other names of a field),
`x-role` (its part in every document), `x-percent` (a rate is written as 19, not as 0.19), `x-signed` (an amount is
negative if it is paid out), `x-printed: false` (no page shows it), and at a list `x-line-items` (its rows are
scored as line items).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from erniekit_adapter.documents.control_tokens import neutralised
from erniekit_adapter.documents.declared.schema_parts import (
    ANNOTATIONS,
    MAX_PARTS,
    PartReader,
    PlainPart,
    TooManyPartsError,
)
from erniekit_adapter.documents.declared.schema_values import VALUE_KEYWORDS, ValueReader
from erniekit_adapter.documents.fields import Field
from erniekit_adapter.documents.server_schema import MAX_READ_ROWS
from erniekit_adapter.yaml_files import Key, LocatedFile

MAX_FIELDS, MAX_LEVELS, MAX_NAME_CHARACTERS = 300, 8, 100
_MAX_HINT_CHARACTERS = 600
# Drafts whose keywords mean the same here; generators write draft-07.
_DIALECTS = tuple(
    f"{scheme}://json-schema.org/{draft}/schema"
    for draft in ("draft/2020-12", "draft/2019-09", "draft-07", "draft-06")
    for scheme in ("https", "http")
)
_OBJECT_KEYWORDS = ANNOTATIONS | {
    "$schema", "$id", "$anchor", "$defs", "definitions", "type", "properties", "required", "additionalProperties",
    "unevaluatedProperties",
}  # fmt: skip
_LIST_KEYWORDS = ANNOTATIONS | {"type", "items", "maxItems", "minItems", "x-line-items"}
_IMPLIED_TYPE = {"enum": "string", "const": "string", "properties": "object"}


@dataclass
class SchemaFields:
    """The fields of a schema.

    Attributes:
        fields: the fields by path, in the order of the schema.
        tables: paths of the lists of objects.
        line_items: the table marked with `x-line-items`, or the first one; None without tables.
        required: paths of the required values, objects and lists.
        limits: keywords that limit a value or list, by path: `pattern`, `maxItems`; also `type: integer`.
        keys: key of each field in the schema file, for error messages.
    """

    fields: dict[str, Field] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    line_items: str | None = None
    required: set[str] = field(default_factory=set)
    limits: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)


def read_schema_fields(file: LocatedFile) -> SchemaFields:
    """Return the fields of a schema; problems are added to the file."""
    found = SchemaFields()
    reader = _SchemaReader(file, PartReader(file), found)
    root = file.data
    if not isinstance(root, dict):
        file.add((), "expected a JSON object with type and properties", 'write {"type": "object", "properties": {…}}')
        return found
    if str(root.get("$schema", _DIALECTS[0])).removesuffix("#") not in _DIALECTS:
        file.add(("$schema",), f"found {str(root['$schema'])[:80]!r}", f"use {_DIALECTS[0]}")
    try:
        plain = reader.plain(root, (), "", ())
        if plain is not None and plain.schema.get("type", "object") != "object":
            finding = f"found {str(plain.schema['type'])[:80]!r}"
            file.add((*plain.key, "type"), finding, "an answer is an object: use object")
        if plain is not None:
            reader.read_object(plain.schema, plain.key, "", plain.refs)
    except TooManyPartsError:
        file.add(("properties",), f"more than {MAX_PARTS:,} fields, lists and objects", "remove some, or references")
        return found
    if not found.fields and not file.problems:
        file.add(("properties",), "has no fields", "add one, for example total with x-kind: amount")
    if len(found.fields) > MAX_FIELDS:
        file.add(("properties",), f"has {len(found.fields)} fields, more than {MAX_FIELDS}", "remove some")
    if found.line_items is None and found.tables:
        found.line_items = found.tables[0]
    found.required -= reader.nullable
    _check_required(file, found)
    # A definition that several fields refer to is read for each of them.
    file.problems[:] = dict.fromkeys(file.problems)
    return found


def _check_required(file: LocatedFile, found: SchemaFields) -> None:
    """Refuse required fields that no page shows: a request does not ask for them."""
    for path in sorted(found.required):
        inside = [
            each for name, each in found.fields.items() if name == path or name.startswith((f"{path}.", f"{path}[]"))
        ]
        if inside and not any(each.is_printed for each in inside):
            key = found.keys[inside[0].path]
            file.add(key, f"{path} is required, but no page shows it", "remove it from required")


@dataclass
class _SchemaReader:
    file: LocatedFile
    reader: PartReader
    found: SchemaFields
    nullable: set[str] = field(default_factory=set)
    marked: str | None = None

    def read_object(self, schema: dict[str, Any], key: Key, path: str, refs: tuple[str, ...]) -> None:
        if path.count(".") >= MAX_LEVELS:
            self.file.add(key, f"nested more than {MAX_LEVELS} levels deep", "use fewer levels")
            return
        self.check_keywords(schema, key, _OBJECT_KEYWORDS)
        properties = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            self.file.add(key, "an object without properties", "list its fields under properties")
            return
        for name in ("additionalProperties", "unevaluatedProperties"):
            # true is the default of JSON Schema, which generators write out.
            if not isinstance(schema.get(name, False), bool) and schema[name] != {}:
                self.file.add((*key, name), "answers have no other keys", "remove it: every field must be declared")
        for name in self.names(schema, key, properties):
            self.found.required.add(f"{path}{name}")
        for name, part in properties.items():
            inner: Key = (*key, "properties", name)
            if problem := name_problem(name):
                self.file.add(inner, problem, "rename it")
            else:
                self.read_part(part, inner, f"{path}{name}", refs)

    def names(self, schema: dict[str, Any], key: Key, properties: dict[str, Any]) -> list[str]:
        names = schema.get("required", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.file.add((*key, "required"), "expected a list of names", 'write ["total"]')
            return []
        for name in names:
            if name not in properties:
                self.file.add((*key, "required"), f"no field {name!r}"[:200], near(name, properties, "the fields are"))
        return [name for name in names if name in properties]

    def read_part(self, part: Any, key: Key, path: str, refs: tuple[str, ...]) -> None:
        plain = self.plain(part, key, path, refs)
        if plain is None:
            return
        kind = self.type_of(plain.schema, plain.key)
        if kind == "object":
            self.read_object(plain.schema, plain.key, f"{path}.", plain.refs)
        elif kind == "array":
            self.read_list(plain.schema, plain.key, path, plain.refs)
        elif kind:
            self.read_value(plain.schema, plain.key, path, kind)

    def plain(self, part: Any, key: Key, path: str, refs: tuple[str, ...]) -> PlainPart | None:
        """Return the plain form of a part; a value that may be null is not required: it is left out of the answer."""
        found = self.reader.plain(part, key, refs)
        if found is not None and found.is_nullable:
            self.nullable.add(path)
        return found

    def type_of(self, part: dict[str, Any], key: Key) -> str | None:
        """Return the JSON type."""
        found = part.get("type", _IMPLIED_TYPE.get(next((name for name in _IMPLIED_TYPE if name in part), "")))
        names = found if isinstance(found, list) else [found]
        if len(names) == 1 and names[0] in ("object", "array", "string", "number", "integer", "boolean"):
            return str(names[0])
        known = "object, array, string, number, integer or boolean"
        finding = f"found type {str(found)[:80]!r}" if "type" in part else "has no type"
        self.file.add((*key, "type") if "type" in part else key, finding, f"use one type: {known}")
        return None

    def read_list(self, part: dict[str, Any], key: Key, path: str, refs: tuple[str, ...]) -> None:
        self.check_keywords(part, key, _LIST_KEYWORDS)
        if "[]" in path:
            self.file.add(key, "a list inside the rows of a list", "use one level of rows: repeat the outer values")
            return
        self.read_row_limits(part, key, path)
        inner: Key = (*key, "items")
        if "items" not in part:
            self.file.add(key, "a list without items", 'write "items": {"type": "object", "properties": {…}}')
            return
        plain = self.plain(part["items"], inner, f"{path}[]", refs)
        if plain is None:
            return
        items, inner, refs = plain.schema, plain.key, plain.refs
        kind = self.type_of(items, inner)
        if kind == "object":
            self.found.tables.append(path)
            self.mark_line_items(part, key, path)
            self.read_object(items, inner, f"{path}[].", refs)
        elif kind == "array":
            self.file.add(inner, "a list of lists", "use a list of objects")
        elif kind:
            self.read_value(items, inner, f"{path}[]", kind)
        if kind != "object" and "x-line-items" in part:
            self.file.add((*key, "x-line-items"), "the rows are not objects", "remove it")

    def mark_line_items(self, part: dict[str, Any], key: Key, path: str) -> None:
        mark = part.get("x-line-items", False)
        if not isinstance(mark, bool):
            self.file.add((*key, "x-line-items"), f"found {str(mark)[:60]!r}", "use true or false")
        elif mark and self.marked is not None:
            self.file.add((*key, "x-line-items"), f"{self.marked} has it too", "mark one list")
        elif mark:
            self.marked = self.found.line_items = path

    def read_row_limits(self, part: dict[str, Any], key: Key, path: str) -> None:
        for name in ("minItems", "maxItems"):
            limit, least = part.get(name), 1 if name == "maxItems" else 0
            if limit is None:
                continue
            if type(limit) is not int or not least <= limit <= MAX_READ_ROWS:
                hint = f"use a whole number from {least} to {MAX_READ_ROWS:,}"
                self.file.add((*key, name), f"found {str(limit)[:60]!r}", hint)
            else:
                self.found.limits.setdefault(path, {})[name] = limit

    def read_value(self, part: dict[str, Any], key: Key, path: str, json_type: str) -> None:
        self.check_keywords(part, key, VALUE_KEYWORDS)
        reader = ValueReader(self.file, part, key, json_type)
        self.found.keys[path] = key
        self.found.fields[path] = reader.field(path)
        if limits := reader.limits():
            self.found.limits[path] = limits

    def check_keywords(self, part: dict[str, Any], key: Key, known: frozenset[str]) -> None:
        for name in part:
            if name not in known and name != "$ref":
                self.file.add(
                    (*key, str(name)), "is not used here", near(str(name), known, "remove it; the keywords are")
                )


def name_problem(name: object) -> str:
    """Return why a text cannot be the name of a field; empty if it can."""
    if not isinstance(name, str) or not any(character.isalnum() for character in name):
        return "a name without letters and digits"
    if len(name) > MAX_NAME_CHARACTERS:
        return f"a name of more than {MAX_NAME_CHARACTERS} characters"
    if any(mark in name for mark in ".[]?`") or not name.isprintable():
        return "a name with a point, a bracket, a question mark, a backtick or a control character"
    if name != name.strip():
        return "a name with a blank at its beginning or end"
    return "" if neutralised(name) == name else "a control token of a tokenizer"


def near(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint with the most similar known name, or with all of them."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else f"{otherwise} {', '.join(names)}"[:_MAX_HINT_CHARACTERS]
