"""Scoring of declared document types, by the kinds of their fields."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_types import AMOUNT, CONTENT, VERDICT, chinese_invoice, in_an_envelope, plain_receipt
from type_examples import write_type

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.evaluation.figures import summarize
from erniekit_adapter.evaluation.scoring import score_answer
from erniekit_adapter.metrics import METRICS, AnswerScore, Counts, total

RIGHT, WRONG, INVENTED, MISSED = Counts(1, 0, 0), Counts(0, 1, 1), Counts(0, 1, 0), Counts(0, 0, 1)


@pytest.fixture(scope="module")
def fapiao(tmp_path_factory: pytest.TempPathFactory) -> DocumentType:
    return chinese_invoice(tmp_path_factory.mktemp("types"))


def score(document_type: DocumentType, expected: Mapping[str, Any], found: Mapping[str, Any] | str) -> AnswerScore:
    text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return score_answer(document_type, document_type.read(expected), text)


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the content with another value at a path; without it if the value is None."""
    content = copy.deepcopy(CONTENT)
    part: Any = content
    *parents, last = path.split(".")
    for key in parents:
        part = part[int(key) if key.isdigit() else key]
    part.pop(last) if value is None else part.update({last: value})
    return content


def test_scores_a_copy_of_an_answer_as_right(fapiao: DocumentType) -> None:
    found = score(fapiao, CONTENT | VERDICT, CONTENT | VERDICT)
    assert found.document_exact
    assert found.line_cell_counts == Counts(6, 0, 0)
    assert found.field_counts == Counts(14, 0, 0)
    assert (found.rows_expected, found.rows_exact) == (2, 2)
    assert (found.rule_compliant, found.arithmetic_verified, found.arithmetic_coverage) == (True, True, 1.0)
    assert (found.math_flag_right, found.said_valid, found.expected_valid) == (True, True, True)


def test_names_fields_by_their_paths_without_brackets(fapiao: DocumentType) -> None:
    found = score(fapiao, CONTENT, CONTENT)
    assert {"销售方.名称", "明细.价格.金额", "附件.页数", "备注"} < set(found.fields)
    assert list(found.fields) == sorted(found.fields)


@pytest.mark.parametrize(
    ("path", "value", "name", "counts"),
    [
        ("合计", 3.50, "合计", RIGHT),
        ("合计", "3.5", "合计", RIGHT),
        ("合计", 3.51, "合计", WRONG),
        ("大写", "4", "大写", RIGHT),
        ("大写", "4.01", "大写", WRONG),
        ("明细.0.税率", 13.0, "明细.税率", Counts(2, 0, 0)),
        ("明细.0.税率", 0.13, "明细.税率", Counts(1, 1, 1)),
        ("明细.1.价格.金额", 2.50, "明细.价格.金额", Counts(2, 0, 0)),
        ("附件.0.页数", 4, "附件.页数", WRONG),
        ("开票日期", "2024-02-01", "开票日期", WRONG),
        ("号码", "００12 ", "号码", RIGHT),
        ("号码", "12", "号码", WRONG),
        ("销售方.名称", " 甲公司\n", "销售方.名称", RIGHT),
        ("销售方.名称", "", "销售方.名称", MISSED),
        ("种类", None, "种类", MISSED),
        ("已付", True, "已付", WRONG),
        ("已付", None, "已付", MISSED),
        ("备注", ["款", "急", "急"], "备注", Counts(3, 0, 0)),
        ("备注", ["急", "款"], "备注", Counts(2, 0, 1)),
        ("备注", ["急", "款", "急", "急"], "备注", Counts(3, 1, 0)),
        ("备注", None, "备注", Counts(0, 0, 3)),
    ],
)
def test_compares_values_by_kind(fapiao: DocumentType, path: str, value: Any, name: str, counts: Counts) -> None:
    found = score(fapiao, CONTENT, changed(path, value))
    assert found.fields[name] == counts
    assert found.document_exact == (counts.false_positives == counts.false_negatives == 0)


