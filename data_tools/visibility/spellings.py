"""Numbers, dates and currencies in all spellings of pages, to find known values.

Sources reject ambiguous values (`documents/money.py`, `documents/dates.py`); here `1,234` matches both numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache

from erniekit_adapter.documents.dates import MONTH_LOCALES, month_numbers
from erniekit_adapter.documents.money import is_currency

# Repetitions are limited, so that every text takes linear time.
_MISREAD_NUMBER = re.compile(r"(?<![^\W_])(?=[^0-9\s]{0,8}[0-9])[0-9OoIlSBZ|][0-9OoIlSBZ|.,'’/-]{1,32}(?![^\W_])")
_AS_DIGITS = str.maketrans("OoIlSBZ|", "00115821")
# Digits next to a hyphen or a slash belong to dates and names: 2025-01-15, 030/1234.
_NUMBER = re.compile(r"(?<![0-9])(?<![0-9][-/])[.,]?[0-9][0-9.,'’]{0,32}(?![0-9.,'’]|[-/][0-9])")
_APOSTROPHES, _MARKS = re.compile("['’]"), re.compile("[.,]")
_RATE_MARK = re.compile(r"\s?[%‰]")
_DECIMALS = re.compile(r"[0-9][.,][0-9]{2}$")
_LETTERS_BEFORE = re.compile(r"([A-Za-zÀ-ɏ]+)[-.]?$")
_LETTERS_AFTER = re.compile(r"([A-Za-zÀ-ɏ]+)")
# Units that are printed next to a quantity without a blank; letters of names, as in A4, are not units.
_UNITS = frozenset({
    "x", "h", "hr", "hrs", "std", "st", "stk", "stck", "stück", "stuck", "pcs", "pc", "pce", "ea", "each", "qty",
    "unit", "units", "kg", "g", "t", "l", "m", "km", "cm", "mm", "m2", "m3", "qm", "cbm", "kwh", "mwh", "ks", "szt",
    "u", "ud", "uds", "un", "pz", "pza", "pièce", "pièces", "stuks", "tage", "day", "days", "jours", "hours",
    "stunden", "fr", "sfr", "rs",
})  # fmt: skip
_MAX_UNIT = 8
# After these units 2 and 3 are exponents: m2, cm3.
_LENGTHS = frozenset({"m", "mm", "cm", "dm", "km", "qm"})
_NUMERIC_DATE = re.compile(r"(?<![\d.,])(\d{1,2})\s?([-./])\s?(\d{1,2})\s?\2\s?(?:\d{4}|\d{2})(?![\d.,]*\d)")
_ISO_DATE = re.compile(r"(?<!\d)(\d{4})\s?([-./年])\s?(\d{1,2})\s?[-./月]\s?\d{1,2}日?(?!\d)")
_DAY_OF_MONTH = re.compile(r"(?<!\d)\d{1,2}\s?[月월]\s?\d{1,2}\s?[日일]")
_NAMED_DATE = re.compile(
    r"(?<!\d)(?<!\d[.,])\d{1,2}(?:st|nd|rd|th|er|o)?[\s.,/-]{0,3}(?:de |of )?(?P<month>[^\W\d_]{3,12})\b"
    r"(?:[\s.,/-]{0,3}(?:de |del )?(?:\d{4}|\d{2})(?![\d.,]*\d))?"
    r"|\b(?P<later>[^\W\d_]{3,12})[\s.]{1,2}\d{1,2}(?:st|nd|rd|th)?(?:[\s.,/-]{1,3}\d{4})?(?![\d.,]*\d)"
)
# Names of months that are also words of goods and units in other languages: "Drill bit set 2", "12 set", "may 3".
_ALSO_WORDS = frozenset({"ago", "mag", "mar", "may", "out", "set", "sett"})
_FULL_YEAR = re.compile(r"(?<!\d)(?:19|20)\d{2}(?!\d)")
_FRACTIONS = {"½": ".5", "¼": ".25", "¾": ".75"}
_FRACTION = re.compile(r"(?:(?<![0-9.,])([0-9]{1,9}) ?)?([½¼¾])")
# 1 234 567,89
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?:[.,]\d{1,2})?(?!\d)")
_MAX_FRAGMENTS = 4

_GAP = r"[\s.,/-]{0,3}"
_YEAR_FIRST = re.compile(r"(?<!\d)(\d{4})\s?[-./年년]\s?(\d{1,2})\s?[-./月월]\s?(\d{1,2})(?!\d)")
_COMPACT_DATE = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?!\d)")
_REIWA_DATE = re.compile(r"令和\s?(\d{1,2})\s?年\s?(\d{1,2})\s?月\s?(\d{1,2})(?!\d)")
_MINGUO_DATE = re.compile(r"民[國国]\s?(\d{2,3})\s?年\s?(\d{1,2})\s?月\s?(\d{1,2})(?!\d)")
_NUMERALS = "〇零一二三四五六七八九"
_WRITTEN_DATE = re.compile(
    rf"([{_NUMERALS}○]{{4}})\s?年\s?([{_NUMERALS}十]{{1,3}})\s?月\s?([{_NUMERALS}十]{{1,3}})\s?日"
)
_YEAR_LAST = re.compile(r"(?<!\d)(\d{1,2})\s?[-./]\s?(\d{1,2})\s?[-./]\s?(\d{4}|\d{2})(?!\d)")
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|o)?{_GAP}(?:de |of )?([^\W\d_]{{3,12}}){_GAP}(?:de |del )?"
    r"(\d{4}|\d{2})(?!\d)"
)
_MONTH_DAY = re.compile(rf"([^\W\d_]{{3,12}}){_GAP}(\d{{1,2}})(?:st|nd|rd|th)?[\s.,/-]{{1,3}}(\d{{4}})(?!\d)")
_YEAR_MONTH = re.compile(rf"(?<!\d)(\d{{4}}){_GAP}([^\W\d_]{{3,12}}){_GAP}(\d{{1,2}})(?!\d)")
# 02.01. has a point at its end, which distinguishes it from the amount 02.01.
_SHORT_DATE = re.compile(r"(?<![\d.,/-])(\d{1,2})(?:\.(?=\d{1,2}\.)|[/-])(\d{1,2})(?![\d/-]|[.,]\d)")
_MONTH_AND_DAY = re.compile(r"(?<!\d)(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일]")
_NAMED_DAY = re.compile(r"(?<!\d)(\d{1,2})(?:st|nd|rd|th|er|o)?\.?[ -]?([^\W\d_]{3,12})(?![^\W\d_])")
_NAMED_MONTH = re.compile(r"(?<![^\W\d_])([^\W\d_]{3,12})\.?[ -]?(\d{1,2})(?:st|nd|rd|th)?(?!\d)")
_CURRENCY_LOCALES = (*MONTH_LOCALES, "cs", "da", "hu", "ja", "ko", "nb", "pl", "sv", "tr", "zh")
_OTHER_CURRENCY_MARKS = {
    "CHF": ("Fr", "SFr"), "CNY": ("元",), "IDR": ("Rp",), "JPY": ("円",), "MYR": ("RM",),
    **dict.fromkeys(("ARS", "CLP", "COP", "CUP", "DOP", "SVC", "UYU"), ("$",)),
}  # fmt: skip


def without_compatibility_forms(text: str) -> str:
    """Return a text in NFKC, with fractions as decimals: `２½ m²` is `2.5 m2`."""
    return text if text.isascii() else unicodedata.normalize("NFKC", _FRACTION.sub(_as_decimals, text))


def _as_decimals(found: re.Match[str]) -> str:
    return f"{found[1] or '0'}{_FRACTIONS[found[2]]}"


def repaired_numbers(text: str) -> str:
    """Return a text with letters in numbers replaced by the digits that OCR confuses with them: `1O0.00` is `100.00`.

    Replaced are O, I, l, |, Z, S and B in words that have a digit and otherwise form a number or a numeric date.
    """
    return _MISREAD_NUMBER.sub(lambda found: found[0].translate(_AS_DIGITS), text)


def plain_number(number: Decimal) -> str:
    """Return a number without sign, exponent and trailing zeros, as the functions below return readings."""
    return f"{abs(number).normalize():f}"


def numbers_in(text: str) -> frozenset[str]:
    """Return all possible numbers of a text: `1,234` is 1234 and 1.234, `1'234.50` and `1.234,50` are 1234.5."""
    return frozenset(reading for token in _NUMBER.findall(text) for reading in _readings(token))


def own_numbers_in(text: str) -> frozenset[str]:
    """Return the same for separate numbers only: not rates, and not parts of words, names or times.

    `2` is not found in `2 %`, `A4`, `R-2`, `2nd` or `2:30`, but in `2`, `2 Stk`, `x2`, `EUR2` and `2個`. An amount with
    decimals can be joined to words: `Total119.00`.
    """
    return frozenset(reading for _, _, readings in own_numbers(text) for reading in readings)


def own_numbers(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield each separate number: start and end in the text, and its possible values."""
    for found in _NUMBER.finditer(text):
        if _is_its_own(text, found.start(), found.end()):
            yield found.start(), found.end(), tuple(_readings(found[0]))


