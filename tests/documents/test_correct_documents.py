"""Correct documents of the kinds that shops, companies and banks make: no rule of a shipped type fails on them."""

from __future__ import annotations

from typing import Any

import pytest

from erniekit_adapter.documents.loading import load_document_type


def rows(*values: tuple[Any, ...], keys: str = "name total") -> list[dict[str, Any]]:
    names = keys.split()
    return [{name: cell for name, cell in zip(names, row, strict=False) if cell is not None} for row in values]


SHOP = rows(("Brot", 2.49), ("Milch", 1.19), ("Pfand", 0.25), ("Leergut", -0.50))
BALANCES = "booking_date amount balance"
LINES = "项目名称 数量 单价 金额 税率 税额"
SELLER = {"名称": "甲公司", "纳税人识别号": "91310115MA220CHX9E"}
RECEIPTS: dict[str, dict[str, Any]] = {
    "German till, tax in the prices, deposit returned": {
        "items": SHOP,
        "total": 3.43,
        "cash": 5,
        "change": 1.57,
        "taxes": [{"rate": 0.07, "net": 3.21, "amount": 0.22, "gross": 3.43}],
        "currency": "EUR",
    },
    "net subtotal of prices with tax": {"items": rows(("a", 12)), "subtotal": 10, "tax": 2, "total": 12},
    "net subtotal with a table of taxes": {
        "items": rows(("a", 12)),
        "subtotal": 10,
        "taxes": [{"rate": 0.2, "amount": 2}],
        "total": 12,
    },
    "tax in the prices is named": {"items": rows(("a", 50)), "subtotal": 50, "tax": 4.55, "total": 50},
    "US diner with tax and tip": {
        "items": rows(("a", 21.5), ("b", 15)),
        "subtotal": 36.5,
        "tax": 3.24,
        "tip": 7.3,
        "total": 47.04,
        "card": 47.04,
    },
    "US taxes as rows": {
        "items": rows(("a", 10)),
        "subtotal": 10,
        "taxes": [{"name": "state", "amount": 0.6}, {"name": "city", "amount": 0.2}],
        "total": 10.8,
    },
    "subtotal after the discount": {"items": rows(("a", 40)), "discount": 5, "subtotal": 35, "total": 35},
    "discount with its printed sign": {"items": rows(("a", 40)), "subtotal": 40, "discount": -5, "total": 35},
    "savings that the prices include": {"items": rows(("a", 40)), "discount": 5, "subtotal": 40, "total": 40},
    "discount of a row beside its total": {
        "items": rows(("a", 2, 1.19, 2.38, 0.5), keys="name quantity unit_price total discount"),
        "total": 1.88,
    },
    "cash rounded up without a line": {"items": rows(("a", 10.04)), "total": 10.04, "cash": 20, "change": 9.95},
    "cash rounded down with a line": {
        "items": rows(("a", 21.31)),
        "rounding": -0.01,
        "total": 21.3,
        "cash": 50,
        "change": 28.7,
        "currency": "MYR",
    },
    "fuel": {"items": rows(("Super", 32.17, 1.859, 59.81), keys="name quantity unit_price total"), "total": 59.81},
    "three for two": {"items": rows(("a", 3, 0.67, 2.0), keys="name quantity unit_price total"), "total": 2.0},
    "refund": {"items": rows(("a", -12.5)), "total": -12.5},
    "dinars": {"items": rows(("a", 1.255), ("b", 2.5)), "total": 3.755, "currency": "KWD"},
}
ORDERS: dict[str, dict[str, Any]] = {
    "discount and freight": {
        "items": rows(("1", 1000), keys="position total"),
        "subtotal": 1000,
        "discount": -50,
        "shipping": 20,
        "tax": 184.3,
        "total": 1154.3,
    },
    "subtotal after discount and freight": {
        "items": rows(("1", 1000), keys="position total"),
        "discount": 50,
        "shipping": 20,
        "subtotal": 970,
        "tax": 184.3,
        "total": 1154.3,
    },
    "total before tax": {
        "items": rows(("1", 1000), keys="position total"),
        "subtotal": 1000,
        "tax": 190,
        "total": 1000,
    },
}
STATEMENTS: dict[str, dict[str, Any]] = {
    "newest row first": {
        "opening_balance": 100,
        "movements": rows(("2025-01-09", -30, 90), ("2025-01-05", 20, 120), keys=BALANCES),
        "closing_balance": 90,
    },
    "carry-over line": {
        "opening_balance": 100,
        "movements": rows(("2025-01-05", 20, 120), ("2025-01-05", None, 120), ("2025-01-09", -30, 90), keys=BALANCES),
        "closing_balance": 90,
    },
    "balance at the end of each day": {
        "opening_balance": 100,
        "movements": rows(("2025-01-05", 20, None), ("2025-01-05", -5, 115), ("2025-01-09", -30, 85), keys=BALANCES),
        "closing_balance": 85,
    },
    "paid out with a minus": {"opening_balance": 100, "total_in": 20, "total_out": -30, "closing_balance": 90},
    "masked account": {"iban": "DE89 **** **** **** **30 00", "opening_balance": 1, "closing_balance": 1},
}
FAPIAO: dict[str, dict[str, Any]] = {
    "several rates and an exempt row": {
        "明细": rows(
            ("a", 2, 50, 100, 0.13, 13), ("b", 1, 200, 200, 0.06, 12), ("c", 1, 30, 30, None, None), keys=LINES
        ),
        "合计金额": 330,
        "合计税额": 25,
        "价税合计小写": 355,
        "价税合计大写": "叁佰伍拾伍圆整",
        "销售方": SELLER,
    },
    "red-letter invoice": {
        "明细": rows(("a", -2, 50, -100, 0.13, -13), keys=LINES),
        "合计金额": -100,
        "合计税额": -13,
        "价税合计小写": -113,
        "价税合计大写": "（负数）壹佰壹拾叁圆整",
        "销售方": SELLER,
    },
    "seller with an old number of 15 digits": {
        "销售方": {"纳税人识别号": "310115791234567"}, "合计金额": 1, "合计税额": 0, "价税合计小写": 1
    },
    "seller who is a person": {
        "销售方": {"纳税人识别号": "11010519491231002X"}, "合计金额": 1, "合计税额": 0, "价税合计小写": 1
    },
    "buyer whose number is masked": {
        "购买方": {"纳税人识别号": "3301**********1234"}, "合计金额": 1, "合计税额": 0, "价税合计小写": 1
    },
    "used car at half a percent": {"明细": rows(("a", 1, 1000, 1000, 0.005, 5), keys=LINES), "合计税额": 5},
}  # fmt: skip
CORRECT = [
    pytest.param(name, content, id=f"{name}: {title}")
    for name, documents in (
        ("receipt", RECEIPTS),
        ("purchase-order", ORDERS),
        ("bank-statement", STATEMENTS),
        ("vat-invoice-cn", FAPIAO),
    )
    for title, content in documents.items()
]


