"""An invoice as blocks of text rows in reading order: what the page shows, and what an OCR engine would read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from data_tools.synthesize.content import Party, SyntheticInvoice, generator

Style = Literal["title", "left", "right", "small", "head", "item", "total", "grand"]


@dataclass(frozen=True)
class Row:
    """One line of text: cells from left to right, and how the page sets them."""

    cells: tuple[str, ...]
    style: Style


Block = tuple[Row, ...]
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
ORDERS: dict[str, tuple[str, ...]] = {
    "classic": ("title", "vendor", "meta", "client", "items", "totals", "terms"),
    "letter": ("vendor", "client", "title", "meta", "items", "totals", "terms"),
    "ledger": ("meta", "client", "vendor", "items", "totals", "terms"),
    "receipt": ("vendor", "title", "items", "totals", "meta", "terms", "client"),
}


def page_blocks(invoice: SyntheticInvoice) -> list[Block]:
    """The page from top to bottom; order and labels depend on the invoice alone."""
    rng = generator("labels", invoice.invoice_id)
    labels = {name: rng.choice(choices) for name, choices in LABELS[invoice.language].items()}
    return [_BLOCKS[name](invoice, labels) for name in ORDERS[invoice.layout_type]]


def text_lines(invoice: SyntheticInvoice) -> list[str]:
    """The page's text, one string per row, in reading order."""
    return [" ".join(row.cells) for block in page_blocks(invoice) for row in block]


def postal_address(party: Party, language: str) -> str:
    """The address as the page prints it, on one line."""
    place = f"{party.postal_code} {party.city}" if language == "de" else f"{party.city} {party.postal_code}"
    return f"{party.address}, {place}, {party.country}"


def tax_name(invoice: SyntheticInvoice) -> str:
    """What the page calls the tax."""
    if invoice.language == "de":
        return "MwSt"
    return "Sales tax" if invoice.vendor.country == "US" else "VAT"


def percent(rate: Decimal) -> str:
    """A rate in percent without needless zeros: 19.0 becomes `19%`, 8.25 `8.25%`."""
    return f"{rate.normalize():f}%"


def amount_text(amount: Decimal) -> str:
    """An amount with the decimals it carries, a point before them, and no separator of thousands."""
    return f"{amount:f}"


def _title(invoice: SyntheticInvoice, labels: Labels) -> Block:
    return (Row((labels["title"],), "title"),)


def _vendor(invoice: SyntheticInvoice, labels: Labels) -> Block:
    vendor = invoice.vendor
    rows = [Row((vendor.name,), "left"), Row((postal_address(vendor, invoice.language),), "small")]
    if vendor.phone and vendor.email:
        rows.append(Row((labels["phone"], vendor.phone, vendor.email), "small"))
    return tuple(rows)


def _client(invoice: SyntheticInvoice, labels: Labels) -> Block:
    address = postal_address(invoice.client, invoice.language)
    return Row((labels["client"], invoice.client.name), "left"), Row((address,), "small")


def _meta(invoice: SyntheticInvoice, labels: Labels) -> Block:
    style: Style = "right" if invoice.layout_type in ("classic", "letter") else "left"
    number = (labels["number"], invoice.invoice_id)
    issued = (labels["issued"], invoice.issue_date.isoformat())
    due = (labels["due"], invoice.due_date.isoformat())
    if invoice.layout_type == "ledger":
        return Row((labels["title"], invoice.invoice_id), "title"), Row((*issued, *due), "left")
    return Row(number, style), Row(issued, style), Row(due, style)


def _items(invoice: SyntheticInvoice, labels: Labels) -> Block:
    by_receipt = invoice.layout_type == "receipt"
    head = Row(tuple(labels[name] for name in ("description", "quantity", "price", "net")), "head")
    rows = tuple(
        Row(
            (
                item.description,
                f"{item.quantity} x" if by_receipt else str(item.quantity),
                amount_text(item.unit_price),
                amount_text(item.net),
            ),
            "item",
        )
        for item in invoice.items
    )
    return rows if by_receipt else (head, *rows)


def _totals(invoice: SyntheticInvoice, labels: Labels) -> Block:
    rows = [Row((labels["subtotal"], amount_text(invoice.subtotal)), "total")]
    if invoice.discount_total:
        rows.append(Row((labels["discount"], amount_text(-invoice.discount_total)), "total"))
    rows.append(Row((tax_name(invoice), percent(invoice.tax_rate), amount_text(invoice.tax_total)), "total"))
    rows.append(Row((labels["total"], invoice.currency, amount_text(invoice.grand_total)), "grand"))
    return tuple(rows)


def _terms(invoice: SyntheticInvoice, labels: Labels) -> Block:
    return tuple(Row((text,), "small") for text in (invoice.payment_terms, invoice.notes) if text)


_BLOCKS: dict[str, Callable[[SyntheticInvoice, Labels], Block]] = {
    "title": _title,
    "vendor": _vendor,
    "client": _client,
    "meta": _meta,
    "items": _items,
    "totals": _totals,
    "terms": _terms,
}
