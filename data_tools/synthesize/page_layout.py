"""Page layouts: the blocks of text rows that a page shows, in reading order.

To add a page layout, add an entry at the end of `PAGE_LAYOUTS`, with a new block function if it needs one. The invoices
of a seed keep their content; those that get the new page layout change their arrangement only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from data_tools.synthesize.invoice import Company, SyntheticInvoice
from data_tools.synthesize.streams import random_stream

Style = Literal["title", "left", "right", "small", "head", "item", "total", "grand"]


@dataclass(frozen=True)
class TextRow:
    """A row of text: cells from left to right, and the style in which the page sets them."""

    cells: tuple[str, ...]
    style: Style


Block = tuple[TextRow, ...]
Labels = dict[str, str]

LABELS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "title": ("INVOICE", "Invoice", "TAX INVOICE"),
        "number": ("Invoice No", "Invoice #", "Inv. No.", "Number:"),
        "issued": ("Date", "Invoice date", "Issued", "Date:"),
        "due": ("Due", "Due date", "Pay by", "Due:"),
        "client": ("Bill to", "Customer", "Sold to", "Client:"),
        "description": ("Description", "Item", "Article"),
        "quantity": ("Qty", "Units"),
        "price": ("Price", "Unit price", "Each"),
        "net": ("Amount", "Net"),
        "subtotal": ("Subtotal", "Net total", "Sum"),
        "discount": ("Discount", "Less discount", "Rebate"),
        "total": ("Total", "Amount due", "Grand total"),
        "phone": ("Tel", "Phone"),
    },
    "de": {
        "title": ("RECHNUNG", "Rechnung"),
        "number": ("Rechnung Nr.", "Rechnungsnummer", "Re-Nr.", "Nummer:"),
        "issued": ("Datum", "Rechnungsdatum", "Vom", "Datum:"),
        "due": ("Zahlbar bis", "Zahlungsziel", "Zahlen bis:"),
        "client": ("Kunde", "An", "Rechnung an", "Kunde:"),
        "description": ("Bezeichnung", "Artikel", "Position"),
        "quantity": ("Menge", "Anz."),
        "price": ("Preis", "Einzelpreis"),
        "net": ("Betrag", "Netto"),
        "subtotal": ("Zwischensumme", "Nettosumme", "Summe netto"),
        "discount": ("Rabatt", "Nachlass", "Abzug"),
        "total": ("Gesamtbetrag", "Gesamt", "Rechnungsbetrag"),
        "phone": ("Tel", "Telefon"),
    },
}


def postal_address(company: Company, language: str) -> str:
    """Return the address as the page prints it, on one line."""
    place = f"{company.postal_code} {company.city}" if language == "de" else f"{company.city} {company.postal_code}"
    return f"{company.address}, {place}, {company.country}"


def tax_name(invoice: SyntheticInvoice) -> str:
    """Return the name of the tax on the page."""
    if invoice.language == "de":
        return "MwSt"
    return "Sales tax" if invoice.vendor.country == "US" else "VAT"


def percent(rate: Decimal) -> str:
    """Return a rate in percent without trailing zeros: 19.0 becomes `19%`, 8.25 `8.25%`."""
    return f"{rate.normalize():f}%"


def amount_text(amount: Decimal) -> str:
    """Return an amount with its decimals after a point and without a thousands separator."""
    return f"{amount:f}"


def _title(invoice: SyntheticInvoice, labels: Labels) -> Block:
    return (TextRow((labels["title"],), "title"),)


def _vendor(invoice: SyntheticInvoice, labels: Labels) -> Block:
    vendor = invoice.vendor
    rows = [TextRow((vendor.name,), "left"), TextRow((postal_address(vendor, invoice.language),), "small")]
    if vendor.phone and vendor.email:
        rows.append(TextRow((labels["phone"], vendor.phone, vendor.email), "small"))
    return tuple(rows)


def _client(invoice: SyntheticInvoice, labels: Labels) -> Block:
    address = postal_address(invoice.client, invoice.language)
    return TextRow((labels["client"], invoice.client.name), "left"), TextRow((address,), "small")


def _number_and_dates(invoice: SyntheticInvoice, labels: Labels, style: Style) -> Block:
    return (
        TextRow((labels["number"], invoice.invoice_id), style),
        TextRow((labels["issued"], invoice.issue_date.isoformat()), style),
        TextRow((labels["due"], invoice.due_date.isoformat()), style),
    )


def _meta_right(invoice: SyntheticInvoice, labels: Labels) -> Block:
    return _number_and_dates(invoice, labels, "right")


def _meta_left(invoice: SyntheticInvoice, labels: Labels) -> Block:
    return _number_and_dates(invoice, labels, "left")


def _meta_header(invoice: SyntheticInvoice, labels: Labels) -> Block:
    """Return title and number as the title row, and both dates in one row below."""
    dates = (labels["issued"], invoice.issue_date.isoformat(), labels["due"], invoice.due_date.isoformat())
    return TextRow((labels["title"], invoice.invoice_id), "title"), TextRow(dates, "left")


def _item_rows(invoice: SyntheticInvoice, quantity_format: str) -> Block:
    return tuple(
        TextRow(
            (
                item.description,
                quantity_format.format(item.quantity),
                amount_text(item.unit_price),
                amount_text(item.net),
            ),
            "item",
        )
        for item in invoice.items
    )


def _item_table(invoice: SyntheticInvoice, labels: Labels) -> Block:
    head = TextRow(tuple(labels[name] for name in ("description", "quantity", "price", "net")), "head")
    return (head, *_item_rows(invoice, "{}"))


def _receipt_items(invoice: SyntheticInvoice, _: Labels) -> Block:
    """Return line items without a header, quantities as `2 x`."""
    return _item_rows(invoice, "{} x")


def _totals(invoice: SyntheticInvoice, labels: Labels) -> Block:
    rows = [TextRow((labels["subtotal"], amount_text(invoice.subtotal)), "total")]
    if invoice.discount_total:
        rows.append(TextRow((labels["discount"], amount_text(-invoice.discount_total)), "total"))
    rows.append(TextRow((tax_name(invoice), percent(invoice.tax_rate), amount_text(invoice.tax_total)), "total"))
    rows.append(TextRow((labels["total"], invoice.currency, amount_text(invoice.grand_total)), "grand"))
    return tuple(rows)


def _terms(invoice: SyntheticInvoice, labels: Labels) -> Block:
    return tuple(TextRow((text,), "small") for text in (invoice.payment_terms, invoice.notes) if text)


# Each page layout lists its blocks from top to bottom.
PAGE_LAYOUTS: dict[str, tuple[Callable[[SyntheticInvoice, Labels], Block], ...]] = {
    "classic": (_title, _vendor, _meta_right, _client, _item_table, _totals, _terms),
    "letter": (_vendor, _client, _title, _meta_right, _item_table, _totals, _terms),
    "ledger": (_meta_header, _client, _vendor, _item_table, _totals, _terms),
    "receipt": (_vendor, _title, _receipt_items, _totals, _meta_left, _terms, _client),
}
# The content stream draws one of these; its draws must not change, so later page layouts are not added here.
FIRST_PAGE_LAYOUTS = ("classic", "letter", "ledger", "receipt")


def choose_page_layout(seed: int, index: int, *, first_choice: str) -> str:
    """Return the name of an invoice's page layout; all page layouts are equally likely.

    The n-th page layout replaces the choice among the first n - 1 for one invoice in n (reservoir sampling), with a
    separate random stream. Adding one therefore leaves all other invoices unchanged.

    Args:
        seed: number of the series.
        index: position in the series, from 0.
        first_choice: one of FIRST_PAGE_LAYOUTS.
    """
    chosen = first_choice
    for number, name in enumerate(PAGE_LAYOUTS, start=1):
        if name not in FIRST_PAGE_LAYOUTS and random_stream("page layout", name, seed, index).random() * number < 1:
            chosen = name
    return chosen


def page_blocks(invoice: SyntheticInvoice) -> list[Block]:
    """Return the blocks of the page from top to bottom; labels depend on the invoice number only."""
    rng = random_stream("labels", invoice.invoice_id)
    labels = {name: rng.choice(choices) for name, choices in LABELS[invoice.language].items()}
    return [make_block(invoice, labels) for make_block in PAGE_LAYOUTS[invoice.layout_type]]


def text_lines(invoice: SyntheticInvoice) -> list[str]:
    """Return the text of the page, one string for each row, in reading order."""
    return [" ".join(row.cells) for block in page_blocks(invoice) for row in block]
