"""Spellings of values of each kind."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from data_tools.sources.declared.values import ReadingContext, read_value
from erniekit_adapter.documents.fields import Field, Kind

IN_RUPIAH = ReadingContext(currency="IDR")


def read(kind: Kind, value: Any, context: ReadingContext = ReadingContext(), **keys: Any) -> Any:  # noqa: B008
    return read_value(Field("field", kind, **keys), value, context)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5"), (Decimal("5.00"), "5.00"), ("1,234.50", "1234.50"), ("1.234,50", "1234.50"),
        ("1 234,50 €", "1234.50"), ("¥1,234.00", "1234.00"),
        ("￥１，２３４．００", "1234.00"), ("１２３", "123"), ("RM 9.00", "9.00"),
        ("RM9.00", "9.00"),
        ("Rp. 5.00", "5.00"), ("R$ 5,50", "5.50"), ("5.50 zł", "5.50"), ("-Rp 5.00", "-5.00"), ("(5.00)", "-5.00"),
        ("12,-", "12"), ("12.–", "12"), ("5元", "5"), ("kr 12,50", "12.50"), ("HK$12.50", "12.50"), ("EUR 5", "5"),
    ],
)  # fmt: skip
def test_reads_an_amount(value: Any, expected: str) -> None:
    assert str(read("amount", value)) == expected


@pytest.mark.parametrize(
    "value", ["1,234", "five", "5%", True, "1²", "9" * 70, {"a": 1}, [5], "1.2.3", "RM", "5 RM RM"]
)
def test_rejects_other_amounts(value: Any) -> None:
    with pytest.raises(ValueError, match=r"ambiguous|not an amount"):
        read("amount", value)


@pytest.mark.parametrize(
    ("value", "percent", "expected"),
    [
        ("19%", False, "0.19"), ("19 %", True, "19"), ("１９％", True, "19"), (19, False, "0.19"), (19, True, "19"),
        ("0.19", False, "0.19"), ("7,5%", False, "0.075"), (0, True, "0"), ("0%", False, "0"), ("0.5%", True, "0.5"),
    ],
)  # fmt: skip
def test_reads_a_rate_in_the_notation_of_the_type(value: Any, percent: bool, expected: str) -> None:
    assert str(read("rate", value, is_percent=percent)) == expected


@pytest.mark.parametrize(("value", "percent"), [(1, False), (1, True), ("0.5", True)])
def test_rejects_a_rate_with_two_meanings(value: Any, percent: bool) -> None:
    with pytest.raises(ValueError, match="is ambiguous: a fraction or a percentage; write it with a % sign"):
        read("rate", value, is_percent=percent)


@pytest.mark.parametrize(
    "value",
    ["2024-05-01", "01.05.2024", "2024年05月01日", "２０２４年５月１日", "May 1, 2024", "1. Mai 2024", "20240501",
     20240501, "2024/5/1", "2024-05-01T10:00:00"],
)  # fmt: skip
def test_reads_a_date(value: Any) -> None:
    assert read("date", value) == "2024-05-01"


def test_order_of_dates_settles_a_date() -> None:
    assert read("date", "03/04/2024", ReadingContext(date_order="month_first")) == "2024-03-04"


@pytest.mark.parametrize(
    ("value", "stated", "expected"),
    [
        ("eur", None, "EUR"), ("€", None, "EUR"), ("RM", None, "MYR"), ("Rp.", None, "IDR"),
        ("US dollars", None, "USD"), ("人民币", None, "CNY"),
        ("Schweizer Franken", None, "CHF"), ("¥", "CNY", "CNY"), ("$", None, "USD"),
        ("$", "CAD", "CAD"), ("kr", "SEK", "SEK"), ("￥", "JPY", "JPY"), ("euros", None, "EUR"),
    ],
)  # fmt: skip
def test_reads_a_currency(value: str, stated: str | None, expected: str) -> None:
    assert read("currency", value, ReadingContext(currency=stated)) == expected


@pytest.mark.parametrize("value", ["¥", "kr", "dollar bills", "XX", 5])
def test_rejects_an_unclear_currency(value: Any) -> None:
    with pytest.raises(ValueError, match=r"ambiguous|not an ISO 4217"):
        read("currency", value)


@pytest.mark.parametrize(
    ("value", "expected"), [("CASH", "cash"), ("bank-transfer", "Bank Transfer"), (" Bank transfer ", "Bank Transfer")]
)
def test_reads_a_code_by_its_value(value: str, expected: str) -> None:
    assert read("code", value, choices=("cash", "Bank Transfer")) == expected


def test_a_dash_can_be_a_code() -> None:
    assert read("code", "-", choices=("-", "x")) == "-"


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("Yes", True), ("no", False), ("是", True), (0, False)])
def test_reads_a_flag(value: Any, expected: bool) -> None:
    assert read("flag", value) is expected


@pytest.mark.parametrize("value", [None, "", "  ", "-", "—", "N/A", "null", {}, []])
@pytest.mark.parametrize("kind", ["text", "amount", "date", "code", "flag", "rate"])
def test_blank_values_are_absent(kind: Kind, value: Any) -> None:
    assert read(kind, value, choices=("a",) if kind == "code" else ()) is None


def test_a_unit_price_may_have_more_decimals() -> None:
    field = Field("items[].price_each", "amount", aliases=("Unit price",))
    with pytest.raises(ValueError, match=r"ambiguous.*give it x-role: line_total"):
        read_value(field, "1,459", IN_RUPIAH)
    assert read_value(Field("items[].fee", "amount"), "1,459", IN_RUPIAH) == 1459
