"""An e-invoice as a canonical answer, with the names of its terms that have no place in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal, Inexact

from data_tools.sources.answers.flat_fields import plain_number
from erniekit_adapter.documents.invoice.answer import (
    Answer,
    Charge,
    ClientInfo,
    Discount,
    FinancialSummary,
    LineItem,
    PaymentTerms,
    StructuredData,
    Tax,
    VendorBlock,
)
from erniekit_adapter.documents.invoice.einvoice import (
    Address,
    AllowanceCharge,
    EInvoice,
    InvoiceLine,
    Party,
    Totals,
    VatRow,
)
from erniekit_adapter.documents.money import MAX_DIGITS, parse_amount

# UNTDID 1001 codes that EN 16931 treats as credit notes: their amounts are positive, and the seller pays them.
CREDIT_NOTE_CODES = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "532"})
# UNCL 5305 codes as readable text; Z is VAT at a rate of 0.
_TAX_NAMES = {
    "S": "VAT",
    "Z": "VAT",
    "E": "VAT exempt",
    "AE": "VAT reverse charge",
    "K": "VAT intra-community supply",
    "G": "VAT export",
    "O": "Not subject to VAT",
    "L": "IGIC",
    "M": "IPSI",
    "B": "VAT split payment",
}
# UNTDID 4461 codes of payment means; a code that is not listed here is reported as unused.
_PAYMENT_METHODS = {
    "10": "Cash",
    "20": "Cheque",
    "30": "Credit transfer",
    "31": "Debit transfer",
    "42": "Payment to bank account",
    "48": "Bank card",
    "49": "Direct debit",
    "54": "Credit card",
    "55": "Debit card",
    "57": "Standing agreement",
    "58": "SEPA credit transfer",
    "59": "SEPA direct debit",
    "68": "Online payment service",
}
# Countries in which the postal code comes after the city; in the others it comes first.
_CITY_FIRST_COUNTRIES = frozenset({"AU", "CA", "GB", "IE", "IN", "NZ", "SG", "US"})


def einvoice_answer(invoice: EInvoice) -> tuple[Answer, tuple[str, ...]]:
    """Return the canonical answer of an e-invoice, and the names of its terms without a place in the answer.

    Amounts are those of EN 16931: subtotal is BT-106, a discount is an allowance of the document [BG-20], a charge one
    of its charges [BG-21], a tax is a row of the VAT breakdown [BG-23] with its rate as a fraction, grand_total is
    BT-112; unit_price is the net price of one unit [BT-146 / BT-149]. Without lines, as in the profiles MINIMUM and
    BASIC WL, line_items is left out, because the page has line items that the invoice does not state.

    Raises:
        ValueError: there is a second currency, an allowance or a charge without an amount, or an invalid price or rate.
    """
    _refuse_what_does_not_fit(invoice)
    lines = [_line_item(line, number) for number, line in enumerate(invoice.lines, start=1)]
    seller, buyer = invoice.seller, invoice.buyer
    method = ", ".join(dict.fromkeys(_payment_methods(invoice)))
    data = StructuredData(
        document_type="credit_note" if _is_credit_note(invoice) else None,
        vendor_block=VendorBlock(
            name=seller.name, address=_one_line(seller.address), phone=seller.phone, email=seller.email
        ),
        client_info=ClientInfo(
            name=buyer.name,
            address=_one_line(buyer.address),
            invoice_number=invoice.number,
            invoice_date=invoice.issue_date,
            due_date=invoice.due_date,
        ),
        line_items=lines or None,
        financial_summary=_summary(invoice),
        payment_terms=PaymentTerms(
            due_date=invoice.due_date, payment_method=method or None, notes=invoice.payment_terms
        ),
    )
    return Answer(structured_data=data), tuple(dict.fromkeys(_without_place(invoice, lines)))


def _refuse_what_does_not_fit(invoice: EInvoice) -> None:
    for kind, term, parts in (("allowance", "BT-92", invoice.allowances), ("charge", "BT-99", invoice.charges)):
        for number, part in enumerate(parts, start=1):
            if part.amount is None:
                raise ValueError(f"{kind} {number} of the document has no amount [{term}]")
    if others := sorted(invoice.marked_currencies - {invoice.currency}):
        marks = ", ".join(others)[:200]
        raise ValueError(f"amounts marked with {marks} in an invoice in {invoice.currency}: the answer has only one")


def _is_credit_note(invoice: EInvoice) -> bool:
    return invoice.is_credit_note_document or invoice.type_code in CREDIT_NOTE_CODES


def _summary(invoice: EInvoice) -> FinancialSummary:
    totals = invoice.totals
    discounts = [Discount(description=part.reason, amount=part.amount) for part in invoice.allowances]
    charges = [Charge(description=part.reason, amount=part.amount) for part in invoice.charges]
    # If its parts are not stated, the total is used in their place.
    if totals.allowances and not discounts:
        discounts = [Discount(amount=totals.allowances)]
    if totals.charges and not charges:
        charges = [Charge(amount=totals.charges)]
    return FinancialSummary(
        subtotal=totals.lines,
        taxes=_taxes(invoice),
        discounts=discounts or None,
        charges=charges or None,
        grand_total=totals.with_vat,
        amount_paid=totals.paid or None,
        rounding=totals.rounding or None,
        amount_due=totals.payable if _is_due_of_its_own(totals) else None,
        currency=invoice.currency,
    )


def _is_due_of_its_own(totals: Totals) -> bool:
    """Return whether the amount to pay differs from the total: something was paid or rounded, or it is another amount.

    With payments collected for others it is left out: the answer has no place for them, and would not add up.
    """
    return not totals.third_party and bool(totals.paid or totals.rounding or totals.payable != totals.with_vat)


def _taxes(invoice: EInvoice) -> list[Tax] | None:
    """Return one tax for each row of the VAT breakdown; without a breakdown, only the total VAT."""
    if not invoice.vat_breakdown:
        return None if invoice.totals.vat is None else [Tax(amount=invoice.totals.vat)]
    return [
        Tax(type=_TAX_NAMES.get(row.category or ""), rate=_fraction(row), amount=row.tax_amount)
        for row in invoice.vat_breakdown
    ]


def _fraction(row: VatRow) -> Decimal | None:
    """Return the rate as a fraction: 19.00 per cent is 0.19."""
    if row.rate is None:
        return None
    try:
        return parse_amount(plain_number(row.rate / 100))
    except ValueError as error:
        raise ValueError(f"VAT rate [BT-119] {row.rate}: {error}") from error


def _line_item(line: InvoiceLine, number: int) -> LineItem:
    return LineItem(
        description=line.name, quantity=line.quantity, unit_price=_unit_price(line, number), total=line.net_amount
    )


def _unit_price(line: InvoiceLine, number: int) -> Decimal | None:
    """Return the net price of one unit; None if it has infinitely many digits, as 10 for 3, which no page prints."""
    price, base = line.price, line.base_quantity
    if base is not None and base <= 0:
        raise ValueError(f"line {number}: the price [BT-146] is for a quantity [BT-149] of {base}")
    if price is None or base is None or base == 1:
        return price
    try:
        unit_price = Context(prec=MAX_DIGITS, traps=[Inexact]).divide(price, base)
        # With the decimals of the price if they are enough: 600.00 for 10.000 is 60.00, while Decimal returns 6E+1.
        cut = unit_price.quantize(price)
        return parse_amount(cut if cut == unit_price else unit_price)
    except Inexact:
        return None
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"line {number}: {price} [BT-146] for {base} [BT-149] is not a price") from error


def _one_line(address: Address) -> str | None:
    city = [address.post_code, address.city]
    if address.country in _CITY_FIRST_COUNTRIES:
        city.reverse()
    parts = [*address.lines, " ".join(part for part in city if part), address.country]
    return ", ".join(part for part in parts if part) or None


def _payment_methods(invoice: EInvoice) -> Iterator[str]:
    for means in invoice.payment_means:
        if method := means.text or _PAYMENT_METHODS.get(means.code or ""):
            yield method


def _without_place(invoice: EInvoice, lines: list[LineItem]) -> Iterator[str]:
    """Yield the names of terms of the invoice without a place in the answer."""
    yield from _of_party(invoice.seller, "seller", ("BT-31", "BT-39"))
    yield from _of_party(invoice.buyer, "buyer", ("BT-48", "BT-54"))
    if invoice.buyer.phone or invoice.buyer.email:
        yield "buyer contact [BG-9]"
    yield from _of_totals(invoice)
    for row in invoice.vat_breakdown:
        if row.taxable_amount is not None:
            yield "VAT base [BT-116]"
        if row.category is not None and row.category not in _TAX_NAMES:
            yield "VAT category [BT-118]"
    yield from _of_parts(invoice.allowances, "allowance", ("BT-93, BT-94", "BT-95, BT-96", "BT-98"))
    yield from _of_parts(invoice.charges, "charge", ("BT-100, BT-101", "BT-102, BT-103", "BT-105"))
    if invoice.group_lines:
        yield "lines that group or explain others [BT-X-8]"
    for line, item in zip(invoice.lines, lines, strict=True):
        yield from _of_line(line, item)
    if any(not means.text and means.code not in _PAYMENT_METHODS for means in invoice.payment_means):
        yield "payment means code [BT-81]"


def _of_party(party: Party, name: str, terms: tuple[str, str]) -> Iterator[str]:
    if party.vat_identifier is not None:
        yield f"{name} VAT identifier [{terms[0]}]"
    if party.address.subdivision is not None:
        yield f"{name} country subdivision [{terms[1]}]"


def _of_parts(parts: Sequence[AllowanceCharge], kind: str, terms: tuple[str, str, str]) -> Iterator[str]:
    for part in parts:
        if part.base_amount is not None or part.percentage is not None:
            yield f"{kind} percentage [{terms[0]}]"
        if part.category is not None or part.rate is not None:
            yield f"{kind} VAT [{terms[1]}]"
        if part.reason is None and part.reason_code is not None:
            yield f"{kind} reason code [{terms[2]}]"


def _of_totals(invoice: EInvoice) -> Iterator[str]:
    """Yield the totals that the answer leaves out: sums of its rows, a payment of 0, a due amount equal to it."""
    totals = invoice.totals
    places = (
        ("sum of allowances [BT-107]", totals.allowances if invoice.allowances else None),
        ("sum of charges [BT-108]", totals.charges if invoice.charges else None),
        ("total without VAT [BT-109]", totals.without_vat),
        ("total VAT [BT-110]", totals.vat),
        ("paid amount [BT-113]", None if totals.paid else totals.paid),
        ("rounding amount [BT-114]", None if totals.rounding else totals.rounding),
        ("third-party payments [BT-DEX-002]", totals.third_party),
        ("amount due [BT-115]", None if _is_due_of_its_own(totals) else totals.payable),
    )
    yield from (name for name, amount in places if amount is not None)


def _of_line(line: InvoiceLine, item: LineItem) -> Iterator[str]:
    if line.price is not None and item.unit_price is None:
        yield "price [BT-146] of a quantity that does not divide it"
    if line.identifier is not None:
        yield "line identifier [BT-126]"
    if line.category is not None or line.rate is not None:
        yield "line VAT [BT-151, BT-152]"
    if line.allowances:
        yield "line allowances [BG-27]"
    if line.charges:
        yield "line charges [BG-28]"
