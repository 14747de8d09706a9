"""Finding amounts, rates, dates and currencies on a page, in any usual spelling."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import lru_cache

from data_tools.visibility.page_text import PageText
from data_tools.visibility.spellings import currency_marks, plain_number

# A whole number of so few digits may be part of a name: `A -12 B`.
_SHORT_DIGITS = 3


def shows_amount(value: Decimal | int, page: PageText) -> bool:
    """Whether an amount is printed as a number of its own; its sign is not compared: a discount may be (12.00)."""
    spelled, text = str(value), page.text
    if f" -{spelled} " in text and ("." in spelled or len(spelled) > _SHORT_DIGITS):
        return True
    # 12 or 12.5 of the answer as 12.00 or 12.50 of the page: quicker than reading every number of it.
    cents = f"{value:.2f}"
    return (f" {cents} " in text and Decimal(cents) == value) or is_printed(plain_number(Decimal(value)), page)


def shows_rate(value: Decimal, page: PageText) -> bool:
    """Whether a rate is printed, which is a fraction in the answer: 0.19 is 19 %, 19,0 or 0.19."""
    percent = _percent(value)
    return f" {percent}% " in page.text or not page.numbers.isdisjoint((percent, plain_number(Decimal(value))))


@lru_cache(maxsize=1024)
def _percent(rate: Decimal) -> str:
    return plain_number(Decimal(rate).scaleb(2))


def is_printed(plain: str, page: PageText) -> bool:
    """Whether a number, as `plain_number` spells it, is printed as a number of its own."""
    return plain in page.amounts or plain in page.repaired_amounts


def shows_date(value: str, page: PageText) -> bool:
    """Whether an ISO date is printed, perhaps in two lines of a column."""
    wanted = date.fromisoformat(value)
    return wanted in page.dates or (page.columns is not None and wanted in page.columns.dates)


def shows_currency(value: str, page: PageText) -> bool:
    """Whether a currency is printed as its code, symbol or name."""
    return currency_marks(value).search(page.text) is not None
