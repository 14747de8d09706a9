"""One invented invoice as UBL, as CII and inside a PDF, and PDFs of text, for tests of e-invoices and their pages.

Two chairs at 19 % and a book at 7 %, 10 off the chairs and 5 for carriage of the book; 33.85 of 133.85 are paid.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import pypdfium2

UBL = """<?xml version="1.0" encoding="UTF-8"?>
<i:Invoice xmlns:i="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
  xmlns:a="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
  xmlns="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">
<ID>RE-1</ID><IssueDate>2025-01-15</IssueDate><DueDate>2025-02-14</DueDate><InvoiceTypeCode>380</InvoiceTypeCode>
<DocumentCurrencyCode>EUR</DocumentCurrencyCode><TaxCurrencyCode>SEK</TaxCurrencyCode>
<a:AccountingSupplierParty><a:Party>
  <a:PostalAddress><StreetName>Weg 1</StreetName><AdditionalStreetName>Hof 2</AdditionalStreetName>
    <CityName>Berlin</CityName><PostalZone>10115</PostalZone><a:AddressLine><Line>Tor 3</Line></a:AddressLine>
    <a:Country><IdentificationCode>DE</IdentificationCode></a:Country></a:PostalAddress>
  <a:PartyTaxScheme><CompanyID>12/345</CompanyID><a:TaxScheme><ID>FC</ID></a:TaxScheme></a:PartyTaxScheme>
  <a:PartyTaxScheme><CompanyID>DE123456789</CompanyID><a:TaxScheme><ID>VAT</ID></a:TaxScheme></a:PartyTaxScheme>
  <a:PartyLegalEntity><RegistrationName>Acme GmbH</RegistrationName></a:PartyLegalEntity>
  <a:Contact><Telephone>+49 30 1234</Telephone><ElectronicMail>post@acme.example</ElectronicMail></a:Contact>
</a:Party></a:AccountingSupplierParty>
<a:AccountingCustomerParty><a:Party>
  <a:PartyName><Name>Beta AG</Name></a:PartyName>
  <a:PostalAddress><CityName>Leeds</CityName><PostalZone>LS1 1AA</PostalZone>
    <CountrySubentity>West Yorkshire</CountrySubentity>
    <a:Country><IdentificationCode>GB</IdentificationCode></a:Country></a:PostalAddress>
</a:Party></a:AccountingCustomerParty>
<a:PaymentMeans><PaymentMeansCode name="Überweisung">58</PaymentMeansCode></a:PaymentMeans>
<a:PaymentMeans><PaymentMeansCode>48</PaymentMeansCode></a:PaymentMeans>
<a:PaymentTerms><Note>30 Tage</Note></a:PaymentTerms>
<a:AllowanceCharge><ChargeIndicator>false</ChargeIndicator>
  <AllowanceChargeReasonCode>95</AllowanceChargeReasonCode><AllowanceChargeReason>Rabatt</AllowanceChargeReason>
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
    .replace("48</PaymentMeansCode>", "48</PaymentMeansCode><PaymentDueDate>2025-02-14</PaymentDueDate>")
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
    <DefinedTradeContact><PersonName>Empfang</PersonName></DefinedTradeContact>
    <DefinedTradeContact>
      <TelephoneUniversalCommunication><CompleteNumber>+49 30 1234</CompleteNumber></TelephoneUniversalCommunication>
      <EmailURIUniversalCommunication><URIID>post@acme.example</URIID></EmailURIUniversalCommunication>
    </DefinedTradeContact>
    <PostalTradeAddress><PostcodeCode>10115</PostcodeCode><LineOne>Weg 1</LineOne><LineTwo>Hof 2</LineTwo>
      <LineThree>Tor 3</LineThree><CityName>Berlin</CityName><CountryID>DE</CountryID></PostalTradeAddress>
    <SpecifiedTaxRegistration><ID schemeID="FC">12/345</ID></SpecifiedTaxRegistration>
    <SpecifiedTaxRegistration><ID schemeID="VA">DE123456789</ID></SpecifiedTaxRegistration></SellerTradeParty>
  <BuyerTradeParty><Name>Beta AG</Name>
    <PostalTradeAddress><PostcodeCode>LS1 1AA</PostcodeCode><CityName>Leeds</CityName><CountryID>GB</CountryID>
      <CountrySubDivisionName>West Yorkshire</CountrySubDivisionName></PostalTradeAddress></BuyerTradeParty>
