"""Every snippet of docs/document-types.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from erniekit_adapter.documents.declared.definition import RULE_KINDS
from erniekit_adapter.documents.declared.schema_parts import ANNOTATIONS
from erniekit_adapter.documents.declared.schema_values import VALUE_KEYWORDS
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.fields import KINDS, ROLES
from erniekit_adapter.documents.loading import load_document_type
from erniekit_adapter.project.schema import Project

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "document-types.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
YAML = [yaml.safe_load(text) for language, text in SNIPPETS if language == "yaml"]
(SCHEMA,) = [text for language, text in SNIPPETS if language == "json"]
RULES = [rule for snippet in YAML if isinstance(snippet, list) for rule in snippet]
DEFINITIONS = [snippet for snippet in YAML if isinstance(snippet, dict) and "title" in snippet]
PROJECT_KEYS = [snippet for snippet in YAML if isinstance(snippet, dict) and "title" not in snippet]


def hotel_bill(folder: Path, definition: dict[str, Any]) -> DocumentType:
    (folder / "schema.json").write_text(SCHEMA)
    (folder / "document_type.yaml").write_text(yaml.safe_dump(definition))
    return load_document_type(f"{folder}/")


def only_finding(folder: Path, name: str, content: dict[str, Any]) -> tuple[str, str]:
    (rule,) = (rule for rule in RULES if rule["name"] == name)
    found = hotel_bill(folder, {"title": "bill", "rules": [rule]})
    (finding,) = found.rules.check(found.read_content({"hotel": "Seeblick"} | content), complete=True)
    return finding.status, finding.detail


@pytest.mark.parametrize("definition", DEFINITIONS, ids=range(len(DEFINITIONS)))
def test_definition_of_the_page_can_be_read(tmp_path: Path, definition: dict[str, Any]) -> None:
    found = hotel_bill(tmp_path, definition)
    assert found.line_items == "items"
    assert found.prompts.validation


def test_page_has_an_example_of_every_kind_of_rule() -> None:
    assert {kind for rule in RULES for kind in RULE_KINDS if kind in rule} == set(RULE_KINDS)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("TOTAL", {"total": 90, "items": [{"total": 95}], "city_tax": 5, "deposit": 10}, "pass"),
        ("TOTAL", {"total": 90, "items": [{"total": 95}]}, "fail"),
        ("ITEM", {"items": [{"quantity": 3, "price": "33.333", "total": 100}]}, "pass"),
        ("BALANCE", {"deposit": 10, "items": [{"total": 5, "balance": 15}, {"total": 5, "balance": 21}]}, "fail"),
        ("STAY", {"arrival": "2025-01-02", "items": [{"date": "2025-01-01"}]}, "fail"),
        ("TAX-RATE", {"items": [{"tax_rate": 7}, {"tax_rate": 8}]}, "fail"),
        ("NUMBER", {"bill_number": "AB123456"}, "pass"),
        ("VAT-ID", {"hotel_vat_id": "DE136695976"}, "pass"),
        ("IBAN", {"iban": "DE89370400440532013001"}, "fail"),
        ("HOTEL", {}, "fail"),
        ("CANCELLED", {"bill_type": "cancellation"}, "pass"),
        ("大写", {"total": "1234.56", "total_in_words": "壹仟贰佰叁拾肆元伍角陆分"}, "pass"),
        ("NIGHTS", {"total": 1}, "not checkable"),
    ],
)
def test_rule_of_the_page(tmp_path: Path, name: str, content: dict[str, Any], expected: str) -> None:
    assert only_finding(tmp_path, name, content)[0] == expected


def test_function_of_the_page() -> None:
    (code,) = [text for language, text in SNIPPETS if language == "python"]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the snippet of our page
    stay = {"arrival": "2025-01-01", "departure": "2025-01-03"}
    assert names["nights"]({}) is None
    assert names["nights"](stay | {"items": [{"quantity": 2}]}) == ("pass", "")
    assert names["nights"](stay)[0] == "fail"


def test_entry_point_of_the_page_names_its_function() -> None:
    (toml,) = [text for language, text in SNIPPETS if language == "toml"]
    assert toml == '[project.entry-points."erniekit_adapter.rules"]\nhotel_nights = "our_rules:nights"\n'


def test_project_keys_of_the_page_exist() -> None:
    assert {key for snippet in PROJECT_KEYS for key in snippet} == {"document_type", "python_rules"}
    assert all(key in Project.model_fields for snippet in PROJECT_KEYS for key in snippet)


def test_page_names_every_kind_role_and_keyword() -> None:
    annotations = {*ANNOTATIONS, "type", "format", "x-kind"} - {"title"}
    for name in {*KINDS, *ROLES, *(VALUE_KEYWORDS - annotations)}:
        assert re.search(rf"`{re.escape(name)}\b[^`]*`", PAGE), name


def test_schema_of_the_page_is_complete() -> None:
    assert json.loads(SCHEMA)["type"] == "object"
