from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_examples import OCR, answer, record

from data_tools.build_settings import BuildSettings
from data_tools.pairs.pairs import Pair, known_names, make_pair, plain_pair, show
from data_tools.records import DocumentRecord, Rejection
from erniekit_adapter.invoice import jsontext, rules
from erniekit_adapter.invoice.answer import read_answer
from erniekit_adapter.invoice.prompts import analysis_request, extraction_request, validation_request
from erniekit_adapter.project.schema import GatesSection, TasksSection

PLAIN = BuildSettings()
EXTRACTION = BuildSettings(tasks=TasksSection(analysis=0, extraction=1))
VALIDATION = BuildSettings(tasks=TasksSection(analysis=0, validation=1), fault_share=0)


def pair_of(settings: BuildSettings = PLAIN, images: tuple[Path, ...] = (), **changes: Any) -> Pair:
    found = record(**changes)
    assert found.answer is not None
    return make_pair(found, show(found, rules.check(found.answer), settings), images, settings)


def answered(settings: BuildSettings = PLAIN, **changes: Any) -> Any:
    return jsontext.parse(pair_of(settings, **changes).answer_text)


def numbered(number: int) -> DocumentRecord:
    """Another document, whose page shows its number."""
    value = answer()
    value["structured_data"]["client_info"]["invoice_number"] = f"RE-{number}"
    return record(answer=read_answer(value), ocr={"tokens": [*OCR["tokens"], f"RE-{number}"]})


def many(settings: BuildSettings, count: int = 300) -> list[Pair]:
    pairs = []
    for number in range(count):
        found = numbered(number)
        assert found.answer is not None
        pairs.append(make_pair(found, show(found, rules.check(found.answer), settings), (), settings))
    return pairs


def vendor(**changes: Any) -> Any:
    value = answer()
    value["structured_data"]["vendor_block"].update(changes)
    return read_answer(value)


def test_the_request_is_the_service_s_with_the_ocr_in_it() -> None:
    assert pair_of().request == analysis_request(OCR, with_image=False)


def test_a_request_with_a_page_says_so() -> None:
    settings = BuildSettings(form="erniekit-vl")
    pair = pair_of(settings, images=(Path("1.png"),))
    assert pair.request == analysis_request(OCR, with_image=True)
    assert pair.images == (Path("1.png"),)


def test_a_request_of_its_own_is_kept_as_given() -> None:
    asked = f"What does it say? {jsontext.compose(OCR)}"
    assert pair_of(EXTRACTION, request=asked).request == asked


def test_the_answer_is_canonical_and_adds_its_verdict() -> None:
    found = answered()
    assert found["structured_data"] == answer()["structured_data"]
    assert found["validation_summary"] == {"is_valid": True, "math_verified": True, "issues": []}


def test_an_extraction_says_what_the_page_says_and_judges_nothing() -> None:
    pair = pair_of(EXTRACTION)
    assert pair.request == extraction_request(OCR, with_image=False)
    assert jsontext.parse(pair.answer_text) == {"structured_data": answer()["structured_data"]}


def test_a_validation_judges_the_data_that_it_is_given() -> None:
    pair = pair_of(VALIDATION)
    assert pair.request == validation_request({"structured_data": answer()["structured_data"]})
    assert jsontext.parse(pair.answer_text) == {
        "validation_summary": {"is_valid": True, "math_verified": True, "issues": []}
    }


def test_injected_faults_are_told_by_rule_and_amounts() -> None:
    faulty = [pair for pair in many(replace(VALIDATION, fault_share=1)) if pair.faults]
    assert len(faulty) > 290
    for pair in faulty:
        assert 1 <= len(pair.faults) <= 2
        given = jsontext.parse(pair.request[pair.request.rindex('{"structured_data"') :])
        summary = jsontext.parse(pair.answer_text)["validation_summary"]
        assert summary == rules.summarize(rules.check(read_answer(given), as_given=True)).model_dump()
        assert not summary["is_valid"]


def test_only_a_share_of_validations_gets_faults() -> None:
    pairs = many(replace(VALIDATION, fault_share=0.3))
    assert 0.2 < sum(bool(pair.faults) for pair in pairs) / len(pairs) < 0.4


def test_tasks_come_by_their_weights() -> None:
    settings = BuildSettings(tasks=TasksSection(analysis=2, extraction=1, validation=1))
    counts = Counter(pair.task for pair in many(settings, 400))
    assert 150 < counts["analysis"] < 250
    assert 60 < counts["extraction"] < 140
    assert 60 < counts["validation"] < 140


def test_another_build_chooses_the_same_and_another_seed_something_else() -> None:
    settings = BuildSettings(tasks=TasksSection(extraction=1, validation=1), wordings=4)
    assert many(settings, 50) == many(settings, 50)
    assert many(settings, 50) != many(replace(settings, seed=7), 50)


def test_what_is_chosen_depends_on_what_a_record_says_and_on_nothing_else() -> None:
    settings = BuildSettings(tasks=TasksSection(extraction=1, validation=1), wordings=4)
    again = {"document_id": "other", "group": "other", "source": "other.jsonl", "line": 9}
    assert pair_of(settings).request == pair_of(settings, **again).request


def test_several_wordings_are_all_used() -> None:
    requests = {pair.request.partition("Preliminary")[0] for pair in many(BuildSettings(wordings=4), 60)}
    assert len(requests) == 4


