"""JSON that keeps the digits of its numbers and is strict about everything else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.invoice import jsontext

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=2) | st.integers(-(10**20), 10**20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé字", max_size=4), inner, max_size=3),
    max_leaves=10,
)


def test_numbers_keep_their_digits_both_ways() -> None:
    assert jsontext.parse('{"a": 3025.00}') == {"a": Decimal("3025.00")}
    assert jsontext.compose(jsontext.parse('{"a":3025.00,"b":7,"c":0.10}')) == '{"a":3025.00,"b":7,"c":0.10}'


def test_a_number_without_a_point_is_an_int() -> None:
    assert type(jsontext.parse("7")) is int


def test_text_keeps_its_characters() -> None:
    assert jsontext.compose({"name": "Müller 株式会社"}) == '{"name":"Müller 株式会社"}'


@given(value=values)
def test_what_is_composed_is_parsed_back(value: Any) -> None:
    text = jsontext.compose(value)
    assert jsontext.parse(text) == value
    assert jsontext.compose(jsontext.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{'a': 1}", "double quotes"),
        ('{"a": 1,}', "Illegal trailing comma|double quotes"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ("[-Infinity]", "-Infinity is no JSON number"),
        ('{"a": 1, "b": 2, "a": 3}', "given twice: a"),
        ('{"x": {"a": 1, "a": 1}}', "given twice: a"),
        (r'{"\ud800": 1, "\ud800": 1}', r"given twice: \\ud800"),
        ("1e99999999999999999999999", "out of range"),
        ("9" * 5000, "limit"),
        ('{"a": 1} {"b": 2}', "Extra data"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        jsontext.parse(text)


def test_bytes_must_be_utf_8() -> None:
    assert jsontext.parse('"é"'.encode()) == "é"
    with pytest.raises(ValueError, match="utf-8"):
        jsontext.parse(b'"\xff"')


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 50_000 + "]" * 50_000])
def test_deep_nesting_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        jsontext.parse(text)


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        jsontext.compose({"a": float("nan")})
