"""Amounts in Chinese capital letters, as invoices and cheques print them: 壹仟贰佰叁拾肆元伍角陆分 = 1234.56.

The rules of writing are those of the People's Bank of China for bills (正确填写票据和结算凭证的基本规定).
"""

from __future__ import annotations

import re
from decimal import Decimal

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_UNITS = {"仟": 1000, "佰": 100, "拾": 10}
_MAX_CHARACTERS = 60
# Other ways to write the same characters, on pages and in OCR.
_VARIANTS = str.maketrans(
    "〇○一二三四五六七八九两兩貳贰叄參叁陸千百十萬億圆圓块塊正負",
    "零零壹贰叁肆伍陆柒捌玖贰贰贰贰叁叁叁陆仟佰拾万亿元元元元整负",
)
_LABEL = re.compile(r"^(?:价税合计|合计|总计|金额)?(?:人民币)?[(]?(?:大写)?[)]?[:]?(?:人民币|RMB|CNY)?[¥⊗ⓧⓍ×xX*:]*")
_NEGATIVE = re.compile(r"^[(]?负数?[)]?")
_FRACTION = re.compile(rf"零?(?:([{_DIGITS}])角)?零?(?:([{_DIGITS}])分)?")


def parse_chinese_amount(text: str) -> Decimal:
    """Return the number of an amount in capital letters.

    A label or mark before it (人民币, ⊗), 整 after it, 圆 or 元, and traditional characters are accepted.

    Raises:
        ValueError: not such an amount, or written so that it can mean two numbers (壹仟贰); the message quotes it.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"{text[:_MAX_CHARACTERS]!r}… is not an amount in capital letters")
    plain = re.sub(r"\s", "", text).translate({0xFF08: "(", 0xFF09: ")", 0xFF1A: ":", 0xFFE5: "¥"})
    plain = _LABEL.sub("", plain, count=1).translate(_VARIANTS)
    body = _NEGATIVE.sub("", plain, count=1)
    is_negative = body != plain
    body = _LABEL.sub("", body, count=1).removesuffix("整")
    whole, unit, rest = body.rpartition("元")
    fraction = _FRACTION.fullmatch(rest if unit else body)
    if fraction is None or not (unit or fraction[1] or fraction[2]):
        raise ValueError(f"{text!r} is not an amount in capital letters")
    try:
        number = Decimal(_whole(whole) if unit else 0)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an amount in capital letters: {error}") from error
    number += Decimal(_digit(fraction[1]) * 10 + _digit(fraction[2])).scaleb(-2)
    return -number if is_negative and number else number


def _digit(character: str | None) -> int:
    return _DIGITS.index(character) if character else 0


def _whole(text: str) -> int:
    """Return the number before 元: sections of 亿 and 万."""
    if not text:
        raise ValueError("no number before 元")
    if text == "零":
        return 0
    high, has_high, low = text.rpartition("亿")
    if has_high and ("亿" in high or not high):
        raise ValueError("亿 in the wrong place")
    above = _below_one_hundred_million(high, is_first=True) * 10**8 if has_high else 0
    return above + _below_one_hundred_million(low, is_first=not has_high)


def _below_one_hundred_million(text: str, *, is_first: bool) -> int:
    high, has_high, low = text.rpartition("万")
    if has_high and ("万" in high or not high):
        raise ValueError("万 in the wrong place")
    above = _section(high, is_first=is_first) * 10**4 if has_high else 0
    return above + _section(low, is_first=is_first and not has_high)


def _section(text: str, *, is_first: bool) -> int:
    """Return a number below 10,000; a place between two digits that is left out must be written as 零."""
    total, last, digit, has_zero, previous = 0, 10**4, 0, is_first, ""
    for character in text:
        if character not in _DIGITS and character not in _UNITS:
            raise ValueError(f"{character!r} is not understood")
        if character in _DIGITS and digit:
            raise ValueError("two digits without a unit between them")
        if character == "零":
            has_zero = True
        elif character in _DIGITS:
            digit = _DIGITS.index(character)
        else:
            unit = _UNITS[character]
            # Preprinted forms have 零仟零佰; 拾 at the beginning is 10.
            is_skipped, is_ten = previous == "零", unit == 10 and not previous
            if unit >= last or not (digit or is_skipped or is_ten):
                raise ValueError(f"{character} in the wrong place")
            if not is_skipped:
                total += _with_place(digit or 1, unit, last, has_zero)
                has_zero = False
            last, digit = unit, 0
        previous = character
    return total + (_with_place(digit, 1, last, has_zero) if digit else 0)


def _with_place(digit: int, unit: int, last: int, has_zero: bool) -> int:
    if unit * 10 != last and not has_zero:
        raise ValueError("a place between two digits is left out without 零")
    return digit * unit
