"""Values of rows beside taxes, units and the head of their table, and numbers that belong to one column only."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from type_examples import write_type

from data_tools.visibility import drop_unseen, page_text
from erniekit_adapter.documents.document_type import DocumentType

TEXT = {"type": "string", "x-kind": "text"}
AMOUNT = {"type": "number", "x-kind": "amount"}
RATE = {"type": "number", "x-kind": "rate"}
QUANTITY = {"type": "number", "x-kind": "quantity", "x-role": "quantity"}
ITEM = {
    "name": {**TEXT, "x-role": "description"},
    "quantity": QUANTITY,
    "unit": TEXT,
    "price": {**AMOUNT, "x-role": "unit_price"},
    "total": {**AMOUNT, "x-role": "line_total"},
    "tax": AMOUNT,
}
FAPIAO_HEAD = "项目名称 规格型号 单位 数量 单价 金额 税率 税额"
ORDER_HEAD = "Article Description Quantity Unit Price Amount"


def table(columns: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": columns, "additionalProperties": False}}


@pytest.fixture(scope="module")
def items_type(tmp_path_factory: pytest.TempPathFactory) -> DocumentType:
    return write_type(tmp_path_factory.mktemp("types") / "items", {"items": table(ITEM), "total": AMOUNT})


@pytest.fixture(scope="module")
def taxes_type(tmp_path_factory: pytest.TempPathFactory) -> DocumentType:
    return write_type(
        tmp_path_factory.mktemp("types") / "taxes",
        {"taxes": table({"name": TEXT, "rate": RATE, "net": AMOUNT, "amount": AMOUNT, "gross": AMOUNT})},
    )


def exact(document_type: DocumentType, content: dict[str, Any]) -> dict[str, Any]:
    return document_type.content_of(document_type.read_content(copy.deepcopy(content)))


def shown(document_type: DocumentType, content: dict[str, Any], lines: list[str]) -> dict[str, Any]:
    answer = exact(document_type, content)
    drop_unseen(document_type, answer, page_text({"lines": lines}))
    return answer


def item(name: str, quantity: str, price: str, total: str, **more: Any) -> dict[str, Any]:
    numbers = {"quantity": quantity, "price": price, "total": total, **more}
    return {"name": name, **{key: number if key == "unit" else float(number) for key, number in numbers.items()}}


# The rows of an answer and the lines of its page.
PAGES = {
    "a quantity that looks like thousands": (
        [item("展示支架", "40", "125.5", "5020", tax="652.6"), item("挂钩", "25", "18.4", "460", tax="59.8")],
        [FAPIAO_HEAD, "展示支架 ZJ-180 个 40 125.50 5020.00 13% 652.60", "挂钩 GG-5 盒 25 18.40 460.00 13% 59.80"],
    ),
    "a price that equals the total": (
        [item("安装指导", "1", "800", "800", tax="48")],
        [FAPIAO_HEAD, "安装指导 次 1 800.00 800.00 6% 48.00"],
    ),
    "units that are parts of words": (
        [item("Steel bar 30 mm", "62.5", "8.4", "525", unit="m"), item("Plate 2 mm", "8", "21.35", "170.8", unit="m2")],
        [ORDER_HEAD, "A-1 Steel bar 30 mm 62,5 m 8,40 525,00", "A-2 Plate 2 mm 8 m2 21,35 170,80"],
    ),
    "a unit in the description": (
        [item("Bolt", "500", "0.124", "62", unit="EA"), item("Thread locker 50 ml", "4", "11.75", "47", unit="EA")],
        [ORDER_HEAD, "10 Bolt 500 EA 0.1240 62.00", "30 Thread locker 50 ml 4 EA 11.7500 47.00"],
    ),
    "numbers below each name": (
        [item("BUNS", "5", "0.45", "2.25"), item("GOUDA", "0.372", "11.9", "4.43", unit="kg")],
        ["MILK 1,19 A", "BUNS", "5 x 0,45 2,25 A", "GOUDA", "0,372 kg x 11,90 EUR/kg 4,43 A", "SUMME 6,68"],
    ),
    "a name in full width": (
        [item("Ａ４用紙", "2", "500", "1000"), item("ペン", "3", "100", "300")],
        ["Ａ４用紙 2 500 1,000", "ペン 3 100 300"],
    ),
}
every_page = pytest.mark.parametrize(("rows", "lines"), PAGES.values(), ids=PAGES)


@every_page
def test_a_row_keeps_its_values(rows: list[Any], lines: list[str], items_type: DocumentType) -> None:
    # The first receipt line is a row too; without it the numbers could be above the names.
    first = [{"name": "MILK", "total": 1.19}] if lines[0].startswith("MILK") else []
    answer = {"items": [*first, *rows]}
    assert shown(items_type, answer, lines) == exact(items_type, answer)


@every_page
def test_a_number_is_not_the_value_of_two_columns(rows: list[Any], lines: list[str], items_type: DocumentType) -> None:
    true = exact(items_type, {"items": rows})["items"]
    for number, row in enumerate(rows):
        for name, other in (("price", "total"), ("total", "price"), ("quantity", "price")):
            if row[name] == row[other]:
                continue
            wrong = copy.deepcopy(rows)
            wrong[number][name] = row[other]
            found = shown(items_type, {"items": wrong}, lines).get("items", [])
            assert all(any(one.items() <= other.items() for other in true) for one in found), (number, name, other)


def test_a_total_is_not_taken_for_the_tax(items_type: DocumentType) -> None:
    rows, lines = PAGES["a quantity that looks like thousands"]
    wrong = copy.deepcopy(rows)
    wrong[0]["total"], wrong[0]["tax"] = wrong[0]["tax"], wrong[0]["total"]
    assert not {"total", "tax"} & shown(items_type, {"items": wrong}, lines)["items"][0].keys()


def test_the_head_names_the_tax_of_all_rows(taxes_type: DocumentType) -> None:
    rows = [
        {"name": "MwSt", "rate": 0.07, "net": 7.36, "amount": 0.51, "gross": 7.87},
        {"name": "MwSt", "rate": 0.19, "net": 1.85, "amount": 0.35, "gross": 2.20},
    ]
    lines = ["MwSt Netto MwSt Brutto", "A 7% 7,36 0,51 7,87", "B 19% 1,85 0,35 2,20"]
    assert [row["name"] for row in shown(taxes_type, {"taxes": rows}, lines)["taxes"]] == ["MwSt", "MwSt"]
    assert not any("name" in row for row in shown(taxes_type, {"taxes": rows}, lines[1:])["taxes"])
    rows[1]["name"] = "Netto"
    assert not any("name" in row for row in shown(taxes_type, {"taxes": rows}, lines)["taxes"])


CODES = ["cash", "card", "wallet", "电子发票（普通发票）"]


@pytest.mark.parametrize(
    ("value", "page", "is_shown"),
    [
        ("电子发票（普通发票）", "电子发票（普通发票） 发票号码", True),
        ("电子发票（普通发票）", "电子发票（增值税专用发票）", False),
        ("cash", "TUNAI 120.000", True),
        ("cash", "BAR EUR 20,00", True),
        ("cash", "Bezahlt in bar", True),
        ("cash", "BAR AL PONTE", False),
        ("wallet", "微信支付 50.00", True),
        ("wallet", "现金 50.00", False),
    ],
)
def test_codes_in_other_words(value: str, page: str, is_shown: bool, tmp_path: Path) -> None:
    document_type = write_type(tmp_path / "code", {"value": {"enum": CODES}})
    assert ("value" in shown(document_type, {"value": value}, [page])) is is_shown


def test_one_wallet_is_not_another(tmp_path: Path) -> None:
    document_type = write_type(tmp_path / "code", {"value": {"enum": ["alipay", "cash"]}})
    assert shown(document_type, {"value": "alipay"}, ["微信支付 50.00"]) == {}


@pytest.mark.parametrize("value", ["壹佰叁拾元整", "￥壹佰叁拾元整"])
def test_capital_letters_after_a_full_width_sign(value: str, tmp_path: Path) -> None:
    document_type = write_type(tmp_path / "capitals", {"value": TEXT})
    assert shown(document_type, {"value": value}, ["（大写）壹佰叁拾圆整"]) == {"value": value}
