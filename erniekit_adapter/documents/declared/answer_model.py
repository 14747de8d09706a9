"""A pydantic model of a document type's answers, made from the fields of its schema."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StrictBool, create_model
from pydantic import Field as ModelField

from erniekit_adapter.documents.declared.names import attribute_name
from erniekit_adapter.documents.declared.schema_file import SchemaFields
from erniekit_adapter.documents.document_type import AnyAnswer, VerdictKeys
from erniekit_adapter.documents.field_types import IsoDate, Number, Text
from erniekit_adapter.documents.fields import NUMBER_KINDS, Field
from erniekit_adapter.documents.patterns import read_pattern
from erniekit_adapter.documents.server_schema import MAX_READ_ROWS

# Attribute of the verdict in an answer, whatever its key.
VERDICT_ATTRIBUTE = "verdict"
_BOUNDS: Mapping[str, Callable[[Decimal, Decimal], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}


class DeclaredPart(BaseModel):
    """Part of an answer; unknown keys are an error, so that no value is dropped silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False, protected_namespaces=())


def answer_model(
    name: str, schema: SchemaFields, content_key: str | None, verdict: VerdictKeys | None
) -> type[BaseModel]:
    """Return the model of the whole answer.

    Attributes have the names of the keys; a key that is not a Python name has an attribute with underscores instead.
    `check_names` ensures that they differ.
    """
    tree: dict[str, Any] = {}
    for path, field in schema.fields.items():
        *parents, last = path.split(".")
        part = tree
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = field
    content = _attributes(name, tree, "", schema)
    if content_key is not None:
        content = {"content": (_model(f"{name} content", content), ModelField(alias=content_key))}
    if verdict is not None:
        content[VERDICT_ATTRIBUTE] = (_verdict_model(verdict) | None, ModelField(default=None, alias=verdict.key))
    return _model(name, content)


def _attributes(name: str, tree: Mapping[str, Any], path: str, schema: SchemaFields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, part in tree.items():
        plain = key.removesuffix("[]")
        inner = f"{path}{plain}"
        kind: Any
        if isinstance(part, Field):
            kind = value_type(part, schema.limits.get(part.path))
        else:
            kind = _model(f"{name} {plain}", _attributes(name, part, f"{path}{key}.", schema))
        if key.endswith("[]"):
            rows = schema.limits.get(inner, {})
            most, least = rows.get("maxItems", MAX_READ_ROWS), rows.get("minItems", 0)
            kind = Annotated[list[kind], ModelField(min_length=least, max_length=most)]
        is_required = inner in schema.required
        found[attribute_name(plain)] = (
            (kind, ModelField(alias=plain)) if is_required else (kind | None, ModelField(default=None, alias=plain))
        )
    return found


def value_type(field: Field, limits: Mapping[str, Any] | None = None) -> Any:
    """Return the annotation of a value."""
    if field.kind == "flag":
        return StrictBool
    if field.choices:
        return Literal[field.choices]
    kind: Any = IsoDate if field.kind == "date" else Number if field.kind in NUMBER_KINDS else Text
    return Annotated[kind, AfterValidator(_limited(limits))] if limits else kind


def _limited(limits: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return the check of a value against keywords of JSON Schema; texts are compared as they are written."""
    pattern = read_pattern(limits["pattern"]) if "pattern" in limits else None
    bounds = [(compare, Decimal(str(limits[name]))) for name, compare in _BOUNDS.items() if name in limits]

    def check(value: Any) -> Any:
        text = _written(value)
        if not limits.get("minLength", 0) <= len(text) <= limits.get("maxLength", len(text)):
            raise ValueError(f"{text[:40]!r} has {len(text)} characters")
        if pattern is not None and not pattern.matches(text):
            raise ValueError(f"{text[:40]!r} does not match {pattern.text}")
        if isinstance(value, Decimal):
            if limits.get("type") == "integer" and value % 1:
                raise ValueError(f"{text[:40]} is not a whole number")
            if not all(compare(value, bound) for compare, bound in bounds):
                raise ValueError(f"{text[:40]} is outside of its limits")
        return value

    return check


def _written(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else str(value)


def _verdict_model(keys: VerdictKeys) -> type[BaseModel]:
    flag = StrictBool | None
    attributes: dict[str, Any] = {
        "is_valid": (flag, ModelField(alias=keys.is_valid)),
        "math_verified": (flag, ModelField(alias=keys.math_verified)),
        "issues": (Annotated[list[Text], BeforeValidator(_listed)], ModelField(default=[], alias=keys.issues)),
    }
    return _model("verdict", attributes)


def _listed(value: object) -> object:
    return [] if value is None else value


def _model(name: str, attributes: dict[str, Any]) -> type[BaseModel]:
    made: type[BaseModel] = create_model(name, __base__=DeclaredPart, **attributes)
    return made


def dump_answer(answer: AnyAnswer) -> dict[str, Any]:
    """Return an answer as JSON without missing fields: amounts stay Decimal, dates become ISO text."""
    found: dict[str, Any] = _with_iso_dates(answer.model_dump(by_alias=True, exclude_none=True))
    return found


def _with_iso_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_iso_dates(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_iso_dates(part) for part in value]
    return value.isoformat() if isinstance(value, date) else value


def with_text_numbers(content: dict[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return a content whose numbers are written as text where the schema has them as strings."""
    paths = {path for path, field in fields.items() if field.is_text}
    return _texts(content, "", paths) if paths else content


def _texts(value: Any, path: str, paths: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _texts(part, f"{path}.{name}" if path else name, paths) for name, part in value.items()}
    if isinstance(value, list):
        return [_texts(part, f"{path}[]", paths) for part in value]
    return _written(value) if isinstance(value, Decimal) and path in paths else value
