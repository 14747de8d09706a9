"""Guesses from whole documents in the shapes that public data sets, APIs and extraction services have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from guess_examples import equations, guessed, notes

from erniekit_adapter.documents import json_text


@dataclass(frozen=True)
class PublicShape:
    """A document as JSON, and the guess that it must get: roles, equations, and a part of the notes."""

    answer: str
    roles: dict[str, str]
    rules: frozenset[str] = frozenset()
    note: str = ""


SHAPES = {
    "SROIE receipt": PublicShape(
        """{"company": "OJC MARKETING SDN BHD", "date": "15/01/2019", "address": "NO 2 & 4, JALAN BAYU 4",
        "total": "193.00"}""",
        {"company": "issuer", "total": "total"},
        note="15/01/2019 → 2019-01-15",
    ),
    "CORD receipt": PublicShape(
        """{"gt_parse": {"menu": [{"nm": "Nasi Campur", "cnt": "1 x", "price": "75,000"},
        {"nm": "Bbk Bengil", "cnt": "2 x", "price": "125,000"}],
        "sub_total": {"subtotal_price": "200,000", "tax_price": "21,000"}, "total": {"total_price": "221,000"}}}""",
        {
            "menu[].nm": "description",
            "menu[].cnt": "quantity",
            "menu[].price": "line_total",
            "total.total_price": "total",
        },
        frozenset({"sub_total.subtotal_price = sum(menu[].price)"}),
        "are these thousands?",
    ),
    "receipt of a till": PublicShape(
        """{"store_name": "Corner Deli", "receipt_no": 114, "datetime": "2024-05-06 12:31:09",
        "lines": [{"item": "Bagel", "qty": 2, "each": 1.50, "ext": 3.00}, {"item": "Cup", "qty": 3, "each": 2.75,
        "ext": 8.25}], "sub_total": 11.25, "sales_tax": 0.90, "tip": 2.00, "total": 14.15}""",
        {
            "store_name": "issuer",
            "receipt_no": "number",
            "lines[].item": "description",
            "lines[].qty": "quantity",
            "total": "total",
        },
        frozenset({"total = sub_total + sales_tax + tip", "lines[].ext = lines[].qty * lines[].each"}),
        "times are left out",
    ),
    "Lieferschein": PublicShape(
        """{"lieferschein_nummer": "LS-2025-001", "lieferschein_datum": "26.02.2025", "absender": {"name": "A GmbH",
        "strasse": "Musterstraße 1"}, "positionen": [{"pos": 1, "artikelnr": "ART-001", "bezeichnung": "Notebook",
        "menge": 2, "einheit": "Stk", "seriennummern": ["SN1", "SN2"]}, {"pos": 2, "artikelnr": "ART-002",
        "bezeichnung": "Kabel", "menge": 31, "einheit": "Stk"}], "gesamtmenge": 33}""",
        {
            "lieferschein_nummer": "number",
            "absender.name": "issuer",
            "positionen[].bezeichnung": "description",
            "positionen[].menge": "quantity",
        },
        note="a list inside the rows of a list",
    ),
    "despatch advice": PublicShape(
        """{"documentNumber": "22209209", "documentDate": "20220401", "time": "1345", "deliveryDate": "20220405",
        "positions": [{"positionNumber": "1", "articleId": "4260", "orderQuantity": "64.000"}]}""",
        {"documentNumber": "number", "positions[].orderQuantity": "quantity"},
        note="20220401 → 2022-04-01",
    ),
    "utility bill of a service": PublicShape(
        """{"vendor-name": "City Light", "invoice-no": "8812", "invoice-date": "03/14/2025", "due-date": "04/01/2025",
        "current-charges": "$88.40", "late-payment-fees": "$1.20", "total": "$89.60", "meter-usage": "1,204",
        "items": [{"description": "Energy", "line-amount": "$80.00"}, {"line-amount": "$8.40"}]}""",
        {
            "vendor-name": "issuer",
            "invoice-no": "number",
            "total": "total",
            "items[].description": "description",
            "items[].line-amount": "line_total",
        },
        frozenset(
            {
                "`current-charges` = sum(`items[].line-amount`)",
                "total = `current-charges` + `late-payment-fees`",
            }
        ),
        "$88.40 → 88.40",
    ),
    "French energy bill": PublicShape(
        """{"invoice_number": "1234567890", "delivery_point": "98765432109876", "invoice_date": "2021-01-29",
        "total_before_taxes": 1241.03, "total_taxes": 238.82, "total_amount": 1479.85,
        "energy_supplier": {"address": "12345 DEMOCITY", "name": "EDF"}, "energy_consumer": {"name": "JOHN DOE"}}""",
        {"invoice_number": "number", "energy_supplier.name": "issuer", "total_amount": "total"},
        frozenset({"total_amount = total_before_taxes + total_taxes"}),
    ),
    "payslip of an API": PublicShape(
        """{"id": "5b0d9a3e-6c3f-4a51-9b39-1f6a2d8d7e11", "employer": {"name": "Acme"}, "grossPay": 3200.50,
        "totalDeductions": 200.25, "totalTaxes": 640.10, "netPay": 2360.15, "earnings": [{"description": "Salary",
        "hours": 80, "rate": 40.00, "amount": 3200.00}, {"description": "Bonus", "hours": null, "amount": 0.50}]}""",
        {
            "employer.name": "issuer",
            "netPay": "total",
            "earnings[].description": "description",
            "earnings[].hours": "quantity",
            "earnings[].rate": "unit_price",
            "earnings[].amount": "line_total",
        },
        frozenset({"netPay = grossPay - totalDeductions - totalTaxes", "grossPay = sum(earnings[].amount)"}),
        "a page does not show this",
    ),
    "Lohnabrechnung": PublicShape(
        """{"arbeitgeber": "Praxis Dr. Weiß", "abrechnung_nr": "LA-192", "bezuege": [
        {"bezeichnung": "Stundenlohn", "menge": 168, "satz": 14.2, "betrag": 2385.6},
        {"bezeichnung": "Überstunden", "menge": 10, "satz": 17.75, "betrag": 177.5}],
        "gesamtbrutto": 2563.1, "vorschuss": 200.0, "auszahlungsbetrag": 2363.1, "waehrung": "EUR"}""",
        {
            "arbeitgeber": "issuer",
            "abrechnung_nr": "number",
            "bezuege[].bezeichnung": "description",
            "bezuege[].menge": "quantity",
            "bezuege[].satz": "unit_price",
            "bezuege[].betrag": "line_total",
            "auszahlungsbetrag": "total",
            "waehrung": "currency",
        },
        frozenset({"bezuege[].betrag = bezuege[].menge * bezuege[].satz", "gesamtbrutto = sum(bezuege[].betrag)"}),
        "a price per unit, or a percentage? check x-kind",
    ),
    "pakbon": PublicShape(
        """{"leverancier": "Bakker BV", "pakbonnummer": "PB-77", "leverdatum": "03-11-2025", "regels": [
        {"omschrijving": "Schroef", "aantal": 20, "stukprijs": 0.35, "bedrag": 7.00},
        {"omschrijving": "Moer", "aantal": 12, "stukprijs": 1.25, "bedrag": 15.00}], "totaalbedrag": 22.00}""",
        {
            "leverancier": "issuer",
            "pakbonnummer": "number",
            "regels[].omschrijving": "description",
            "regels[].aantal": "quantity",
            "regels[].stukprijs": "unit_price",
            "regels[].bedrag": "line_total",
            "totaalbedrag": "total",
        },
        frozenset({"totaalbedrag = sum(regels[].bedrag)", "regels[].bedrag = regels[].aantal * regels[].stukprijs"}),
    ),
    "nómina": PublicShape(
        """{"empresa": "ACME SL", "periodo": {"desde": "01/05/2024", "hasta": "31/05/2024"},
        "devengos": [{"concepto": "Salario base", "importe": "1.500,00"}, {"concepto": "Plus", "importe": "123,45"}],
        "total_devengado": "1.623,45", "total_deducciones": "263,45", "liquido": "1.360,00"}""",
        {
            "empresa": "issuer",
            "devengos[].concepto": "description",
            "devengos[].importe": "line_total",
            "liquido": "total",
        },
        frozenset(
            {
                "total_devengado = sum(devengos[].importe)",
                "liquido = total_devengado - total_deducciones",
            }
        ),
    ),
    "Kontoauszug": PublicShape(
        """{"auszug_nr": "3/2025", "anfangssaldo": "1.520,33", "buchungen": [{"buchungstag": "03.03.2025",
        "verwendungszweck": "Miete", "betrag": "-850,00"}, {"buchungstag": "28.03.2025", "verwendungszweck": "Gehalt",
        "betrag": "2.410,10"}], "endsaldo": "3.080,43", "währung": "EUR"}""",
        {
            "auszug_nr": "number",
            "buchungen[].verwendungszweck": "description",
            "buchungen[].betrag": "line_total",
            "endsaldo": "total",
            "währung": "currency",
        },
        frozenset({"endsaldo = anfangssaldo + sum(buchungen[].betrag)"}),
    ),
    "fapiao of a webhook": PublicShape(
        """{"supplierName": "濮阳市某公司", "totalPriceAmount": 978.22, "invoiceNumber": "60800700",
        "totalPriceAndTax": 988.00, "issueDate": "2021年12月15日", "totalTaxAmount": 9.78, "items": [{"name": "餐费",
        "priceAmount": 978.22, "taxRate": 0.01, "taxAmount": 9.78, "num": 1, "unitPrice": 978.217834}]}""",
        {
            "supplierName": "issuer",
            "invoiceNumber": "number",
            "totalPriceAndTax": "total",
            "items[].name": "description",
            "items[].num": "quantity",
            "items[].unitPrice": "unit_price",
            "items[].priceAmount": "line_total",
        },
        frozenset(
            {
                "totalPriceAndTax = totalPriceAmount + totalTaxAmount",
                "items[].taxAmount = items[].priceAmount * items[].taxRate",
            }
        ),
        "2021年12月15日 → 2021-12-15",
    ),
    "fapiao of an OCR service": PublicShape(
        """{"InvoiceNum": "05001", "AmountInWords": "贰佰元整", "AmountInFiguers": "200.00", "TotalAmount": "188.68",
        "TotalTax": "11.32", "SellerName": "某公司", "CommodityTaxRate": [{"row": "1", "word": "6%"}]}""",
        {"InvoiceNum": "number", "SellerName": "issuer", "AmountInFiguers": "total"},
        frozenset({"AmountInFiguers = TotalAmount + TotalTax"}),
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_public_shapes_are_understood(shape: PublicShape) -> None:
    answer: dict[str, Any] = json_text.parse(shape.answer)
    guess = guessed(answer)
    assert guess.roles == shape.roles
    assert equations(guess) >= shape.rules
    assert shape.note in notes(guess)
    assert len(guess.answers) == 1
