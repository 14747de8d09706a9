"""The model card describes the document type: its answer, fields and rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from type_examples import write_type

from erniekit_adapter.bundle.model_card import model_card, table_cell
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE

AMOUNT = {"type": "number", "x-kind": "amount", "title": "Sum | net"}


@pytest.fixture
def manifest(good_bundle: Path) -> dict[str, Any]:
    """Return the manifest of a bundle with metrics."""
    found: dict[str, Any] = json.loads((good_bundle / "manifest.json").read_text())
    unknown = dict.fromkeys(("base", "tuned", "low", "high"))
    figures = {
        "field_f1": {"base": 0.1, "tuned": 0.9, "low": 0.7, "high": 0.9, "verdict": "better"},
        "rule_compliant": {**unknown, "verdict": "no difference shown"},
    }
    return {
        **found,
        "readers": {"peft": "PEFT, vLLM"},
        "metrics": {"samples": 4, "test_lines": "e" * 64, "figures": figures},
    }


def order_type(folder: Path) -> DocumentType:
    rows = {"type": "array", "items": {"type": "object", "properties": {"金额": AMOUNT}}}
    properties = {"state": {"enum": ["open", "paid"]}, "rows": rows, "seen": {"type": "boolean"}}
    definition = {
        "title": "采购单",
        "answer": {"content_key": "data", "verdict": True},
        "rules": [{"name": "sum", "sentence": "It adds up.", "equation": "sum(rows[].金额) = 1", "severity": "warn"}],
    }
    return write_type(folder / "order", properties, definition)


def test_card_of_a_type_lists_fields_and_rules(tmp_path: Path, manifest: dict[str, Any]) -> None:
    card = model_card(manifest, order_type(tmp_path))
    assert '{"data":{"state","rows":[{"金额"}]},"validation_summary":{"is_valid","math_verified","issues"}}' in card
    assert "| `state` | code: open, paid |  |" in card
    assert "| `rows[].金额` | amount | Sum \\| net |" in card
    assert "`seen`" not in card
    assert "| sum | warn | It adds up. |" in card
    assert "documents of the type `order` (采购单)" in card


def test_card_of_another_type_does_not_mention_invoices(tmp_path: Path, manifest: dict[str, Any]) -> None:
    card = model_card({**manifest, "run_name": "orders"}, order_type(tmp_path))
    assert "invoice" not in card.lower()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["tags"] == ["ernie4.5", "lora", "order"]
    assert front["model-index"][0]["results"][0]["task"]["name"] == "采购单 analysis"


def test_card_leaves_out_metrics_without_a_figure(tmp_path: Path, manifest: dict[str, Any]) -> None:
    card = model_card(manifest, order_type(tmp_path))
    assert "| field F1 | 0.100 | 0.900 |" in card
    assert "rule compliance" not in card


def test_card_of_a_type_without_rules_has_no_section(tmp_path: Path, manifest: dict[str, Any]) -> None:
    card = model_card(manifest, write_type(tmp_path / "a type", {"total": AMOUNT}))
    assert "## Rules" not in card
    assert "--lora-modules a-type=peft" in card


def test_card_of_the_invoice_keeps_its_tags(manifest: dict[str, Any]) -> None:
    card = model_card(manifest, INVOICE)
    assert yaml.safe_load(card.split("---\n")[1])["tags"] == ["ernie4.5", "lora", "invoices"]
    assert "--lora-modules invoices=peft" in card
    assert "| BR-CO-15 | error | Subtotal, less discounts, plus charges and taxes, is the total. |" in card
    assert "| `line_items[].total` | amount | Total of the line item |" in card


@pytest.mark.parametrize(
    ("text", "cell"), [("a | b", r"a \| b"), ("two\nlines", "two lines"), ("<b>", "&lt;b>"), ("", "")]
)
def test_text_stays_in_its_cell(text: str, cell: str) -> None:
    assert table_cell(text) == cell