def _is_its_own(text: str, start: int, end: int) -> bool:
    if _RATE_MARK.match(text, end):
        return False
    if _DECIMALS.search(text, start, end):
        return True
    before, after = text[max(start - _MAX_UNIT, 0) : start], text[end : end + _MAX_UNIT]
    if unit := _LETTERS_BEFORE.search(before):
        if unit[1].casefold() not in _UNITS and not is_currency(unit[1].upper()):
            return False
        if unit[0][-1].isalpha() and unit[1].casefold() in _LENGTHS and text[start:end].rstrip(".,") in ("2", "3"):
            return False
    elif before and before[-1] in "-/#:_" and (before[-1] == "#" or before[-2:-1].isalnum()):
        return False
    if after[:1] == ":" and after[1:2].isdigit():
        return False
    if unit := _LETTERS_AFTER.match(after):
        return unit[1].casefold() in _UNITS or is_currency(unit[1].upper())
    return not (after and after[0] in "-_" and after[1:2].isalpha())


def without_dates(text: str) -> str:
    """Return a text with dates replaced by blanks: the 2 of `2 Jan 2025` is not a quantity."""
    for pattern in (_NUMERIC_DATE, _ISO_DATE):
        text = pattern.sub(_blanked_numeric, text)
    text = _DAY_OF_MONTH.sub(lambda found: " " * len(found[0]), text)
    return _NAMED_DATE.sub(_blanked_named, text)