@pytest.mark.parametrize("is_complete", [True, False])
@pytest.mark.parametrize(("name", "content"), CORRECT)
def test_correct_document_fails_no_rule(name: str, content: dict[str, Any], is_complete: bool) -> None:
    documents = load_document_type(name)
    found = documents.rules.check(documents.read_content(content), complete=is_complete)
    assert [str(finding) for finding in found if finding.status == "fail"] == []


WRONG = [
    ("receipt", {"items": rows(("a", 40)), "discount": 5, "total": 38}, "TOTAL"),
    ("receipt", {"items": rows(("a", 40)), "subtotal": 44, "total": 44}, "SUBTOTAL"),
    ("receipt", {"items": rows(("a", 40)), "tax": 3, "subtotal": 40, "total": 42}, "SUBTOTAL-TOTAL"),
    ("receipt", {"total": 12.5, "cash": 20, "change": 8.5}, "CHANGE"),
    ("receipt", {"items": rows(("a", 2, 3, 7), keys="name quantity unit_price total")}, "ITEM"),
    ("purchase-order", {"items": rows(("1", 1000), keys="position total"), "shipping": 20, "total": 1010}, "TOTAL"),
    (
        "bank-statement",
        {"movements": rows(("2025-01-09", -30, 91), ("2025-01-05", 20, 121), ("2025-01-04", 1, 100), keys=BALANCES)},
        "RUNNING-BALANCE",
    ),
    ("vat-invoice-cn", {"销售方": {"纳税人识别号": "91310115MA220CHX9F"}}, "销售方税号"),
    ("vat-invoice-cn", {"销售方": {"纳税人识别号": "9131011"}}, "销售方税号"),
    ("vat-invoice-cn", {"价税合计小写": 113, "价税合计大写": "（负数）壹佰壹拾叁圆整"}, "大写金额"),
]


@pytest.mark.parametrize(("name", "content", "rule"), WRONG)
def test_wrong_document_fails_a_rule(name: str, content: dict[str, Any], rule: str) -> None:
    documents = load_document_type(name)
    found = documents.rules.check(documents.read_content(content), complete=True)
    assert rule in [finding.rule for finding in found if finding.status == "fail"]