def test_counts_a_value_that_is_not_expected(fapiao: DocumentType) -> None:
    assert score(fapiao, {"合计": 1}, {"合计": 1, "种类": "专用"}).fields == {"合计": RIGHT, "种类": INVENTED}


def test_does_not_score_fields_that_no_page_shows(fapiao: DocumentType) -> None:
    found = score(fapiao, {"合计": 1}, {"合计": 1, "来源": "scan"})
    assert found.fields == {"合计": RIGHT}
    assert found.document_exact


def test_scores_the_content_in_an_envelope(tmp_path: Path) -> None:
    document_type = in_an_envelope(tmp_path)
    row = {"name": "a", "amount": 1}
    content = {"sums": {"taxes": [row], "verdict": "b"}, "positions": [row, {"name": "c"}]}
    found = score(document_type, {"data": content}, {"data": content})
    assert found.line_items == "positions"
    assert found.field_counts == Counts(3, 0, 0)
    assert found.line_cell_counts == Counts(3, 0, 0)
    assert found.rows_expected == 2


def test_metrics_that_a_type_does_not_have_are_none(tmp_path: Path) -> None:
    receipt = plain_receipt(tmp_path)
    found = score(receipt, {"shop": "A", "total": 1}, {"shop": "A", "total": 1})
    unreadable = score(receipt, {"shop": "A", "total": 1}, "no")
    for each in (found, unreadable):
        facts = (each.rule_compliant, each.arithmetic_verified, each.arithmetic_coverage, each.math_flag_right)
        assert facts == (None, None, None, None)
        assert each.expected_rule_compliant is each.expected_arithmetic_verified is None
    figures = summarize(receipt, [found, unreadable], resamples=5).as_json()
    missing = {name for name in METRICS if figures[name] is None or figures[name] == dict.fromkeys(figures[name])}
    assert missing == {
        "line_item_f1", "row_exact", "rule_compliant", "arithmetic_verified", "arithmetic_coverage", "math_flag_right",
        "expected_rule_compliant", "expected_arithmetic_verified",
    }  # fmt: skip
    assert figures["verdicts"] is None
    assert figures["field_f1"]["value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("rules", "has_verdict", "facts"),
    [
        ([], True, (None, None, None, None)),
        (["warn"], True, (None, None, None, None)),
        (["error"], False, (False, False, 1.0, None)),
        (["error"], True, (False, False, 1.0, True)),
    ],
)
def test_facts_follow_from_rules_and_verdict(
    tmp_path: Path, rules: list[str], has_verdict: bool, facts: tuple[Any, ...]
) -> None:
    equation = {"name": "sum", "sentence": "a is b.", "equation": "a = b"}
    definition = {
        "title": "t",
        "answer": {"verdict": has_verdict},
        "rules": [equation | {"severity": r} for r in rules],
    }
    document_type = write_type(tmp_path / "t", {"a": AMOUNT, "b": AMOUNT}, definition)
    verdict = {"validation_summary": {"is_valid": False, "math_verified": False}} if has_verdict else {}
    found = score(document_type, {"a": 1, "b": 2}, {"a": 1, "b": 2} | verdict)
    coverage = (found.arithmetic_coverage,)
    assert (found.rule_compliant, found.arithmetic_verified, *coverage, found.math_flag_right) == facts


def test_field_named_verdict_is_scored_beside_the_verdict(tmp_path: Path) -> None:
    definition = {"title": "report", "answer": {"verdict": True, "content_key": "data"}}
    document_type = write_type(tmp_path / "report", {"verdict": {"type": "string"}}, definition)
    summary = {"validation_summary": {"is_valid": False, "math_verified": None}}
    found = score(document_type, {"data": {"verdict": "good"}} | summary, {"data": {"verdict": "bad"}} | summary)
    assert found.fields == {"verdict": WRONG}
    assert (found.said_valid, found.expected_valid) == (False, False)


