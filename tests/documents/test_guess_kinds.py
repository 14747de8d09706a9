"""Kinds, types and notations of fields that are guessed from keys and values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from guess_examples import guessed, notes

KINDS: list[tuple[str, Any, str]] = [
    # Receipts: SROIE, CORD
    ("company", "BOOK TA .K SDN BHD", "text"),
    ("address", "NO.53 JALAN SAGU 18, 81100 JOHOR BAHRU", "address"),
    ("total", "9.00", "amount"),
    ("nm", "Nasi Campur", "text"),
    ("cnt", "1 x", "quantity"),
    ("unitprice", "@ 75,000", "amount"),
    ("changeprice", "Rp 3.000", "amount"),
    # Delivery notes, in German and as an application keeps them
    ("lieferschein_nummer", "LS-2025-001", "identifier"),
    ("lieferdatum", "28.02.2025", "date"),
    ("artikelnr", "ART-001", "identifier"),
    ("menge", 2, "quantity"),
    ("einheit", "Stk", "text"),
    ("gewicht_kg", "4,50", "quantity"),
    ("plz", "01067", "identifier"),
    ("packagesCount", 3, "quantity"),
    ("weightKg", Decimal("12.5"), "quantity"),
    ("number_of_packages", 3, "quantity"),
    # Utility bills
    ("meterId", 77120, "identifier"),
    ("consumption", 250, "quantity"),
    ("amount_due", "$ 1,250.00", "amount"),
    ("due_date", "14 Mar 2025", "date"),
    ("total_ttc", "1 479,85", "amount"),
    ("taux_tva", "20 %", "rate"),
    ("numero_facture", "F-88", "identifier"),
    ("date_echeance", "29/01/2021", "date"),
    ("importe_total", "1.234,50", "amount"),
    ("cantidad", 4, "quantity"),
    # Payslips
    ("payPeriodStartDate", "2026-01-01", "date"),
    ("grossPay", Decimal("3200.50"), "amount"),
    ("taxRate", Decimal("0.19"), "rate"),
    ("employeeId", "10023", "identifier"),
    # Bank statements
    ("opening_balance", Decimal("-20.33"), "amount"),
    ("account", "DE89370400440532013000", "identifier"),
    ("währung", "EUR", "currency"),
    ("ccy", "USD", "currency"),
    # Chinese invoices
    ("发票号码", "24312000000012345678", "identifier"),
    ("开票日期", "2021年12月15日", "date"),
    ("税率", "6%", "rate"),
    ("税额", Decimal("60.00"), "amount"),
    ("价税合计(大写)", "壹仟零陆拾元整", "text"),
    ("InvoiceNum", "05001", "identifier"),
    ("AmountInFiguers", "200.00", "amount"),
    ("纳税人识别号", "91310000775785552L", "identifier"),
    # Values without a telling key
    ("paid_in_cash", True, "flag"),
    ("x", "2025-01-31", "date"),
    ("x", "INV-2025/17", "identifier"),
    ("x", "Thank you for your visit", "text"),
    ("x", Decimal("12.50"), "amount"),
    ("x", 3, "quantity"),
]


@pytest.mark.parametrize(("key", "value", "kind"), KINDS, ids=[f"{key}-{value}" for key, value, _ in KINDS])
def test_kind_follows_from_key_and_value(key: str, value: Any, kind: str) -> None:
    assert guessed({key: value}).fields[0].kind == kind


@pytest.mark.parametrize(
    ("values", "kind", "json_type", "written"),
    [
        (["1,234.50"], "amount", "string", ["1234.50"]),
        (["1.234,50", "2,10"], "amount", "string", ["1234.50", "2.10"]),
        (["12.50", "1,234"], "amount", "string", ["12.50", "1234"]),
        (["12,50", "1.234"], "amount", "string", ["12.50", "1234"]),
        ([Decimal("5.00"), "6.50"], "amount", "number", [Decimal("5.00"), Decimal("6.50")]),
        ([Decimal("119.00"), 20], "amount", "number", [Decimal("119.00"), 20]),
        ([Decimal("1E+3")], "amount", "number", [1000]),
    ],
)
def test_amounts_keep_their_digits(values: list[Any], kind: str, json_type: str, written: list[Any]) -> None:
    guess = guessed(*({"total": value} for value in values))
    field = guess.fields[0]
    assert (field.kind, field.json_type) == (kind, json_type)
    assert [answer["total"] for answer in guess.answers] == written
    assert all(not isinstance(answer["total"], float) for answer in guess.answers)


@pytest.mark.parametrize(
    ("values", "is_percent", "certainty", "note"),
    [
        ([19, 7], True, "sure", ""),
        ([Decimal("0.19"), Decimal("0.07")], False, "sure", ""),
        (["19%"], True, "sure", "not plain numbers"),
        ([19, Decimal("0.07")], True, "unsure", "percent or fractions?"),
        ([0], False, "unsure", "percent or fractions?"),
    ],
)
def test_rates_are_percent_or_fractions(values: list[Any], is_percent: bool, certainty: str, note: str) -> None:
    guess = guessed(*({"vat_rate": value, "n": index} for index, value in enumerate(values)))
    field = guess.fields[0]
    assert (field.kind, field.is_percent, field.certainty) == ("rate", is_percent, certainty)
    assert note in notes(guess)


@pytest.mark.parametrize(("value", "kind"), [(Decimal("40.00"), "amount"), (Decimal("0.32"), "rate")])
def test_rate_alone_can_be_a_price(value: Decimal, kind: str) -> None:
    guess = guessed({"rate": value})
    assert (guess.fields[0].kind, guess.fields[0].certainty) == (kind, "unsure")
    assert "a price per unit, or a percentage?" in notes(guess)


def test_ambiguous_date_is_left_out() -> None:
    guess = guessed({"due_date": "03/04/2025", "total": 5})
    assert guess.fields[0].kind == "date"
    assert guess.answers[0] == {"total": 5}
    assert "can be two dates" in notes(guess)


@pytest.mark.parametrize(
    ("others", "order", "expected"),
    [
        ({}, "day_first", "2025-04-03"),
        ({}, "month_first", "2025-03-04"),
        ({"bill_date": "25/03/2025"}, None, "2025-04-03"),
    ],
)
def test_order_of_dates_is_given_or_shown(others: dict[str, str], order: Any, expected: str) -> None:
    guess = guessed({"due_date": "03/04/2025", **others}, date_order=order)
    assert guess.answers[0]["due_date"] == expected


def test_few_repeated_values_are_a_code_list() -> None:
    guess = guessed(*({"status": status, "n": n} for n, status in enumerate(["paid", "open"] * 4)))
    assert guess.fields[0].choices == ("paid", "open")
    assert "add every other value" in notes(guess)


@pytest.mark.parametrize(
    ("key", "value", "checksum"),
    [
        ("iban", "DE89 3704 0044 0532 0130 00", "iban"),
        ("vat_id", "DE136695976", "eu.vat"),
        ("税号", "91310000775785552L", "cn.uscc"),
        ("ean", "4006381333931", "ean"),
        ("iban", "DE89370400440532013001", None),
        ("number", "4006381333931", None),
    ],
)
def test_checksums_of_values_are_recognised(key: str, value: str, checksum: str | None) -> None:
    assert guessed({key: value}).fields[0].checksum == checksum


def test_wrong_checksum_is_reported() -> None:
    assert "has a wrong iban checksum" in notes(guessed({"iban": "DE89370400440532013001"}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "5b0d9a3e-6c3f-4a51-9b39-1f6a2d8d7e11"),
        ("file_name", "a b"),
        ("scan", "page-1.png"),
        ("confidence", Decimal("0.9")),
    ],
)
def test_values_of_no_page_are_not_printed(key: str, value: Any) -> None:
    assert not guessed({key: value}).fields[0].is_printed


ROLES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"vendor": {"name": "A", "address": "B"}, "customer": {"name": "C"}}, {"issuer": "vendor.name"}),
    ({"customer_no": "9", "invoice_no": "17"}, {"number": "invoice_no"}),
    ({"subtotal": 5, "tax": 1, "grand_total": 6}, {"total": "grand_total"}),
    ({"opening_balance": 5, "closing_balance": 7}, {"total": "closing_balance"}),
    ({"grossPay": 5, "totalDeductions": 1, "netPay": 4}, {"total": "netPay"}),
    ({"销售方": {"名称": "甲"}, "购买方": {"名称": "乙"}}, {"issuer": "销售方.名称"}),
    (
        {"positionen": [{"bezeichnung": "A", "menge": 1, "einzelpreis": 2, "gesamtpreis": 2}]},
        {
            "description": "positionen[].bezeichnung",
            "quantity": "positionen[].menge",
            "unit_price": "positionen[].einzelpreis",
            "line_total": "positionen[].gesamtpreis",
        },
    ),
    ({"menu": [{"nm": "A", "price": 5}]}, {"description": "menu[].nm", "line_total": "menu[].price"}),
]


@pytest.mark.parametrize(("answer", "expected"), ROLES, ids=[next(iter(answer)) for answer, _ in ROLES])
def test_roles_follow_from_keys(answer: dict[str, Any], expected: dict[str, str]) -> None:
    assert {role: path for path, role in guessed(answer).roles.items()} == expected


def test_table_with_more_roles_has_the_line_items() -> None:
    answer = {"taxes": [{"rate": 19, "amount": 3}], "items": [{"name": "A", "qty": 1, "price": 2, "total": 2}]}
    assert guessed(answer).line_items == "items"


def test_aliases_are_no_names_of_other_fields() -> None:
    guess = guessed({"supplier": "A", "vendor": "B", "items": [{"description": "x", "qty": 1}], "qty": 3})
    assert "vendor" not in guess.aliases["supplier"]
    assert "quantity" in guess.aliases["items[].qty"]


@pytest.mark.parametrize(
    ("answer", "language"), [({"金额": 5, "日期": "2025-01-01", "no": "1"}, "zh"), ({"total": 5}, "en")]
)
def test_language_is_that_of_the_keys(answer: dict[str, Any], language: str) -> None:
    assert guessed(answer).language == language


@pytest.mark.parametrize(
    ("answer", "path", "kind"),
    [
        ({"DocumentCurrencyCode": "SEK", "x": 1}, "DocumentCurrencyCode", "currency"),
        ({"total_amount": {"value": 6000, "page": 1}, "x": 1}, "total_amount.value", "amount"),
        ({"TotalTax": [{"row": "1", "word": "2.35"}], "x": 1}, "TotalTax[].word", "amount"),
    ],
)
def test_a_key_around_a_value_names_its_kind(answer: dict[str, Any], path: str, kind: str) -> None:
    field = next(field for field in guessed(answer).fields if field.path == path)
    assert (field.kind, field.certainty) == (kind, "sure")


@pytest.mark.parametrize("key", ["ocr_text", "request_id", "created_date"])
def test_values_of_a_service_are_not_printed(key: str) -> None:
    field = next(field for field in guessed({key: "a 1", "total": 1}).fields if field.path == key)
    assert not field.is_printed
