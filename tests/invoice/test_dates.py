"""Dates as they stand in documents: one reading, or none."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from babel.dates import get_month_names
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.invoice.dates import MONTH_LOCALES, DateOrder, parse_date


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
def test_a_date_with_one_reading_is_read(text: str) -> None:
    assert parse_date(text) == date(2025, 1, 15)


@pytest.mark.parametrize("text", ["03/04/2025", "1/2/2025", "12-11-2025"])
def test_day_or_month_first_is_refused_as_ambiguous(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is ambiguous"):
        parse_date(text)


@pytest.mark.parametrize("text", ["15.01.25", "03/04/25", "25-01-15", "15 Jan 25"])
def test_a_year_of_two_digits_is_refused_with_the_setting(text: str) -> None:
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
def test_an_order_settles_dates_with_several_readings(text: str, order: DateOrder, expected: date) -> None:
    assert parse_date(text, order) == expected


@given(day=st.dates(min_value=date(1000, 1, 1)), locale=st.sampled_from(MONTH_LOCALES))
def test_every_day_is_read_back_with_its_month_s_name(day: date, locale: str) -> None:
    name = get_month_names("wide", locale=locale)[day.month]
    assert parse_date(f"{day.day}. {name} {day.year:04}") == day


def test_equal_day_and_month_have_one_reading() -> None:
    assert parse_date("04/04/2025") == date(2025, 4, 4)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "15", "2025", "2025-13-01", "2025-02-30", "31.04.2025", "32/01/2025", "13/13/2025"),
        *("0000-01-01", "2025-01", "20250115", "15 Januember 2025", "31 June 2025", "2025-01-15x", "x2025-01-15"),
    ],
)
def test_what_is_no_day_of_the_calendar_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is no date") as error:
        parse_date(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("value", [None, 5, [], "9" * 10_000])
def test_other_values_are_refused_too(value: object) -> None:
    with pytest.raises(ValueError, match="is no date"):
        parse_date(value)


def test_a_date_stays_itself() -> None:
    assert parse_date(date(2025, 1, 15)) == date(2025, 1, 15)


def test_a_moment_becomes_its_day() -> None:
    assert type(parse_date(datetime(2025, 1, 15, 10, 30))) is date


@given(day=st.dates())
def test_every_day_is_read_back_from_its_iso_form_and_its_dotted_form(day: date) -> None:
    assert parse_date(day.isoformat()) == day
    assert parse_date(f"{day.day}.{day.month}.{day.year:04}") == day


@given(text=st.text(max_size=30))
def test_any_text_is_a_date_or_a_value_error(text: str) -> None:
    try:
        assert isinstance(parse_date(text), date)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is a right answer
