"""The search function of each kind of field: it returns the value for the answer, or None if it is not found.

Flags have none, because no page prints true or false.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from data_tools.visibility.capitals import is_in_capitals, shows_capitals
from data_tools.visibility.codes import shows_code
from data_tools.visibility.numbers import shows_currency, shows_date, shows_own_number, shows_rate
from data_tools.visibility.page_text import PageText
from data_tools.visibility.text import shows_address, shows_identifier, shows_text
from erniekit_adapter.documents.fields import NUMBER_KINDS, Field
from erniekit_adapter.documents.rules.context import number_of

Shows = Callable[[Any, PageText], bool]
Find = Callable[[Any, PageText], Any]


def search_of(field: Field) -> Find | None:
    """Return the search function of a field; None if no page can show it."""
    if not field.is_printed or field.kind == "flag":
        return None
    if field.kind == "code":
        return found_if(partial(shows_code, choices=field.choices))
    if field.kind in NUMBER_KINDS:
        shows = _NUMBERS[field.kind]
        if field.kind == "rate" and field.is_percent:
            shows = _shows_percent
        return found_if(partial(_shows_written_number, shows=shows) if field.is_text else shows)
    return found_if(_TEXTS[field.kind])


def found_if(shows: Shows) -> Find:
    """Return a search function that keeps the value of the answer."""

    def find(value: Any, page: PageText) -> Any:
        return value if shows(value, page) else None

    return find


def shows_any_text(value: str, page: PageText) -> bool:
    """Return whether a text is printed; of an amount in Chinese capital letters no letter may be misread."""
    return shows_capitals(value, page.text) if is_in_capitals(value) else shows_text(value, page)


def _shows_percent(value: Decimal, page: PageText) -> bool:
    return shows_rate(Decimal(value).scaleb(-2), page)


def _shows_written_number(value: object, page: PageText, shows: Shows) -> bool:
    """Return whether a number that is written as text is printed; a masked one is a text."""
    number = number_of(value)
    return shows_identifier(str(value), page) if number is None else shows(number, page)


_NUMBERS: dict[str, Shows] = {"amount": shows_own_number, "quantity": shows_own_number, "rate": shows_rate}
_TEXTS: dict[str, Shows] = {
    "text": shows_any_text,
    "address": shows_address,
    "identifier": shows_identifier,
    "date": shows_date,
    "currency": shows_currency,
}
