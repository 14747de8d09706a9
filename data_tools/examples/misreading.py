"""Misreadings of values: swapped digits, letters and digits of similar shape, and round errors."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import TypeVar

from erniekit_adapter.documents.money import MAX_DIGITS, is_currency, minor_digits

# Digits and letters of similar shape.
_DIGITS_LIKE = {
    "0": "68",
    "1": "47",
    "2": "7",
    "3": "58",
    "4": "19",
    "5": "36",
    "6": "058",
    "7": "12",
    "8": "036",
    "9": "48",
}
_LETTERS_LIKE = {
    "B": "8R",
    "C": "G",
    "D": "O$",
    "E": "F",
    "G": "6",
    "I": "1",
    "O": "0",
    "P": "R",
    "R": "PX",
    "S": "5",
    "U": "V",
    "Z": "2",
}
# Chinese numerals of similar shape, in capital letters and in usual ones.
_NUMERALS_LIKE = {
    "壹": "叁", "贰": "叁", "叁": "贰", "肆": "伍", "伍": "陆", "陆": "伍", "柒": "捌", "捌": "柒", "玖": "伍",
    "拾": "佰", "佰": "仟", "仟": "佰",
}  # fmt: skip
# Round errors, in units of the last digit.
_ROUND_STEPS = (10, 20, 50, 100, 200, 1_000, 10_000, 100_000)
# Larger than the tolerance of every rule, even if an unknown currency makes the minor unit a hundredth.
_LEAST_ERROR_MINOR_UNITS = 5

_T = TypeVar("_T")


def drawn(values: Sequence[_T], rng: random.Random) -> Iterator[_T]:
    """Yield the values in random order; each is drawn on demand, because the first is usually enough."""
    left = list(values)
    while left:
        yield left.pop(rng.randrange(len(left)))


def misread_amount(amount: Decimal | None, currency: str, rng: random.Random) -> Iterator[Decimal]:
    """Yield plausible misreadings of an amount in random order; nothing if the amount is not above 0."""
    if amount is None or amount <= 0:
        return
    currency_decimals = minor_digits(currency)
    whole, _, fraction = f"{amount:f}".partition(".")
    decimals = min(len(fraction), currency_decimals)
    least = max(1, _LEAST_ERROR_MINOR_UNITS * 10**decimals // 10 ** min(currency_decimals, 2))
    right = int(whole + fraction[:decimals])
    for mistakes in drawn((_swapped_digits, _misread_digits, _round_errors), rng):
        for wrong in drawn(mistakes(str(right)), rng):
            if abs(wrong - right) >= least and 0 < wrong < 10**MAX_DIGITS:
                yield Decimal(wrong).scaleb(-decimals)


def _swapped_digits(digits: str) -> list[int]:
    """Return all swaps of two neighbouring digits that keep the number's length."""
    swapped = [digits[:i] + right + left + digits[i + 2 :] for i, (left, right) in enumerate(pairwise(digits))]
    return [int(wrong) for wrong in swapped if wrong[0] != "0"]


def _misread_digits(digits: str) -> list[int]:
    """Return all replacements of one digit by a similar one that keep the number's length."""
    misread = [digits[:i] + other + digits[i + 1 :] for i, digit in enumerate(digits) for other in _DIGITS_LIKE[digit]]
    return [int(wrong) for wrong in misread if wrong[0] != "0"]


def _round_errors(digits: str) -> list[int]:
    """Return the amount plus and minus round figures that are not far above the amount itself."""
    right = int(digits)
    steps = [step for step in _ROUND_STEPS if step <= max(right, 1_000)]
    return [right + step for step in steps] + [right - step for step in steps]


@cache
def wrong_codes(code: str) -> tuple[str, ...]:
    """Return texts that look like a currency code but are invalid: a misread letter, a swap, or a blank inside."""
    misread = [code[:i] + other + code[i + 1 :] for i in range(3) for other in _LETTERS_LIKE.get(code[i], "")]
    swapped = [code[1] + code[0] + code[2], code[0] + code[2] + code[1]]
    wrong = {*misread, *swapped, f"{code[0]} {code[1:]}"}
    return tuple(sorted(found for found in wrong if not is_currency(found)))


def misread_text(text: str, rng: random.Random) -> Iterator[str]:
    """Yield misreadings of a text in random order: one digit, letter or Chinese numeral, or two neighbours swapped."""
    for place in drawn(range(len(text)), rng):
        character = text[place]
        similar = _DIGITS_LIKE.get(character) or _LETTERS_LIKE.get(character) or _NUMERALS_LIKE.get(character, "")
        for other in similar:
            yield text[:place] + other + text[place + 1 :]
        following = text[place + 1 : place + 2]
        if following.isalnum() and character.isalnum() and following != character:
            yield text[:place] + following + character + text[place + 2 :]
