from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_examples import OCR, answer, record

from data_tools.build_settings import BuildSettings
from data_tools.examples.building import (
    TrainingExample,
    known_names,
    make_analysis_example,
    make_example,
    visible_content,
)
from data_tools.records import DocumentRecord, Rejection
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.project.schema import FiltersSection, TasksSection

PLAIN = BuildSettings()
EXTRACTION = BuildSettings(tasks=TasksSection(analysis=0, extraction=1))
VALIDATION = BuildSettings(tasks=TasksSection(analysis=0, validation=1), fault_share=0)


def example_of(settings: BuildSettings = PLAIN, images: tuple[Path, ...] = (), **changes: Any) -> TrainingExample:
    found = record(**changes)
    assert found.answer is not None
    return make_example(found, visible_content(found, RULES.check(found.answer), settings), images, settings)


def answered(settings: BuildSettings = PLAIN, **changes: Any) -> Any:
    return json_text.parse(example_of(settings, **changes).answer_text)


def numbered(number: int) -> DocumentRecord:
    """Return a record with this number on its page."""
    value = answer()
    value["structured_data"]["client_info"]["invoice_number"] = f"RE-{number}"
    return record(answer=read_answer(value), ocr={"tokens": [*OCR["tokens"], f"RE-{number}"]})


def many(settings: BuildSettings, count: int = 300) -> list[TrainingExample]:
    examples = []
    for number in range(count):
        found = numbered(number)
        assert found.answer is not None
        examples.append(make_example(found, visible_content(found, RULES.check(found.answer), settings), (), settings))
    return examples


def vendor(**changes: Any) -> Any:
    value = answer()
    value["structured_data"]["vendor_block"].update(changes)
    return read_answer(value)


def test_the_request_is_the_service_request_with_ocr() -> None:
    assert example_of().request == INVOICE.prompts.analysis_request(OCR, with_image=False)


def test_the_request_mentions_a_page_image() -> None:
    settings = BuildSettings(format="erniekit-vl")
    example = example_of(settings, images=(Path("1.png"),))
    assert example.request == INVOICE.prompts.analysis_request(OCR, with_image=True)
    assert example.images == (Path("1.png"),)


def test_keeps_a_ready_made_request() -> None:
    request = f"Read the page: {json_text.compose(OCR)}"
    assert example_of(EXTRACTION, request=request).request == request


def test_the_answer_is_canonical_with_its_verdict() -> None:
    found = answered()
    assert found["structured_data"] == answer()["structured_data"]
    assert found["validation_summary"] == {"is_valid": True, "math_verified": True, "issues": []}


def test_extraction_has_no_verdict() -> None:
    example = example_of(EXTRACTION)
    assert example.request == INVOICE.prompts.extraction_request(OCR, with_image=False)
    assert json_text.parse(example.answer_text) == {"structured_data": answer()["structured_data"]}


def test_validation_checks_the_given_data() -> None:
    example = example_of(VALIDATION)
    assert example.request == INVOICE.prompts.validation_request({"structured_data": answer()["structured_data"]})
    assert json_text.parse(example.answer_text) == {
        "validation_summary": {"is_valid": True, "math_verified": True, "issues": []}
    }


def test_injected_faults_are_named_by_rule_and_amounts() -> None:
    faulty = [example for example in many(replace(VALIDATION, fault_share=1)) if example.faults]
    assert len(faulty) > 290
    for example in faulty:
        assert 1 <= len(example.faults) <= 2
        given = json_text.parse(example.request[example.request.rindex('{"structured_data"') :])
        summary = json_text.parse(example.answer_text)["validation_summary"]
        assert summary == RULES.summarize(RULES.check(read_answer(given), as_given=True)).model_dump()
        assert not summary["is_valid"]


def test_fault_share_limits_faulty_validations() -> None:
    examples = many(replace(VALIDATION, fault_share=0.3))
    assert 0.2 < sum(bool(example.faults) for example in examples) / len(examples) < 0.4


def test_tasks_follow_their_weights() -> None:
    settings = BuildSettings(tasks=TasksSection(analysis=2, extraction=1, validation=1))
    counts = Counter(example.task for example in many(settings, 400))
    assert 150 < counts["analysis"] < 250
    assert 60 < counts["extraction"] < 140
    assert 60 < counts["validation"] < 140


def test_choices_depend_on_the_seed_only() -> None:
    settings = BuildSettings(tasks=TasksSection(extraction=1, validation=1), prompt_templates=4)
    assert many(settings, 50) == many(settings, 50)
    assert many(settings, 50) != many(replace(settings, seed=7), 50)


def test_choices_depend_only_on_the_content() -> None:
    settings = BuildSettings(tasks=TasksSection(extraction=1, validation=1), prompt_templates=4)
    again = {"document_id": "other", "group": "other", "source": "other.jsonl", "line": 9}
    assert example_of(settings).request == example_of(settings, **again).request


def test_uses_all_prompt_templates() -> None:
    requests = {example.request.partition("Preliminary")[0] for example in many(BuildSettings(prompt_templates=4), 60)}
    assert len(requests) == 4


def test_analysis_examples_use_the_first_prompt_template() -> None:
    found, settings = record(), replace(VALIDATION, prompt_templates=4)
    content = visible_content(found, RULES.check(read_answer(answer())), settings)
    assert make_analysis_example(found, content, (), settings).request == INVOICE.prompts.analysis_request(
        OCR, with_image=False
    )


