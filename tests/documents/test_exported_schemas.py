"""Schemas that generators write: pydantic, zod and OpenAPI."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from declared_examples import AMOUNT, TEXT
from pydantic import BaseModel, Field, HttpUrl
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import load_document_type


class ExportedCurrency(str, Enum):
    """Currencies of the examples."""

    EUR = "EUR"
    USD = "USD"


class ExportedAddress(BaseModel):
    """An object that may be missing."""

    street: str
    country: str = "US"


class ExportedItem(BaseModel):
    """A row."""

    description: str = Field(description="printed text", examples=["Widget"])
    quantity: int = Field(1, ge=0)
    unit_price: Annotated[Decimal, Field(gt=0, decimal_places=2)]
    discount: float | None = None


class ExportedReceipt(BaseModel):
    """A receipt as a team declares it."""

    id: UUID | None = None
    merchant: str
    address: ExportedAddress | None = None
    issued: date
    due: date | None = None
    url: HttpUrl | None = None
    currency: ExportedCurrency = ExportedCurrency.EUR
    kind: Literal["sale", "refund"] | None = None
    items: list[ExportedItem] = Field(default_factory=list, max_length=50)
    fees: list[ExportedItem] | None = None
    total: Annotated[Decimal, Field(ge=0, json_schema_extra={"x-kind": "amount", "x-role": "total"})]
    paid: bool = False


def loaded(folder: Path, schema: dict[str, Any]) -> DocumentType:
    (folder / "schema.json").write_text(json.dumps(schema, indent=1))
    (folder / "document_type.yaml").write_text("title: receipt\n")
    return load_document_type(f"{folder}/")


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_model_of_pydantic_is_a_document_type(tmp_path: Path, mode: Literal["validation", "serialization"]) -> None:
    found = loaded(tmp_path, ExportedReceipt.model_json_schema(mode=mode))
    kinds = {path: field.kind for path, field in found.fields.items()}
    assert kinds["issued"] == kinds["due"] == "date"
    assert kinds["id"] == kinds["url"] == "identifier"
    assert kinds["currency"] == kinds["kind"] == "code"
    assert kinds["total"] == "amount"
    assert found.tables == ("items", "fees")
    assert found.read({"merchant": "A", "issued": "2025-01-31", "total": "3", "currency": "EUR"} | optional(mode))


def optional(mode: str) -> dict[str, Any]:
    """Return the values that pydantic requires in its own output because they have a default."""
    return {} if mode == "validation" else {"items": [], "paid": False}


NUMBER = {"type": "number"}
NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"anyOf": [TEXT, NULL]}, "text"),
        ({"oneOf": [NULL, NUMBER], "default": None}, "quantity"),
        ({"anyOf": [{"not": {}}, TEXT]}, "text"),
        ({"anyOf": [NUMBER, TEXT], "x-kind": "amount"}, "amount"),
        ({"anyOf": [{"type": "integer"}, NUMBER, NULL]}, "quantity"),
        ({"type": "string", "nullable": True}, "text"),
        ({"enum": ["a", "b", None]}, "code"),
        ({"allOf": [{"$ref": "#/definitions/money"}], "title": "Sum"}, "amount"),
        ({"anyOf": [{"allOf": [{"$ref": "#/definitions/money"}]}, NULL]}, "amount"),
        ({"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"}, "quantity"),
        ({"type": "string", "format": "date-time", "x-kind": "text"}, "text"),
        ({"type": "number", "format": "double", "exclusiveMinimum": 0, "readOnly": True}, "quantity"),
        (TEXT | {"default": "x", "deprecated": True, "example": "y"}, "text"),
    ],
)
def test_exported_part_has_a_kind(tmp_path: Path, part: dict[str, Any], kind: str) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"a": part},
        "definitions": {"money": AMOUNT},
        "additionalProperties": True,
    }
    assert loaded(tmp_path, schema).fields["a"].kind == kind


@pytest.mark.parametrize("part", [{"anyOf": [TEXT, NULL]}, TEXT | {"nullable": True}, {"enum": ["b", None]}])
def test_required_value_that_may_be_null_can_be_missing(tmp_path: Path, part: dict[str, Any]) -> None:
    found = write_type(tmp_path / "t", {"a": part, "b": TEXT}, required=["a"])
    assert found.read({"a": None, "b": "x"})
    assert found.read({"b": "x"})


def test_reference_and_all_of_at_the_root(tmp_path: Path) -> None:
    base = {"type": "object", "properties": {"number": TEXT}, "required": ["number"]}
    whole = {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"total": AMOUNT}, "required": ["total"]}]}
    found = loaded(tmp_path, {"$ref": "#/$defs/whole", "$defs": {"base": base, "whole": whole}})
    assert list(found.fields) == ["number", "total"]
    assert found.schema["required"] == ["number", "total"]


def test_exclusive_limit_is_a_limit(tmp_path: Path) -> None:
    found = write_type(tmp_path / "t", {"a": AMOUNT | {"exclusiveMinimum": 0}})
    assert found.read({"a": 0.01})
    with pytest.raises(ValueError, match="outside of its limits"):
        found.read({"a": 0})


def test_problem_in_a_definition_is_shown_there_once(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/b"}, "c": {"$ref": "#/$defs/b"}},
        "$defs": {"b": TEXT | {"format": "e-mail"}},
    }
    with pytest.raises(Exception, match="format") as refused:
        loaded(tmp_path, schema)
    assert str(refused.value).count("$defs.b.format") == 1


def test_empty_definition_has_no_type(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {}}}
    with pytest.raises(Exception, match="has no type"):
        loaded(tmp_path, schema)


def test_refuses_unions_that_multiply(tmp_path: Path) -> None:
    defs = {f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(18)}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**defs, "d18": TEXT}}
    with pytest.raises(Exception, match="more than 4,000"):
        loaded(tmp_path, schema)
