"""The request: one form for training, evaluation and service."""

from __future__ import annotations

from decimal import Decimal

from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.answer import FinancialSummary, StructuredData, ValidationSummary
from erniekit_adapter.invoice.prompts import analysis_request

OCR = {"tokens": ["Acme GmbH", "Total 3025.00"], "total": Decimal("3025.00")}


def test_the_ocr_comes_as_json_after_the_words_preliminary_ocr_data() -> None:
    before, mark, after = analysis_request(OCR, with_image=False).partition("Preliminary OCR Data:")
    assert mark
    assert before.startswith("Analyse this invoice.")
    assert jsontext.parse(after) == OCR


def test_the_ocr_keeps_its_digits_and_characters() -> None:
    assert analysis_request({"a": Decimal("1.50"), "b": "円"}, with_image=False).endswith('{"a":1.50,"b":"円"}')


def test_the_same_ocr_makes_the_same_request() -> None:
    assert analysis_request(OCR, with_image=True) == analysis_request(dict(OCR), with_image=True)


def test_without_ocr_the_request_does_not_speak_of_any() -> None:
    assert "Preliminary OCR Data" not in analysis_request(None, with_image=True)


def test_an_empty_ocr_result_is_still_a_result() -> None:
    assert analysis_request({}, with_image=False).endswith("Preliminary OCR Data: {}")


def test_the_image_is_spoken_of_only_where_there_is_one() -> None:
    assert "against the image" in analysis_request(OCR, with_image=True)
    assert "image" not in analysis_request(OCR, with_image=False).partition("Preliminary OCR Data:")[0]


def test_the_request_names_every_block_of_the_answer() -> None:
    request = analysis_request(OCR, with_image=False)
    names = [*StructuredData.model_fields, *FinancialSummary.model_fields, *ValidationSummary.model_fields]
    assert [name for name in names if f'"{name}"' not in request] == []
