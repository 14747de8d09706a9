"""The JSON Schema of an answer in a request to a server, and whether an answer keeps to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from erniekit_adapter.documents.document_type import DocumentType

_MAX_NAME = 64


def response_format(document_type: DocumentType) -> dict[str, Any]:
    """Return the `response_format` of OpenAI's API for the answers of a document type.

    `strict` is false because OpenAI's strict schemas need every key in every answer, and an answer contains only the
    values of the page. Servers that constrain tokens keep to the schema in any case.
    """
    name = re.sub("[^A-Za-z0-9_-]+", "_", document_type.name)[:_MAX_NAME].strip("_") or "answer"
    schema = {key: value for key, value in document_type.schema.items() if key != "$schema"}
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": False}}


def keeps_structure(value: object, schema: Mapping[str, Any], *, is_cut: bool = False) -> bool:
    """Return whether a value has the types, keys and choices of a schema of `server_schema`.

    Lengths and patterns are not compared, because some servers constrain tokens without them.

    Args:
        value: a JSON value.
        schema: its schema.
        is_cut: whether the value is the beginning of one, so that keys are missing and texts are shortened.
    """
    if "enum" in schema:
        return value in schema["enum"] or (is_cut and isinstance(value, str))
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_has_type(value, name) for name in names):
        return False
    if isinstance(value, dict):
        properties = schema["properties"]
        return (is_cut or all(key in value for key in schema.get("required", ()))) and all(
            key in properties and keeps_structure(part, properties[key], is_cut=is_cut) for key, part in value.items()
        )
    return not isinstance(value, list) or all(keeps_structure(part, schema["items"], is_cut=is_cut) for part in value)


def _has_type(value: object, name: str) -> bool:
    if name == "number":
        return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, types[name])
