"""UBL 2.1 invoices and credit notes, by the syntax binding of EN 16931-3-2."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal

from data_tools.sources.files.xml_tree import Element, decimal_in, only_decimal
from erniekit_adapter.documents.invoice.einvoice import (
    Address,
    AllowanceCharge,
    EInvoice,
    InvoiceLine,
    Party,
    PaymentMeans,
    Totals,
    VatRow,
)

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
PREFIXES = {
    f"{_UBL}Invoice-2": "ubl",
    f"{_UBL}CreditNote-2": "cn",
    f"{_UBL}CommonAggregateComponents-2": "cac",
    f"{_UBL}CommonBasicComponents-2": "cbc",
}
# The extension of XRechnung, whose BR-DEX-09 adds third-party payments to the sum of BR-CO-16.
_XRECHNUNG_EXTENSION = "urn:xeinkauf.de:kosit:extension:xrechnung_"
# An XML date may have a time zone, which does not change the day on the invoice.
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})?")


def read_ubl(root: Element) -> EInvoice:
    """Return the e-invoice of an `Invoice` or a `CreditNote`.

    Raises:
        ValueError: a number or date is invalid or given twice; the message names its line.
    """
    credit = root.name == "cn:CreditNote"
    currency = root.text_at("cbc:DocumentCurrencyCode")
    vat_totals = [total for total in root.all("cac:TaxTotal") if _is_in(currency, total.one("cbc:TaxAmount"))]
    notes = [note.text for note in root.all("cac:PaymentTerms/cbc:Note") if note.text]
    return EInvoice(
        syntax="UBL",
        is_credit_note_document=credit,
        number=root.text_at("cbc:ID"),
        type_code=root.text_at("cbc:CreditNoteTypeCode" if credit else "cbc:InvoiceTypeCode"),
        issue_date=min(_days(root, "cbc:IssueDate"), default=None),
        due_date=min([*_days(root, "cbc:DueDate"), *_days(root, "cac:PaymentMeans/cbc:PaymentDueDate")], default=None),
        payment_terms="\n".join(notes) or None,
        payment_means=tuple(
            PaymentMeans(code.text, code.attributes.get("name"))
            for code in root.all("cac:PaymentMeans/cbc:PaymentMeansCode")
        ),
        currency=currency,
        marked_currencies=root.marks("currencyID", besides="cbc:TaxAmount"),
        seller=_party(root.one("cac:AccountingSupplierParty/cac:Party")),
        buyer=_party(root.one("cac:AccountingCustomerParty/cac:Party")),
        lines=tuple(_line(line, credit) for line in root.all("cac:CreditNoteLine" if credit else "cac:InvoiceLine")),
        allowances=_allowances_or_charges(root, charges=False),
        charges=_allowances_or_charges(root, charges=True),
        vat_breakdown=tuple(_vat_row(row) for total in vat_totals for row in total.all("cac:TaxSubtotal")),
        totals=replace(_totals(root.one("cac:LegalMonetaryTotal"), vat_totals), third_party=_third_party(root)),
    )


def _is_in(currency: str | None, amount: Element | None) -> bool:
    """Return whether a VAT total is in the invoice currency [BT-110], and not in the accounting currency [BT-111]."""
    return amount is None or amount.attributes.get("currencyID", currency) == currency


def _days(element: Element, path: str) -> list[date]:
    return [_day(found) for found in element.all(path)]


def _day(element: Element) -> date:
    match = _DATE.fullmatch(element.text or "")
    try:
        return date.fromisoformat(match[1] if match else "")
    except ValueError as error:
        found = (element.text or "")[:40]
        raise ValueError(f"line {element.line}: {element.name} {found!r} is not a date (2025-01-31)") from error


def _party(party: Element | None) -> Party:
    if party is None:
        return Party()
    schemes = [scheme for scheme in party.all("cac:PartyTaxScheme") if scheme.text_at("cac:TaxScheme/cbc:ID") == "VAT"]
    names = [*party.all("cac:PartyLegalEntity/cbc:RegistrationName"), *party.all("cac:PartyName/cbc:Name")]
    return Party(
        name=next((name.text for name in names), None),
        vat_identifier=next((scheme.text_at("cbc:CompanyID") for scheme in schemes), None),
        address=_address(party.one("cac:PostalAddress")),
        phone=party.text_at("cac:Contact/cbc:Telephone"),
        email=party.text_at("cac:Contact/cbc:ElectronicMail"),
    )


def _address(address: Element | None) -> Address:
    if address is None:
        return Address()
    lines = [address.text_at("cbc:StreetName"), address.text_at("cbc:AdditionalStreetName")]
    lines += [line.text for line in address.all("cac:AddressLine/cbc:Line")]
    return Address(
        lines=tuple(line for line in lines if line),
        post_code=address.text_at("cbc:PostalZone"),
        city=address.text_at("cbc:CityName"),
        subdivision=address.text_at("cbc:CountrySubentity"),
        country=address.text_at("cac:Country/cbc:IdentificationCode"),
    )


def _line(line: Element, credit: bool) -> InvoiceLine:
    return InvoiceLine(
        identifier=line.text_at("cbc:ID"),
        name=line.text_at("cac:Item/cbc:Name"),
        quantity=line.decimal_at("cbc:CreditedQuantity" if credit else "cbc:InvoicedQuantity"),
        net_amount=line.decimal_at("cbc:LineExtensionAmount"),
        price=line.decimal_at("cac:Price/cbc:PriceAmount"),
        base_quantity=line.decimal_at("cac:Price/cbc:BaseQuantity"),
        category=line.text_at("cac:Item/cac:ClassifiedTaxCategory/cbc:ID"),
        rate=line.decimal_at("cac:Item/cac:ClassifiedTaxCategory/cbc:Percent"),
        allowances=_allowances_or_charges(line, charges=False),
        charges=_allowances_or_charges(line, charges=True),
    )


def _allowances_or_charges(owner: Element, charges: bool) -> tuple[AllowanceCharge, ...]:
    parts = [part for part in owner.all("cac:AllowanceCharge") if part.flag_at("cbc:ChargeIndicator") == charges]
    return tuple(
        AllowanceCharge(
            amount=part.decimal_at("cbc:Amount"),
            base_amount=part.decimal_at("cbc:BaseAmount"),
            percentage=part.decimal_at("cbc:MultiplierFactorNumeric"),
            category=part.text_at("cac:TaxCategory/cbc:ID"),
            rate=part.decimal_at("cac:TaxCategory/cbc:Percent"),
            reason=next((reason.text for reason in part.all("cbc:AllowanceChargeReason")), None),
            reason_code=part.text_at("cbc:AllowanceChargeReasonCode"),
        )
        for part in parts
    )


def _vat_row(row: Element) -> VatRow:
    return VatRow(
        taxable_amount=row.decimal_at("cbc:TaxableAmount"),
        tax_amount=row.decimal_at("cbc:TaxAmount"),
        category=row.text_at("cac:TaxCategory/cbc:ID"),
        rate=row.decimal_at("cac:TaxCategory/cbc:Percent"),
    )


def _totals(total: Element | None, vat_totals: list[Element]) -> Totals:
    vat = _only_vat(vat_totals)
    if total is None:
        return Totals(vat=vat)
    return Totals(
        lines=total.decimal_at("cbc:LineExtensionAmount"),
        allowances=total.decimal_at("cbc:AllowanceTotalAmount"),
        charges=total.decimal_at("cbc:ChargeTotalAmount"),
        without_vat=total.decimal_at("cbc:TaxExclusiveAmount"),
        vat=vat,
        with_vat=total.decimal_at("cbc:TaxInclusiveAmount"),
        paid=total.decimal_at("cbc:PrepaidAmount"),
        rounding=total.decimal_at("cbc:PayableRoundingAmount"),
        payable=total.decimal_at("cbc:PayableAmount"),
    )


def _third_party(root: Element) -> Decimal | None:
    """Return the sum of third-party payments [BG-DEX-09]; None without any, or in other profiles."""
    if _XRECHNUNG_EXTENSION not in (root.text_at("cbc:CustomizationID") or ""):
        return None
    amounts = [decimal_in(amount) for amount in root.all("cac:PrepaidPayment/cbc:PaidAmount")]
    return sum(amounts, Decimal(0)) if amounts else None


def _only_vat(vat_totals: list[Element]) -> Decimal | None:
    amounts = [amount for total in vat_totals for amount in total.all("cbc:TaxAmount")]
    return only_decimal(amounts, "cac:TaxTotal in the invoice's currency")