def test_figures_by_kind_add_up_to_all_values(fapiao: DocumentType) -> None:
    found = score(fapiao, CONTENT, changed("合计", 9))
    kinds = summarize(fapiao, [found], resamples=2).as_json()["kinds"]
    assert list(kinds) == ["text", "address", "identifier", "code", "amount", "quantity", "rate", "date", "flag"]
    assert sum(each["support"] for each in kinds.values()) == sum(each.support for each in found.fields.values())
    assert kinds["amount"] == {"precision": 5 / 6, "recall": 5 / 6, "f1": 10 / 12, "support": 6}
    assert kinds["date"]["f1"] == 1


# An answer without a value; an empty object is not an answer.
BLANK = {"号码": ""}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "号码": st.text("01 ", max_size=3),
    "开票日期": st.sampled_from(["2024-01-31", "2024-02-01"]),
    "种类": st.sampled_from(["普通", "专用"]),
    "已付": st.booleans(),
    "合计": st.integers(-2, 2),
    "大写": st.sampled_from(["1", "1.0", "2"]),
    "备注": st.lists(st.sampled_from(["急", "款", ""]), max_size=4),
    "明细": st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "名称": st.sampled_from(["笔", "纸"]),
                "价格": st.fixed_dictionaries({}, optional={"金额": st.integers(0, 2)}),
                "税率": st.sampled_from([6, 13]),
            },
        ),
        max_size=4,
    ),
    "附件": st.lists(st.fixed_dictionaries({}, optional={"页数": st.integers(0, 2)}), max_size=3),
}
CONTENTS = st.fixed_dictionaries({}, optional=VALUES)
LAW = settings(max_examples=80, deadline=None)


@given(expected=CONTENTS, found=CONTENTS, random=st.randoms(use_true_random=False))
@LAW
def test_order_of_rows_and_values_changes_nothing(
    fapiao: DocumentType, expected: dict[str, Any], found: dict[str, Any], random: Any
) -> None:
    shuffled = {
        name: random.sample(value, len(value)) if isinstance(value, list) else value for name, value in found.items()
    }
    assert score(fapiao, expected, found) == score(fapiao, expected, shuffled)


@given(content=CONTENTS)
@LAW
def test_a_copy_scores_1_everywhere(fapiao: DocumentType, content: dict[str, Any]) -> None:
    found = score(fapiao, content, content or BLANK)
    assert found.document_exact
    assert found.rows_exact == found.rows_expected
    figures = summarize(fapiao, [found], resamples=2)
    assert all(each.f1 == 1 for each in (*figures.fields.values(), *figures.kinds.values()))


@given(expected=CONTENTS, found=CONTENTS, name=st.sampled_from(sorted(VALUES)), place=st.integers(0, 3))
@LAW
def test_a_right_value_more_never_lowers_a_figure(
    fapiao: DocumentType, expected: dict[str, Any], found: dict[str, Any], name: str, place: int
) -> None:
    if name not in expected:
        return
    if not isinstance(value := expected[name], list):
        more = {**found, name: value}
    elif place < len(value) and name not in found:
        more = {**found, name: [value[place]]}
    else:
        return
    scores = (score(fapiao, expected, answer or BLANK) for answer in (found, more))
    before, after = (total(each.fields.values()) for each in scores)
    assert after.true_positives >= before.true_positives
    assert after.false_negatives <= before.false_negatives
    assert after.false_positives <= before.false_positives


@given(text=st.text(max_size=60) | st.text('{}[]":,.号码合计明细0123456789 ', max_size=60))
@LAW
def test_no_text_makes_scoring_of_a_type_fail(fapiao: DocumentType, text: str) -> None:
    found = score(fapiao, CONTENT, text)
    assert found.schema_valid or found.field_counts.true_positives == 0
