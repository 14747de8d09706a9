"""Verdicts in written training examples, recomputed from sources and answers by independent code."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.synthesize.writing import write_corpus
from erniekit_adapter.project.schema import ManifestSource, TasksSection

pytestmark = pytest.mark.slow

CURRENCIES = {"EUR": 2, "USD": 2, "GBP": 2, "CHF": 2, "SEK": 2, "CNY": 2, "JPY": 0, "KRW": 0}
TASKS = TasksSection(analysis=1, validation=1)


def parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def added(parts: list[dict[str, Any]] | None, key: str) -> Decimal | None:
    """Return the sum over some rows; None if one of them lacks the value."""
    amounts = [part.get(key) for part in parts or []]
    return None if None in amounts else sum(amounts, Decimal(0))


def sums(data: dict[str, Any]) -> dict[str, bool | None]:
    """Return for each sum of an invoice whether it is correct; None if a value is missing."""
    money = data.get("financial_summary", {})
    subtotal, total = money.get("subtotal"), money.get("grand_total")
    off, charged = added(money.get("discounts"), "amount"), added(money.get("charges"), "amount")
    taxes = added(money["taxes"], "amount") if "taxes" in money else None
    lines = added(data["line_items"], "total") if data.get("line_items") else None
    net = None if None in (subtotal, off, charged) else subtotal - off + charged
    found: dict[str, bool | None] = {"lines": None, "total": None}
    if lines is not None and subtotal is not None:
        found["lines"] = lines == subtotal
    if None not in (net, taxes, total):
        found["total"] = net + taxes == total
    return found


def impossible_tax(data: dict[str, Any]) -> bool:
    """Return whether a single tax exceeds its rate × the net amount by more than the official tolerance of one unit."""
    money = data.get("financial_summary", {})
    if len(money.get("taxes", [])) != 1 or "subtotal" not in money:
        return False
    (tax,) = money["taxes"]
    if "rate" not in tax or "amount" not in tax:
        return False
    most = max(money["subtotal"], added(data.get("line_items"), "total") or Decimal(0))
    return tax["amount"] > tax["rate"] * most + 1


def math_verified(data: dict[str, Any]) -> bool | None:
    found = sums(data)
    if False in found.values() or impossible_tax(data):
        return False
    return None if None in found.values() else True


def is_valid(data: dict[str, Any]) -> bool | None:
    """Return the verdict on given data, which is checked without a document."""
    money = data.get("financial_summary", {})
    currency = money.get("currency")
    if currency is not None and currency not in CURRENCIES:
        return False
    amounts = [money.get("subtotal"), money.get("grand_total"), *(row.get("amount") for row in money.get("taxes", []))]
    amounts += [row.get("total") for row in data.get("line_items", [])]
    unit = Decimal(1).scaleb(-CURRENCIES.get(currency, 2))
    if currency is not None and any(amount is not None and amount % unit for amount in amounts):
        return False
    if math_verified(data) is False:
        return False
    return sums(data)["total"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "documents", 150, 5, fault_share=0.3, correction_share=0)
    return folder


def test_answers_agree_with_their_ground_truth(corpus: Path) -> None:
    source = ManifestSource(kind="manifest", path=corpus / "documents" / "training_manifest.json")
    train = ManifestSource(kind="manifest", path=write_copy(corpus))
    build([train], corpus / "out", BuildSettings(test_ratio=0), test_sources=[source])
    truths = {row["invoice_id"]: row["ground_truth_path"] for row in json.loads(source.path.read_text())}
    seen: Counter[tuple[bool | None, bool | None]] = Counter()
    for line in (corpus / "out" / "test.jsonl").read_text().splitlines():
        row = json.loads(line)
        truth = parsed((corpus / "documents" / truths[row["id"]]).read_text())
        answer = parsed(row["tgt"][0])
        summary = answer["validation_summary"]
        assert summary["is_valid"] is ("fault" not in truth), row["id"]
        assert summary["math_verified"] is math_verified(answer["structured_data"]), row["id"]
        assert bool(summary["issues"]) or summary["is_valid"], row["id"]
        seen[summary["is_valid"], summary["math_verified"]] += 1
    assert seen[True, True] > 50
    assert seen[False, False] > 20


def write_copy(corpus: Path) -> Path:
    """Write a second corpus, because a build needs training data."""
    write_corpus(corpus / "others", 20, 6, fault_share=0, correction_share=0)
    return corpus / "others" / "training_manifest.json"


def test_validation_answers_agree_with_the_given_data(corpus: Path) -> None:
    source = ManifestSource(kind="manifest", path=corpus / "documents" / "training_manifest.json")
    settings = BuildSettings(eval_ratio=0, test_ratio=0, tasks=TASKS, fault_share=0.6)
    build([source], corpus / "validation", settings)
    seen: Counter[bool | None] = Counter()
    for line in (corpus / "validation" / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        _, mark, given = row["src"][0].partition("\nInvoice Data: ")
        if not mark:
            continue
        data, summary = parsed(given)["structured_data"], parsed(row["tgt"][0])["validation_summary"]
        assert summary["is_valid"] is is_valid(data), given
        assert summary["math_verified"] is math_verified(data), given
        seen[summary["is_valid"]] += 1
    assert seen[True] > 10
    assert seen[False] > 20
