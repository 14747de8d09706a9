"""Data model of an e-invoice by EN 16931, independent of its syntax. Names in brackets are its business terms.

Unstated values have the value None, never 0; rates are percentages, as in the standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

Syntax = Literal["UBL", "CII"]


@dataclass(frozen=True)
class AllowanceCharge:
    """An allowance or a charge, of the document [BG-20, BG-21] or of a line [BG-27, BG-28].

    Attributes:
        amount: the subtracted or added amount [BT-92, BT-99, BT-136, BT-141].
        base_amount: the amount that the percentage applies to [BT-93, BT-100, BT-137, BT-142].
        percentage: the percentage [BT-94, BT-101, BT-138, BT-143].
        category: VAT category [BT-95, BT-102]; only on document level, a line has its own.
        rate: VAT rate [BT-96, BT-103]; only on document level.
        reason: the reason as text [BT-97, BT-104, BT-139, BT-144].
        reason_code: the reason as a code [BT-98, BT-105, BT-140, BT-145].
    """

    amount: Decimal | None = None
    base_amount: Decimal | None = None
    percentage: Decimal | None = None
    category: str | None = None
    rate: Decimal | None = None
    reason: str | None = None
    reason_code: str | None = None


@dataclass(frozen=True)
class InvoiceLine:
    """A line [BG-25].

    Attributes:
        identifier: number of the line [BT-126].
        name: name of the item [BT-153].
        quantity: invoiced quantity [BT-129].
        net_amount: amount without VAT, including the line's allowances and charges [BT-131].
        price: net price [BT-146] of `base_quantity` units.
        base_quantity: number of units of the price [BT-149]; None means 1.
        category: VAT category [BT-151].
        rate: VAT rate [BT-152].
        allowances: allowances of this line [BG-27].
        charges: charges of this line [BG-28].
    """

    identifier: str | None = None
    name: str | None = None
    quantity: Decimal | None = None
    net_amount: Decimal | None = None
    price: Decimal | None = None
    base_quantity: Decimal | None = None
    category: str | None = None
    rate: Decimal | None = None
    allowances: tuple[AllowanceCharge, ...] = ()
    charges: tuple[AllowanceCharge, ...] = ()


@dataclass(frozen=True)
class VatRow:
    """A row of the VAT breakdown [BG-23].

    Attributes:
        taxable_amount: taxable amount [BT-116].
        tax_amount: VAT amount [BT-117].
        category: VAT category [BT-118].
        rate: VAT rate [BT-119].
    """

    taxable_amount: Decimal | None = None
    tax_amount: Decimal | None = None
    category: str | None = None
    rate: Decimal | None = None


@dataclass(frozen=True)
class Totals:
    """The document's totals [BG-22].

    Attributes:
        lines: sum of the lines [BT-106].
        allowances: sum of the document's allowances [BT-107].
        charges: sum of the document's charges [BT-108].
        without_vat: total without VAT [BT-109].
        vat: total VAT in the invoice's currency [BT-110].
        with_vat: total with VAT [BT-112].
        paid: amount paid in advance [BT-113].
        rounding: amount added to round the payable amount [BT-114].
        third_party: third-party payments added to the payable amount [BT-DEX-002]; only in XRechnung's extension.
        payable: amount due for payment [BT-115].
    """

    lines: Decimal | None = None
    allowances: Decimal | None = None
    charges: Decimal | None = None
    without_vat: Decimal | None = None
    vat: Decimal | None = None
    with_vat: Decimal | None = None
    paid: Decimal | None = None
    rounding: Decimal | None = None
    third_party: Decimal | None = None
    payable: Decimal | None = None


@dataclass(frozen=True)
class Address:
    """The postal address of the seller [BG-5] or the buyer [BG-8].

    Attributes:
        lines: street, house number, post box [BT-35, BT-36, BT-162; BT-50, BT-51, BT-163].
        post_code: post code [BT-38, BT-53].
        city: city [BT-37, BT-52].
        subdivision: state or province [BT-39, BT-54].
        country: ISO 3166-1 code of two letters [BT-40, BT-55].
    """

    lines: tuple[str, ...] = ()
    post_code: str | None = None
    city: str | None = None
    subdivision: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class Party:
    """The seller [BG-4] or the buyer [BG-7].

    Attributes:
        name: legal name [BT-27, BT-44].
        vat_identifier: VAT number [BT-31, BT-48].
        address: postal address.
        phone: telephone number of the contact [BT-42, BT-57].
        email: email address of the contact [BT-43, BT-58].
    """

    name: str | None = None
    vat_identifier: str | None = None
    address: Address = Address()
    phone: str | None = None
    email: str | None = None


@dataclass(frozen=True)
class PaymentMeans:
    """Payment means [BG-16].

    Attributes:
        code: code of UNTDID 4461 [BT-81]; 58 is a SEPA credit transfer.
        text: payment means as text [BT-82].
    """

    code: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class EInvoice:
    """An invoice or a credit note.

    Attributes:
        syntax: syntax of the file; the official checks of UBL and CII have different tolerances.
        is_extended: whether it has the profile EXTENDED of Factur-X and ZUGFeRD, which has other checks.
        is_credit_note_document: whether it is a UBL CreditNote, independent of its type code.
        number: invoice number [BT-1].
        type_code: invoice type code [BT-3]; 380 is an invoice, 381 a credit note.
        issue_date: issue date [BT-2].
        due_date: payment due date [BT-9]; the earliest if there are several.
        payment_terms: payment terms as text [BT-20].
        payment_means: payment means, in the order of the invoice.
        currency: currency of every amount [BT-5], except for the VAT total in accounting currency.
        marked_currencies: currencies that the amounts are marked with, except for those VAT totals.
        seller: the seller.
        buyer: the buyer.
        lines: invoice lines; each amount once.
        group_lines: lines of EXTENDED that summarise or explain other lines (GROUP, INFORMATION); not part of sums.
        allowances: document level allowances [BG-20].
        charges: document level charges [BG-21].
        vat_breakdown: VAT by category and rate [BG-23].
        totals: document totals.
    """

    syntax: Syntax = "UBL"
    is_extended: bool = False
    is_credit_note_document: bool = False
    number: str | None = None
    type_code: str | None = None
    issue_date: date | None = None
    due_date: date | None = None
    payment_terms: str | None = None
    payment_means: tuple[PaymentMeans, ...] = ()
    currency: str | None = None
    marked_currencies: frozenset[str] = frozenset()
    seller: Party = Party()
    buyer: Party = Party()
    lines: tuple[InvoiceLine, ...] = ()
    group_lines: tuple[InvoiceLine, ...] = ()
    allowances: tuple[AllowanceCharge, ...] = ()
    charges: tuple[AllowanceCharge, ...] = ()
    vat_breakdown: tuple[VatRow, ...] = ()
    totals: Totals = Totals()
