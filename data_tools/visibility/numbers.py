"""Search for amounts, rates, dates and currencies on a page, in any usual spelling."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import lru_cache

from data_tools.visibility.page_text import PageText
from data_tools.visibility.spellings import currency_marks, plain_number

# A whole number of at most this many digits may be part of a name: `A -12 B`.
_SHORT_DIGITS = 3


def shows_amount(value: Decimal | int, page: PageText) -> bool:
    """Return whether an amount is printed as a separate number; the sign is ignored: a discount may be (12.00)."""
    spelled, text = str(value), page.text
    if f" -{spelled} " in text and ("." in spelled or len(spelled) > _SHORT_DIGITS):
        return True
    # 12 or 12.5 of the answer as 12.00 or 12.50 on the page: faster than parsing every number.
    cents = f"{value:.2f}"
    return (f" {cents} " in text and Decimal(cents) == value) or is_printed(plain_number(Decimal(value)), page)


def shows_own_number(value: Decimal, page: PageText) -> bool:
    """Return whether a number is printed as a separate number, and not as a rate; the sign is ignored."""
    plain = plain_number(Decimal(value))
    return plain in page.amounts or plain in page.own_repaired_amounts


def shows_rate(value: Decimal, page: PageText) -> bool:
    """Return whether a rate, a fraction in the answer, is printed: 0.19 as 19 %, 19,0 or 0.19."""
    percent = _percent(value)
    return f" {percent}% " in page.text or not page.numbers.isdisjoint((percent, plain_number(Decimal(value))))


@lru_cache(maxsize=1024)
def _percent(rate: Decimal) -> str:
    return plain_number(Decimal(rate).scaleb(2))


def is_printed(plain: str, page: PageText) -> bool:
    """Return whether a number of `plain_number` is printed as a separate number."""
    return plain in page.amounts or plain in page.repaired_amounts


def shows_date(value: str, page: PageText) -> bool:
    """Return whether an ISO date is printed, possibly in two lines of a column."""
    expected = date.fromisoformat(value)
    return expected in page.dates or (page.columns is not None and expected in page.columns.dates)


def shows_currency(value: str, page: PageText) -> bool:
    """Return whether a currency is printed as its code, symbol or name."""
    return currency_marks(value).search(page.text) is not None
