"""Training examples of declared document types."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from declared_source_examples import (
    AMOUNT,
    DATE,
    IDENTIFIER,
    STATEMENT,
    STATEMENT_PAGE,
    TEXT,
    content_of,
    order_type,
    statement_type,
    with_role,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from type_examples import write_type

from data_tools.build_settings import BuildSettings
from data_tools.examples.building import TrainingExample, known_names, make_example, visible_content
from data_tools.examples.faults import inject_fault
from data_tools.records import DocumentRecord, RejectedError
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.rules.rule import Rule, failures
from erniekit_adapter.project.schema import FiltersSection, TasksSection


def record_of(document_type: DocumentType, answer: dict[str, Any], page: str = STATEMENT_PAGE) -> DocumentRecord:
    """Return a record of a page with lines of text."""
    return DocumentRecord(
        document_id="A-1",
        source="a.json",
        line=None,
        images=(),
        ocr={"tokens": page.splitlines()},
        answer=document_type.read_content(content_of(document_type, answer)),
        reviewed=True,
        group="",
    )


def example_of(document_type: DocumentType, answer: dict[str, Any], **settings: Any) -> TrainingExample:
    """Return the training example of a record."""
    record = record_of(document_type, answer, settings.pop("page", STATEMENT_PAGE))
    built = BuildSettings(document_type=document_type, **settings)
    content = visible_content(record, document_type.rules.check(record.answer), built)
    return make_example(record, content, (), built)


def with_validation(document_type: DocumentType) -> DocumentType:
    """Return the type with a request for the validation task."""
    return replace(document_type, prompts=replace(document_type.prompts, validation=("Check this data.",)))


VALIDATION = TasksSection(analysis=0, validation=1)


def test_an_analysis_has_content_and_verdict(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    example = example_of(document_type, STATEMENT)
    answer = json_text.parse(example.answer_text)
    assert answer.pop("validation_summary") == {"is_valid": True, "math_verified": True, "issues": []}
    assert answer == content_of(document_type, STATEMENT)
    assert example.left_out == ()


def test_an_extraction_has_no_verdict(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    example = example_of(document_type, STATEMENT, tasks=TasksSection(analysis=0, extraction=1))
    assert json_text.parse(example.answer_text) == content_of(document_type, STATEMENT)


def test_both_tasks_teach_one_answer_without_a_verdict(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path, answer={})
    analysis, extraction = (
        example_of(document_type, STATEMENT, tasks=TasksSection(analysis=1 - share, extraction=share))
        for share in (0, 1)
    )
    assert analysis.answer_text == extraction.answer_text


def test_a_validation_answers_with_the_verdict_only(tmp_path: Path) -> None:
    document_type = with_validation(statement_type(tmp_path))
    example = example_of(document_type, STATEMENT, tasks=VALIDATION, fault_share=0)
    assert json_text.parse(example.answer_text) == {
        "validation_summary": {"is_valid": True, "math_verified": True, "issues": []}
    }
    assert "Erika Beispiel" in example.request


def test_a_validation_with_a_fault_is_invalid(tmp_path: Path) -> None:
    document_type = with_validation(statement_type(tmp_path))
    example = example_of(document_type, STATEMENT, tasks=VALIDATION, fault_share=1)
    assert example.faults
    assert json_text.parse(example.answer_text)["validation_summary"]["is_valid"] is False


def test_a_type_without_validation_request_is_analysed(tmp_path: Path) -> None:
    document_type = replace(statement_type(tmp_path), verdict=None)
    assert example_of(document_type, STATEMENT, tasks=VALIDATION).task == "analysis"


def test_a_required_value_that_the_page_lacks(tmp_path: Path) -> None:
    properties = {"number": with_role(IDENTIFIER, "number"), "total": with_role(AMOUNT, "total"), "note": TEXT}
    document_type = write_type(tmp_path / "slip", properties, required=["number", "total"])
    with pytest.raises(RejectedError) as caught:
        example_of(document_type, {"number": "A-10442", "total": 12.5}, page="Slip A-10442\nTotal")
    reason = "the page does not show values that the schema of slip requires: total"
    assert (caught.value.filter, caught.value.reason) == ("visible", reason)


def test_another_page_is_named_before_missing_values(tmp_path: Path) -> None:
    properties = {"number": with_role(IDENTIFIER, "number"), "total": with_role(AMOUNT, "total")}
    document_type = write_type(tmp_path / "slip", properties, required=["number", "total"])
    with pytest.raises(RejectedError) as caught:
        example_of(document_type, {"number": "A-10442", "total": 12.5}, page="Slip B-99")
    assert caught.value.filter == "page_mismatch"


def test_a_masked_value_does_not_break_its_rule(tmp_path: Path) -> None:
    def check(_: object, context: Any) -> Any:
        return ("pass", "") if context.content["account"]["iban"].startswith("DE89") else ("fail", "not an IBAN")

    document_type = statement_type(tmp_path)
    rule = Rule("IBAN", "error", "The IBAN is valid.", check, ("account.iban",))
    document_type = replace(document_type, rules=replace(document_type.rules, rules=(*document_type.rules.rules, rule)))
    masked = FiltersSection(personal="mask")
    record = record_of(document_type, {**STATEMENT, "opened": "2020-01-01"})
    settings = BuildSettings(document_type=document_type, filters=masked)
    content = visible_content(record, document_type.rules.check(record.answer), settings)
    assert content.data["account"]["iban"].startswith("DEXX")
    assert content.left_out == ("opened",)
    assert not failures(content.shown_findings or ())


def test_names_of_a_document_come_from_roles(tmp_path: Path) -> None:
    document_type = order_type(tmp_path)
    record = record_of(document_type, {"buyer": "Muster GmbH", "order_no": "BE-4711"})
    assert known_names(document_type, record) == [("number", "BE-4711 of muster gmbh")]


# Faults


def rng(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - test data, no secrets


def checked_type(folder: Path) -> DocumentType:
    """Return a type with a rule of each kind of field."""
    properties = {
        "issued": DATE,
        "due": DATE,
        "net": AMOUNT,
        "tax": {"type": "string", "x-kind": "amount"},
        "total": with_role(AMOUNT, "total"),
        "currency": with_role({"type": "string", "x-kind": "currency"}, "currency"),
        "code": {"enum": ["a", "b"]},
        "number": IDENTIFIER,
    }
    rules = [
        {"name": "SUM", "sentence": "Net and tax are the total.", "equation": "total = net + tax"},
        {"name": "DATES", "sentence": "It is due later.", "order": ["issued", "due"], "severity": "warn"},
    ]
    found = write_type(folder / "checked", properties, {"title": "slip", "answer": {"verdict": True}, "rules": rules})
    values = {"currency": "EUR", "code": "a", "number": "A5-10842"}
    more = [
        Rule(f"IS-{name}", "error", "It is right.", is_value(name, value), (name,)) for name, value in values.items()
    ]
    return replace(found, rules=replace(found.rules, rules=(*found.rules.rules, *more)))


def is_value(name: str, value: str) -> Any:
    """Return the check that a field has a value."""
    return lambda _, context: ("pass" if context.content.get(name) == value else "fail", name)


SLIP = {
    "issued": "2025-01-10",
    "due": "2025-02-10",
    "net": 100,
    "tax": "19.00",
    "total": 119,
    "currency": "EUR",
    "code": "a",
    "number": "A5-10842",
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> DocumentType:
    return checked_type(tmp_path_factory.mktemp("faults"))


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), count=st.sampled_from([1, 2]))
def test_every_fault_breaks_its_rule(checked: DocumentType, seed: int, count: int) -> None:
    answer = checked.read_content(SLIP)
    wrong, faults = inject_fault(checked, answer, rng(seed), count)
    found = checked.rules.check(wrong, as_given=True)
    failed = {finding.rule for finding in found if finding.status == "fail"}
    assert len(faults) == count
    assert set(faults) <= failed
    assert checked.rules.validity(found) is False


def test_faults_break_rules_of_every_kind(checked: DocumentType) -> None:
    answer = checked.read_content(SLIP)
    counts = Counter(name for seed in range(200) for name in inject_fault(checked, answer, rng(seed), 2)[1])
    assert counts.keys() >= {"SUM", "IS-currency", "IS-code", "IS-number"}


def test_a_warning_is_only_broken_with_an_error(checked: DocumentType) -> None:
    rules = replace(checked.rules, rules=checked.rules.rules[:2])
    document_type = replace(checked, rules=rules)
    answer = document_type.read_content(SLIP)
    found = {inject_fault(document_type, answer, rng(seed), 2)[1] for seed in range(20)}
    assert found == {("SUM", "DATES")}


def test_equal_states_give_equal_faults(checked: DocumentType) -> None:
    answer = checked.read_content(SLIP)
    assert inject_fault(checked, answer, rng(5), 2) == inject_fault(checked, answer, rng(5), 2)


@pytest.mark.parametrize("changes", [{"total": 120}, {"number": "A5"}], ids=["sum", "identifier"])
def test_an_invalid_answer_gets_no_fault(checked: DocumentType, changes: dict[str, Any]) -> None:
    answer = checked.read_content(SLIP | changes)
    assert inject_fault(checked, answer, rng(1), 1) == (answer, ())


def test_an_answer_without_operands_gets_no_fault(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    answer = document_type.read_content({"bank": "B"})
    assert inject_fault(document_type, answer, rng(1), 2) == (answer, ())


def test_no_other_number_of_faults(checked: DocumentType) -> None:
    with pytest.raises(ValueError, match="3 faults: expected 1 or 2"):
        inject_fault(checked, checked.read_content(SLIP), rng(1), 3)