def _blanked_numeric(found: re.Match[str]) -> str:
    first, second = int(found[1]), int(found[3])
    is_date = max(first, second) <= 31 if max(first, second) < 100 else 1 <= second <= 12
    is_date = is_date and (min(first, second) <= 12 or first > 31)
    return " " * len(found[0]) if is_date else found[0]


def _blanked_named(found: re.Match[str]) -> str:
    name = (found["month"] or found["later"]).casefold()
    is_date = name in month_numbers() and (name not in _ALSO_WORDS or _FULL_YEAR.search(found[0]))
    return " " * len(found[0]) if is_date else found[0]


def joined_numbers_in(text: str) -> frozenset[str]:
    """Return the same for neighbours that blanks may have separated: `1 234,50`, `11 9.00`, `119 . 00`."""
    return frozenset(reading for token in _joined_numbers(text) for reading in _readings(token))


def _readings(token: str) -> Iterator[str]:
    """Yield the possible values of digits with points and commas, as of `plain_number`."""
    token = _APOSTROPHES.sub("", token).rstrip(".,")
    if token[0] in ".,":
        yield from _readings(token[1:])
        token = f"0{token}"
    *groups, last = _MARKS.split(token)
    if not groups:
        # 007 is a name, not a number.
        if last == "0" or last[0] != "0":
            yield last
        return
    grouped = 1 <= len(groups[0]) <= 3 and all(len(group) in (2, 3) for group in groups[1:])
    if grouped or len(groups) == 1:
        whole, fraction = "".join(groups).lstrip("0") or "0", last.rstrip("0")
        yield f"{whole}.{fraction}" if fraction else whole
    if grouped and len(last) == 3:
        yield "".join((*groups, last)).lstrip("0") or "0"


