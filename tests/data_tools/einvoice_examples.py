"""One invented invoice as UBL, as CII and inside a PDF, for the tests of e-invoices.

Two chairs at 19 % and a book at 7 %, 10 off the chairs and 5 for carriage of the book; 33.85 of 133.85 are paid.
"""

from __future__ import annotations

import io

import pypdfium2

UBL = """<?xml version="1.0" encoding="UTF-8"?>
<i:Invoice xmlns:i="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
  xmlns:a="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
  xmlns="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
<ID>RE-1</ID><IssueDate>2025-01-15</IssueDate><DueDate>2025-02-14</DueDate><InvoiceTypeCode>380</InvoiceTypeCode>
<DocumentCurrencyCode>EUR</DocumentCurrencyCode><TaxCurrencyCode>SEK</TaxCurrencyCode>
<a:AccountingSupplierParty><a:Party>
  <a:PartyTaxScheme><CompanyID>12/345</CompanyID><a:TaxScheme><ID>FC</ID></a:TaxScheme></a:PartyTaxScheme>
  <a:PartyTaxScheme><CompanyID>DE123456789</CompanyID><a:TaxScheme><ID>VAT</ID></a:TaxScheme></a:PartyTaxScheme>
  <a:PartyLegalEntity><RegistrationName>Acme GmbH</RegistrationName></a:PartyLegalEntity>
</a:Party></a:AccountingSupplierParty>
<a:AccountingCustomerParty><a:Party>
  <a:PartyName><Name>Beta AG</Name></a:PartyName>
</a:Party></a:AccountingCustomerParty>
<a:PaymentTerms><Note>30 Tage</Note></a:PaymentTerms>
<a:AllowanceCharge><ChargeIndicator>false</ChargeIndicator><AllowanceChargeReason>Rabatt</AllowanceChargeReason>
  <Amount currencyID="EUR">10.00</Amount><a:TaxCategory><ID>S</ID><Percent>19</Percent></a:TaxCategory>
</a:AllowanceCharge>
<a:AllowanceCharge><ChargeIndicator>true</ChargeIndicator>
  <Amount currencyID="EUR">5.00</Amount><a:TaxCategory><ID>S</ID><Percent>7</Percent></a:TaxCategory>
</a:AllowanceCharge>
<a:TaxTotal><TaxAmount currencyID="EUR">18.85</TaxAmount>
  <a:TaxSubtotal><TaxableAmount currencyID="EUR">90.00</TaxableAmount><TaxAmount currencyID="EUR">17.10</TaxAmount>
    <a:TaxCategory><ID>S</ID><Percent>19</Percent></a:TaxCategory></a:TaxSubtotal>
  <a:TaxSubtotal><TaxableAmount currencyID="EUR">25.00</TaxableAmount><TaxAmount currencyID="EUR">1.75</TaxAmount>
    <a:TaxCategory><ID>S</ID><Percent>7</Percent></a:TaxCategory></a:TaxSubtotal>
</a:TaxTotal>
<a:TaxTotal><TaxAmount currencyID="SEK">216.78</TaxAmount></a:TaxTotal>
<a:LegalMonetaryTotal><LineExtensionAmount>120.00</LineExtensionAmount>
  <TaxExclusiveAmount>115.00</TaxExclusiveAmount><TaxInclusiveAmount>133.85</TaxInclusiveAmount>
  <AllowanceTotalAmount>10.00</AllowanceTotalAmount><ChargeTotalAmount>5.00</ChargeTotalAmount>
  <PrepaidAmount>33.85</PrepaidAmount><PayableAmount>100.00</PayableAmount>
</a:LegalMonetaryTotal>
<a:InvoiceLine><ID>1</ID><InvoicedQuantity>2</InvoicedQuantity><LineExtensionAmount>100.00</LineExtensionAmount>
  <a:AllowanceCharge><ChargeIndicator>false</ChargeIndicator><Amount>20.00</Amount></a:AllowanceCharge>
  <a:Item><Name>Stuhl</Name><a:ClassifiedTaxCategory><ID>S</ID><Percent>19</Percent></a:ClassifiedTaxCategory></a:Item>
  <a:Price><PriceAmount>600.00</PriceAmount><BaseQuantity>10</BaseQuantity></a:Price>
</a:InvoiceLine>
<a:InvoiceLine><ID>2</ID><InvoicedQuantity>1</InvoicedQuantity><LineExtensionAmount>20.00</LineExtensionAmount>
  <a:Item><Name>Buch</Name><a:ClassifiedTaxCategory><ID>S</ID><Percent>7.00</Percent></a:ClassifiedTaxCategory></a:Item>
  <a:Price><PriceAmount>20</PriceAmount></a:Price>
</a:InvoiceLine>
</i:Invoice>
"""

