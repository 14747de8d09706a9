"""An e-invoice as EN 16931 sees it, whatever its syntax. Names in brackets are the standard's business terms.

What the invoice does not say is None, never 0; rates are percentages, as the standard writes them.
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
        amount: what is taken off or added [BT-92, BT-99, BT-136, BT-141].
        base_amount: what a percentage was taken of [BT-93, BT-100, BT-137, BT-142].
        percentage: the percentage [BT-94, BT-101, BT-138, BT-143].
        category: VAT category of the document's [BT-95, BT-102]; those of a line have the line's.
        rate: VAT rate of the document's [BT-96, BT-103].
        reason: why [BT-97, BT-104, BT-139, BT-144].
        reason_code: the same as a code [BT-98, BT-105, BT-140, BT-145].
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
        identifier: the line's own number [BT-126].
        name: what was sold [BT-153].
        quantity: how much of it [BT-129].
        net_amount: without VAT, with the line's allowances and charges [BT-131].
        price: net price [BT-146] of so many units:
        base_quantity: the units that the price is for [BT-149]; 1 where the invoice says nothing.
        category: VAT category [BT-151].
        rate: VAT rate [BT-152].
        allowances: taken off this line [BG-27].
        charges: added to this line [BG-28].
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
        taxable_amount: what is taxed [BT-116].
        tax_amount: the VAT on it [BT-117].
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
        paid: what has been paid already [BT-113].
        rounding: added to round what is left to pay [BT-114].
        third_party: collected for others and added to what is left to pay [BT-DEX-002]; XRechnung's extension only.
        payable: what is left to pay [BT-115].
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
        lines: street, house, box and the like [BT-35, BT-36, BT-162; BT-50, BT-51, BT-163].
        post_code: in the spelling of its country [BT-38, BT-53].
        city: the town [BT-37, BT-52].
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
        address: where mail reaches it.
        phone: of its contact [BT-42, BT-57].
        email: of its contact [BT-43, BT-58].
    """

    name: str | None = None
    vat_identifier: str | None = None
    address: Address = Address()
    phone: str | None = None
    email: str | None = None


@dataclass(frozen=True)
class PaymentMeans:
    """How to pay [BG-16].

    Attributes:
        code: of UNTDID 4461 [BT-81]; 58 a SEPA credit transfer.
        text: the same in words [BT-82].
    """

    code: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class EInvoice:
    """An invoice or a credit note.

    Attributes:
        syntax: what it is written in; the official checks of UBL and CII differ in their tolerances.
        is_extended: whether it has the profile EXTENDED of Factur-X and ZUGFeRD, which has checks of its own.
        is_credit_note_document: whether it is a UBL CreditNote, whatever its type code.
        number: its number [BT-1].
        type_code: what kind of invoice it is [BT-3]; 380 an invoice, 381 a credit note.
        issue_date: when it was issued [BT-2].
        due_date: when it has to be paid [BT-9]; the earliest where several are given.
        payment_terms: how it has to be paid, as text [BT-20].
        payment_means: by what, in the order of the invoice.
        currency: of every amount [BT-5], but for a VAT total that is repeated in the accounts' currency.
        marked_currencies: what the amounts themselves are marked with, those VAT totals aside.
        seller: who sold.
        buyer: who bought.
        lines: what was sold; each amount once.
        group_lines: lines of EXTENDED that sum up or explain other lines and add nothing (GROUP, INFORMATION).
        allowances: taken off the document [BG-20].
        charges: added to the document [BG-21].
        vat_breakdown: VAT by category and rate [BG-23].
        totals: the sums.
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
