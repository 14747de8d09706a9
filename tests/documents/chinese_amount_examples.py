"""Amounts written in Chinese capital letters, by the rules of the People's Bank of China for bills."""

from __future__ import annotations

from decimal import Decimal

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
_UNITS = {"仟": 1000, "佰": 100, "拾": 10}


def write_chinese_amount(amount: Decimal) -> str:
    """Return an amount in capital letters: 1680.32 as 壹仟陆佰捌拾元零叁角贰分."""
    cents = int(abs(amount).scaleb(2))
    whole, tens, ones = cents // 100, cents // 10 % 10, cents % 10
    found = f"{_written(whole)}元" if whole or not cents else ""
    if not tens and not ones:
        found += "整"
    else:
        # After a 0 in the place of the yuan or of the 角, a 零 is written.
        gap = "零" if whole and (not tens or not whole % 10) else ""
        found += gap + (f"{_DIGITS[tens]}角" if tens else "") + (f"{_DIGITS[ones]}分" if ones else "")
    return f"负{found}" if amount < 0 else found


def _written(whole: int) -> str:
    if whole < 10**4:
        return _written_section(whole) or "零"
    unit, name = (10**8, "亿") if whole >= 10**8 else (10**4, "万")
    high, low = divmod(whole, unit)
    # A 零 fills the highest places of the lower part if they are empty.
    gap = "零" if 0 < low < unit // 10 else ""
    return f"{_written(high)}{name}{gap}{_written(low) if low else ''}"


def _written_section(number: int) -> str:
    found, is_open = "", False
    for name, unit in (*_UNITS.items(), ("", 1)):
        digit = number // unit % 10
        if digit:
            found += ("零" if is_open and found else "") + _DIGITS[digit] + name
        is_open = not digit
    return found