def test_the_verdict_is_recomputed() -> None:
    flattered = read_answer(
        {**answer(grand_total=1119), "validation_summary": {"is_valid": True, "math_verified": True, "issues": []}}
    )
    page = {"tokens": [*OCR["tokens"], "1119"]}
    summary = answered(answer=flattered, declared_fault="grand_total", ocr=page)["validation_summary"]
    assert (summary["is_valid"], summary["math_verified"]) == (False, False)
    assert "BR-CO-15" in summary["issues"][0]


def test_a_false_alarm_is_not_copied() -> None:
    alarmed = {**answer(), "validation_summary": {"is_valid": False, "math_verified": False, "issues": ["?"]}}
    assert answered(answer=read_answer(alarmed))["validation_summary"]["is_valid"] is True


def test_omits_confidences_and_logos() -> None:
    value = answer()
    value["confidence_scores"] = {"overall": 0.95}
    value["structured_data"]["vendor_block"] |= {"confidence": 0.9, "logo_detected": True, "logo_brand": "A"}
    value["structured_data"]["client_info"]["confidence"] = 0.9
    value["structured_data"]["line_items"][0]["confidence"] = 0.9
    text = example_of(answer=read_answer(value)).answer_text
    assert "confidence" not in text
    assert "logo" not in text


def test_omits_values_that_the_ocr_does_not_show() -> None:
    example = example_of(answer=vendor(phone="+49 30 1234", email="unseen@acme.example"))
    block = json_text.parse(example.answer_text)["structured_data"]["vendor_block"]
    assert block["phone"] == "+49 30 1234"
    assert "email" not in block
    assert example.left_out == ("vendor_block.email",)


def test_hidden_values_do_not_change_the_verdict() -> None:
    page = {"tokens": [token for token in OCR["tokens"] if "MwSt" not in token]}
    found = answered(ocr=page)
    assert "taxes" not in found["structured_data"]["financial_summary"]
    assert found["validation_summary"] == {"is_valid": True, "math_verified": None, "issues": []}


@pytest.mark.parametrize(("level", "unseen"), [("warn", ("vendor_block.email",)), ("off", ())])
def test_keeps_unseen_values_if_the_filter_allows(level: Any, unseen: tuple[str, ...]) -> None:
    found = record(answer=vendor(email="unseen@acme.example"))
    content = visible_content(found, (), BuildSettings(filters=FiltersSection(visible=level)))
    assert content.data["vendor_block"]["email"] == "unseen@acme.example"
    assert (content.left_out, content.unseen) == ((), unseen)


@pytest.mark.parametrize("data_format", ["erniekit", "erniekit-vl", "paddleformers"])
def test_all_formats_check_visibility(data_format: Any) -> None:
    found = record(answer=vendor(email="unseen@acme.example"), images=(Path("1.png"),))
    assert visible_content(found, (), BuildSettings(format=data_format)).left_out == ("vendor_block.email",)


def test_masks_request_and_answer_alike() -> None:
    iban = "DE89 3704 0044 0532 0130 00"
    value = answer()
    value["structured_data"]["payment_terms"] = {"notes": f"IBAN {iban}"}
    page = {"tokens": [*OCR["tokens"], f"IBAN {iban}"]}
    example = example_of(BuildSettings(filters=FiltersSection(personal="mask")), answer=read_answer(value), ocr=page)
    assert "3704" not in example.request + example.answer_text
    masked = json_text.parse(example.answer_text)["structured_data"]["payment_terms"]["notes"]
    assert masked in example.request


def test_amounts_keep_their_digits() -> None:
    value = json_text.parse(json_text.compose(answer()).replace('"subtotal":100', '"subtotal":100.00'))
    assert '"subtotal":100.00' in example_of(answer=read_answer(value)).answer_text


def hashes(**changes: Any) -> tuple[bytes, bytes]:
    content = visible_content(record(**changes), (), PLAIN)
    return content.input_digest, content.answer_digest


def test_digests_do_not_depend_on_spelling_of_amounts() -> None:
    spelt = json_text.parse(json_text.compose(answer()).replace('"subtotal":100', '"subtotal":100.00'))
    assert hashes() == hashes(document_id="doc-2", source="other.jsonl", answer=read_answer(spelt))


@pytest.mark.parametrize("changes", [{"ocr": [OCR]}, {"answer": read_answer(answer(subtotal=19))}])
def test_digests_depend_on_content(changes: dict[str, Any]) -> None:
    assert hashes() != hashes(**changes)


def test_an_invoice_is_known_by_number_and_name() -> None:
    assert known_names(INVOICE, record()) == [("name", "doc-1"), ("number", "RE-1 of acme gmbh")]
    assert known_names(INVOICE, record(group="")) == [("number", "RE-1 of acme gmbh")]


def test_an_unreviewed_number_identifies_nothing() -> None:
    assert known_names(INVOICE, record(reviewed=False)) == [("name", "doc-1")]


def test_vendor_names_on_demand() -> None:
    assert ("vendor", "acme gmbh") in known_names(INVOICE, record(), with_vendor=True)


def test_a_rejection_is_known_by_its_document() -> None:
    assert known_names(INVOICE, Rejection("log.jsonl", 1, "doc-1", "source", "broken")) == [("name", "doc-1")]
    assert known_names(INVOICE, Rejection("log.jsonl", 1, None, "source", "broken")) == []


def test_no_validation_of_totals_without_their_charges() -> None:
    some = read_answer(answer(grand_total=125))
    header = some.structured_data.model_copy(update={"line_items": None})
    found = {"answer": some.model_copy(update={"structured_data": header}), "ocr": {"tokens": [*OCR["tokens"], "125"]}}
    example = example_of(replace(VALIDATION, fault_share=0), **found)
    assert example.task == "analysis"
    assert json_text.parse(example.answer_text)["validation_summary"]["is_valid"] is None
