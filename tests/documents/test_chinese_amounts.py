"""Amounts in Chinese capital letters."""

from __future__ import annotations

from decimal import Decimal

import pytest
from chinese_amount_examples import write_chinese_amount
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.documents.chinese_amounts import parse_chinese_amount

AMOUNTS = st.decimals(Decimal("-1e15"), Decimal("1e15"), places=2)


@given(AMOUNTS)
def test_written_amount_is_parsed_as_itself(amount: Decimal) -> None:
    assert parse_chinese_amount(write_chinese_amount(amount)) == amount


@given(st.text(alphabet="零壹贰叁玖拾佰仟万亿元圆整角分负 ()（）⊗", max_size=12))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        amount = parse_chinese_amount(text)
    except ValueError:
        return
    assert parse_chinese_amount(write_chinese_amount(amount)) == amount


@given(AMOUNTS, st.sampled_from(["整", "正", ""]), st.sampled_from(["", "人民币", "⊗", "价税合计（大写）：", "¥"]))
def test_marks_around_an_amount_are_ignored(amount: Decimal, end: str, mark: str) -> None:
    text = write_chinese_amount(abs(amount)).removesuffix("整")
    assert parse_chinese_amount(f"{mark}{text}{end}") == abs(amount)


# The examples in the rules of the People's Bank of China for bills.
@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1409.50", "壹仟肆佰零玖元伍角"),
        ("6007.14", "陆仟零柒元壹角肆分"),
        ("1680.32", "壹仟陆佰捌拾元零叁角贰分"),
        ("107000.53", "壹拾万柒仟元零伍角叁分"),
        ("16409.02", "壹万陆仟肆佰零玖元零贰分"),
        ("325.04", "叁佰贰拾伍元零肆分"),
        ("0", "零元整"),
        ("0.05", "伍分"),
        ("100000000", "壹亿元整"),
        ("-12", "负壹拾贰元整"),
    ],
)
def test_writes_an_amount(amount: str, text: str) -> None:
    assert write_chinese_amount(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("⊗壹仟圆整", "1000"),
        ("人民币（大写）：壹万零伍元伍角正", "10005.50"),
        ("零仟壹佰零拾贰元零角零分", "102"),
        ("（负数）壹佰元整", "-100"),
        ("壹仟陆佰捌拾元叁角贰分", "1680.32"),
        ("壹拾万柒仟元伍角叁分", "107000.53"),
        ("壹拾万零柒仟元", "107000"),
        ("拾元", "10"),
        ("壹萬貳仟圓整", "12000"),
        ("負壹元", "-1"),
        ("一百二十元", "120"),
        ("壹元伍分", "1.05"),
    ],
)
def test_parses_forms_that_pages_have(text: str, amount: str) -> None:
    assert parse_chinese_amount(text) == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "元",
        "万元",
        "壹仟贰元",
        "壹贰元",
        "佰元",
        "壹拾贰",
        "壹万贰拾元",
        "壹元壹元",
        "壹拾壹佰元",
        "12元",
        "壹" * 61,
    ],
)
def test_refuses_text_that_is_not_one_amount(text: str) -> None:
    with pytest.raises(ValueError, match="capital letters"):
        parse_chinese_amount(text)
