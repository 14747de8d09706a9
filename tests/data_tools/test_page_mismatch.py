"""Rejection of pages that do not belong to their ground truth."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from data_examples import OCR, answer, correction, write_lines

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import canonical_answer, ocr_tokens
from data_tools.visibility import drop_unseen, page_mismatch, page_text
from erniekit_adapter.documents.invoice.answer import as_json, read_answer
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import ActiveLearningSource

SHARE = 0.5


def mismatch(value: dict[str, Any], ocr: Any, share: float = SHARE) -> str | None:
    found = as_json(read_answer({"structured_data": value["structured_data"]}))
    truth, page = copy.deepcopy(found["structured_data"]), page_text(ocr)
    drop_unseen(INVOICE, found["structured_data"], page)
    return page_mismatch(INVOICE, truth, found["structured_data"], page, share)


def page(*changes: tuple[str, str]) -> dict[str, Any]:
    """Return the page of `answer` with some words replaced."""
    text = "\n".join(OCR["tokens"])
    for old, new in changes:
        text = text.replace(old, new)
    return {"tokens": text.split("\n")}


def test_page_agrees_with_its_own_truth() -> None:
    assert mismatch(answer(), OCR) is None


def test_synthetic_pages_agree_with_their_own_truth_only() -> None:
    invoices = [make_invoice(9, index, fault_share=0.1) for index in range(150)]
    pages = [ocr_tokens(invoice) for invoice in invoices]
    truths = [canonical_answer(invoice) for invoice in invoices]
    assert not [mismatch(truth, ocr) for truth, ocr in zip(truths, pages, strict=True) if mismatch(truth, ocr)]
    others = [mismatch(truth, pages[place - 1]) for place, truth in enumerate(truths)]
    assert all(others)


def test_missing_number_vendor_and_total_are_a_mismatch() -> None:
    reason = mismatch(answer(), page(("RE-1", "RE-7"), ("Acme GmbH", "Zeta KG"), ("119.00", "777.00")))
    assert reason
    assert all(part in reason for part in ("RE-1", "Acme GmbH", "119", "Gesamt 777.00"))


@pytest.mark.parametrize("label", ["Gesamt", "TOTAL", "Grand total", "Gesamtbetrag", "Total TTC", "Totale", "Totaal",
                                   "合計", "总计", "Importe total"])  # fmt: skip
def test_another_total_is_a_mismatch(label: str) -> None:
    reason = mismatch(answer(), page(("Gesamt EUR 119.00", f"{label} EUR 129.00")))
    assert reason
    assert "129.00" in reason
    assert "119" in reason


@pytest.mark.parametrize(
    "line",
    [
        "Gesamt EUR 119.00",
        "Gesamt netto 100.00",
        "Zahlbetrag 119.00",
        "Amount due 99.00",
        "Total tax 19.00",
        "Total 100.00 19.00 129.00",
        "Total 3 items",
        "Gesamt 100.00",
    ],
)
def test_amounts_that_are_not_totals_are_not_a_mismatch(line: str) -> None:
    assert mismatch(answer(), page(("Gesamt EUR 119.00", line))) is None


@pytest.mark.parametrize(("share", "is_mismatch"), [(0.9, True), (0.1, False), (0, False)])
def test_small_share_of_values_is_a_mismatch(share: float, is_mismatch: bool) -> None:
    ocr = ["Acme GmbH RE-1", "Gesamt EUR 119.00"]
    reason = mismatch(answer(), ocr, share)
    assert (reason is not None) == is_mismatch
    assert reason is None or ("min_visible_share" in reason and "Beta AG" in reason)


def test_few_values_need_no_share() -> None:
    few = {"structured_data": {"vendor_block": {"name": "Acme GmbH"}, "client_info": {"name": "Beta AG"}}}
    assert mismatch(few, ["Acme GmbH"], 1) is None


def test_build_rejects_a_mismatch_by_filter_name(tmp_path: Path) -> None:
    ocr = {"structured_ocr": page(("Gesamt EUR 119.00", "Gesamt EUR 129.00"))}
    log = write_lines(tmp_path / "log.jsonl", [correction(ocr_context=ocr)])
    source = ActiveLearningSource(kind="active_learning", path=log)
    with pytest.raises(AdapterError, match="page_mismatch 1"):
        build([source], tmp_path / "out", BuildSettings(eval_ratio=0, test_ratio=0))


def test_verdict_reason_names_the_missing_rows(tmp_path: Path) -> None:
    value = answer()
    items = value["structured_data"]["line_items"]
    items.append({"description": "Crane hire", "quantity": 3, "unit_price": 41, "total": 123})
    value["structured_data"]["financial_summary"] = {"subtotal": 223, "grand_total": 223}
    ocr = {"structured_ocr": page(("Summe 100.00", "Summe 223.00"), ("119.00", "223.00"))}
    log = write_lines(tmp_path / "log.jsonl", [correction(ocr_context=ocr, corrected_output=value, completion=value)])
    source = ActiveLearningSource(kind="active_learning", path=log)
    with pytest.raises(AdapterError, match=r"does not show: 2 \(Crane hire"):
        build([source], tmp_path / "out", BuildSettings(eval_ratio=0, test_ratio=0))
