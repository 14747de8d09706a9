"""Parsing of dates in documents; ambiguous dates are errors."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from babel.dates import get_month_names
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents.dates import MONTH_LOCALES, DateOrder, parse_date


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-15",
        "2025-1-15",
        "2025-01-15T10:30:00Z",
        "2025-01-15 10:30",
        "2025/01/15",
        "2025.1.15",
        "15.01.2025",
        "15. 1. 2025",
        "15/01/2025",
        "01/15/2025",
        "15-01-2025",
        "2025年1月15日",
        "  2025-01-15 ",
        "15/01/2025 10:22:30 PM",
        "2025년 1월 15일",
        "15 Jan 2025",
        "15-Jan-2025",
        "Jan. 15, 2025",
        "January 15th, 2025",
        "15. Januar 2025",
        "15 janvier 2025",
        "15 de enero de 2025",
        "15 gennaio 2025",
        "15 januari 2025",
        "15 de janeiro de 2025",
        "2025 January 15",
    ],
)
def test_parses_unambiguous_dates(text: str) -> None:
    assert parse_date(text) == date(2025, 1, 15)


@pytest.mark.parametrize("text", ["03/04/2025", "1/2/2025", "12-11-2025"])
def test_rejects_ambiguous_day_and_month(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is ambiguous"):
        parse_date(text)


@pytest.mark.parametrize("text", ["15.01.25", "03/04/25", "25-01-15", "15 Jan 25"])
def test_rejects_years_of_two_digits_and_names_the_setting(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is ambiguous: its year has two digits; set data.date_order"):
        parse_date(text)


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("03/04/2025", "day_first", date(2025, 4, 3)),
        ("03/04/2025", "month_first", date(2025, 3, 4)),
        ("03/04/25", "day_first", date(2025, 4, 3)),
        ("03/04/25", "month_first", date(2025, 3, 4)),
        ("25-04-03", "year_first", date(2025, 4, 3)),
        ("03.14.2025", "month_first", date(2025, 3, 14)),
        ("15 Jan 25", "day_first", date(2025, 1, 15)),
        ("14 Jan 25", "year_first", date(2014, 1, 25)),
        ("15.01.2025", "month_first", date(2025, 1, 15)),
        ("2025-03-04", "month_first", date(2025, 3, 4)),
    ],
)
def test_order_resolves_ambiguous_dates(text: str, order: DateOrder, expected: date) -> None:
    assert parse_date(text, order) == expected


@given(day=st.dates(min_value=date(1000, 1, 1)), locale=st.sampled_from(MONTH_LOCALES))
def test_parses_every_day_with_its_month_name(day: date, locale: str) -> None:
    name = get_month_names("wide", locale=locale)[day.month]
    assert parse_date(f"{day.day}. {name} {day.year:04}") == day


def test_equal_day_and_month_are_unambiguous() -> None:
    assert parse_date("04/04/2025") == date(2025, 4, 4)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "15", "2025", "2025-13-01", "2025-02-30", "31.04.2025", "32/01/2025", "13/13/2025"),
        *("0000-01-01", "2025-01", "20250115", "15 Januember 2025", "31 June 2025", "2025-01-15x", "x2025-01-15"),
    ],
)
def test_rejects_days_that_do_not_exist(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date") as error:
        parse_date(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("value", [None, 5, [], "9" * 10_000])
def test_rejects_other_values(value: object) -> None:
    with pytest.raises(ValueError, match="is not a date"):
        parse_date(value)


def test_keeps_a_date() -> None:
    assert parse_date(date(2025, 1, 15)) == date(2025, 1, 15)


def test_reduces_a_timestamp_to_its_day() -> None:
    assert type(parse_date(datetime(2025, 1, 15, 10, 30))) is date


@given(day=st.dates())
def test_parses_every_day_in_iso_and_dotted_format(day: date) -> None:
    assert parse_date(day.isoformat()) == day
    assert parse_date(f"{day.day}.{day.month}.{day.year:04}") == day


@given(text=st.text(max_size=30))
def test_every_text_is_a_date_or_a_value_error(text: str) -> None:
    try:
        assert isinstance(parse_date(text), date)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - a date is also correct
