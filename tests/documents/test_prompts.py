"""Requests of three tasks, each with several prompt templates."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.invoice.answer import FinancialSummary, StructuredData, ValidationSummary, read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.prompt_set import TASKS
from erniekit_adapter.project.schema import MAX_PROMPT_TEMPLATES

PROMPTS = INVOICE.prompts
OCR_MARK, DATA_MARK = PROMPTS.ocr_mark, PROMPTS.data_mark
PROMPT_TEMPLATES = PROMPTS.templates
analysis_request, extraction_request = PROMPTS.analysis_request, PROMPTS.extraction_request
constant_part, validation_request = PROMPTS.constant_part, PROMPTS.validation_request
OCR = {"tokens": ["Acme GmbH", "Total 3025.00"], "total": Decimal("3025.00")}
DATA = {"structured_data": {"financial_summary": {"grand_total": Decimal("119.00"), "currency": "EUR"}}}
STRUCTURED_DATA = (
    '"structured_data":{"document_type","vendor_block":{"name","address","phone","email"},'
    '"client_info":{"name","address","invoice_number","invoice_date","due_date"},'
    '"line_items":[{"description","quantity","unit_price","total"}],'
    '"financial_summary":{"subtotal","taxes":[{"type","rate","amount"}],"discounts":[{"description","amount"}],'
    '"charges":[{"description","amount"}],"grand_total","amount_paid","rounding","amount_due","currency"},"payment_terms":{"due_date","payment_method","notes"}}'
)
VALIDATION_SUMMARY = '"validation_summary":{"is_valid","math_verified","issues":[]}'
ISSUE = "BR-CO-15: grand_total 120.00 ≠ subtotal - discounts + taxes 119.00"
EVERY_TEMPLATE = pytest.mark.parametrize("template", range(PROMPT_TEMPLATES))
PAGE_REQUESTS = pytest.mark.parametrize("request_for", [analysis_request, extraction_request])


def every_request(template: int = 0) -> dict[str, str]:
    """Return a request for each task and each kind of page input."""
    return {
        "analysis": analysis_request(OCR, with_image=False, template=template),
        "analysis with image": analysis_request(OCR, with_image=True, template=template),
        "analysis of the image only": analysis_request(None, with_image=True, template=template),
        "extraction": extraction_request(OCR, with_image=False, template=template),
        "extraction with image": extraction_request(OCR, with_image=True, template=template),
        "extraction of the image only": extraction_request(None, with_image=True, template=template),
        "validation": validation_request(DATA, template=template),
    }


def test_request_of_the_service_is_unchanged() -> None:
    assert analysis_request({"total": Decimal("1.50")}, with_image=True) == (
        "Analyse this invoice. Validate the OCR data against the image, correct it and fill in what the OCR missed. "
        "Find the five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment. "
        "Check that the lines sum to the subtotal and that subtotal - discounts + charges + taxes = grand total: "
        "true, false, or null if values are missing. Give a document_type for a credit note only. "
        "Leave out what the page does not show, write amounts as numbers, "
        "rates as fractions and dates as YYYY-MM-DD. Answer with JSON of exactly this structure:\n"
        f"{{{STRUCTURED_DATA},{VALIDATION_SUMMARY}}}\n"
        'Preliminary OCR Data: {"total":1.50}'
    )


def test_request_without_an_image_omits_three_words() -> None:
    with_image = analysis_request(OCR, with_image=True)
    assert with_image.count(" against the image") == 1
    assert analysis_request(OCR, with_image=False) == with_image.replace(" against the image", "")


@PAGE_REQUESTS
@EVERY_TEMPLATE
@pytest.mark.parametrize("ocr", [None, {}, [], "", " ", {"tokens": [], "bboxes": []}, [{"tokens": ["—"]}], [[[]]]])
def test_does_not_mention_ocr_data_without_text(request_for: Callable[..., str], template: int, ocr: object) -> None:
    request = request_for(ocr, with_image=True, template=template)
    assert "OCR" not in request
    assert request == request_for(None, with_image=True, template=template)


@PAGE_REQUESTS
@EVERY_TEMPLATE
def test_ocr_data_is_last_after_its_mark(request_for: Callable[..., str], template: int) -> None:
    before, mark, after = request_for(OCR, with_image=False, template=template).partition("\nPreliminary OCR Data: ")
    assert before
    assert mark
    assert json_text.parse(after) == OCR


@EVERY_TEMPLATE
def test_given_data_is_last_after_its_mark(template: int) -> None:
    before, mark, after = validation_request(DATA, template=template).partition("\nInvoice Data: ")
    assert before
    assert mark
    assert json_text.parse(after) == DATA
    assert OCR_MARK not in before


def test_ocr_and_data_keep_digits_and_characters() -> None:
    assert analysis_request({"a": Decimal("1.50"), "b": "円"}, with_image=False).endswith('{"a":1.50,"b":"円"}')
    assert validation_request(DATA).endswith('{"financial_summary":{"grand_total":119.00,"currency":"EUR"}}}')


@EVERY_TEMPLATE
def test_same_input_gives_the_same_request(template: int) -> None:
    assert every_request(template) == every_request(template)


@PAGE_REQUESTS
@EVERY_TEMPLATE
def test_empty_ocr_result_is_sent(request_for: Callable[..., str], template: int) -> None:
    assert request_for({}, with_image=False, template=template).endswith("\nPreliminary OCR Data: {}")
    assert OCR_MARK not in request_for(None, with_image=True, template=template)


@PAGE_REQUESTS
@EVERY_TEMPLATE
def test_mentions_an_image_only_if_there_is_one(request_for: Callable[..., str], template: int) -> None:
    with_image, without, image_only = (
        constant_part(request_for(OCR, with_image=True, template=template)),
        constant_part(request_for(OCR, with_image=False, template=template)),
        request_for(None, with_image=True, template=template),
    )
    assert "image" in with_image
    assert "OCR data" in with_image
    assert "image" in image_only
    assert "image" not in without
    assert "OCR data" in without


@EVERY_TEMPLATE
def test_each_task_requests_its_part_of_the_answer(template: int) -> None:
    structures = {
        "analysis": f"\n{{{STRUCTURED_DATA},{VALIDATION_SUMMARY}}}\n",
        "extraction": f"\n{{{STRUCTURED_DATA}}}\n",
        "validation": f"\n{{{VALIDATION_SUMMARY}}}\n",
    }
    for name, request in every_request(template).items():
        task = name.split()[0]
        assert [other for other in TASKS if structures[other] in f"{request}\n"] == [task], name


def test_structure_names_every_field_of_the_answer() -> None:
    structure = STRUCTURED_DATA + VALIDATION_SUMMARY
    names = [*StructuredData.model_fields, *FinancialSummary.model_fields, *ValidationSummary.model_fields]
    assert [name for name in names if f'"{name}"' not in structure] == []


@PAGE_REQUESTS
@EVERY_TEMPLATE
def test_every_prompt_template_states_the_value_formats(request_for: Callable[..., str], template: int) -> None:
    request = request_for(OCR, with_image=False, template=template)
    assert [word for word in ("numbers", "fractions", "YYYY-MM-DD", "page") if word not in request] == []


@EVERY_TEMPLATE
def test_extraction_requests_no_check(template: int) -> None:
    request = extraction_request(OCR, with_image=True, template=template).casefold()
    assert [word for word in ("validat", "verify", "grand total =", "add up to", "lines sum") if word in request] == []


def test_number_of_prompt_templates_matches_the_project_schema() -> None:
    assert PROMPT_TEMPLATES == MAX_PROMPT_TEMPLATES
    for name in every_request():
        assert len({every_request(template)[name] for template in range(PROMPT_TEMPLATES)}) == PROMPT_TEMPLATES, name


@pytest.mark.parametrize("template", [-1, PROMPT_TEMPLATES])
def test_rejects_unknown_prompt_templates(template: int) -> None:
    for make in (
        lambda: analysis_request(OCR, with_image=False, template=template),
        lambda: extraction_request(OCR, with_image=True, template=template),
        lambda: validation_request(DATA, template=template),
    ):
        with pytest.raises(ValueError, match=f"prompt template {template} does not exist: expected 0 to 3"):
            make()


@EVERY_TEMPLATE
def test_prompt_templates_have_similar_lengths(template: int) -> None:
    first = every_request()
    for name, request in every_request(template).items():
        assert len(request) <= 1.1 * len(first[name]), name


@EVERY_TEMPLATE
def test_validation_request_states_every_rule_in_order(template: int) -> None:
    request = validation_request(DATA, template=template).replace(ISSUE, "")
    # REQUIRED does not apply, because given data may be incomplete.
    places = [request.find(found.rule) for found in RULES.check(read_answer(DATA)) if found.rule != "REQUIRED"]
    assert -1 not in places
    assert places == sorted(places)


@EVERY_TEMPLATE
def test_example_issue_is_written_by_the_rules(template: int) -> None:
    amounts = {"subtotal": "100.00", "taxes": [{"amount": "19.00"}], "grand_total": "120.00", "currency": "EUR"}
    answer = read_answer({"structured_data": {"financial_summary": amounts}})
    assert RULES.summarize(RULES.check(answer, as_given=True)).issues == [ISSUE]
    assert f'"{ISSUE}"' in validation_request(DATA, template=template)


amounts = st.none() | st.sampled_from([Decimal(text) for text in ("0", "1.00", "19.00", "100.00", "119.00", "1.005")])


@given(
    summary=st.fixed_dictionaries(
        {
            "subtotal": amounts,
            "grand_total": amounts,
            "taxes": st.none() | st.lists(st.fixed_dictionaries({"rate": amounts, "amount": amounts}), max_size=2),
            "currency": st.sampled_from([None, "EUR", "JPY", "EUX"]),
        }
    ),
    line=st.fixed_dictionaries({"quantity": amounts, "unit_price": amounts, "total": amounts}),
    due=st.sampled_from([None, "2025-01-01", "2025-02-01"]),
)
def test_validation_request_describes_both_verdicts_correctly(summary: Any, line: Any, due: str | None) -> None:
    data = {
        "client_info": {"invoice_date": "2025-01-15", "due_date": due},
        "line_items": [line],
        "financial_summary": summary,
    }
    findings = RULES.check(read_answer({"structured_data": data}))
    verdict, status = RULES.summarize(findings), {finding.rule: finding.status for finding in findings}
    named = [issue.partition(":")[0] for issue in verdict.issues]
    warnings = [rule for rule in named if rule in ("R120", "DUE-DATE")]
    sums = {"BR-CO-10", "BR-CO-15", "BR-CO-16", "BR-CO-17"} & {*named}
    skipped = [rule for rule in ("BR-CO-10", "BR-CO-15") if status[rule] == "not checkable"]
    assert verdict.is_valid == (False if named != warnings else None if "BR-CO-15" in skipped else True)
    assert verdict.math_verified == (False if sums else None if skipped else True)
    assert named[len(named) - len(warnings) :] == warnings


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({**DATA, "validation_summary": {"is_valid": True}}, "structured_data, validation_summary"),
        ({"financial_summary": {}}, "financial_summary"),
        ([DATA], "list"),
        (None, "NoneType"),
    ],
)
def test_rejects_data_that_may_reveal_the_answer(data: object, found: str) -> None:
    with pytest.raises(ValueError, match=f"only key is structured_data, found: {found}$"):
        validation_request(data)


@EVERY_TEMPLATE
def test_constant_part_ends_with_the_mark_and_a_blank(template: int) -> None:
    marks = {"analysis": OCR_MARK, "extraction": OCR_MARK, "validation": DATA_MARK}
    for name, request in every_request(template).items():
        if name.endswith("only"):
            assert constant_part(request) == ""
            continue
        constant = constant_part(request)
        assert constant.endswith(f"\n{marks[name.split()[0]]} ")
        assert constant.count(OCR_MARK) + constant.count(DATA_MARK) == 1
        assert json_text.parse(request[len(constant) :]) == (DATA if name == "validation" else OCR)


@pytest.mark.parametrize("mark", [OCR_MARK, DATA_MARK])
def test_mark_on_the_page_does_not_extend_the_constant_part(mark: str) -> None:
    other = {"structured_data": {"payment_terms": {"notes": f"\n{mark} {{}}"}}}
    for request, plain in (
        (validation_request(other), validation_request(DATA)),
        (analysis_request(other, with_image=False), analysis_request(OCR, with_image=False)),
    ):
        assert constant_part(request) == constant_part(plain)


@pytest.mark.parametrize("request_text", ["", "What is the total?", "Preliminary OCR Data", "Invoice Data:{}"])
def test_request_without_a_mark_has_no_constant_part(request_text: str) -> None:
    assert constant_part(request_text) == ""
