"""UN/CEFACT Cross Industry Invoices (also inside ZUGFeRD and Factur-X), by the syntax binding of EN 16931-3-3."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from data_tools.sources.files.xml_tree import Element, only_decimal
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

_CEFACT = "urn:un:unece:uncefact:data:standard:"
PREFIXES = {
    f"{_CEFACT}CrossIndustryInvoice:100": "rsm",
    f"{_CEFACT}ReusableAggregateBusinessInformationEntity:100": "ram",
    f"{_CEFACT}UnqualifiedDataType:100": "udt",
}
_PROFILE = "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID"
_TRADE = "rsm:SupplyChainTradeTransaction"
_AGREEMENT = f"{_TRADE}/ram:ApplicableHeaderTradeAgreement"
_SETTLEMENT = f"{_TRADE}/ram:ApplicableHeaderTradeSettlement"
_MEANS = f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementPaymentMeans"
_TERMS = f"{_SETTLEMENT}/ram:SpecifiedTradePaymentTerms"
_TOTALS = f"{_SETTLEMENT}/ram:SpecifiedTradeSettlementHeaderMonetarySummation"
_CONTACT = "ram:DefinedTradeContact"
_LINE_SETTLEMENT = "ram:SpecifiedLineTradeSettlement"
_LINE_TAX = f"{_LINE_SETTLEMENT}/ram:ApplicableTradeTax"
_LINE_TOTAL = f"{_LINE_SETTLEMENT}/ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"
_NET_PRICE = "ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice"
_LINE_STATUS = "ram:AssociatedDocumentLineDocument/ram:LineStatusReasonCode"
# Lines of the profile EXTENDED that sum up or explain others [BT-X-8]; DETAIL, or no code, is a line with amounts.
_GROUP_LINES = frozenset({"GROUP", "INFORMATION"})
# `urn:cen.eu:en16931:2017#conformant#urn:factur-x.eu:1p0:extended`, and `extended-ctc-fr` of the French reform.
_EXTENDED = re.compile(r".*[:#]extended(-[a-z-]+)?", re.IGNORECASE)
_GROSS_PRICE = "ram:SpecifiedLineTradeAgreement/ram:GrossPriceProductTradePrice"


def read_cii(root: Element) -> EInvoice:
    """Return the e-invoice of a `CrossIndustryInvoice`.

    Raises:
        ValueError: a number or date is invalid or given twice; the message names its line.
    """
    currency = root.text_at(f"{_SETTLEMENT}/ram:InvoiceCurrencyCode")
    notes = [note.text for note in root.all(f"{_TERMS}/ram:Description") if note.text]
    is_extended = any(_EXTENDED.fullmatch(profile.text or "") for profile in root.all(_PROFILE))
    lines, group_lines = _lines(root, is_extended)
    return EInvoice(
        syntax="CII",
        is_extended=is_extended,
        number=root.text_at("rsm:ExchangedDocument/ram:ID"),
        type_code=root.text_at("rsm:ExchangedDocument/ram:TypeCode"),
        issue_date=min(_days(root, "rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString"), default=None),
        due_date=min(_days(root, f"{_TERMS}/ram:DueDateDateTime/udt:DateTimeString"), default=None),
        payment_terms="\n".join(notes) or None,
        payment_means=tuple(_payment_means(means) for means in root.all(_MEANS)),
        currency=currency,
        marked_currencies=root.marks("currencyID", besides="ram:TaxTotalAmount"),
        seller=_party(root.one(f"{_AGREEMENT}/ram:SellerTradeParty")),
        buyer=_party(root.one(f"{_AGREEMENT}/ram:BuyerTradeParty")),
        lines=lines,
        group_lines=group_lines,
        allowances=_allowances_or_charges(root, _SETTLEMENT, charges=False),
        charges=(*_allowances_or_charges(root, _SETTLEMENT, charges=True), *_logistics_charges(root)),
        vat_breakdown=tuple(_vat_row(row) for row in root.all(f"{_SETTLEMENT}/ram:ApplicableTradeTax")),
        totals=_totals(root.one(_TOTALS), currency),
    )


def _days(element: Element, path: str) -> list[date]:
    return [_day(found) for found in element.all(path)]


def _day(element: Element) -> date:
    text = element.text or ""
    try:
        # Format 102, the only one in EN 16931: 20250131.
        if element.attributes.get("format", "102") != "102" or not re.fullmatch("[0-9]{8}", text):
            raise ValueError("not in format 102")
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as error:
        raise ValueError(f"line {element.line}: {element.name} {text[:40]!r} is not a date (20250131)") from error


def _party(party: Element | None) -> Party:
    if party is None:
        return Party()
    registered = party.all("ram:SpecifiedTaxRegistration/ram:ID")
    return Party(
        name=party.text_at("ram:Name"),
        vat_identifier=next((own.text for own in registered if own.attributes.get("schemeID") == "VA"), None),
        address=_address(party.one("ram:PostalTradeAddress")),
        phone=_first_text(party, f"{_CONTACT}/ram:TelephoneUniversalCommunication/ram:CompleteNumber"),
        email=_first_text(party, f"{_CONTACT}/ram:EmailURIUniversalCommunication/ram:URIID"),
    )


def _first_text(element: Element, path: str) -> str | None:
    """Return the first text at a path, because the extended profiles allow several contacts and remarks."""
    return next((found.text for found in element.all(path) if found.text), None)


def _address(address: Element | None) -> Address:
    if address is None:
        return Address()
    lines = [address.text_at(f"ram:Line{number}") for number in ("One", "Two", "Three")]
    return Address(
        lines=tuple(line for line in lines if line),
        post_code=address.text_at("ram:PostcodeCode"),
        city=address.text_at("ram:CityName"),
        subdivision=_first_text(address, "ram:CountrySubDivisionName"),
        country=address.text_at("ram:CountryID"),
    )


def _payment_means(means: Element) -> PaymentMeans:
    return PaymentMeans(code=means.text_at("ram:TypeCode"), text=_first_text(means, "ram:Information"))


def _lines(root: Element, is_extended: bool) -> tuple[tuple[InvoiceLine, ...], tuple[InvoiceLine, ...]]:
    """Return the lines whose amounts count, and those that repeat or explain them.

    Only EXTENDED has such lines. In other profiles every line counts, also one with a ParentLineID: the extension of
    XRechnung adds sub-lines to the amount of their parent.
    """
    counted: list[InvoiceLine] = []
    groups: list[InvoiceLine] = []
    for line in root.all(f"{_TRADE}/ram:IncludedSupplyChainTradeLineItem"):
        is_group = is_extended and (line.text_at(_LINE_STATUS) or "").upper() in _GROUP_LINES
        (groups if is_group else counted).append(_line(line))
    return tuple(counted), tuple(groups)


def _line(line: Element) -> InvoiceLine:
    base = line.decimal_at(f"{_NET_PRICE}/ram:BasisQuantity")
    return InvoiceLine(
        identifier=line.text_at("ram:AssociatedDocumentLineDocument/ram:LineID"),
        name=line.text_at("ram:SpecifiedTradeProduct/ram:Name"),
        quantity=line.decimal_at("ram:SpecifiedLineTradeDelivery/ram:BilledQuantity"),
        net_amount=line.decimal_at(_LINE_TOTAL),
        price=line.decimal_at(f"{_NET_PRICE}/ram:ChargeAmount"),
        base_quantity=line.decimal_at(f"{_GROSS_PRICE}/ram:BasisQuantity") if base is None else base,
        category=line.text_at(f"{_LINE_TAX}/ram:CategoryCode"),
        rate=line.decimal_at(f"{_LINE_TAX}/ram:RateApplicablePercent"),
        allowances=_allowances_or_charges(line, _LINE_SETTLEMENT, charges=False),
        charges=_allowances_or_charges(line, _LINE_SETTLEMENT, charges=True),
    )


def _allowances_or_charges(owner: Element, path: str, charges: bool) -> tuple[AllowanceCharge, ...]:
    found = owner.all(f"{path}/ram:SpecifiedTradeAllowanceCharge")
    parts = [part for part in found if part.flag_at("ram:ChargeIndicator/udt:Indicator") == charges]
    return tuple(
        AllowanceCharge(
            amount=part.decimal_at("ram:ActualAmount"),
            base_amount=part.decimal_at("ram:BasisAmount"),
            percentage=part.decimal_at("ram:CalculationPercent"),
            category=part.text_at("ram:CategoryTradeTax/ram:CategoryCode"),
            rate=part.decimal_at("ram:CategoryTradeTax/ram:RateApplicablePercent"),
            reason=part.text_at("ram:Reason"),
            reason_code=part.text_at("ram:ReasonCode"),
        )
        for part in parts
    )


def _logistics_charges(root: Element) -> tuple[AllowanceCharge, ...]:
    """Return freight and similar costs of the profile EXTENDED [BG-X-42], which are charges of the document."""
    charges: list[AllowanceCharge] = []
    for part in root.all(f"{_SETTLEMENT}/ram:SpecifiedLogisticsServiceCharge"):
        taxes = part.all("ram:AppliedTradeTax")
        # With several taxes, the share of each one in the amount is unknown.
        tax = taxes[0] if len(taxes) == 1 else None
        charges.append(
            AllowanceCharge(
                amount=part.decimal_at("ram:AppliedAmount"),
                category=tax.text_at("ram:CategoryCode") if tax else None,
                rate=tax.decimal_at("ram:RateApplicablePercent") if tax else None,
                reason=_first_text(part, "ram:Description"),
            )
        )
    return tuple(charges)


def _vat_row(row: Element) -> VatRow:
    return VatRow(
        taxable_amount=row.decimal_at("ram:BasisAmount"),
        tax_amount=row.decimal_at("ram:CalculatedAmount"),
        category=row.text_at("ram:CategoryCode"),
        rate=row.decimal_at("ram:RateApplicablePercent"),
    )


def _totals(total: Element | None, currency: str | None) -> Totals:
    if total is None:
        return Totals()
    return Totals(
        lines=total.decimal_at("ram:LineTotalAmount"),
        allowances=total.decimal_at("ram:AllowanceTotalAmount"),
        charges=total.decimal_at("ram:ChargeTotalAmount"),
        without_vat=total.decimal_at("ram:TaxBasisTotalAmount"),
        vat=_vat_total(total, currency),
        with_vat=total.decimal_at("ram:GrandTotalAmount"),
        paid=total.decimal_at("ram:TotalPrepaidAmount"),
        rounding=total.decimal_at("ram:RoundingAmount"),
        payable=total.decimal_at("ram:DuePayableAmount"),
    )


def _vat_total(total: Element, currency: str | None) -> Decimal | None:
    """Return the VAT in the invoice currency [BT-110], and not the one in the accounting currency [BT-111]."""
    amounts = [amount for amount in total.all("ram:TaxTotalAmount") if _is_in(currency, amount)]
    return only_decimal(amounts, "ram:TaxTotalAmount in the invoice's currency")


def _is_in(currency: str | None, amount: Element) -> bool:
    return amount.attributes.get("currencyID", currency) == currency