def test_the_plain_pair_is_the_whole_analysis_in_its_first_wording_whatever_is_trained() -> None:
    found, settings = record(), replace(VALIDATION, wordings=4)
    shown = show(found, rules.check(read_answer(answer())), settings)
    assert plain_pair(found, shown, (), settings).request == analysis_request(OCR, with_image=False)


def test_the_verdict_is_recomputed_and_never_copied() -> None:
    flattered = read_answer(
        {**answer(grand_total=1119), "validation_summary": {"is_valid": True, "math_verified": True, "issues": []}}
    )
    page = {"tokens": [*OCR["tokens"], "1119"]}
    summary = answered(answer=flattered, declared_fault="grand_total", ocr=page)["validation_summary"]
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
    text = pair_of(answer=read_answer(value)).answer_text
    assert "confidence" not in text
    assert "logo" not in text


def test_what_the_ocr_does_not_show_is_left_out_and_named() -> None:
    pair = pair_of(answer=vendor(phone="+49 30 1234", email="unseen@acme.example"))
    block = jsontext.parse(pair.answer_text)["structured_data"]["vendor_block"]
    assert block["phone"] == "+49 30 1234"
    assert "email" not in block
    assert pair.left_out == ("vendor_block.email",)


def test_a_value_that_the_page_hides_leaves_the_verdict_alone() -> None:
    page = {"tokens": [token for token in OCR["tokens"] if "MwSt" not in token]}
    found = answered(ocr=page)
    assert "taxes" not in found["structured_data"]["financial_summary"]
    assert found["validation_summary"] == {"is_valid": True, "math_verified": None, "issues": []}


@pytest.mark.parametrize(("level", "unseen"), [("warn", ("vendor_block.email",)), ("off", ())])
def test_unseen_values_stay_where_the_project_says_so(level: Any, unseen: tuple[str, ...]) -> None:
    found = record(answer=vendor(email="unseen@acme.example"))
    shown = show(found, (), BuildSettings(gates=GatesSection(visible=level)))
    assert shown.data["vendor_block"]["email"] == "unseen@acme.example"
    assert (shown.left_out, shown.unseen) == ((), unseen)


@pytest.mark.parametrize("form", ["erniekit", "erniekit-vl", "paddleformers"])
def test_every_format_gets_the_same_check(form: Any) -> None:
    found = record(answer=vendor(email="unseen@acme.example"), images=(Path("1.png"),))
    assert show(found, (), BuildSettings(form=form)).left_out == ("vendor_block.email",)


def test_personal_data_is_masked_alike_in_request_and_answer() -> None:
    iban = "DE89 3704 0044 0532 0130 00"
    value = answer()
    value["structured_data"]["payment_terms"] = {"notes": f"IBAN {iban}"}
    page = {"tokens": [*OCR["tokens"], f"IBAN {iban}"]}
    pair = pair_of(BuildSettings(gates=GatesSection(personal="mask")), answer=read_answer(value), ocr=page)
    assert "3704" not in pair.request + pair.answer_text
    masked = jsontext.parse(pair.answer_text)["structured_data"]["payment_terms"]["notes"]
    assert masked in pair.request


def test_amounts_keep_their_digits() -> None:
    value = jsontext.parse(jsontext.compose(answer()).replace('"subtotal":100', '"subtotal":100.00'))
    assert '"subtotal":100.00' in pair_of(answer=read_answer(value)).answer_text


def hashes(**changes: Any) -> tuple[bytes, bytes]:
    shown = show(record(**changes), (), PLAIN)
    return shown.read, shown.said


def test_equal_content_has_equal_hashes_however_amounts_are_spelt() -> None:
    spelt = jsontext.parse(jsontext.compose(answer()).replace('"subtotal":100', '"subtotal":100.00'))
    assert hashes() == hashes(document_id="doc-2", source="other.jsonl", answer=read_answer(spelt))


@pytest.mark.parametrize("changes", [{"ocr": [OCR]}, {"answer": read_answer(answer(subtotal=19))}])
def test_other_content_has_another_hash(changes: dict[str, Any]) -> None:
    assert hashes() != hashes(**changes)


def test_an_invoice_is_known_by_its_number_and_its_name() -> None:
    assert known_names(record()) == [("name", "doc-1"), ("number", "RE-1 of acme gmbh")]
    assert known_names(record(group="")) == [("number", "RE-1 of acme gmbh")]


def test_a_number_that_nobody_confirmed_tells_nothing() -> None:
    assert known_names(record(reviewed=False)) == [("name", "doc-1")]


def test_documents_of_one_vendor_are_known_by_it_where_they_shall_stay_together() -> None:
    assert ("vendor", "acme gmbh") in known_names(record(), with_vendor=True)


def test_a_rejection_is_known_by_its_document() -> None:
    assert known_names(Rejection("log.jsonl", 1, "doc-1", "source", "broken")) == [("name", "doc-1")]
    assert known_names(Rejection("log.jsonl", 1, None, "source", "broken")) == []


def test_header_values_without_their_charges_are_no_data_to_validate() -> None:
    some = read_answer(answer(grand_total=125))
    header = some.structured_data.model_copy(update={"line_items": None})
    found = {"answer": some.model_copy(update={"structured_data": header}), "ocr": {"tokens": [*OCR["tokens"], "125"]}}
    pair = pair_of(replace(VALIDATION, fault_share=0), **found)
    assert pair.task == "analysis"
    assert jsontext.parse(pair.answer_text)["validation_summary"]["is_valid"] is None
