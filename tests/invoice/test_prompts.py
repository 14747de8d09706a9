"""The request: one form for training, evaluation and service; three tasks, each in several wordings."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.invoice import jsontext, rules
from erniekit_adapter.invoice.answer import FinancialSummary, StructuredData, ValidationSummary, read_answer
from erniekit_adapter.invoice.prompts import (
    DATA_MARK,
    OCR_MARK,
    TASKS,
    WORDINGS,
    analysis_request,
    constant_part,
    extraction_request,
    validation_request,
)
from erniekit_adapter.project.schema import MAX_WORDINGS

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
EVERY_WORDING = pytest.mark.parametrize("wording", range(WORDINGS))
PAGE_REQUESTS = pytest.mark.parametrize("request_for", [analysis_request, extraction_request])


def every_request(wording: int = 0) -> dict[str, str]:
    """One request for each task, and for each way to show the page."""
    return {
        "analysis": analysis_request(OCR, with_image=False, wording=wording),
        "analysis with image": analysis_request(OCR, with_image=True, wording=wording),
        "analysis of the image alone": analysis_request(None, with_image=True, wording=wording),
        "extraction": extraction_request(OCR, with_image=False, wording=wording),
        "extraction with image": extraction_request(OCR, with_image=True, wording=wording),
        "extraction of the image alone": extraction_request(None, with_image=True, wording=wording),
        "validation": validation_request(DATA, wording=wording),
    }


def test_the_service_sends_this_word_for_word() -> None:
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


def test_without_an_image_the_service_leaves_out_three_words() -> None:
    with_image = analysis_request(OCR, with_image=True)
    assert with_image.count(" against the image") == 1
    assert analysis_request(OCR, with_image=False) == with_image.replace(" against the image", "")


@PAGE_REQUESTS
@EVERY_WORDING
@pytest.mark.parametrize("ocr", [None, {}, [], "", " ", {"tokens": [], "bboxes": []}, [{"tokens": ["—"]}], [[[]]]])
def test_ocr_data_without_text_is_not_mentioned(request_for: Callable[..., str], wording: int, ocr: object) -> None:
    request = request_for(ocr, with_image=True, wording=wording)
    assert "OCR" not in request
    assert request == request_for(None, with_image=True, wording=wording)


@PAGE_REQUESTS
@EVERY_WORDING
def test_the_ocr_comes_last_as_json_behind_its_mark(request_for: Callable[..., str], wording: int) -> None:
    before, mark, after = request_for(OCR, with_image=False, wording=wording).partition("\nPreliminary OCR Data: ")
    assert before
    assert mark
    assert jsontext.parse(after) == OCR


@EVERY_WORDING
def test_the_given_data_comes_last_as_json_behind_a_mark_of_its_own(wording: int) -> None:
    before, mark, after = validation_request(DATA, wording=wording).partition("\nInvoice Data: ")
    assert before
    assert mark
    assert jsontext.parse(after) == DATA
    assert OCR_MARK not in before


def test_ocr_and_data_keep_their_digits_and_characters() -> None:
    assert analysis_request({"a": Decimal("1.50"), "b": "円"}, with_image=False).endswith('{"a":1.50,"b":"円"}')
    assert validation_request(DATA).endswith('{"financial_summary":{"grand_total":119.00,"currency":"EUR"}}}')


@EVERY_WORDING
def test_the_same_input_makes_the_same_request(wording: int) -> None:
    assert every_request(wording) == every_request(wording)


@PAGE_REQUESTS
@EVERY_WORDING
def test_an_empty_ocr_result_is_still_a_result(request_for: Callable[..., str], wording: int) -> None:
    assert request_for({}, with_image=False, wording=wording).endswith("\nPreliminary OCR Data: {}")
    assert OCR_MARK not in request_for(None, with_image=True, wording=wording)


@PAGE_REQUESTS
@EVERY_WORDING
def test_the_image_is_spoken_of_only_where_there_is_one(request_for: Callable[..., str], wording: int) -> None:
    with_image, without, alone = (
        constant_part(request_for(OCR, with_image=True, wording=wording)),
        constant_part(request_for(OCR, with_image=False, wording=wording)),
        request_for(None, with_image=True, wording=wording),
    )
    assert "image" in with_image
    assert "OCR data" in with_image
    assert "image" in alone
    assert "image" not in without
    assert "OCR data" in without


@EVERY_WORDING
def test_each_task_asks_for_its_own_part_of_the_answer(wording: int) -> None:
    structures = {
        "analysis": f"\n{{{STRUCTURED_DATA},{VALIDATION_SUMMARY}}}\n",
        "extraction": f"\n{{{STRUCTURED_DATA}}}\n",
        "validation": f"\n{{{VALIDATION_SUMMARY}}}\n",
    }
    for name, request in every_request(wording).items():
        task = name.split()[0]
        assert [other for other in TASKS if structures[other] in f"{request}\n"] == [task], name


def test_the_structure_names_every_field_of_the_answer() -> None:
    structure = STRUCTURED_DATA + VALIDATION_SUMMARY
    names = [*StructuredData.model_fields, *FinancialSummary.model_fields, *ValidationSummary.model_fields]
    assert [name for name in names if f'"{name}"' not in structure] == []


@PAGE_REQUESTS
@EVERY_WORDING
def test_every_wording_says_how_values_are_written(request_for: Callable[..., str], wording: int) -> None:
    request = request_for(OCR, with_image=False, wording=wording)
    assert [word for word in ("numbers", "fractions", "YYYY-MM-DD", "page") if word not in request] == []


@EVERY_WORDING
def test_an_extraction_asks_for_no_check(wording: int) -> None:
    request = extraction_request(OCR, with_image=True, wording=wording).casefold()
    assert [word for word in ("validat", "verify", "grand total =", "add up to", "lines sum") if word in request] == []


def test_there_are_as_many_wordings_as_a_project_file_may_ask_for() -> None:
    assert WORDINGS == MAX_WORDINGS
    for name in every_request():
        assert len({every_request(wording)[name] for wording in range(WORDINGS)}) == WORDINGS, name


@pytest.mark.parametrize("wording", [-1, WORDINGS])
def test_another_wording_is_refused(wording: int) -> None:
    for make in (
        lambda: analysis_request(OCR, with_image=False, wording=wording),
        lambda: extraction_request(OCR, with_image=True, wording=wording),
        lambda: validation_request(DATA, wording=wording),
    ):
        with pytest.raises(ValueError, match=f"no wording {wording}: expected 0 to 3"):
            make()


@EVERY_WORDING
def test_no_wording_is_much_longer_than_the_services(wording: int) -> None:
    first = every_request()
    for name, request in every_request(wording).items():
        assert len(request) <= 1.1 * len(first[name]), name


@EVERY_WORDING
def test_a_validation_states_every_rule_in_the_order_of_the_issues(wording: int) -> None:
    request = validation_request(DATA, wording=wording).replace(ISSUE, "")
    # Given data never claims to be complete, so that nothing is required of it.
    places = [request.find(found.rule) for found in rules.check(read_answer(DATA)) if found.rule != "REQUIRED"]
    assert -1 not in places
    assert places == sorted(places)


@EVERY_WORDING
def test_the_issue_that_a_validation_shows_is_one_that_the_rules_write(wording: int) -> None:
    amounts = {"subtotal": "100.00", "taxes": [{"amount": "19.00"}], "grand_total": "120.00", "currency": "EUR"}
    answer = read_answer({"structured_data": {"financial_summary": amounts}})
    assert rules.summarize(rules.check(answer, as_given=True)).issues == [ISSUE]
    assert f'"{ISSUE}"' in validation_request(DATA, wording=wording)


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
def test_what_a_validation_says_of_the_two_verdicts_holds(summary: Any, line: Any, due: str | None) -> None:
    data = {
        "client_info": {"invoice_date": "2025-01-15", "due_date": due},
        "line_items": [line],
        "financial_summary": summary,
    }
    findings = rules.check(read_answer({"structured_data": data}))
    verdict, status = rules.summarize(findings), {finding.rule: finding.status for finding in findings}
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
def test_data_that_may_tell_the_answer_is_refused(data: object, found: str) -> None:
    with pytest.raises(ValueError, match=f"structured_data alone, found: {found}$"):
        validation_request(data)


@EVERY_WORDING
def test_the_constant_part_ends_with_the_mark_and_a_blank(wording: int) -> None:
    marks = {"analysis": OCR_MARK, "extraction": OCR_MARK, "validation": DATA_MARK}
    for name, request in every_request(wording).items():
        if name.endswith("alone"):
            assert constant_part(request) == ""
            continue
        constant = constant_part(request)
        assert constant.endswith(f"\n{marks[name.split()[0]]} ")
        assert constant.count(OCR_MARK) + constant.count(DATA_MARK) == 1
        assert jsontext.parse(request[len(constant) :]) == (DATA if name == "validation" else OCR)


@pytest.mark.parametrize("mark", [OCR_MARK, DATA_MARK])
def test_a_mark_that_stands_on_the_page_is_no_part_of_the_constant(mark: str) -> None:
    other = {"structured_data": {"payment_terms": {"notes": f"\n{mark} {{}}"}}}
    for request, plain in (
        (validation_request(other), validation_request(DATA)),
        (analysis_request(other, with_image=False), analysis_request(OCR, with_image=False)),
    ):
        assert constant_part(request) == constant_part(plain)


@pytest.mark.parametrize("request_text", ["", "What is the total?", "Preliminary OCR Data", "Invoice Data:{}"])
def test_a_request_without_a_mark_has_no_constant_part(request_text: str) -> None:
    assert constant_part(request_text) == ""
