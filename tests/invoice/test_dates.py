"""Dates as they stand in documents: one reading, or none."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.invoice.dates import parse_date


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
    ],
)
def test_a_date_with_one_reading_is_read(text: str) -> None:
    assert parse_date(text) == date(2025, 1, 15)


@pytest.mark.parametrize("text", ["03/04/2025", "1/2/2025", "12-11-2025"])
def test_day_or_month_first_is_refused_as_ambiguous(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is ambiguous"):
        parse_date(text)


def test_equal_day_and_month_have_one_reading() -> None:
    assert parse_date("04/04/2025") == date(2025, 4, 4)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "15", "2025", "2025-13-01", "2025-02-30", "31.04.2025", "32/01/2025", "13/13/2025"),
        *("0000-01-01", "15.01.25", "2025-01", "20250115", "15 January 2025", "2025-01-15x", "x2025-01-15"),
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
