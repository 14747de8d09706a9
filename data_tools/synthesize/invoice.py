"""A synthetic invoice: the values that its page prints, and its ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from erniekit_adapter.documents.money import round_to_minor_unit


@dataclass(frozen=True)
class Company:
    """A vendor or a client; None means that the page does not show the value."""

    name: str
    address: str
    city: str
    country: str
    postal_code: str
    phone: str | None = None
    email: str | None = None


@dataclass(frozen=True)
class Item:
    """A line item: `unit_price` in the invoice's currency, `tax_rate` in percent."""

    description: str
    quantity: int
    unit_price: Decimal
    tax_rate: Decimal

    @property
    def net(self) -> Decimal:
        """Exact amount before tax."""
        return self.quantity * self.unit_price


@dataclass(frozen=True)
class SyntheticInvoice:
    """An invoice as its page prints it; amounts in `currency`, with that currency's decimals.

    Attributes:
        layout_type: name of the page layout.
        fault: the amount that is printed wrong, one of FAULTS; None if everything adds up.
    """

    invoice_id: str
    issue_date: date
    due_date: date
    currency: str
    language: str
    layout_type: str
    invoice_type: str
    vendor: Company
    client: Company
    items: tuple[Item, ...]
    payment_terms: str
    notes: str | None
    subtotal: Decimal
    tax_total: Decimal
    discount_total: Decimal
    grand_total: Decimal
    fault: str | None = None

    @property
    def tax_rate(self) -> Decimal:
        """Tax rate of all line items, in percent."""
        return self.items[0].tax_rate


def ground_truth(invoice: SyntheticInvoice) -> dict[str, Any]:
    """Return the ground truth as JSON values: dates in ISO format, amounts as Decimal, tax rates in percent.

    Values that the page does not show are None, except for the discount, which is then 0. The key `fault` exists only
    if an amount is wrong.
    """
    truth: dict[str, Any] = {
        "invoice_id": invoice.invoice_id,
        "issue_date": invoice.issue_date.isoformat(),
        "due_date": invoice.due_date.isoformat(),
        "currency": invoice.currency,
        "language": invoice.language,
        "layout_type": invoice.layout_type,
        "invoice_type": invoice.invoice_type,
        "challenge_category": "discount" if invoice.discount_total else "standard",
        "vendor": _company_truth(invoice.vendor),
        "client": _company_truth(invoice.client),
        "items": [
            {
                "description": item.description,
                "quantity": item.quantity,
                "unit_price": item.unit_price,
                "tax_rate": item.tax_rate,
                "discount": round_to_minor_unit(Decimal(0), invoice.currency),
            }
            for item in invoice.items
        ],
        "payment_terms": invoice.payment_terms,
        "notes": invoice.notes,
        "subtotal": invoice.subtotal,
        "tax_total": invoice.tax_total,
        "discount_total": invoice.discount_total,
        "grand_total": invoice.grand_total,
    }
    if invoice.fault:
        truth["fault"] = invoice.fault
    return truth


def _company_truth(company: Company) -> dict[str, str | None]:
    return {
        "name": company.name,
        "address": company.address,
        "city": company.city,
        "country": company.country,
        "postal_code": company.postal_code,
        "phone": company.phone,
        "email": company.email,
        "tax_id": None,
        "website": None,
        "logo_path": None,
    }
