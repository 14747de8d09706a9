"""Removal of answer values that a page does not show, field by field.

A value is searched in the spelling of the answer first; other spellings and misreadings of OCR are tried if that fails.
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
# Fields whose value is replaced by the word on the page.
_PRINTED: dict[str, Callable[[str, PageText], str | None]] = {
    "financial_summary.taxes[].type": printed_tax,
    "payment_terms.payment_method": printed_method,
}
# All other printable fields, with the function that finds another spelling than the answer's.
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
# All fields in the order of the answer, for reports.
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
# A whole number of at most this many digits may be a day, a rate or a part of a name.
_SHORT_DIGITS = 3
# First letters after the name of a tax in a tax number: VAT ID, USt-IdNr., VAT No, VAT Reg.
_OF_A_TAX_NUMBER = frozenset({"ID", "Id", "id", "No", "no", "Nr", "nr", "N°", "Nu", "nu", "Re", "re"})


def drop_unseen(value: dict[str, Any], page: PageText) -> tuple[str, ...]:
    """Remove from an answer, in place, every value that the page does not show.

    Empty blocks, rows and lists are removed too. A due date is in two blocks: both stay or both are removed. Names of
    taxes and payment methods are replaced by the words on the page. Confidences, logos and the validation summary are
    not searched, because they are never printed.

    Args:
        value: answer of `as_json`.
        page: text of the page in the request.

    Returns:
        The removed fields without list positions (`line_items[].total`), each once, in the order of the
        answer.
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
    removed, text = [], page.text
    for name, value in part.items():
        kind = type(value)
        if kind is dict or kind is list:
            if name != "line_items" and value:
                _drop_inside(value, prefix + name, page, unseen)
            if not value:
                removed.append(name)
        else:
            if kind is str:
                if f" {value} " in text and (name != "type" or not _is_of_a_tax_number(value, text)):
                    continue
            # A rate is printed as a percentage, rarely as the fraction of the answer.
            elif name != "rate":
                spelled = str(value)
                if f" {spelled} " in text and ("." in spelled or len(spelled) > _SHORT_DIGITS):
                    continue
            field = prefix + name
            if field not in _FIELD_NAMES:
                continue
            part[name] = _shown(field, value, page)
            if part[name] is None:
                removed.append(name)
                unseen.add(field)
    for name in removed:
        del part[name]


def _shown(field: str, value: Any, page: PageText) -> Any:
    """Return the value, or the word on the page for it; None if the page does not show it."""
    if (printed := _PRINTED.get(field)) is not None:
        return printed(value, page)
    return value if _SHOWS[field](value, page) else None


def _is_of_a_tax_number(name: str, text: str) -> bool:
    """Return whether the name of a tax in the text is followed by the words for a number."""
    end = text.find(f" {name} ") + len(name) + 2
    return text[end : end + 2] in _OF_A_TAX_NUMBER


def _drop_inside(value: dict[str, Any] | list[dict[str, Any]], place: str, page: PageText, unseen: set[str]) -> None:
    """Remove values from a block, or from each row of a list, and then empty rows."""
    if isinstance(value, dict):
        _drop(value, f"{place}.", page, unseen)
        return
    for row in value:
        _drop(row, f"{place}[].", page, unseen)
    if not all(value):
        value[:] = [row for row in value if row]
