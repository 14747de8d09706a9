"""Signs of amounts in credit notes: accounts use a minus, answers follow the printed page."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from data_examples import write_json
from einvoice_examples import text_pdf
from hypothesis import given
from hypothesis import strategies as st

from data_tools.build_settings import BuildSettings
from data_tools.examples.signs import as_printed
from data_tools.pipeline.build import build
from data_tools.visibility import page_text
from erniekit_adapter.documents.invoice.answer import Answer, read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.rules.rule import failures
from erniekit_adapter.project.schema import ManifestSource


def credit_note(**summary: Any) -> Answer:
    """Return a credit note with negative amounts, as in accounting."""
    lines = [{"description": "Wallbox", "quantity": -1, "unit_price": "1249.00", "total": "-1249.00"}]
    money = {
        "subtotal": "-1249.00",
        "taxes": [{"rate": "0.19", "amount": "-237.31"}],
        "grand_total": "-1486.31",
        "currency": "EUR",
    }
    return read_answer({"structured_data": {"line_items": lines, "financial_summary": money | summary}})


@pytest.mark.parametrize(
    "text",
    [
        "Gesamt 1.486,31 €",
        "Total: EUR 1,486.31",
        "GS-1486 Summe 1 486,31",
        "Netto 1.249,00 - MwSt 237,31",
        "No. A-1486.31 1486.31",
    ],
)
def test_amounts_printed_without_a_minus_become_positive(text: str) -> None:
    found = as_printed(credit_note(), page_text(text))
    assert found.structured_data.document_type == "credit_note"
    assert (found.summary.subtotal, found.summary.grand_total) == (Decimal("1249.00"), Decimal("1486.31"))
    assert [row.amount for row in found.summary.taxes or ()] == [Decimal("237.31")]
    (line,) = found.lines
    assert (line.quantity, line.unit_price, line.total) == (1, Decimal("1249.00"), Decimal("1249.00"))
    assert not failures(RULES.check(found))


@pytest.mark.parametrize(
    "text",
    [
        "Gesamt -1.486,31 €",
        "Gesamt −1.486,31",
        "Total -$1,486.31",
        "Total $ -1,486.31",
        "Total (1,486.31)",
        "Total ($1,486.31)",
        "Summe 1.486,31-",
        "Summe 1.486,31 EUR-",
        "Total 1,486.31 CR",
        "Total EUR -1 486,31",
        "another page",
    ],
)
def test_amounts_printed_with_a_minus_stay_negative(text: str) -> None:
    assert as_printed(credit_note(), page_text(text)) == credit_note()


def test_negative_price_becomes_positive_with_its_line() -> None:
    value = credit_note().model_dump(exclude_none=True)
    value["structured_data"]["line_items"] = [{"quantity": 2, "unit_price": -5, "total": -10}]
    (line,) = as_printed(read_answer(value), page_text("1486.31")).lines
    assert (line.quantity, line.unit_price, line.total) == (2, 5, 10)


@given(st.decimals(Decimal("0.01"), Decimal("9999.99"), places=2))
def test_invoice_keeps_its_amounts(total: Decimal) -> None:
    answer = read_answer({"structured_data": {"financial_summary": {"grand_total": total}}})
    assert as_printed(answer, page_text(f"total {total}")) is answer


def test_build_teaches_a_credit_note_as_printed(tmp_path: Any) -> None:
    pages = [
        (50, 700, 10, "Gutschrift GS-9"),
        (50, 680, 10, "Netto 1.249,00 EUR"),
        (50, 660, 10, "MwSt 237,31"),
        (50, 640, 10, "Gesamt 1.486,31"),
    ]
    (tmp_path / "a.pdf").write_bytes(text_pdf(pages))
    truth = {"invoice_number": "GS-9", "net": "-1249.00", "tax": "-237.31", "total": "-1486.31", "currency": "EUR"}
    write_json(tmp_path / "a.json", truth)
    entry = {"invoice_id": "a", "pdf_path": "a.pdf", "ground_truth_path": "a.json"}
    source = ManifestSource(kind="manifest", path=write_json(tmp_path / "manifest.json", [entry]))
    build([source], tmp_path / "out", BuildSettings(eval_ratio=0, test_ratio=0))
    text = (tmp_path / "out/train.jsonl").read_text()
    assert r"\"document_type\":\"credit_note\"" in text
    assert r"\"grand_total\":1486.31" in text
