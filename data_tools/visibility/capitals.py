"""Amounts in Chinese capital letters (大写): variants of a character count as equal."""

from __future__ import annotations

import re

from data_tools.visibility.spellings import without_compatibility_forms

_NUMERALS = "零壹贰叁肆伍陆柒捌玖拾佰仟万亿元角分"
# Traditional, simple and printed variants of the characters.
_VARIANTS = str.maketrans({
    "〇": "零", "弌": "壹", "貳": "贰", "貮": "贰", "弐": "贰", "參": "叁", "叄": "叁", "陸": "陆", "萬": "万",
    "億": "亿", "圆": "元", "圓": "元", "正": None, "整": None, "零": None, " ": None, "⊗": None,
})  # fmt: skip
_CAPITALS = re.compile(rf"[{_NUMERALS}]{{2,60}}")
_PREFIXES = ("人民币", "人民幣", "RMB", "CNY", "¥")


def is_in_capitals(value: str) -> bool:
    """Return whether a text is an amount in capital letters, possibly after the name of the currency."""
    return _CAPITALS.fullmatch(_plain(value)) is not None


def shows_capitals(value: str, text: str) -> bool:
    """Return whether a text has the amount: 圆 is 元, 正 is 整, and 零 may be missing."""
    return _plain(value) in _CAPITALS.findall(text.translate(_VARIANTS))


def _plain(value: str) -> str:
    value = without_compatibility_forms(value)
    for prefix in _PREFIXES:
        value = value.strip().removeprefix(prefix)
    return value.translate(_VARIANTS)