def _joined_numbers(text: str) -> Iterator[str]:
    """Yield each number of a text, and its combinations with the numbers that follow after a blank."""
    found = list(_NUMBER.finditer(text))
    for first, start in enumerate(found):
        token, end = start[0], start.end()
        yield token
        for follower in found[first + 1 : first + _MAX_FRAGMENTS]:
            gap = text[end : follower.start()]
            if gap not in (" ", " . ", " , "):
                break
            token, end = token + gap.strip() + follower[0], follower.end()
            yield token


def dates_in(text: str) -> frozenset[date]:
    """Return all possible dates of a text, numeric or with a month name: `03/04/2025` is two, `15. Januar 2025` one.

    Languages of month names: English, German, French, Spanish, Italian, Dutch and Portuguese.
    """
    found = [(year, int(month), day) for year, month, day in _YEAR_FIRST.findall(text) + _COMPACT_DATE.findall(text)]
    # The first year of Reiwa is 2019.
    found += [(str(2018 + int(year)), int(month), day) for year, month, day in _REIWA_DATE.findall(text)]
    found += [(str(1911 + int(year)), int(month), day) for year, month, day in _MINGUO_DATE.findall(text)]
    found += [
        ("".join(str(_numeral(digit)) for digit in year), _numeral(month), str(_numeral(day)))
        for year, month, day in _WRITTEN_DATE.findall(text)
    ]
    for first, second, last in _YEAR_LAST.findall(text):
        found += (last, int(first), second), (last, int(second), first), (first, int(second), last)
    named = [(year, name, day) for day, name, year in _DAY_MONTH.findall(text)]
    named += [(year, name, day) for name, day, year in _MONTH_DAY.findall(text)]
    for year, name, day in named + _YEAR_MONTH.findall(text):
        found += [(year, month, day) for month in month_numbers().get(name.casefold(), ())]
    return frozenset(day for parts in found for day in _date(*parts))


def _numeral(text: str) -> int:
    """Return a number up to 99 in Chinese numerals: 〇, 七, 十五, 三十."""
    tens, is_above_nine, ones = text.rpartition("十")
    value = max(_NUMERALS.find(ones), 1) - 1 if ones else 0
    return value if not is_above_nine else 10 * (max(_NUMERALS.find(tens), 1) - 1 if tens else 1) + value


def days_of_months_in(text: str) -> frozenset[tuple[int, int]]:
    """Return all days that a text may print without a year, as (month, day): `15.01.`, `01/15`, `15 Jan`, `1月15日`.

    `03/04` is two days.
    """
    found: set[tuple[int, int]] = set()
    for first, second in _SHORT_DATE.findall(text):
        found |= {(int(second), int(first)), (int(first), int(second))}
    found |= {(int(month), int(day)) for month, day in _MONTH_AND_DAY.findall(text)}
    named = [(name, day) for day, name in _NAMED_DAY.findall(text)] + _NAMED_MONTH.findall(text)
    for name, day in named:
        found |= {(month, int(day)) for month in month_numbers().get(name.casefold(), ())}
    return frozenset((month, day) for month, day in found if 1 <= month <= 12 and 1 <= day <= 31)


def _date(year: str, month: int, day: str) -> Iterator[date]:
    """Yield the date if it exists; a year of two digits is in this century."""
    try:
        yield date(int(year) + (2000 if len(year) == 2 else 0), month, int(day))
    except ValueError:
        return


@cache
def currency_marks(code: str) -> re.Pattern[str]:
    """Return a pattern for a currency: code, symbols and names that are not parts of words.

    Every dollar can be printed as `$`.
    """
    from babel.numbers import get_currency_name, get_currency_symbol

    marks = {code, *_OTHER_CURRENCY_MARKS.get(code, ())}
    if is_currency(code):
        marks |= {get_currency_symbol(code, locale) for locale in _CURRENCY_LOCALES}
        marks |= {get_currency_name(code, count, locale) for locale in _CURRENCY_LOCALES for count in (1, 2)}
    if any(mark.endswith("$") for mark in marks):
        marks.add("$")
    longest_first = sorted((unicodedata.normalize("NFKC", mark) for mark in marks), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-zÀ-ɏ])(?:{'|'.join(map(re.escape, longest_first))})(?![A-Za-zÀ-ɏ])", re.IGNORECASE)
