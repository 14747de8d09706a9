"""Rule kind `equation`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from declared_examples import PROPERTIES, finding, type_with_rule
from hypothesis import given
from hypothesis import strategies as st
from type_examples import write_type

from erniekit_adapter.documents.rules.context import RuleContext
from erniekit_adapter.documents.rules.equation import equation_check
from erniekit_adapter.documents.rules.formula import parse_equation

AMOUNTS = st.decimals(-(10**9), 10**9, places=2)


def verdict(text: str, content: dict[str, Any], tolerance: int = 0, **flags: bool) -> str:
    flags = {"complete": False, "as_given": False} | flags
    check = equation_check([parse_equation(text)], Decimal(tolerance))
    return check(None, RuleContext(content, unit=Decimal("0.01"), **flags))[0]


@given(st.lists(AMOUNTS, min_size=1, max_size=8), AMOUNTS)
def test_sum_of_a_column_passes_only_if_it_is_equal(amounts: list[Decimal], tax: Decimal) -> None:
    content = {"items": [{"total": amount} for amount in amounts], "tax": tax, "total": sum(amounts, tax)}
    assert verdict("total = sum(items[].total) + tax", content) == "pass"
    content["total"] += Decimal("0.01")
    assert verdict("total = sum(items[].total) + tax", content) == "fail"


@given(AMOUNTS, st.lists(AMOUNTS, min_size=1, max_size=8), st.integers(0, 7))
def test_running_balance_finds_a_wrong_row(opening: Decimal, amounts: list[Decimal], place: int) -> None:
    rows, balance = [], opening
    for amount in amounts:
        balance += amount
        rows.append({"amount": amount, "balance": balance})
    text = "previous(rows[].balance, opening) + rows[].amount = rows[].balance"
    assert verdict(text, {"opening": opening, "rows": rows}) == "pass"
    rows[place % len(rows)]["balance"] += 1
    assert verdict(text, {"opening": opening, "rows": rows}) == "fail"


@given(st.text(alphabet="ab[].()+-*=?`, 1sumprevious", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        found = parse_equation(text)
    except ValueError:
        return
    assert found.paths


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("total", "two sides"),
        ("a = b = c", "two sides"),
        ("1 = 2", "names no field"),
        ("a = a", "both sides are the same"),
        ("a = sum(b)", "expected a column"),
        ("a[].x = b[].y", "several tables"),
        ("a = previous(b)", "expected a column"),
        ("a[].x = previous(a[].x, b[].y)", "not a column"),
        ("a = b? * c", "not for factors"),
        ("a = b +", "ends too early"),
        ("a = ", "each side"),
        ("a = (b", "ends too early"),
        ("a = b c", "not understood"),
        ("a = " + "(" * 11 + "b" + ")" * 11, "levels of brackets"),
        ("a = b" + " + b" * 40, "more than 40"),
        ("a = b" + " " * 1000, "characters"),
    ],
)
def test_refuses_an_impossible_equation(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_equation(text)


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        ("a = b + c?", {"a": 3, "b": 3}, "pass"),
        ("a = b + c?", {"a": 4, "b": 3}, "not checkable"),
        ("a = b + c?", {"a": 2, "b": 3}, "fail"),
        ("a = b - c?", {"a": 2, "b": 3}, "not checkable"),
        ("a = b + c?", {"a": 9, "b": 3}, "fail"),
        ("a = b? + c?", {"a": 9}, "not checkable"),
        ("a = b", {"a": 9}, "not checkable"),
        ("a = sum(t[].x)?", {"a": 3, "t": [{"x": 3}, {}]}, "pass"),
        ("a = sum(t[].x)", {"a": 3, "t": [{"x": 3}, {}]}, "not checkable"),
        ("a = sum(t[].x)", {"a": 0, "t": []}, "not checkable"),
        ("t[].x = t[].y * (t[].z - t[].w?)", {"t": [{"x": 6, "y": 2, "z": 3}]}, "pass"),
        ("`a b` = -c", {"a b": -1, "c": 1}, "pass"),
        ("`a = b` = c", {"a = b": 1, "c": 1}, "pass"),
        ("t[] = 2 * c", {"t": [4, 4], "c": 2}, "pass"),
        ("a = b", {"a": "1.50", "b": Decimal("1.5")}, "pass"),
        ("a = b", {"a": "NaN", "b": 1}, "not checkable"),
        ("previous(t[].x) + 1 = t[].x", {"t": [{"x": 1}, {"x": 2}, {"x": 3}]}, "pass"),
    ],
)
def test_verdict_of_an_equation(text: str, content: dict[str, Any], expected: str) -> None:
    assert verdict(text, content) == expected


@pytest.mark.parametrize("flags", [{"complete": True}, {"as_given": True}])
def test_optional_term_is_zero_if_nothing_can_be_missing(flags: dict[str, bool]) -> None:
    assert verdict("a = b + c?", {"a": 4, "b": 3}, **flags) == "fail"


@pytest.mark.parametrize(
    ("currency", "total", "expected"),
    [("EUR", "1.01", "pass"), ("JPY", 2, "pass"), ("EUR", "1.02", "fail"), ("KWD", "1.01", "fail")],
)
def test_tolerance_is_in_minor_units(tmp_path: Path, currency: str, total: Any, expected: str) -> None:
    rule = {"equation": "total = tax", "tolerance": 1}
    assert finding(tmp_path, rule, {"total": total, "tax": 1, "currency": currency}).status == expected


@pytest.mark.parametrize(("total", "expected"), [("1.00", "pass"), ("0.99", "pass"), ("1.02", "fail")])
def test_product_can_be_rounded_by_default(tmp_path: Path, total: str, expected: str) -> None:
    rule = {"equation": "items[].total = items[].quantity * items[].price"}
    row = {"quantity": 3, "price": "0.333", "total": total}
    assert finding(tmp_path, rule, {"items": [row]}).status == expected


def test_rate_in_percent_is_a_fraction_in_equations(tmp_path: Path) -> None:
    rule = {"equation": "tax = sum(items[].total) * 0.19"}
    assert finding(tmp_path, rule, {"tax": 19, "items": [{"total": 100}]}).status == "pass"
    by_row = {"equation": "items[].total = items[].price * items[].rate"}
    assert finding(tmp_path, by_row, {"items": [{"total": 19, "price": 100, "rate": 19}]}).status == "pass"


def test_detail_names_the_first_wrong_rows(tmp_path: Path) -> None:
    rule = {"equation": "items[].total = items[].price"}
    found = finding(tmp_path, rule, {"items": [{"total": 1, "price": 2}] * 5})
    assert found.detail.startswith("row 1: items[].total 1 ≠ items[].price 2; row 2")
    assert found.detail.endswith("; 2 more")


@pytest.mark.parametrize(("decisive", "expected"), [((True, False), ["A"]), ((False, False), ["A", "B"])])
def test_sums_are_verified_by_decisive_equations(tmp_path: Path, decisive: Any, expected: list[str]) -> None:
    equations = ("total = tax", "total = discount")
    rules = [
        {"name": name, "sentence": "Equal.", "equation": text, "decisive": flag}
        for name, text, flag in zip("AB", equations, decisive, strict=True)
    ]
    found = write_type(tmp_path / "type", PROPERTIES, {"title": "x", "rules": rules})
    assert [rule.name for rule in found.rules.rules if rule.is_sum] == expected


def test_equation_reads_the_fields_that_it_names(tmp_path: Path) -> None:
    found = type_with_rule(tmp_path, equation="total = sum(items[].total) + tax?")
    assert found.rules.rules[0].paths == ("total", "items[].total", "tax")


FORMS = ("total = sum(items[].total)", "total = sum(items[].total) - abs(discount)?")


@pytest.mark.parametrize(
    ("content", "complete", "expected"),
    [
        ({"total": 9, "items": [{"total": 9}], "discount": 1}, True, "pass"),
        ({"total": 8, "items": [{"total": 9}], "discount": 1}, True, "pass"),
        ({"total": 8, "items": [{"total": 9}], "discount": -1}, True, "pass"),
        ({"total": 7, "items": [{"total": 9}], "discount": 1}, False, "fail"),
        ({"total": 7, "items": [{"total": 9}]}, True, "fail"),
        ({"total": 7, "items": [{"total": 9}]}, False, "not checkable"),
        ({"total": 10, "items": [{"total": 9}]}, False, "fail"),
        ({"items": [{"total": 9}]}, True, "not checkable"),
    ],
)
def test_one_form_of_several_must_be_true(content: dict[str, Any], complete: bool, expected: str) -> None:
    check = equation_check(list(map(parse_equation, FORMS)), Decimal(0))
    assert check(None, RuleContext(content, complete, False, Decimal("0.01")))[0] == expected


def test_each_row_can_have_another_form() -> None:
    forms = ("rows[].total = rows[].price - abs(rows[].discount)?", "rows[].total = rows[].price")
    check = equation_check(list(map(parse_equation, forms)), Decimal(0))
    rows = [{"total": 9, "price": 10, "discount": 1}, {"total": 10, "price": 10, "discount": 1}]
    assert check(None, RuleContext({"rows": rows}, True, False, Decimal("0.01")))[0] == "pass"
    rows.append({"total": 8, "price": 10, "discount": 1})
    assert check(None, RuleContext({"rows": rows}, True, False, Decimal("0.01")))[0] == "fail"
