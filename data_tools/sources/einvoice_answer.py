"""An e-invoice as the canonical answer, with the names of what has no place in it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal, Inexact

from data_tools.sources.flat_fields import plain
from erniekit_adapter.invoice.answer import (
    Answer,
    ClientInfo,
    Discount,
    FinancialSummary,
    LineItem,
    PaymentTerms,
    StructuredData,
    Tax,
    VendorBlock,
)
from erniekit_adapter.invoice.einvoice import Address, EInvoice, InvoiceLine, Party, Totals, VatRow
from erniekit_adapter.invoice.money import MAX_DIGITS, parse_amount

# UNTDID 1001, those that EN 16931 takes for credit notes: their amounts are positive, and the seller pays them.
CREDIT_NOTE_CODES = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "532"})
# UNCL 5305, in the words of a reader; Z is VAT at a rate of 0.
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
# UNTDID 4461, the means of paying an invoice; a code without a name here is listed as unused.
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
# Countries that write the post code behind the city; the others put it first.
_CITY_FIRST_COUNTRIES = frozenset({"AU", "CA", "GB", "IE", "IN", "NZ", "SG", "US"})


def einvoice_answer(invoice: EInvoice) -> tuple[Answer, tuple[str, ...]]:
    """Make the canonical answer of an e-invoice, and name what the invoice says and the answer has no place for.

    Amounts are those of EN 16931: subtotal is BT-106, a discount is an allowance of the document [BG-20], a tax is a
    row of the VAT breakdown [BG-23] with its rate as a fraction, grand_total is BT-112; unit_price is the net price of
    one unit [BT-146 / BT-149].

    Raises:
        ValueError: what the answer cannot say without another sum coming out: a credit note, charges, negative
            allowances, a second currency; or an invoice without lines, or with a price or rate that is none.
    """
    _refuse_what_does_not_fit(invoice)
    lines = [_line_item(line, number) for number, line in enumerate(invoice.lines, start=1)]
    seller, buyer = invoice.seller, invoice.buyer
    method = ", ".join(dict.fromkeys(_payment_methods(invoice)))
    data = StructuredData(
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
        line_items=lines,
        financial_summary=_summary(invoice),
        payment_terms=PaymentTerms(
            due_date=invoice.due_date, payment_method=method or None, notes=invoice.payment_terms
        ),
    )
    return Answer(structured_data=data), tuple(dict.fromkeys(_without_place(invoice, lines)))


def _refuse_what_does_not_fit(invoice: EInvoice) -> None:
    if invoice.type_code in CREDIT_NOTE_CODES:
        raise ValueError(
            f"a credit note (type {invoice.type_code} [BT-3]): the answer has no place for money that flows back"
        )
    if invoice.charges or invoice.totals.charges:
        raise ValueError("charges of the document [BG-21]: the answer has a place for discounts only")
    for number, allowance in enumerate(invoice.allowances, start=1):
        if allowance.amount is None or allowance.amount < 0:
            raise ValueError(f"allowance {number} [BT-92] is {allowance.amount}, expected an amount from 0")
    if others := sorted(invoice.marked_currencies - {invoice.currency}):
        marks = ", ".join(others)[:200]
        raise ValueError(f"amounts marked with {marks} in an invoice in {invoice.currency}: the answer has only one")
    if not invoice.lines:
        raise ValueError("no lines [BG-25], as in the profiles MINIMUM and BASIC WL; the page says what was sold")


def _summary(invoice: EInvoice) -> FinancialSummary:
    allowances = [Discount(description=part.reason, amount=part.amount) for part in invoice.allowances]
    return FinancialSummary(
        subtotal=invoice.totals.lines,
        taxes=_taxes(invoice),
        discounts=allowances or None,
        grand_total=invoice.totals.with_vat,
        currency=invoice.currency,
    )


def _taxes(invoice: EInvoice) -> list[Tax] | None:
    """One tax for each row of the VAT breakdown; without any, the total VAT alone."""
    if not invoice.vat_breakdown:
        return None if invoice.totals.vat is None else [Tax(amount=invoice.totals.vat)]
    return [
        Tax(type=_TAX_NAMES.get(row.category or ""), rate=_fraction(row), amount=row.tax_amount)
        for row in invoice.vat_breakdown
    ]


def _fraction(row: VatRow) -> Decimal | None:
    """The rate as a fraction: 19.00 per cent is 0.19."""
    if row.rate is None:
        return None
    try:
        return parse_amount(plain(row.rate / 100))
    except ValueError as error:
        raise ValueError(f"VAT rate [BT-119] {row.rate}: {error}") from error


def _line_item(line: InvoiceLine, number: int) -> LineItem:
    return LineItem(
        description=line.name, quantity=line.quantity, unit_price=_unit_price(line, number), total=line.net_amount
    )


def _unit_price(line: InvoiceLine, number: int) -> Decimal | None:
    """The net price of one unit; None where it has no end, as 10 for 3: no page prints so many digits."""
    price, base = line.price, line.base_quantity
    if base is not None and base <= 0:
        raise ValueError(f"line {number}: the price [BT-146] is for a quantity [BT-149] of {base}")
    if price is None or base is None or base == 1:
        return price
    try:
        unit_price = Context(prec=MAX_DIGITS, traps=[Inexact]).divide(price, base)
        # With the decimals of the price where they are enough: 600.00 for 10.000 is 60.00, where Decimal has 6E+1.
        cut = unit_price.quantize(price)
        return parse_amount(cut if cut == unit_price else unit_price)
    except Inexact:
        return None
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"line {number}: {price} [BT-146] for {base} [BT-149] is no price") from error


def _one_line(address: Address) -> str | None:
    place = [address.post_code, address.city]
    if address.country in _CITY_FIRST_COUNTRIES:
        place.reverse()
    parts = [*address.lines, " ".join(part for part in place if part), address.country]
    return ", ".join(part for part in parts if part) or None


def _payment_methods(invoice: EInvoice) -> Iterator[str]:
    for means in invoice.payment_means:
        if method := means.text or _PAYMENT_METHODS.get(means.code or ""):
            yield method


def _without_place(invoice: EInvoice, lines: list[LineItem]) -> Iterator[str]:
    """What the invoice says beyond the answer, by name."""
    yield from _of_party(invoice.seller, "seller", ("BT-31", "BT-39"))
    yield from _of_party(invoice.buyer, "buyer", ("BT-48", "BT-54"))
    if invoice.buyer.phone or invoice.buyer.email:
        yield "buyer contact [BG-9]"
    yield from _of_totals(invoice.totals)
    for row in invoice.vat_breakdown:
        if row.taxable_amount is not None:
            yield "VAT base [BT-116]"
        if row.category is not None and row.category not in _TAX_NAMES:
            yield "VAT category [BT-118]"
    for allowance in invoice.allowances:
        if allowance.base_amount is not None or allowance.percentage is not None:
            yield "allowance percentage [BT-93, BT-94]"
        if allowance.category is not None or allowance.rate is not None:
            yield "allowance VAT [BT-95, BT-96]"
        if allowance.reason is None and allowance.reason_code is not None:
            yield "allowance reason code [BT-98]"
    for line, item in zip(invoice.lines, lines, strict=True):
        yield from _of_line(line, item)
    if any(not means.text and means.code not in _PAYMENT_METHODS for means in invoice.payment_means):
        yield "payment means code [BT-81]"


def _of_party(party: Party, name: str, terms: tuple[str, str]) -> Iterator[str]:
    if party.vat_identifier is not None:
        yield f"{name} VAT identifier [{terms[0]}]"
    if party.address.subdivision is not None:
        yield f"{name} country subdivision [{terms[1]}]"


def _of_totals(totals: Totals) -> Iterator[str]:
    places = (
        ("sum of allowances [BT-107]", totals.allowances),
        ("total without VAT [BT-109]", totals.without_vat),
        ("total VAT [BT-110]", totals.vat),
        ("paid amount [BT-113]", totals.paid),
        ("rounding amount [BT-114]", totals.rounding),
        ("amount due [BT-115]", totals.payable),
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
