"""Rules that are proposed from example answers, and those that are not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from guess_examples import equations, guessed, notes


def d(text: str) -> Decimal:
    return Decimal(text)


RECEIPTS = [
    {"items": [{"name": "Tea", "price": d("3.20")}, {"name": "Cake", "price": d("4.15")}], "total": d("7.35")},
    {"items": [{"name": "Tea", "price": d("3.20")}, {"name": "Soup", "price": d("9.80")}], "total": d("13.00")},
]
PAYSLIPS = [
    {"grossPay": d("3200.50"), "totalDeductions": d("200.25"), "totalTaxes": d("640.10"), "netPay": d("2360.15")},
    {"grossPay": d("3100.00"), "totalDeductions": d("150.25"), "totalTaxes": d("610.10"), "netPay": d("2339.65")},
]
STATEMENTS = [
    {
        "opening_balance": d("1520.33"),
        "transactions": [{"purpose": "Rent", "amount": d("-850.00")}, {"purpose": "Pay", "amount": d("2410.10")}],
        "closing_balance": d("3080.43"),
    },
    {
        "opening_balance": d("3080.43"),
        "transactions": [{"purpose": "Rent", "amount": d("-850.00")}],
        "closing_balance": d("2230.43"),
    },
]
SOFTWARE = {"数量": 2, "单价": d("500.00"), "金额": d("1000.00"), "税率": "6%", "税额": d("60.00")}
SUPPORT = {"数量": 3, "单价": d("231.50"), "金额": d("694.50"), "税率": "6%", "税额": d("41.67")}
FAPIAO = [
    {"明细": [SOFTWARE], "合计金额": d("1000.00"), "合计税额": d("60.00"), "价税合计": d("1060.00")},
    {"明细": [SOFTWARE, SUPPORT], "合计金额": d("1694.50"), "合计税额": d("101.67"), "价税合计": d("1796.17")},
]
BOOKINGS = [
    {
        "opening_balance": d("1000.50"),
        "transactions": [
            {"text": "Pay", "credit": d("5000.00"), "balance": d("6000.50")},
            {"text": "Rent", "debit": d("2500.25"), "balance": d("3500.25")},
            {"text": "Tax", "debit": d("31.17"), "balance": d("3469.08")},
            {"text": "Refund", "credit": d("7.99"), "balance": d("3477.07")},
        ],
        "closing_balance": d("3477.07"),
    }
]
METERS = [
    {"old_reading": 1200, "new_reading": 1451, "consumption": 251},
    {"old_reading": 300, "new_reading": 411, "consumption": 111},
]
DISCOUNTS = [
    {"items": [{"qty": 3, "unit_price": d("5.25"), "discount": d("1.20"), "total": d("14.55")}]},
    {"items": [{"qty": 2, "unit_price": d("7.77"), "total": d("15.54")}]},
]

CASES: list[tuple[str, list[dict[str, Any]], set[str]]] = [
    ("column", RECEIPTS, {"total = sum(items[].price)"}),
    ("difference", PAYSLIPS, {"netPay = grossPay - totalDeductions - totalTaxes"}),
    ("balance", STATEMENTS, {"closing_balance = opening_balance + sum(transactions[].amount)"}),
    (
        "fapiao",
        FAPIAO,
        {
            "合计金额 = sum(明细[].金额)",
            "合计税额 = sum(明细[].税额)",
            "价税合计 = 合计金额 + 合计税额",
            "明细[].金额 = 明细[].数量 * 明细[].单价",
            "明细[].税额 = 明细[].金额 * 明细[].税率",
        },
    ),
    (
        "two columns",
        BOOKINGS,
        {"closing_balance = opening_balance + sum(transactions[].credit)? - sum(transactions[].debit)?"},
    ),
    ("readings", METERS, {"new_reading = old_reading + consumption"}),
    ("discount", DISCOUNTS, {"items[].total = items[].qty * items[].unit_price - items[].discount?"}),
    ("text numbers", [{"net": "100,10", "vat": "19,02", "total": "119,12"}], {"total = net + vat"}),
]


@pytest.mark.parametrize(("answers", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_sums_and_products_are_found(answers: list[dict[str, Any]], expected: set[str]) -> None:
    assert expected <= equations(guessed(*answers))


def test_missing_term_is_optional() -> None:
    guess = guessed(
        {"net": d("100.10"), "vat": d("19.02"), "total": d("119.12")}, {"net": d("33.30"), "total": d("33.30")}
    )
    assert equations(guess) == {"total = net + vat?"}


def test_rule_that_follows_from_others_is_left_out() -> None:
    assert "价税合计 = 合计税额 + sum(明细[].金额)" not in equations(guessed(*FAPIAO))


def test_contradicted_rule_is_reported() -> None:
    wrong = {"items": [{"name": "A", "price": d("2.00")}, {"name": "B", "price": d("2.50")}], "total": d("9.99")}
    guess = guessed(*RECEIPTS, {**RECEIPTS[0], "total": d("7.35")}, wrong)
    assert equations(guess) == set()
    assert "not proposed, although it holds in 3 of 4 examples: example 4 contradicts it" in notes(guess)


@pytest.mark.parametrize(
    "answers",
    [
        [{"total": d("5.00"), "tax": d("0.00"), "net": d("5.00")}],
        [{"items": [{"name": "A", "qty": 1, "unit_price": d("5.00"), "total": d("5.00")}], "x": d("0.00")}],
        [{"items": [{"name": "A", "total": d("57.31")}], "total": d("57.31")}],
        [{"aa": 1, "bb": 2, "cc": 3}],
        [{"a": d("1.00"), "b": d("2.00"), "c": d("3.00"), "d": d("4.00"), "e": d("5.00"), "f": d("9.00")}],
    ],
    ids=["zero tax", "quantity one", "one row", "small numbers", "accidents"],
)
def test_trivial_and_accidental_rules_are_not_proposed(answers: list[dict[str, Any]]) -> None:
    assert equations(guessed(*answers)) == set()


def test_equal_fields_are_reported() -> None:
    guess = guessed({"items": RECEIPTS[0]["items"], "total": d("7.35"), "paid": d("7.35")})
    assert "paid: equals total in every example" in notes(guess)


def test_rule_on_the_total_is_decisive() -> None:
    rules = {rule.section["name"]: rule.section for rule in guessed(*FAPIAO).rules}
    assert rules["价税合计"]["decisive"] is True
    assert "decisive" not in rules["合计金额"]


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        ({"no": "1", "period": {"from": "2025-01-01", "to": "2025-01-31"}}, ["period.from", "period.to"]),
        ({"due_date": "2025-02-14", "invoice_date": "2025-01-31"}, ["invoice_date", "due_date"]),
        ({"开票日期": "2025-01-01", "到期日": "2025-02-01"}, ["开票日期", "到期日"]),
        ({"delivery": "2025-01-01", "other": "2025-02-01"}, None),
        ({"due_date": "2025-01-31", "invoice_date": "2025-01-31"}, None),
    ],
)
def test_dates_are_ordered_by_their_names(answer: dict[str, Any], order: list[str] | None) -> None:
    orders = [rule.section["order"] for rule in guessed(answer).rules if "order" in rule.section]
    assert orders == ([order] if order else [])


def test_contradicted_order_is_reported() -> None:
    guess = guessed(
        {"invoice_date": "2025-01-31", "due_date": "2025-02-14"},
        {"invoice_date": "2025-03-01", "due_date": "2025-02-14"},
    )
    assert guess.rules == ()
    assert "invoice_date before due_date: not proposed" in notes(guess)


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", {"Total is net plus VAT.", "In each row of items, amount is quantity times unit price."}),
        ("zh", {"Total等于Net加VAT。", "Items每一行中，Amount等于Quantity乘以Unit price。"}),
    ],
)
def test_rules_have_a_sentence(language: str, sentences: set[str]) -> None:
    rows = [{"quantity": 3, "unit_price": d("3.33"), "amount": d("9.99")}]
    guess = guessed({"net": d("100.10"), "vat": d("19.02"), "total": d("119.12"), "items": rows}, language=language)
    assert sentences <= {rule.section["sentence"] for rule in guess.rules}


@pytest.mark.parametrize(
    ("answers", "section"),
    [
        ([{"iban": "DE89370400440532013000"}], {"field": "iban", "checksum": "iban"}),
        ([{"seller": {"uscc": "91310000775785552L"}, "n": "1"}], {"field": "seller.uscc", "checksum": "cn.uscc"}),
        (
            [{"价税合计(大写)": "壹仟零陆拾元整", "价税合计": d("1060.00")}],
            {"field": "价税合计", "chinese_amount": "价税合计(大写)"},
        ),
        ([{"iban": "DE89370400440532013000"}, {"iban": "DE89370400440532013001"}], None),
        ([{"价税合计(大写)": "壹仟零陆拾元整", "价税合计": d("1061.00")}], None),
    ],
    ids=["iban", "uscc", "capital letters", "wrong iban", "wrong letters"],
)
def test_checksums_and_capital_letters_are_tested(
    answers: list[dict[str, Any]], section: dict[str, str] | None
) -> None:
    found = [{key: rule.section[key] for key in section} for rule in guessed(*answers).rules] if section else []
    assert found == ([section] if section else [])
    if section is None:
        assert guessed(*answers).rules == ()


def test_rules_are_searched_in_part_of_many_examples() -> None:
    guess = guessed(*(RECEIPTS * 101))
    assert equations(guess) == {"total = sum(items[].price)"}
    assert "rules were searched for in the first 200 examples, tested on all" in notes(guess)


def test_late_example_contradicts_a_rule() -> None:
    guess = guessed(*(RECEIPTS * 101), {**RECEIPTS[0], "total": d("9.99")})
    assert equations(guess) == set()
    assert "answers.json[202] contradicts it: total 9.99 ≠ sum(items[].price) 7.35" in notes(guess)
