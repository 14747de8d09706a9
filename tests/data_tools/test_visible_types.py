"""Values of declared document types on pages of banks, shops and tax offices."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from declared_source_examples import (
    ENGLISH,
    ENGLISH_ROWS,
    FAPIAO,
    FAPIAO_ROWS,
    ORDER,
    ORDER_PAGE,
    PAYSLIP,
    PAYSLIP_PAGE,
    RECEIPT,
    RECEIPT_PAGE,
    STATEMENT,
    STATEMENT_PAGE,
    as_text,
    boxes,
    content_of,
    fapiao_type,
    order_type,
    payslip_type,
    receipt_type,
    statement_type,
)
from type_examples import write_type

from data_tools.visibility import drop_unseen, page_mismatch, page_text
from erniekit_adapter.documents.document_type import DocumentType


class Case(NamedTuple):
    make: Callable[[Path], DocumentType]
    answer: dict[str, Any]
    page: Any
    table: str


CASES = {
    "german statement": Case(statement_type, STATEMENT, STATEMENT_PAGE, "movements"),
    "english statement, boxes": Case(statement_type, ENGLISH, boxes(*ENGLISH_ROWS), "movements"),
    "english statement, lines": Case(statement_type, ENGLISH, as_text(*ENGLISH_ROWS), "movements"),
    "purchase order": Case(order_type, ORDER, ORDER_PAGE, "positions"),
    "fapiao, boxes": Case(fapiao_type, FAPIAO, boxes(*FAPIAO_ROWS), "项目"),
    "fapiao, lines": Case(fapiao_type, FAPIAO, as_text(*FAPIAO_ROWS), "项目"),
    "receipt": Case(receipt_type, RECEIPT, RECEIPT_PAGE, "taxes"),
    "payslip": Case(payslip_type, PAYSLIP, PAYSLIP_PAGE, "earnings"),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def shown(document_type: DocumentType, answer: dict[str, Any], page: Any) -> dict[str, Any]:
    """Return the part of a content that a page shows."""
    content = copy.deepcopy(answer)
    drop_unseen(document_type, content, page_text(page))
    return content


@every_case
def test_a_page_shows_all_values_of_its_answer(case: Case, tmp_path: Path) -> None:
    document_type = case.make(tmp_path)
    truth = content_of(document_type, case.answer)
    content = copy.deepcopy(truth)
    assert drop_unseen(document_type, content, page_text(case.page)) == ()
    assert content == truth


@every_case
def test_values_of_two_rows_are_not_exchanged(case: Case, tmp_path: Path) -> None:
    document_type = case.make(tmp_path)
    truth = content_of(document_type, case.answer)
    true_rows = truth[case.table]
    for first, second in combinations(range(len(true_rows)), 2):
        for name in true_rows[first].keys() & true_rows[second].keys():
            content = copy.deepcopy(truth)
            changed = content[case.table]
            changed[first][name], changed[second][name] = changed[second][name], changed[first][name]
            found = shown(document_type, content, case.page).get(case.table, [])
            assert all(any(row.items() <= true.items() for true in true_rows) for row in found), (first, second, name)


@pytest.mark.parametrize("case", [CASES[name] for name in CASES if name.startswith("english")], ids=["boxes", "lines"])
def test_amounts_of_two_columns_are_not_exchanged(case: Case, tmp_path: Path) -> None:
    document_type = case.make(tmp_path)
    truth = content_of(document_type, case.answer)
    for number in range(len(truth["movements"])):
        content = copy.deepcopy(truth)
        row = content["movements"][number]
        row["amount"], row["balance"] = row["balance"], row["amount"]
        found = shown(document_type, content, case.page)["movements"]
        assert len(found[number]) == 2


@every_case
def test_a_page_belongs_to_its_own_answer_only(case: Case, tmp_path: Path) -> None:
    document_type = case.make(tmp_path)
    truth = content_of(document_type, case.answer)
    for other in CASES.values():
        if other.make is not case.make or other.answer is case.answer:
            kept = shown(document_type, truth, other.page)
            reason = page_mismatch(document_type, truth, kept, page_text(other.page), 0.5)
            assert (reason is None) == (other.answer is case.answer)


def test_flags_and_fields_that_are_not_printed_stay(tmp_path: Path) -> None:
    part = {"type": "string", "x-kind": "text", "x-printed": False}
    document_type = write_type(tmp_path / "note", {"flag": {"type": "boolean"}, "scan": part})
    assert shown(document_type, {"flag": True, "scan": "A7"}, "nothing") == {"flag": True, "scan": "A7"}


KINDS = {
    "date": ("string", "date"),
    "amount": ("number", "amount"),
    "percent": ("number", "rate"),
    "currency": ("string", "currency"),
    "text": ("string", "text"),
    "identifier": ("string", "identifier"),
}


@pytest.mark.parametrize(
    ("name", "value", "page", "is_shown"),
    [
        ("date", "2025-01-15", "开票日期：２０２５年０１月１５日", True),
        ("date", "2025-01-15", "二〇二五年一月十五日", True),
        ("date", "2025-11-30", "二零二五年十一月三十日", True),
        ("date", "2025-01-15", "令和7年1月15日", True),
        ("date", "2025-01-15", "民國114年1月15日", True),
        ("date", "2025-01-16", "二〇二五年一月十五日", False),
        ("amount", 1130, "（小写）￥１，１３０．００", True),
        ("amount", 1130, "¥1130.50", False),
        ("percent", 13, "税率 13%", True),
        ("percent", 13, "税率 3%", False),
        ("currency", "CNY", "合计 ￥100.00", True),
        ("currency", "CNY", "Total £100.00", False),
        ("text", "壹仟壹佰叁拾元整", "价税合计（大写） ⊗壹仟壹佰叁拾圆整 （小写）", True),
        ("text", "人民币壹仟壹佰叁拾元整", "大写：壹仟壹佰叁拾元正", True),
        ("text", "壹仟壹佰叁拾元整", "贰万壹仟壹佰叁拾圆整", False),
        ("text", "壹佰叁拾元整", "壹仟壹佰叁拾圆整", False),
        ("identifier", "91330106MA2CFLDG4R", "识别号：９１３３０１０６ＭＡ２ＣＦＬＤＧ４Ｒ", True),
    ],
)
def test_values_of_chinese_and_japanese_pages(name: str, value: Any, page: str, is_shown: bool, tmp_path: Path) -> None:
    json_type, kind = KINDS[name]
    part = {"type": json_type, "x-kind": kind, **({"x-percent": True} if name == "percent" else {})}
    document_type = write_type(tmp_path / "page", {"value": part})
    found = shown(document_type, content_of(document_type, {"value": value}), page)
    assert ("value" in found) is is_shown


@pytest.mark.parametrize(
    ("value", "choices", "page", "is_shown"),
    [
        ("cash", ["cash", "card"], "BAR 20,00", True),
        ("card", ["cash", "card"], "EC-Karte 20,00", True),
        ("cash", ["cash", "card"], "EC-Karte 20,00", False),
        ("credit card", ["credit card", "debit card"], "Karte 20,00", False),
        ("credit card", ["credit card", "debit card"], "Credit Card 20.00", True),
        ("credit_note", ["invoice", "credit_note"], "Gutschrift Nr. 5", True),
        ("card", ["cash", "card"], "Discard the copy", False),
        ("S", ["S", "H"], "12,99 S", True),
        ("S", ["S", "H"], "U.S. Bank", False),
        ("现金", ["现金", "转账"], "收款方式：现金", True),
    ],
)
def test_codes(value: str, choices: list[str], page: str, is_shown: bool, tmp_path: Path) -> None:
    document_type = write_type(tmp_path / "code", {"value": {"enum": choices}})
    assert ("value" in shown(document_type, {"value": value}, page)) is is_shown


def test_values_of_a_list_are_searched_one_by_one(tmp_path: Path) -> None:
    texts = {"type": "array", "items": {"type": "string", "x-kind": "text"}}
    document_type = write_type(tmp_path / "list", {"notes": texts})
    content = {"notes": ["Payable in 30 days", "Thank you very much"]}
    assert drop_unseen(document_type, content, page_text("thank you very much")) == ("notes[]",)
    assert content == {"notes": ["Thank you very much"]}


def test_rows_in_another_order_than_the_page_are_found(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    truth = content_of(document_type, ENGLISH)
    truth["movements"].reverse()
    assert shown(document_type, truth, boxes(*ENGLISH_ROWS)) == truth


def test_a_row_that_the_page_lacks_is_removed(tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    truth = content_of(document_type, ENGLISH)
    lines = as_text(*[line for line in ENGLISH_ROWS if line[0][1] != "01/08/2024"])
    assert shown(document_type, truth, lines)["movements"] == truth["movements"][:3]


@pytest.mark.parametrize(
    ("label", "is_other"),
    [("Closing Balance", True), ("New balance", True), ("Total deposits", False), ("Balance brought forward", False)],
)
def test_another_closing_balance(label: str, is_other: bool, tmp_path: Path) -> None:
    document_type = statement_type(tmp_path)
    truth = content_of(document_type, ENGLISH)
    lines = [*ENGLISH_ROWS[:6], [(0, label), (200, "$8,111.20")]]
    kept = shown(document_type, truth, as_text(*lines))
    reason = page_mismatch(document_type, truth, kept, page_text(as_text(*lines)), 0)
    assert ("another total" in (reason or "")) is is_other


def test_a_chinese_total_is_recognised(tmp_path: Path) -> None:
    document_type = fapiao_type(tmp_path)
    truth = content_of(document_type, FAPIAO)
    lines = as_text(*FAPIAO_ROWS[:-1], [(0, "价税合计"), (200, "¥ 999.90")])
    reason = page_mismatch(document_type, truth, shown(document_type, truth, lines), page_text(lines), 0)
    assert reason == "the page prints another total: 价税合计 999.90; the ground truth has 137.9"


def test_identifiers_identify_a_type_without_roles(tmp_path: Path) -> None:
    number = {"type": "string", "x-kind": "identifier"}
    document_type = write_type(tmp_path / "plain", {"order": number, "customer": number})
    truth = {"order": "A-88123", "customer": "C-99871"}
    reason = page_mismatch(document_type, truth, {}, page_text("B-11111"), 0.5)
    assert "does not show order A-88123, customer C-99871" in str(reason)
