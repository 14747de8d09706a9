"""Answers of declared types: reading, writing and the schema for servers agree."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from declared_examples import AMOUNT, DATE, TEXT, rows
from jsonschema import Draft202012Validator
from type_examples import write_type

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import load_document_type

PROPERTIES: dict[str, Any] = {
    "total": TEXT | {"x-kind": "amount"},
    "vat": {"type": ["number", "null"], "x-kind": "rate", "x-percent": True},
    "kind": {"type": ["string", "null"], "enum": ["sale", "refund", None]},
    "code": TEXT | {"pattern": "^[A-Z]{2}$"},
    "note": TEXT | {"minLength": 2, "maxLength": 4},
    "count": {"type": "integer", "minimum": 1, "maximum": 9},
    "day": DATE,
    "items": rows(price=AMOUNT) | {"maxItems": 2, "minItems": 1},
    "tags": {"type": "array", "items": TEXT},
    "paid": {"type": "boolean", "x-printed": True},
}


def document(folder: Path, required: list[str] | None = None) -> DocumentType:
    """Return a type with the fields above; some are required."""
    folder.mkdir(exist_ok=True)
    schema = {"type": "object", "properties": PROPERTIES, "required": required or []}
    write_type(folder / "type", PROPERTIES)
    (folder / "type" / "schema.json").write_text(json_text.compose(schema))
    return load_document_type(str(folder / "type"))


def is_read(found: DocumentType, value: dict[str, Any]) -> bool:
    try:
        found.read(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("value", "is_right"),
    [
        ({}, True),
        ({"total": "119.00", "vat": 19, "kind": "sale", "code": "DE", "note": "abc", "count": 3}, True),
        ({"day": "2025-01-31", "items": [{"price": 1.5}], "tags": ["a"], "paid": True}, True),
        ({"total": "1,119.00"}, False),
        ({"code": "DEU"}, False),
        ({"note": "a"}, False),
        ({"note": "abcde"}, False),
        ({"count": 0}, False),
        ({"count": 10}, False),
        ({"count": 1.5}, False),
        ({"day": "31.01.2025"}, False),
        ({"kind": "other"}, False),
        ({"items": []}, False),
        ({"items": [{}, {}, {}]}, False),
        ({"paid": "yes"}, False),
        ({"other": 1}, False),
    ],
)
def test_schema_for_servers_agrees_with_reading(tmp_path: Path, value: dict[str, Any], is_right: bool) -> None:
    found = document(tmp_path)
    assert Draft202012Validator(found.schema).is_valid(value) is is_right
    assert is_read(found, value) is is_right


def test_required_field_is_required_by_both(tmp_path: Path) -> None:
    found = document(tmp_path, ["code", "items", "vat"])
    right = {"code": "DE", "items": [{"price": 1}]}
    for value, is_right in ((right, True), ({"code": "DE"}, False), ({"code": None, "items": [{"price": 1}]}, False)):
        assert Draft202012Validator(found.schema).is_valid(value) is is_right
        assert is_read(found, value) is is_right


def test_null_is_read_as_a_missing_value(tmp_path: Path) -> None:
    found = document(tmp_path)
    answer = found.read({"total": None, "vat": None, "kind": None, "items": None, "code": "DE"})
    assert found.dump(answer) == {"code": "DE"}


@pytest.mark.parametrize("amount", ["119.00", "0.5", "-3", "1000000"])
def test_text_number_keeps_its_digits(tmp_path: Path, amount: str) -> None:
    found = document(tmp_path)
    answer = found.read({"total": amount})
    assert found.text_of(answer) == f'{{"total":"{amount}"}}'
    assert found.read(found.dump(answer)) == answer


def test_text_number_is_never_written_with_an_exponent(tmp_path: Path) -> None:
    found = document(tmp_path)
    answer = found.read({"total": Decimal("1E+3")})
    assert found.dump(answer) == {"total": "1000"}
    assert is_read(found, found.dump(answer))


@pytest.mark.parametrize(
    "name", ["schema", "copy", "model_dump", "class", "unit price", "1st", "金额", "_private", "content", "model_x"]
)
def test_any_name_can_be_a_field(tmp_path: Path, name: str) -> None:
    found = write_type(
        tmp_path / "type", {name: TEXT | {"x-role": "number"}}, {"title": "t", "answer": {"verdict": True}}
    )
    answer = found.read({name: "7"})
    assert found.dump(answer) == {name: "7"}
    assert found.text_with_role(answer, "number") == "7"
    assert not found.is_empty(answer)


def test_null_in_a_verdict_is_written(tmp_path: Path) -> None:
    found = write_type(tmp_path / "t", {"a": {"type": "string"}}, {"title": "t", "answer": {"verdict": True}})
    value = {"a": "x", "validation_summary": {"is_valid": None, "math_verified": True, "issues": []}}
    assert found.dump(found.read(value)) == value
    assert found.dump(found.read({"a": "x"})) == {"a": "x"}
