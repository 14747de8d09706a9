from __future__ import annotations

from typing import Any

import pytest
from data_examples import OCR, answer, record

from data_tools.pairs import identity, make_pair
from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.answer import read_answer
from erniekit_adapter.invoice.prompts import analysis_request


def answered(**changes: Any) -> Any:
    return jsontext.parse(make_pair(record(**changes)).answer_text)


def vendor(**changes: Any) -> Any:
    value = answer()
    value["structured_data"]["vendor_block"].update(changes)
    return read_answer(value)


def test_the_request_is_the_service_s_with_the_ocr_in_it() -> None:
    assert make_pair(record()).request == analysis_request(OCR, with_image=False)


def test_a_request_of_its_own_is_kept_as_given() -> None:
    assert make_pair(record(request="What does it say?")).request == "What does it say?"


def test_the_answer_is_canonical_and_adds_its_verdict() -> None:
    found = answered()
    assert found["structured_data"] == answer()["structured_data"]
    assert found["validation_summary"] == {"is_valid": True, "math_verified": True, "issues": []}


def test_the_verdict_is_recomputed_and_never_copied() -> None:
    flattered = read_answer(
        {**answer(grand_total=1119), "validation_summary": {"is_valid": True, "math_verified": True, "issues": []}}
    )
    summary = answered(answer=flattered, declared_fault="grand_total")["validation_summary"]
    assert (summary["is_valid"], summary["math_verified"]) == (False, False)
    assert "BR-CO-15" in summary["issues"][0]


def test_a_false_alarm_is_not_copied_either() -> None:
    alarmed = {**answer(), "validation_summary": {"is_valid": False, "math_verified": False, "issues": ["?"]}}
    assert answered(answer=read_answer(alarmed))["validation_summary"]["is_valid"] is True


def test_confidences_and_logos_are_not_trained_on() -> None:
    value = answer()
    value["confidence_scores"] = {"overall": 0.95}
    value["structured_data"]["vendor_block"] |= {"confidence": 0.9, "logo_detected": True, "logo_brand": "A"}
    value["structured_data"]["client_info"]["confidence"] = 0.9
    value["structured_data"]["line_items"][0]["confidence"] = 0.9
    text = make_pair(record(answer=read_answer(value))).answer_text
    assert "confidence" not in text
    assert "logo" not in text


def test_contact_data_that_the_ocr_does_not_show_is_left_out_and_named() -> None:
    pair = make_pair(record(answer=vendor(phone="+49 30 1234", email="unseen@acme.example")))
    block = jsontext.parse(pair.answer_text)["structured_data"]["vendor_block"]
    assert block["phone"] == "+49 30 1234"
    assert "email" not in block
    assert pair.left_out == ("vendor_block.email",)


def test_amounts_keep_their_digits() -> None:
    value = jsontext.parse(jsontext.compose(answer()).replace('"subtotal":100', '"subtotal":100.00'))
    assert '"subtotal":100.00' in make_pair(record(answer=read_answer(value))).answer_text


def test_equal_content_has_an_equal_fingerprint_however_amounts_are_spelt() -> None:
    spelt = jsontext.parse(jsontext.compose(answer()).replace('"subtotal":100', '"subtotal":100.00'))
    again = record(document_id="doc-2", group="doc-2", source="other.jsonl", answer=read_answer(spelt))
    assert make_pair(record()).content == make_pair(again).content


@pytest.mark.parametrize("changes", [{"ocr": ["other"]}, {"answer": read_answer(answer(subtotal=99))}])
def test_other_content_has_another_fingerprint(changes: dict[str, Any]) -> None:
    assert make_pair(record()).content != make_pair(record(**changes)).content


def test_tokens_are_those_of_request_and_answer() -> None:
    pair = make_pair(record(), count_tokens=len)
    assert pair.tokens == len(pair.request) + len(pair.answer_text)


def test_an_invoice_is_known_by_its_number_whatever_its_document_id() -> None:
    first, second = record(), record(document_id="b", group="b", ocr=["other"])
    assert identity(first, make_pair(first))[0] == identity(second, make_pair(second))[0]


def test_a_document_without_a_name_is_known_by_its_number_and_its_request() -> None:
    nameless = record(group="")
    assert [key[:1] for key in identity(nameless, make_pair(nameless))] == [b"1", b"3"]
