"""Drafts of e-invoices that tests fill with numbers, written as UBL or CII without the code under test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_CEFACT = "urn:un:unece:uncefact:data:standard:"


@dataclass
class Taxed:
    """A line, an allowance or a charge: amount, VAT category and rate (None outside the scope of VAT)."""

    amount: Decimal
    category: str
    rate: Decimal | None


@dataclass
class Row:
    """A row of the VAT breakdown."""

    base: Decimal
    tax: Decimal
    category: str
    rate: Decimal | None


@dataclass
class Draft:
    """An invoice: `syntax` is Invoice, CreditNote (both UBL) or CII; totals are by their business terms (BT-106)."""

    syntax: str
    lines: list[Taxed]
    allowances: list[Taxed] = field(default_factory=list)
    charges: list[Taxed] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    totals: dict[str, Decimal] = field(default_factory=dict)


def filled(draft: Draft, paid: Decimal | None = None, rounding: Decimal | None = None) -> Draft:
    """Return the draft with the breakdown and the totals of its lines, allowances and charges."""
    groups: dict[tuple[str, Decimal | None], Decimal] = {}
    signed = [(part, 1) for part in (*draft.lines, *draft.charges)] + [(part, -1) for part in draft.allowances]
    for part, sign in signed:
        key = (part.category, part.rate)
        groups[key] = groups.get(key, Decimal(0)) + sign * part.amount
    draft.rows = [
        Row(base, (base * (rate or 0) / 100).quantize(CENT, ROUND_HALF_UP), category, rate)
        for (category, rate), base in groups.items()
    ]
    sums = [
        sum((part.amount for part in parts), Decimal(0)) for parts in (draft.lines, draft.allowances, draft.charges)
    ]
    totals = {"106": sums[0], "109": sums[0] - sums[1] + sums[2]}
    totals |= {"107": sums[1]} if draft.allowances else {}
    totals |= {"108": sums[2]} if draft.charges else {}
    totals["110"] = sum((row.tax for row in draft.rows), Decimal(0))
    totals["112"] = totals["109"] + totals["110"]
    totals |= {name: value for name, value in (("113", paid), ("114", rounding)) if value is not None}
    totals["115"] = totals["112"] - (paid or 0) + (rounding or 0)
    draft.totals = totals
    return draft


def as_xml(draft: Draft) -> bytes:
    """Return the draft as XML."""
    return (_cii(draft) if draft.syntax == "CII" else _ubl(draft)).encode()


def _tags(name: str, value: object) -> str:
    return "" if value is None else f"<{name}>{value}</{name}>"


def _ubl(draft: Draft) -> str:
    line_name = f"a:{draft.syntax}Line"
    quantity = "CreditedQuantity" if draft.syntax == "CreditNote" else "InvoicedQuantity"
    lines = (
        f"<{line_name}><ID>{n}</ID><{quantity}>1</{quantity}><LineExtensionAmount>{part.amount}</LineExtensionAmount>"
        f"<a:Item><Name>Ware</Name>{_ubl_tax('ClassifiedTaxCategory', part.category, part.rate)}</a:Item>"
        f"<a:Price><PriceAmount>{part.amount}</PriceAmount></a:Price></{line_name}>"
        for n, part in enumerate(draft.lines, start=1)
    )
    parts = [*((part, "false") for part in draft.allowances), *((part, "true") for part in draft.charges)]
    others = (
        f"<a:AllowanceCharge><ChargeIndicator>{flag}</ChargeIndicator><Amount>{part.amount}</Amount>"
        f"{_ubl_tax('TaxCategory', part.category, part.rate)}</a:AllowanceCharge>"
        for part, flag in parts
    )
    rows = (
        f"<a:TaxSubtotal><TaxableAmount>{row.base}</TaxableAmount><TaxAmount>{row.tax}</TaxAmount>"
        f"{_ubl_tax('TaxCategory', row.category, row.rate)}</a:TaxSubtotal>"
        for row in draft.rows
    )
    names = {
        "106": "LineExtensionAmount", "109": "TaxExclusiveAmount", "112": "TaxInclusiveAmount",
        "107": "AllowanceTotalAmount", "108": "ChargeTotalAmount", "113": "PrepaidAmount",
        "114": "PayableRoundingAmount", "115": "PayableAmount",
    }  # fmt: skip
    totals = "".join(_tags(name, draft.totals.get(term)) for term, name in names.items())
    return (
        f'<i:{draft.syntax} xmlns:i="{_UBL}{draft.syntax}-2" xmlns:a="{_UBL}CommonAggregateComponents-2" '
        f'xmlns="{_UBL}CommonBasicComponents-2"><DocumentCurrencyCode>EUR</DocumentCurrencyCode>{"".join(others)}'
        f'<a:TaxTotal><TaxAmount currencyID="EUR">{draft.totals["110"]}</TaxAmount>{"".join(rows)}</a:TaxTotal>'
        f"<a:LegalMonetaryTotal>{totals}</a:LegalMonetaryTotal>{''.join(lines)}</i:{draft.syntax}>"
    )


def _ubl_tax(name: str, category: str, rate: Decimal | None) -> str:
    scheme = "<a:TaxScheme><ID>VAT</ID></a:TaxScheme>"
    return f"<a:{name}><ID>{category}</ID>{_tags('Percent', rate)}{scheme}</a:{name}>"


def _cii(draft: Draft) -> str:
    lines = (
        f"<IncludedSupplyChainTradeLineItem><AssociatedDocumentLineDocument><LineID>{n}</LineID>"
        f"</AssociatedDocumentLineDocument><SpecifiedLineTradeSettlement>{_cii_tax('Applicable', part)}"
        f"<SpecifiedTradeSettlementLineMonetarySummation><LineTotalAmount>{part.amount}</LineTotalAmount>"
        "</SpecifiedTradeSettlementLineMonetarySummation></SpecifiedLineTradeSettlement>"
        "</IncludedSupplyChainTradeLineItem>"
        for n, part in enumerate(draft.lines, start=1)
    )
    rows = (
        f"<ApplicableTradeTax><CalculatedAmount>{row.tax}</CalculatedAmount><TypeCode>VAT</TypeCode>"
        f"<BasisAmount>{row.base}</BasisAmount><CategoryCode>{row.category}</CategoryCode>"
        f"{_tags('RateApplicablePercent', row.rate)}</ApplicableTradeTax>"
        for row in draft.rows
    )
    others = _cii_parts(draft.allowances, "false") + _cii_parts(draft.charges, "true")
    names = {
        "106": "LineTotalAmount", "108": "ChargeTotalAmount", "107": "AllowanceTotalAmount",
        "109": "TaxBasisTotalAmount", "114": "RoundingAmount", "112": "GrandTotalAmount",
        "113": "TotalPrepaidAmount", "115": "DuePayableAmount",
    }  # fmt: skip
    totals = "".join(_tags(name, draft.totals.get(term)) for term, name in names.items())
    summation = "SpecifiedTradeSettlementHeaderMonetarySummation"
    return (
        f'<m:CrossIndustryInvoice xmlns:m="{_CEFACT}CrossIndustryInvoice:100" '
        f'xmlns:u="{_CEFACT}UnqualifiedDataType:100" '
        f'xmlns="{_CEFACT}ReusableAggregateBusinessInformationEntity:100"><m:SupplyChainTradeTransaction>'
        f"{''.join(lines)}<ApplicableHeaderTradeSettlement><InvoiceCurrencyCode>EUR</InvoiceCurrencyCode>"
        f"{''.join(rows)}{others}<{summation}>{totals}"
        f'<TaxTotalAmount currencyID="EUR">{draft.totals["110"]}</TaxTotalAmount></{summation}>'
        "</ApplicableHeaderTradeSettlement></m:SupplyChainTradeTransaction></m:CrossIndustryInvoice>"
    )


def _cii_parts(parts: Sequence[Taxed], flag: str) -> str:
    return "".join(
        f"<SpecifiedTradeAllowanceCharge><ChargeIndicator><u:Indicator>{flag}</u:Indicator></ChargeIndicator>"
        f"<ActualAmount>{part.amount}</ActualAmount>{_cii_tax('Category', part)}</SpecifiedTradeAllowanceCharge>"
        for part in parts
    )


def _cii_tax(kind: str, part: Taxed) -> str:
    rate = _tags("RateApplicablePercent", part.rate)
    return (
        f"<{kind}TradeTax><TypeCode>VAT</TypeCode><CategoryCode>{part.category}</CategoryCode>{rate}</{kind}TradeTax>"
    )
