"""JSON Schema (2020-12) of an answer for servers that constrain what a model writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from erniekit_adapter.documents.document_type import VerdictKeys
from erniekit_adapter.documents.fields import NUMBER_KINDS, Field

# Bounds of an answer, so that a constrained model cannot write forever.
MAX_ROWS = 200
# A longer list in an answer is a repetition of the model, not a document.
MAX_READ_ROWS = 2000
MAX_TEXT_CHARACTERS = 1000
# Dates that exist, except that every year has a 29 February. An answer with an impossible date cannot be read.
_ISO_DATE = (
    "^[12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))$"
)
_TEXT_NUMBER = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"
_MAX_ISSUES = 20
_NO_LIMITS: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def schema_of_fields(
    fields: Iterable[Field],
    content_key: str | None,
    verdict: VerdictKeys | None,
    limits: Mapping[str, Mapping[str, Any]] = _NO_LIMITS,
    required: Collection[str] = (),
) -> dict[str, Any]:
    """Return the schema of answers with these fields: fields are optional if not required, and no other key is allowed.

    Args:
        fields: fields of the content; those that are not printed are left out.
        content_key: key of the content; None if the answer is the content.
        verdict: keys of the verdict; None without one.
        limits: keywords that limit a value or list, by path, such as maxItems.
        required: paths of the required values, lists and objects.
    """
    content = _object({})
    for field in fields:
        if field.is_printed:
            _add(content, field, limits)
    for path in sorted(required):
        _require(content, path)
    root = content if content_key is None else _object({content_key: content}, required=[content_key])
    if verdict is not None:
        root["properties"][verdict.key] = _verdict(verdict)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root}


def _add(content: dict[str, Any], field: Field, limits: Mapping[str, Mapping[str, Any]]) -> None:
    *parents, last = field.path.split(".")
    part, path = content, ""
    for parent in parents:
        properties, path = part["properties"], f"{path}{parent}"
        if parent.endswith("[]"):
            rows = properties.setdefault(parent[:-2], _list(_object({}), limits.get(path[:-2])))
            part = rows["items"]
        else:
            part = properties.setdefault(parent, _object({}))
        path += "."
    schema = {**value_schema(field), **limits.get(field.path, {})}
    if last.endswith("[]"):
        schema = _list(schema, limits.get(field.path[:-2]))
    part["properties"][last.removesuffix("[]")] = schema


def _list(items: dict[str, Any], limits: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"type": "array", "maxItems": MAX_ROWS, "items": items, **(limits or {})}


def _require(content: dict[str, Any], path: str) -> None:
    """Mark the last key of a path as required in its object; keys that are not in the schema are left out."""
    *parents, last = path.split(".")
    part = content
    for parent in parents:
        inner = part["properties"].get(parent.removesuffix("[]"), {})
        part = inner.get("items", inner)
        if "properties" not in part:
            return
    if last in part["properties"]:
        part.setdefault("required", []).append(last)


def value_schema(field: Field) -> dict[str, Any]:
    """Return the schema of one value."""
    if field.kind == "flag":
        return {"type": "boolean"}
    if field.choices:
        return {"enum": list(field.choices)}
    if field.kind in NUMBER_KINDS:
        return {"type": "string", "pattern": _TEXT_NUMBER} if field.is_text else {"type": "number"}
    if field.kind == "date":
        return {"type": "string", "pattern": _ISO_DATE}
    return {"type": "string", "maxLength": MAX_TEXT_CHARACTERS}


def _verdict(keys: VerdictKeys) -> dict[str, Any]:
    issue = {"type": "string", "maxLength": MAX_TEXT_CHARACTERS}
    return _object(
        {
            keys.is_valid: {"type": ["boolean", "null"]},
            keys.math_verified: {"type": ["boolean", "null"]},
            keys.issues: {"type": "array", "maxItems": _MAX_ISSUES, "items": issue},
        },
        required=[keys.is_valid, keys.math_verified, keys.issues],
    )


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})
