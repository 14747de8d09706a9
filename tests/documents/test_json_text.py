"""Strict JSON with exact digits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents import json_text

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=2) | st.integers(-(10**20), 10**20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé字", max_size=4), inner, max_size=3),
    max_leaves=10,
)


def test_numbers_keep_their_digits() -> None:
    assert json_text.parse('{"a": 3025.00}') == {"a": Decimal("3025.00")}
    assert json_text.compose(json_text.parse('{"a":3025.00,"b":7,"c":0.10}')) == '{"a":3025.00,"b":7,"c":0.10}'


def test_number_without_a_point_is_an_int() -> None:
    assert type(json_text.parse("7")) is int


def test_text_keeps_its_characters() -> None:
    assert json_text.compose({"name": "Müller 株式会社"}) == '{"name":"Müller 株式会社"}'


@given(value=values)
def test_parses_what_it_composes(value: Any) -> None:
    text = json_text.compose(value)
    assert json_text.parse(text) == value
    assert json_text.compose(json_text.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{'a': 1}", "double quotes"),
        ('{"a": 1,}', "Illegal trailing comma|double quotes"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ('{"a": 1, "b": 2, "a": 3}', "repeated keys: a"),
        ('{"x": {"a": 1, "a": 1}}', "repeated keys: a"),
        (r'{"\ud800": 1, "\ud800": 1}', r"repeated keys: \\ud800"),
        ("1e99999999999999999999999", "out of range"),
        ("9" * 5000, "limit"),
        ('{"a": 1} {"b": 2}', "Extra data"),
    ],
)
def test_rejects_invalid_json_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        json_text.parse(text)


def test_rejects_bytes_that_are_not_utf_8() -> None:
    assert json_text.parse('"é"'.encode()) == "é"
    with pytest.raises(ValueError, match="utf-8"):
        json_text.parse(b'"\xff"')


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 50_000 + "]" * 50_000])
def test_deep_nesting_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        json_text.parse(text)


def test_never_writes_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json_text.compose({"a": float("nan")})
