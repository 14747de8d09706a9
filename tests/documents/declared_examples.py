"""Small declared types for the tests of their rules, schemas and prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.rules.rule import Finding
from erniekit_adapter.errors import UsageError

TEXT: dict[str, Any] = {"type": "string"}
DATE: dict[str, Any] = {"type": "string", "x-kind": "date"}
AMOUNT: dict[str, Any] = {"type": "number", "x-kind": "amount"}


def rows(**properties: Any) -> dict[str, Any]:
    """Return the schema of a list of objects."""
    return {"type": "array", "items": {"type": "object", "properties": properties}}


# Fields for rules of every kind.
PROPERTIES: dict[str, Any] = {
    "number": {"type": "string", "x-kind": "identifier"},
    "kind": {"enum": ["sale", "refund"]},
    "day": DATE,
    "due": DATE,
    "items": rows(
        code={"type": "string", "x-kind": "identifier"},
        quantity={"type": "number", "x-kind": "quantity"},
        price=AMOUNT,
        rate={"type": "number", "x-kind": "rate", "x-percent": True},
        total=AMOUNT,
        **{"from": DATE, "to": DATE},
    ),
    "opening": AMOUNT,
    "movements": rows(amount=AMOUNT, balance=AMOUNT),
    "tax": AMOUNT,
    "discount": AMOUNT,
    "total": AMOUNT,
    "total_in_words": TEXT,
    "currency": {"type": "string", "x-kind": "currency", "x-role": "currency"},
}


def type_with_rule(folder: Path, **rule: Any) -> DocumentType:
    """Return a type with the fields above and one rule."""
    rules = [{"name": "RULE", "sentence": "It is right.", **rule}]
    return write_type(folder / "type", PROPERTIES, {"title": "document", "rules": rules})


def finding(folder: Path, rule: dict[str, Any], content: dict[str, Any], **flags: bool) -> Finding:
    """Return the finding of one rule on a content."""
    found = type_with_rule(folder, **rule)
    (only,) = found.rules.check(found.read_content(content), **flags)
    return only


def problems(folder: Path, properties: dict[str, Any], definition: dict[str, Any] | None = None) -> str:
    """Return the text of the error with which a type is refused."""
    with pytest.raises(UsageError) as refused:
        write_type(folder / "type", properties, definition)
    return str(refused.value).replace(str(folder), "")