CREDIT_NOTE = (
    UBL.replace("xsd:Invoice-2", "xsd:CreditNote-2")
    .replace("i:Invoice", "i:CreditNote")
    .replace("InvoiceTypeCode>380", "CreditNoteTypeCode>381")
    .replace("</InvoiceTypeCode", "</CreditNoteTypeCode")
    .replace("InvoicedQuantity", "CreditedQuantity")
    .replace("a:InvoiceLine", "a:CreditNoteLine")
    .replace("<DueDate>2025-02-14</DueDate>", "")
    .replace(
        "<a:PaymentTerms>",
        "<a:PaymentMeans><PaymentDueDate>2025-02-14</PaymentDueDate></a:PaymentMeans><a:PaymentTerms>",
    )
)

CII = """<?xml version="1.0" encoding="UTF-8"?>
<m:CrossIndustryInvoice xmlns:m="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
  xmlns="urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
  xmlns:u="urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100">
<m:ExchangedDocument><ID>RE-1</ID><TypeCode>380</TypeCode>
  <IssueDateTime><u:DateTimeString format="102">20250115</u:DateTimeString></IssueDateTime></m:ExchangedDocument>
<m:SupplyChainTradeTransaction>
<IncludedSupplyChainTradeLineItem>
  <AssociatedDocumentLineDocument><LineID>1</LineID></AssociatedDocumentLineDocument>
  <SpecifiedTradeProduct><Name>Stuhl</Name></SpecifiedTradeProduct>
  <SpecifiedLineTradeAgreement><NetPriceProductTradePrice>
    <ChargeAmount>600.00</ChargeAmount><BasisQuantity>10</BasisQuantity>
  </NetPriceProductTradePrice></SpecifiedLineTradeAgreement>
  <SpecifiedLineTradeDelivery><BilledQuantity>2</BilledQuantity></SpecifiedLineTradeDelivery>
  <SpecifiedLineTradeSettlement>
    <ApplicableTradeTax><CategoryCode>S</CategoryCode><RateApplicablePercent>19</RateApplicablePercent></ApplicableTradeTax>
    <SpecifiedTradeAllowanceCharge><ChargeIndicator><u:Indicator>false</u:Indicator></ChargeIndicator>
      <ActualAmount>20.00</ActualAmount></SpecifiedTradeAllowanceCharge>
    <SpecifiedTradeSettlementLineMonetarySummation><LineTotalAmount>100.00</LineTotalAmount>
    </SpecifiedTradeSettlementLineMonetarySummation>
  </SpecifiedLineTradeSettlement>
</IncludedSupplyChainTradeLineItem>
<IncludedSupplyChainTradeLineItem>
  <AssociatedDocumentLineDocument><LineID>2</LineID></AssociatedDocumentLineDocument>
  <SpecifiedTradeProduct><Name>Buch</Name></SpecifiedTradeProduct>
  <SpecifiedLineTradeAgreement><NetPriceProductTradePrice><ChargeAmount>20</ChargeAmount></NetPriceProductTradePrice>
  </SpecifiedLineTradeAgreement>
  <SpecifiedLineTradeDelivery><BilledQuantity>1</BilledQuantity></SpecifiedLineTradeDelivery>
  <SpecifiedLineTradeSettlement>
    <ApplicableTradeTax><CategoryCode>S</CategoryCode><RateApplicablePercent>7.00</RateApplicablePercent></ApplicableTradeTax>
    <SpecifiedTradeSettlementLineMonetarySummation><LineTotalAmount>20.00</LineTotalAmount>
    </SpecifiedTradeSettlementLineMonetarySummation>
  </SpecifiedLineTradeSettlement>
</IncludedSupplyChainTradeLineItem>
<ApplicableHeaderTradeAgreement>
  <SellerTradeParty><Name>Acme GmbH</Name>
    <SpecifiedTaxRegistration><ID schemeID="FC">12/345</ID></SpecifiedTaxRegistration>
    <SpecifiedTaxRegistration><ID schemeID="VA">DE123456789</ID></SpecifiedTaxRegistration></SellerTradeParty>
  <BuyerTradeParty><Name>Beta AG</Name></BuyerTradeParty>
</ApplicableHeaderTradeAgreement>
<ApplicableHeaderTradeSettlement>
  <TaxCurrencyCode>SEK</TaxCurrencyCode><InvoiceCurrencyCode>EUR</InvoiceCurrencyCode>
  <ApplicableTradeTax><CalculatedAmount>17.10</CalculatedAmount><BasisAmount>90.00</BasisAmount>
    <CategoryCode>S</CategoryCode><RateApplicablePercent>19</RateApplicablePercent></ApplicableTradeTax>
  <ApplicableTradeTax><CalculatedAmount>1.75</CalculatedAmount><BasisAmount>25.00</BasisAmount>
    <CategoryCode>S</CategoryCode><RateApplicablePercent>7</RateApplicablePercent></ApplicableTradeTax>
  <SpecifiedTradeAllowanceCharge><ChargeIndicator><u:Indicator>false</u:Indicator></ChargeIndicator>
    <ActualAmount>10.00</ActualAmount><Reason>Rabatt</Reason>
    <CategoryTradeTax><CategoryCode>S</CategoryCode><RateApplicablePercent>19</RateApplicablePercent></CategoryTradeTax>
  </SpecifiedTradeAllowanceCharge>
  <SpecifiedTradeAllowanceCharge><ChargeIndicator><u:Indicator>true</u:Indicator></ChargeIndicator>
    <ActualAmount>5.00</ActualAmount>
    <CategoryTradeTax><CategoryCode>S</CategoryCode><RateApplicablePercent>7</RateApplicablePercent></CategoryTradeTax>
  </SpecifiedTradeAllowanceCharge>
  <SpecifiedTradePaymentTerms><Description>30 Tage</Description>
    <DueDateDateTime><u:DateTimeString format="102">20250214</u:DateTimeString></DueDateDateTime>
  </SpecifiedTradePaymentTerms>
  <SpecifiedTradeSettlementHeaderMonetarySummation>
    <LineTotalAmount>120.00</LineTotalAmount><ChargeTotalAmount>5.00</ChargeTotalAmount>
    <AllowanceTotalAmount>10.00</AllowanceTotalAmount><TaxBasisTotalAmount>115.00</TaxBasisTotalAmount>
    <TaxTotalAmount currencyID="EUR">18.85</TaxTotalAmount><TaxTotalAmount currencyID="SEK">216.78</TaxTotalAmount>
    <GrandTotalAmount>133.85</GrandTotalAmount><TotalPrepaidAmount>33.85</TotalPrepaidAmount>
    <DuePayableAmount>100.00</DuePayableAmount>
  </SpecifiedTradeSettlementHeaderMonetarySummation>
</ApplicableHeaderTradeSettlement>
</m:SupplyChainTradeTransaction>
</m:CrossIndustryInvoice>
"""


def pdf(**attachments: bytes) -> bytes:
    """A PDF of one empty page with these files attached, by name."""
    document = pypdfium2.PdfDocument.new()
    document.new_page(100, 100)
    for name, content in attachments.items():
        document.new_attachment(name).set_data(content)
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()
