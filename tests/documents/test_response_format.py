"""The schema of answers in requests, and the comparison of an answer with it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE, load_document_type, shipped_names
from erniekit_adapter.documents.response_format import keeps_structure, response_format

PROPERTIES: dict[str, Any] = {
    "kind": {"enum": ["sale", "return"]},
    "day": {"type": "string", "format": "date"},
    "items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}},
    "tags": {"type": "array", "items": {"type": "string"}},
}
GOOD: dict[str, Any] = {
    "kind": "sale",
    "day": "2026-01-31",
    "items": [{"price": Decimal("1.50")}, {}],
    "tags": ["a"],
}


@pytest.fixture(scope="module")
def ticket(tmp_path_factory: pytest.TempPathFactory) -> DocumentType:
    return write_type(tmp_path_factory.mktemp("types") / "ticket", PROPERTIES)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"kind": "gift"}, False),
        ({"day": 20260131}, False),
        ({"day": "31 January"}, True),  # patterns are not compared
        ({"items": [{"price": "1.50"}]}, False),
        ({"items": [{"price": True}]}, False),
        ({"items": {"price": 1}}, False),
        ({"items": [{"cost": 1}]}, False),
        ({"tags": ["a", None]}, False),
        ({"more": 1}, False),
    ],
)
def test_compares_types_keys_and_choices(change: dict[str, Any], *, expected: bool, ticket: DocumentType) -> None:
    assert keeps_structure({**GOOD, **change}, ticket.schema) is expected


def test_content_key_is_required_and_the_verdict_is_not() -> None:
    assert keeps_structure({"structured_data": {}}, INVOICE.schema)
    assert not keeps_structure({}, INVOICE.schema)
    verdict = {"is_valid": None, "math_verified": True, "issues": ["a"]}
    assert keeps_structure({"structured_data": {}, "validation_summary": verdict}, INVOICE.schema)


@pytest.mark.parametrize("name", ["小票", "a b/c", "x" * 100, "invoice"])
def test_name_has_only_characters_that_openai_allows(name: str, tmp_path: Path) -> None:
    documents = write_type(tmp_path / name.replace("/", ".")[:80], PROPERTIES)
    found = response_format(documents)["json_schema"]["name"]
    assert 0 < len(found) <= 64
    assert found.replace("_", "").replace("-", "").isascii()


@pytest.mark.parametrize("name", shipped_names())
def test_schemas_have_only_keywords_that_servers_take(name: str) -> None:
    keywords = set()

    def collect(schema: dict[str, Any]) -> None:
        keywords.update(schema)
        # vLLM refuses a pattern together with a length, because xgrammar ignores the length.
        assert not {"pattern", "maxLength"} <= schema.keys()
        for part in schema.get("properties", {}).values():
            collect(part)
        if "items" in schema:
            collect(schema["items"])

    collect(response_format(load_document_type(name))["json_schema"]["schema"])
    assert keywords <= {
        *("type", "properties", "required", "additionalProperties", "items"),
        *("enum", "pattern", "maxLength", "maxItems"),
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "day", "items", "price"]), inner)
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_every_json_value_can_be_compared(value: object) -> None:
    assert keeps_structure(value, INVOICE.schema) in (True, False)