</ApplicableHeaderTradeAgreement>
<ApplicableHeaderTradeSettlement>
  <TaxCurrencyCode>SEK</TaxCurrencyCode><InvoiceCurrencyCode>EUR</InvoiceCurrencyCode>
  <SpecifiedTradeSettlementPaymentMeans><TypeCode>58</TypeCode><Information>Überweisung</Information>
  </SpecifiedTradeSettlementPaymentMeans>
  <SpecifiedTradeSettlementPaymentMeans><TypeCode>48</TypeCode></SpecifiedTradeSettlementPaymentMeans>
  <ApplicableTradeTax><CalculatedAmount>17.10</CalculatedAmount><BasisAmount>90.00</BasisAmount>
    <CategoryCode>S</CategoryCode><RateApplicablePercent>19</RateApplicablePercent></ApplicableTradeTax>
  <ApplicableTradeTax><CalculatedAmount>1.75</CalculatedAmount><BasisAmount>25.00</BasisAmount>
    <CategoryCode>S</CategoryCode><RateApplicablePercent>7</RateApplicablePercent></ApplicableTradeTax>
  <SpecifiedTradeAllowanceCharge><ChargeIndicator><u:Indicator>false</u:Indicator></ChargeIndicator>
    <ActualAmount>10.00</ActualAmount><ReasonCode>95</ReasonCode><Reason>Rabatt</Reason>
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


Line = tuple[float, float, float, str]


def without_charge(text: str) -> bytes:
    """Return an example that maps: its charge is part of the line of the book."""
    taken_off = text.replace(">true<", ">false<").replace(">5.00<", ">0.00<")
    for before, after in (("25.00", "20.00"), ("1.75", "1.40"), ("115.00", "110.00"), ("18.85", "18.50")):
        taken_off = taken_off.replace(f">{before}<", f">{after}<")
    return taken_off.replace(">133.85<", ">128.50<").replace(">33.85<", ">28.50<").encode()


def pdf(**attachments: bytes) -> bytes:
    """Return a PDF of one empty page with these attachments, by name."""
    return with_attachments(text_pdf([]), **attachments)


def with_attachments(raw: bytes, **attachments: bytes) -> bytes:
    """Return a PDF with these attachments, by name."""
    document = pypdfium2.PdfDocument(raw)
    for name, content in attachments.items():
        document.new_attachment(name).set_data(content)
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def text_pdf(*pages: Sequence[Line], page: str = "/MediaBox [0 0 600 800]", trailer: str = "") -> bytes:
    """Return a PDF of pages with lines of text, each as x and y from the lower left, size (points), text.

    Args:
        pages: the lines of each page.
        page: more entries of every page, as PDF writes them.
        trailer: more entries of the file's trailer.
    """
    contents = [_content(lines) for lines in pages]
    kids = " ".join(f"{number} 0 R" for number in range(4, 4 + 2 * len(pages), 2))
    objects = [
        b"<</Type /Catalog /Pages 2 0 R>>",
        f"<</Type /Pages /Count {len(pages)} /Kids [{kids}]>>".encode(),
        b"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding>>",
    ]
    for number, content in enumerate(contents):
        own = f"/Resources <</Font <</F 3 0 R>>>> /Contents {5 + 2 * number} 0 R"
        objects.append(f"<</Type /Page /Parent 2 0 R {page} {own}>>".encode())
        objects.append(b"<</Length %d>> stream\n%b\nendstream" % (len(content), content))
    return pdf_of(objects, trailer)


def _content(lines: Sequence[Line]) -> bytes:
    shown = [f"/F {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj" for x, y, size, text in lines]
    return f"BT {' '.join(shown)} ET".encode("cp1252")


def pdf_of(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """Return a PDF of these objects, numbered from 1; the first is its catalogue."""
    written = io.BytesIO(b"%PDF-1.7\n")
    written.seek(0, io.SEEK_END)
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(written.tell())
        written.write(b"%d 0 obj %b endobj\n" % (number, content))
    table = written.tell()
    written.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    written.writelines(b"%010d 00000 n \n" % place for place in places)
    written.write(f"trailer <</Size {len(objects) + 1} /Root 1 0 R {trailer}>>\nstartxref\n{table}\n%%EOF".encode())
    return written.getvalue()
