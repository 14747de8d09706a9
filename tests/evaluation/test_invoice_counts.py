"""The invoice is scored as before document types: the same counts for every field, column and row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answer_examples import ANSWERS, answer
from earlier_invoice_counts import count_fields
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import reviewed_correction
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.invoice.answer import Answer, read_answer
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.evaluation.scoring import score_answer


def assert_same_counts(expected: Answer, found: Answer) -> None:
    score = score_answer(INVOICE, expected, INVOICE.text_of(found))
    assert (dict(score.fields), score.rows_expected, score.rows_exact) == count_fields(expected, found)


@given(ANSWERS, ANSWERS)
@settings(max_examples=150, deadline=None)
def test_drawn_answers_have_the_earlier_counts(expected: Answer, found: Answer) -> None:
    assert_same_counts(expected, found)


@given(st.integers(0, 200), st.integers(0, 200), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_damaged_invoices_have_the_earlier_counts(first: int, second: int, random: Any) -> None:
    expected, other = (
        json_text.parse(
            reviewed_correction(make_invoice(3, index, fault_share=0.3), "a", "a.png", "")["corrected_output"]
        )
        for index in (first, second)
    )
    found = json_text.parse(json_text.compose(expected))
    rows, more = (value["structured_data"]["line_items"] for value in (found, other))
    found["structured_data"]["line_items"] = random.sample([*rows, *more], random.randint(0, len(rows) + len(more)))
    for row in found["structured_data"]["line_items"]:
        row.pop(random.choice(sorted(row)))
    found["structured_data"]["vendor_block"] = other["structured_data"]["vendor_block"]
    assert_same_counts(read_answer(expected), read_answer(found))


@pytest.mark.parametrize(
    "content",
    [
        {"document_type": "invoice"},
        {"document_type": "credit_note"},
        {"vendor_block": {"logo_detected": True, "logo_brand": "Acme", "confidence": 0.9}},
        {"vendor_block": {"logo_detected": False}},
    ],
)
def test_unprinted_fields_have_the_earlier_counts(content: dict[str, Any]) -> None:
    for expected, found in ((answer(), answer(**content)), (answer(**content), answer()), (answer(**content),) * 2):
        assert_same_counts(expected, found)


def test_unreadable_invoice_has_the_earlier_counts() -> None:
    expected = answer(vendor_block={"name": "Acme"}, line_items=[{"total": 1}])
    score = score_answer(INVOICE, expected, json.dumps("no"))
    assert (dict(score.fields), score.rows_expected, score.rows_exact) == count_fields(expected, None)
