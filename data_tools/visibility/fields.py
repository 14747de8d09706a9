"""Taking out of an answer what a page does not show, field by field.

A value is looked for as the answer spells it first; other spellings, and what OCR misread, are tried if that fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data_tools.visibility.line_items import drop_unseen_items
from data_tools.visibility.names import printed_method, printed_tax, shows_document_type
from data_tools.visibility.numbers import shows_amount, shows_currency, shows_date, shows_rate
from data_tools.visibility.page_text import PageText
from data_tools.visibility.text import shows_address, shows_identifier, shows_text

_ITEM_FIELDS = tuple(f"line_items[].{name}" for name in ("description", "quantity", "unit_price", "total"))
# Fields whose value becomes the page's own word for it.
_PRINTED: dict[str, Callable[[str, PageText], str | None]] = {
    "financial_summary.taxes[].type": printed_tax,
    "payment_terms.payment_method": printed_method,
}
# Every other field that a page prints, with what finds it if it is not printed as the answer spells it.
_SHOWS: dict[str, Callable[[Any, PageText], bool]] = {
    "document_type": shows_document_type,
    "vendor_block.name": shows_text,
    "vendor_block.address": shows_address,
    "vendor_block.phone": shows_identifier,
    "vendor_block.email": shows_text,
    "client_info.name": shows_text,
    "client_info.address": shows_address,
    "client_info.invoice_number": shows_identifier,
    "client_info.invoice_date": shows_date,
    "client_info.due_date": shows_date,
    "financial_summary.subtotal": shows_amount,
    "financial_summary.taxes[].rate": shows_rate,
    "financial_summary.taxes[].amount": shows_amount,
    "financial_summary.discounts[].description": shows_text,
    "financial_summary.discounts[].amount": shows_amount,
    "financial_summary.charges[].description": shows_text,
    "financial_summary.charges[].amount": shows_amount,
    "financial_summary.grand_total": shows_amount,
    "financial_summary.amount_paid": shows_amount,
    "financial_summary.rounding": shows_amount,
    "financial_summary.amount_due": shows_amount,
    "financial_summary.currency": shows_currency,
    "payment_terms.due_date": shows_date,
    "payment_terms.notes": shows_text,
}
# The answer's fields in their order, for reports.
FIELDS = (
    *[name for name in _SHOWS if name.startswith(("document_type", "vendor_block", "client_info"))],
    *_ITEM_FIELDS,
    "financial_summary.subtotal",
    "financial_summary.taxes[].type",
    *[name for name in _SHOWS if name.startswith("financial_summary.") and name != "financial_summary.subtotal"],
    "payment_terms.due_date",
    "payment_terms.payment_method",
    "payment_terms.notes",
)
_FIELD_NAMES = frozenset(FIELDS)
# A whole number of so few digits may be a day, a rate or a part of a name; a longer one is a number of its own.
_SHORT_DIGITS = 3
# What follows the name of a tax in its number: VAT ID, USt-IdNr., VAT No, VAT Reg.
_OF_A_TAX_NUMBER = frozenset({"ID", "Id", "id", "No", "no", "Nr", "nr", "N°", "Nu", "nu", "Re", "re"})


def drop_unseen(value: dict[str, Any], page: PageText) -> tuple[str, ...]:
    """Take out of a canonical answer, in place, every value that the page does not show.

    Blocks, rows and lists that become empty go too. A due date is in two blocks: both stay or go. Names of taxes and
    payment methods become the page's own words. Confidences, logos and the validation summary are not looked for,
    because no page prints them.

    Args:
        value: the answer as `as_json` gives it.
        page: what the request shows.

    Returns:
        What was taken out, without list positions (`line_items[].total`), each once, in the order of the answer's
        fields.
    """
    data = value["structured_data"]
    unseen: set[str] = set()
    if items := data.get("line_items"):
        unseen |= drop_unseen_items(items, page, data.get("financial_summary", {}))
    _drop(data, "", page, unseen)
    if not unseen:
        return ()
    for block, twin in (("client_info", "payment_terms"), ("payment_terms", "client_info")):
        part = data.get(twin, {})
        if f"{block}.due_date" in unseen and "due_date" in part:
            unseen.add(f"{twin}.due_date")
            del part["due_date"]
            if not part:
                del data[twin]
    return tuple(name for name in FIELDS if name in unseen)


def _drop(part: dict[str, Any], prefix: str, page: PageText, unseen: set[str]) -> None:
    gone, text = [], page.text
    for name, value in part.items():
        kind = type(value)
        if kind is dict or kind is list:
            if name != "line_items" and value:
                _drop_inside(value, prefix + name, page, unseen)
            if not value:
                gone.append(name)
        else:
            if kind is str:
                if f" {value} " in text and (name != "type" or not _is_of_a_tax_number(value, text)):
                    continue
            # A rate is printed as a percentage, hardly ever as the fraction of the answer.
            elif name != "rate":
                spelled = str(value)
                if f" {spelled} " in text and ("." in spelled or len(spelled) > _SHORT_DIGITS):
                    continue
            field = prefix + name
            if field not in _FIELD_NAMES:
                continue
            part[name] = _shown(field, value, page)
            if part[name] is None:
                gone.append(name)
                unseen.add(field)
    for name in gone:
        del part[name]


def _shown(field: str, value: Any, page: PageText) -> Any:
    """A value, or the page's own word for it; None if the page does not show it."""
    if (printed := _PRINTED.get(field)) is not None:
        return printed(value, page)
    return value if _SHOWS[field](value, page) else None


def _is_of_a_tax_number(name: str, text: str) -> bool:
    """Whether the name of a tax, where the text has it as a word, is followed by the words for a number."""
    behind = text.find(f" {name} ") + len(name) + 2
    return text[behind : behind + 2] in _OF_A_TAX_NUMBER


def _drop_inside(value: dict[str, Any] | list[dict[str, Any]], place: str, page: PageText, unseen: set[str]) -> None:
    """Drop from a block, or from each row of a list and then the rows that this left empty."""
    if isinstance(value, dict):
        _drop(value, f"{place}.", page, unseen)
        return
    for row in value:
        _drop(row, f"{place}[].", page, unseen)
    if not all(value):
        value[:] = [row for row in value if row]
