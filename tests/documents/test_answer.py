"""The schema of answers: exact digits, unknown keys, ISO dates."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.invoice.answer import Answer, as_json, read_answer
from erniekit_adapter.documents.loading import INVOICE

WHOLE = (
    '{"structured_data":{"vendor_block":{"name":"Acme GmbH","phone":"+49 30 1234","logo_detected":true},'
    '"client_info":{"name":"Beta AG","invoice_number":"RE-1","invoice_date":"2025-01-15","due_date":"2025-02-14"},'
    '"line_items":[{"description":"Stuhl","quantity":2,"unit_price":50.00,"total":100.00}],'
    '"financial_summary":{"subtotal":100.00,"taxes":[{"type":"VAT","rate":0.190,"amount":19.00}],"discounts":[],'
    '"grand_total":119.00,"currency":"EUR"},"payment_terms":{"due_date":"2025-02-14","notes":"30 Tage"}},'
    '"validation_summary":{"is_valid":true,"math_verified":true,"issues":[]},"confidence_scores":{"overall":0.90}}'
)
amounts = st.decimals(-(10**9), 10**9, places=2)


def summary(**values: Any) -> dict[str, Any]:
    return {"structured_data": {"financial_summary": values}}


def test_writes_an_answer_with_the_digits_it_was_read_with() -> None:
    assert INVOICE.text_of(read_answer(json_text.parse(WHOLE))) == WHOLE


@given(amount=amounts, rate=st.decimals(0, 1, places=3), name=st.text(st.characters(exclude_categories=["Cs"])))
def test_answer_round_trips_through_text(amount: Decimal, rate: Decimal, name: str) -> None:
    value = summary(grand_total=amount, taxes=[{"type": name, "rate": rate}])
    text = INVOICE.text_of(read_answer(value))
    assert INVOICE.text_of(read_answer(json_text.parse(text))) == text
    assert str(read_answer(json_text.parse(text)).summary.grand_total) == str(amount)


def test_omits_missing_fields() -> None:
    assert as_json(read_answer({"structured_data": {"vendor_block": {"name": "Acme", "phone": None}}})) == {
        "structured_data": {"vendor_block": {"name": "Acme"}}
    }


def test_reads_dates_and_writes_iso_text() -> None:
    answer = read_answer({"structured_data": {"client_info": {"invoice_date": "2025-01-15"}}})
    assert answer.structured_data.client_info is not None
    assert answer.structured_data.client_info.invoice_date == date(2025, 1, 15)
    assert as_json(answer)["structured_data"]["client_info"]["invoice_date"] == "2025-01-15"


@pytest.mark.parametrize(
    "text", ["15.01.2025", "2025-1-5", "2025/01/15", "2025-02-30", "2025-01-15T00:00:00", "soon", 20250115]
)
def test_rejects_dates_that_are_not_iso(text: object) -> None:
    with pytest.raises(ValueError, match=r"client_info\.due_date"):
        read_answer({"structured_data": {"client_info": {"due_date": text}}})


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"structured_data": {}, "notes": ""}, "notes"),
        ({"structured_data": {"vendor": {}}}, "structured_data.vendor"),
        (summary(tax_total=5), "financial_summary.tax_total"),
        ({"structured_data": {"line_items": [{}, {"desc": "x"}]}}, "line_items.1.desc"),
        ({"structured_data": {}, "validation_summary": {"is_valid": True, "math_verified": True, "ok": 1}}, "ok"),
    ],
)
def test_rejects_unknown_keys_by_name(value: object, key: str) -> None:
    with pytest.raises(ValueError, match="Extra inputs are not permitted") as error:
        read_answer(value)
    assert f"{key}:" in str(error.value)


def test_reports_all_problems_at_once() -> None:
    with pytest.raises(ValueError, match=r"subtotal.*grand_total"):
        read_answer(summary(subtotal="a lot", grand_total=[]))


@pytest.mark.parametrize("text", ["1,234.50", "€ 12", "12.00-", "1e5", "", "12 ", "--1"])
def test_rejects_formatted_numbers_in_text(text: str) -> None:
    with pytest.raises(ValueError, match="grand_total"):
        read_answer(summary(grand_total=text))


@pytest.mark.parametrize("value", ["1234.50", "-5", "0.5"])
def test_accepts_plain_numbers_in_text(value: str) -> None:
    assert read_answer(summary(grand_total=value)).summary.grand_total == Decimal(value)


@pytest.mark.parametrize("value", [{}, "true", 1])
def test_verdict_is_true_false_or_null(value: object) -> None:
    with pytest.raises(ValueError, match="is_valid"):
        read_answer({"structured_data": {}, "validation_summary": {"is_valid": value, "math_verified": True}})


def test_reads_a_numeric_phone_number_as_text() -> None:
    answer = read_answer({"structured_data": {"vendor_block": {"phone": 4930123}}})
    assert answer.structured_data.vendor_block is not None
    assert answer.structured_data.vendor_block.phone == "4930123"


def test_rejects_half_of_a_surrogate_pair() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        read_answer(json_text.parse('{"structured_data":{"vendor_block":{"name":"\\ud800"}}}'))


@pytest.mark.parametrize("value", [{}, [], None, "text", 5, {"structured_data": []}, {"structured_data": None}])
def test_rejects_values_that_are_not_answers(value: object) -> None:
    with pytest.raises(ValueError, match=r"structured_data|valid"):
        read_answer(value)


def test_empty_answer_has_an_empty_summary_and_no_line_items() -> None:
    empty = Answer.model_validate({"structured_data": {}})
    assert empty.summary.grand_total is None
    assert empty.lines == []
