"""Requests about documents of declared types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from declared_examples import AMOUNT, DATE, PROPERTIES, TEXT, problems, rows
from project_file_examples import LEAST, written
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.loading import load_project

RULES: list[dict[str, Any]] = [
    {"name": "TOTAL", "sentence": "The items add up.", "equation": "total = sum(items[].total)", "decisive": True},
    {"name": "DATES", "sentence": "It is due later.", "order": ["day", "due"], "severity": "warn"},
]
VERDICT = {"verdict": True}


def receipt(folder: Path, **definition: Any) -> DocumentType:
    return write_type(folder / "type", PROPERTIES, {"title": "receipt", **definition})


def requests(found: DocumentType, template: int = 0) -> dict[str, str]:
    prompts = found.prompts
    made = {
        "analysis": prompts.analysis_request({"a": "b"}, with_image=True, template=template),
        "analysis of an image": prompts.analysis_request(None, with_image=True, template=template),
        "extraction": prompts.extraction_request({"a": "b"}, with_image=False, template=template),
    }
    if found.verdict is not None:
        made["validation"] = prompts.validation_request({"total": 1}, template=template)
    return made


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_task_has_four_different_templates(tmp_path: Path, language: str) -> None:
    found = receipt(tmp_path, language=language, answer=VERDICT, rules=RULES)
    assert found.prompts.templates == 4
    for name in requests(found):
        assert len({requests(found, template)[name] for template in range(4)}) == 4, name


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("template", range(4))
def test_request_has_no_open_placeholder_or_double_blank(tmp_path: Path, language: str, template: int) -> None:
    found = receipt(tmp_path, language=language, answer=VERDICT, rules=RULES)
    for name, text in requests(found, template).items():
        assert not re.search(r"\{[a-z]+\}|\0|  | \n| \.", text), (name, text)


@pytest.mark.parametrize("template", range(4))
def test_chinese_requests_are_completely_chinese(tmp_path: Path, template: int) -> None:
    properties = {"合计": AMOUNT, "日期": DATE, "明细": rows(名称=TEXT, 金额=AMOUNT)}
    keys = {"key": "校验", "is_valid": "有效", "math_verified": "合计正确", "issues": "问题"}
    rules = [{"name": "合计", "sentence": "明细之和等于合计。", "equation": "合计 = sum(明细[].金额)"}]
    definition = {"title": "收据", "language": "zh", "answer": {"verdict": keys}, "rules": rules}
    found = write_type(tmp_path / "收据", properties, definition)
    for name, text in requests(found, template).items():
        words = set(re.findall(r"[A-Za-z]+", text.replace('{"a":"b"}', "").replace('{"total":1}', "")))
        assert words <= {"OCR", "JSON", "YYYY", "MM", "DD", "true", "false", "null"}, (name, words)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_constant_part_ends_with_the_mark_of_the_data(tmp_path: Path, language: str) -> None:
    found = receipt(tmp_path, language=language, answer=VERDICT, rules=RULES)
    for name in ("analysis", "extraction", "validation"):
        text = requests(found)[name]
        assert text.removeprefix(found.prompts.constant_part(text)) in ('{"a":"b"}', '{"total":1}')


def test_validation_needs_a_verdict(tmp_path: Path) -> None:
    found = receipt(tmp_path, rules=RULES)
    assert found.prompts.validation == ()
    assert "TOTAL" not in requests(found)["analysis"]


def test_extraction_asks_for_no_checks(tmp_path: Path) -> None:
    made = requests(receipt(tmp_path, answer=VERDICT, rules=RULES))
    assert "TOTAL: The items add up." in made["analysis"]
    assert "TOTAL" not in made["extraction"]
    assert "validation_summary" not in made["extraction"]


def test_validation_defines_the_verdict(tmp_path: Path) -> None:
    text = requests(receipt(tmp_path, answer=VERDICT, rules=RULES))["validation"]
    assert "Warnings, which come last: DATES." in text
    assert "is_valid: false with an issue that is not a warning, null if TOTAL is not checked, else true." in text
    assert "math_verified: false with an issue of TOTAL, null if TOTAL is not checked, else true." in text


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"a": TEXT}, None),
        ({"a": AMOUNT, "b": DATE}, "Write amounts as numbers, dates as YYYY-MM-DD."),
        ({"a": {"type": "number", "x-kind": "rate"}}, "Write rates as fractions."),
        ({"a": {"type": "number", "x-kind": "rate", "x-percent": True}}, "Write rates as percentages (19 for 19 %)."),
        ({"a": TEXT | {"x-kind": "amount"}}, 'Write numbers as text such as "1234.50".'),
        ({"a": TEXT | {"x-kind": "amount"}, "b": AMOUNT}, 'Write amounts as numbers, a as text such as "1234.50".'),
        ({"a": AMOUNT | {"x-printed": False}, "b": TEXT}, None),
        ({"a": {"enum": ["x", "y"]}}, "a is one of: x, y."),
        ({"a": {"enum": [f"value {number}" for number in range(100)]}}, None),
    ],
)
def test_notation_follows_from_the_kinds(tmp_path: Path, properties: dict[str, Any], expected: str | None) -> None:
    text = requests(write_type(tmp_path / "type", properties))["analysis"]
    assert expected in text if expected else "Write" not in text and "is one of" not in text


def test_regions_and_own_sentence_for_checks(tmp_path: Path) -> None:
    prompts = {"regions": ["shop", "items"], "checks": "Do the items add up?"}
    text = requests(receipt(tmp_path, answer=VERDICT, rules=RULES, prompts=prompts))["analysis"]
    assert "Find these parts: shop; items. Do the items add up?" in text
    assert "TOTAL" not in text


def test_own_templates_replace_those_of_the_language(tmp_path: Path) -> None:
    own = {
        "analysis": ["Receipt {not a placeholder}: {given} {structure}"],
        "validation": ["Judge. {rules} {structure}"],
    }
    found = receipt(tmp_path, answer=VERDICT, rules=RULES, prompts=own)
    made = requests(found)
    assert found.prompts.templates == 1
    assert made["analysis"].startswith("Receipt {not a placeholder}: Correct the OCR data by the image")
    assert "TOTAL: The items add up. DATES: It is due later. A rule whose values" in made["validation"]


@pytest.mark.parametrize(
    ("prompts", "finding"),
    [
        ({"analysis": ["{given}"]}, "has no {structure}"),
        ({"analysis": ["{structure}"]}, "has no {given}"),
        ({"extraction": ["{given} {structure} {rules}"]}, "unknown placeholder {rules}"),
        ({"analysis": ["{given} {structure} {text}"]}, "unknown placeholder {text}"),
        ({"validation": ["{structure}"]}, "has no {rules}"),
        ({"analysis": ["x"] * 5}, "at most 4 items"),
        ({"analysis": ["{given} {structure} Preliminary OCR Data: x"]}, "which begins the data"),
        ({"analysis": ["{given} {structure} </s>"]}, "control token"),
        ({"regions": ["a\nb"]}, "on one line"),
    ],
)
def test_refuses_a_wrong_template(tmp_path: Path, prompts: dict[str, Any], finding: str) -> None:
    definition = {"title": "receipt", "answer": VERDICT, "rules": RULES, "prompts": prompts}
    assert finding in problems(tmp_path, PROPERTIES, definition)


def test_refuses_templates_for_a_missing_verdict(tmp_path: Path) -> None:
    prompts = {"validation": ["{rules} {structure}"]}
    assert "no verdict to ask for" in problems(tmp_path, PROPERTIES, {"title": "receipt", "prompts": prompts})


def test_project_cannot_use_more_templates_than_its_type(tmp_path: Path) -> None:
    receipt(tmp_path, prompts={"analysis": ["{given} {structure}"]})
    project = written(tmp_path, f"{LEAST}document_type: {tmp_path}/type\ndata:\n  prompt_templates: 4\n")
    with pytest.raises(UsageError, match=r"project\.yaml:5 data\.prompt_templates: 4, but type has 1"):
        load_project(project)


def test_data_to_validate_has_no_verdict(tmp_path: Path) -> None:
    found = receipt(tmp_path, answer=VERDICT, rules=RULES)
    with pytest.raises(ValueError, match="must not have a verdict"):
        found.prompts.validation_request({"total": 1, "validation_summary": {}})


def test_a_template_reads_no_attributes(tmp_path: Path) -> None:
    text = "Read. {given} {structure} {structure.__class__} {given:>999999999}"
    found = receipt(tmp_path, prompts={"analysis": [text], "extraction": [text]})
    assert "{structure.__class__} {given:>999999999}" in requests(found)["analysis"]
