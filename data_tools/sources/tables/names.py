"""Usual names of columns in English, German, French, Spanish, Italian and Dutch, by field.

Names are compared by `column_key`: without case, accents, blanks and punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache

LINE_ITEM_PREFIX = "line_items."
# Signs for `number`, and the word that they are compared as.
_NUMBER_SIGNS = re.compile(r"#|№|\bn[°º]")
_CURRENCY_AT_END = re.compile(r"[\s(\[]+(?:in\s+)?(?:EUR|USD|GBP|CHF|€|\$|£)[)\]]?\s*$", re.IGNORECASE)

# Names with one meaning.
_STRONG: Mapping[str, str] = {
    "file": """file, file name, file path, source file, path, image, image file, image path, image name, pdf, pdf file,
        pdf path, pdf name, scan, attachment, document file, document path, document name, invoice file, invoice image,
        Datei, Dateiname, Dateipfad, Bild, Bilddatei, PDF-Datei, Anhang, Belegdatei, Belegbild,
        fichier, nom fichier, nom du fichier, chemin, chemin du fichier, pièce jointe, image facture,
        archivo, nombre archivo, nombre de archivo, nombre del archivo, fichero, nombre del fichero, ruta, adjunto,
        nome file, nome del file, percorso, allegato, immagine,
        bestand, bestandsnaam, bestandspad, bijlage, afbeelding""",
    "invoice_number": """invoice number, invoice no, invoice num, invoice nr, invoice id, inv no, inv num, inv number,
        inv id, invoice ref, invoice reference, bill number, bill no, document number, document no, doc no, doc number,
        invoice doc number, Rechnungsnummer, Rechnungsnr, Rechnung Nr, Rechnungs-Nr, Rechnung Nummer, RE-Nr, RE-Nummer,
        Rg-Nr, Rgnr, Rg-Nummer, ReNr, Rech-Nr, Faktura-Nr, Fakturanummer, Fakturanr,
        numéro de facture, numéro facture, no facture, num facture, n facture, nr facture, référence facture,
        numéro de la facture, no de facture, n de facture, facture no, facture n,
        número de factura, número factura, nº factura, num factura, n factura, no de factura, n de factura,
        no factura, núm factura, factura no, factura n, número de la factura,
        numero fattura, numero della fattura, n fattura, nr fattura, num fattura, no fattura, fattura n, fattura nr,
        fattura no, factuurnummer, factuurnr, factuur nr, factuur nummer, factuur no, factnr, factuur id""",
    "invoice_date": """invoice date, inv date, date of invoice, date invoice, bill date, date of issue, issue date,
        issued on, invoiced on, document date, doc date,
        Rechnungsdatum, Rechn-Datum, Rg-Datum, Rgdatum, RE-Datum, Re-Datum, Datum der Rechnung, Rechnung Datum,
        Ausstellungsdatum, Fakturadatum,
        date de facture, date facture, date de la facture, date de facturation, date facturation, date d'émission,
        date émission, date d'émission de la facture, fecha de factura, fecha factura, fecha de la factura,
        fecha de emisión, fecha emisión, fecha de expedición, fecha expedición, fecha de facturación,
        data fattura, data della fattura, data di emissione, data emissione, data documento,
        factuurdatum, factuur datum, datum factuur, fact datum, facturatiedatum""",
    "due_date": """due date, invoice due date, due on, date due, payment due date, pay by,
        Fälligkeitsdatum, Fälligkeit, Fällig am, Fällig, fällig bis, Zahlbar bis, Zahlungsziel Datum,
        date d'échéance, date échéance, échéance, date limite de paiement, à payer avant le,
        fecha de vencimiento, fecha vencimiento, vencimiento, vence,
        data scadenza, data di scadenza, scadenza,
        vervaldatum, vervaldag, vervalt, betaaldatum uiterlijk, te betalen voor, uiterste betaaldatum""",
    "vendor_name": """vendor, vendor name, supplier, supplier name, seller, seller name, issuer, issuer name, merchant,
        merchant name, supplier company name, biller, billed by,
        Lieferant, Lieferantenname, Lieferant Name, Name des Lieferanten, Rechnungssteller, Rechnungsaussteller,
        Verkäufer, Aussteller, Händler, fournisseur, nom fournisseur, nom du fournisseur, vendeur, nom du vendeur,
        émetteur, proveedor, nombre proveedor, nombre del proveedor, emisor, vendedor,
        fornitore, nome fornitore, nome del fornitore, denominazione fornitore, ragione sociale fornitore,
        cedente, cedente prestatore, venditore, emittente,
        leverancier, leveranciersnaam, naam leverancier, leverancier naam, verkoper""",
    "vendor_address": """vendor address, supplier address, seller address, Lieferantenadresse, Adresse des Lieferanten,
        Adresse Lieferant, Lieferantenanschrift, adresse fournisseur, adresse du fournisseur, dirección proveedor,
        dirección del proveedor, indirizzo fornitore, indirizzo del fornitore, adres leverancier, leverancier adres""",
    "vendor_phone": """vendor phone, supplier phone, seller phone, Lieferant Telefon, Telefon Lieferant,
        téléphone fournisseur, teléfono proveedor, telefono fornitore, telefoon leverancier""",
    "vendor_email": """vendor email, supplier email, seller email, Lieferant E-Mail, E-Mail Lieferant,
        email fournisseur, email proveedor, correo proveedor, email fornitore, e-mail leverancier""",
    "client_name": """client, client name, customer, customer name, buyer, buyer name, bill to, billed to, bill to name,
        Kunde, Kundenname, Name des Kunden, Rechnungsempfänger, Käufer, Debitor, Debitorenname,
        nom client, nom du client, acheteur, destinataire, cliente, nombre cliente, nombre del cliente, comprador,
        destinatario, nome cliente, nome del cliente, acquirente, cessionario, cessionario committente,
        klant, klantnaam, naam klant, afnemer, koper, debiteur, debiteurnaam, naam debiteur""",
    "client_address": """client address, customer address, buyer address, bill to address, billing address,
        Kundenadresse, Adresse des Kunden, Rechnungsadresse, Rechnungsanschrift, adresse client, adresse du client,
        adresse de facturation, dirección cliente, dirección del cliente, dirección de facturación,
        indirizzo cliente, indirizzo del cliente, adres klant, klantadres, factuuradres""",
    "subtotal": """subtotal, sub total, net, net amount, net total, total net, amount net, net value, amount untaxed,
        untaxed amount, total before tax, amount before tax, total excl tax, total excluding tax, total ex vat,
        total excl vat, total exc vat, amount excl vat, amount ex vat, taxable amount, net invoice amount,
        Netto, Nettobetrag, Netto-Summe, Nettosumme, Betrag netto, Summe netto, Gesamt netto, Gesamtbetrag netto,
        Nettowert, Netto Betrag, Rechnungsbetrag netto, Zwischensumme, Gesamtnetto, Total netto, Netto gesamt,
        HT, montant HT, total HT, prix total HT, montant total HT, montant hors taxe, montant hors taxes, sous-total,
        sous total, total hors taxe, total hors taxes, montant net, base HT, net HT,
        base imponible, importe neto, importe sin IVA, total sin IVA, total neto, neto,
        imponibile, totale imponibile, importo netto, totale netto, subtotale, subtotale netto, importo imponibile,
        subtotaal, netto bedrag, nettobedrag, bedrag excl btw, bedrag ex btw, totaal excl btw, totaal ex btw,
        bedrag exclusief btw, totaal exclusief btw, totaal netto, excl btw, exclusief btw""",
    "tax_type": """tax type, tax name, kind of tax, Steuerart, type de taxe, tipo de impuesto, tipo imposta,
        soort belasting""",
    "tax_rate": """tax rate, vat rate, tax percent, vat percent, tax percentage, vat percentage, tax rate percent,
        Steuersatz, MwSt-Satz, USt-Satz, Mehrwertsteuersatz, Umsatzsteuersatz, MwSt %, USt %, MwSt in %, USt in %,
        Steuer %, Steuer in %, Steuersatz %, Steuersatz in %, taux TVA, taux de TVA, TVA %, TVA en %,
        tipo IVA, tipo de IVA, IVA %, % IVA, porcentaje IVA, tipo impositivo, aliquota, aliquota IVA, IVA percentuale,
        btw %, btw percentage, btw-percentage, btw tarief, btw-tarief, % btw, % VAT, % MwSt, % USt, % TVA""",
    "tax_amount": """tax amount, vat amount, amount of tax, amount of vat, total tax, total vat, tax total, vat total,
        sales tax, gst amount, amount tax, MwSt-Betrag, USt-Betrag, Steuerbetrag, Betrag MwSt, Betrag USt,
        Mehrwertsteuerbetrag, Umsatzsteuerbetrag, Summe MwSt, Summe USt, MwSt gesamt, USt gesamt, Gesamtsteuer,
        montant TVA, montant de la TVA, total TVA, montant taxe, montant des taxes, TVA montant,
        importe IVA, importe de IVA, cuota IVA, cuota de IVA, total IVA, importe impuestos, total impuestos,
        importo IVA, totale IVA, imposta, totale imposta, importo imposta, ammontare IVA,
        btw bedrag, btw-bedrag, bedrag btw, totaal btw, belastingbedrag""",
    "document_type": """document type, doc type, Belegart, Dokumentart, Dokumenttyp, Rechnungsart, type de document,
        type document, tipo de documento, tipo documento, documenttype, documentsoort, soort document""",
    "charge": """shipping, shipping cost, shipping costs, shipping amount, shipping charge, shipping fee, freight,
        freight cost, freight amount, delivery charge, delivery fee, handling fee, service charge, surcharge,
        Versand, Versandkosten, Fracht, Frachtkosten, Lieferkosten, Porto, frais de port, frais de livraison,
        frais d'expédition, gastos de envío, portes, spese di spedizione, spese di trasporto, verzendkosten,
        vrachtkosten""",
    "rounding": "rounding, round off, Rundung, Rundungsdifferenz, arrondi, redondeo, arrotondamento, afronding",
    "discount": """discount, discount amount, total discount, rebate, Rabatt, Rabattbetrag, Nachlass, remise, rabais,
        montant remise, descuento, importe descuento, sconto, importo sconto, korting, kortingsbedrag""",
    "grand_total": """grand total, total amount, amount total, invoice total, invoice amount, total invoice,
        total gross, gross, gross amount, gross total, total incl tax, total including tax, total incl vat,
        total inc vat, total with tax, amount incl vat, amount incl tax, total invoice amount, invoice value,
        Brutto, Bruttobetrag, Betrag brutto, Summe brutto, Bruttosumme, Gesamt brutto, Gesamtbetrag brutto,
        Gesamtbetrag, Rechnungsbetrag, Rechnungsbetrag brutto, Rechnungssumme, Gesamtsumme, Endbetrag, Endsumme,
        Brutto gesamt, Brutto Betrag, Bruttowert,
        TTC, montant TTC, total TTC, montant total TTC, prix total TTC, montant toutes taxes comprises,
        importe total, total factura, importe con IVA, total con IVA, importe bruto, total bruto,
        importe total factura, total de la factura,
        totale fattura, totale documento, importo totale, totale lordo, importo lordo, totale con IVA, totale ivato,
        totale complessivo,
        totaalbedrag, totaal incl btw, bedrag incl btw, totaal inclusief btw, bedrag inclusief btw, factuurbedrag,
        factuurtotaal, bruto bedrag, brutobedrag, totaal bruto, incl btw, inclusief btw""",
    "currency": """currency, currency code, invoice currency, Währung, Waehrung, WKZ, Währungscode, Währungskennzeichen,
        devise, monnaie, code devise, moneda, divisa, código moneda, codice valuta, munteenheid, munt, valutacode""",
    "payment_method": """payment method, method of payment, payment type, payment means, Zahlungsart, Zahlungsweise,
        Zahlungsmethode, mode de paiement, moyen de paiement, mode de règlement, forma de pago, método de pago,
        medio de pago, modalità di pagamento, metodo di pagamento, metodo pagamento, modalità pagamento,
        betaalwijze, betaalmethode, betalingswijze""",
    "payment_terms": """payment terms, terms of payment, terms, Zahlungsbedingungen, Zahlungskonditionen,
        conditions de paiement, condiciones de pago, condizioni di pagamento, termini di pagamento,
        betalingsvoorwaarden, betaalvoorwaarden""",
    "line_items.description": """description, item description, line description, item, item name, product,
        product name, product description, desc, article, Beschreibung, Bezeichnung, Artikelbezeichnung, Artikel,
        Artikelname, Leistung, Positionstext, Artikelbeschreibung, Produkt, désignation, libellé, article désignation,
        produit, prestation, descripción, concepto, artículo, producto, descrizione, articolo, prodotto,
        descrizione articolo, omschrijving, artikelomschrijving, artikelnaam, product omschrijving""",
    "line_items.quantity": """quantity, qty, units, Menge, Anzahl, Stückzahl, Stück, quantité, qté, cantidad, cant,
        unidades, quantità, qtà, aantal, hoeveelheid""",
    "line_items.unit_price": """unit price, price per unit, unit cost, unit amount, rate per unit, price each,
        price unit, Einzelpreis, E-Preis, EP, Stückpreis, Preis pro Einheit, Einzelpreis netto, Preis je Einheit,
        prix unitaire, prix unitaire HT, PU, PU HT, P.U., prix unit, precio unitario, precio unidad, precio por unidad,
        prezzo unitario, prezzo unit, prijs per stuk, stukprijs, eenheidsprijs, prijs per eenheid""",
    "line_items.total": """line total, line amount, line net, item total, item amount, extended price, extended amount,
        line item total, line net amount, price subtotal, Positionsbetrag, Gesamtpreis, Zeilensumme, Positionssumme,
        Positionspreis, G-Preis, GP, Gesamtpreis netto, Positionswert, montant ligne, total ligne, montant ligne HT,
        total ligne HT, prix total, importe línea, total línea, importe de línea, precio total,
        importo riga, totale riga, prezzo totale, regeltotaal, regelbedrag, totaalprijs, bedrag regel""",
    "line_items.tax_rate": """line tax rate, item tax rate, line vat rate, item vat rate""",
    "line_items.tax_amount": """line tax, line tax amount, line vat, item tax amount, item vat, line vat amount""",
}  # fmt: skip

# Names that usually mean the field, unless another column has a name with one meaning.
_WEAK: Mapping[str, str] = {
    "file": "document, scans, doc, page, pages, Dokument, Seite, Seiten, documento, pagina",
    "invoice_number": """number, no, invoice, bill, Nummer, Nr, Belegnummer, Belegnr, Beleg-Nr, Belegfeld 1,
        Rechnung, numéro, pièce, no pièce, numéro de pièce, número, factura, num factura proveedor, numero,
        numero documento, fattura, nummer, factuur, boekstuk, factuurreferentie""",
    "invoice_date": "date, Datum, Belegdatum, fecha, data, date pièce, date de pièce",
    "due_date": "Zahlungsziel",
    "vendor_name": "Kreditor, Kreditorenname, from, crediteur, crediteurnaam, acreedor, store, shop",
    "client_name": "to, recipient",
    "subtotal": "base",
    "grand_total": "total, totale, totaal, Gesamt, sum total, importe factura, importo fattura, total general",
    "discount": "Skonto",
    "currency": "curr, cur, valuta",
    "line_items.unit_price": "price, Preis, prix, precio, prezzo, prijs",
}  # fmt: skip

# Names with several meanings.
_AMBIGUOUS: Mapping[tuple[str, ...], str] = {
    ("subtotal", "grand_total"): """amount, value, sum, Betrag, Summe, Wert, Umsatz, montant, somme, valeur, importe,
        monto, valor, suma, importo, somma, valore, ammontare, bedrag, som, waarde""",
    ("tax_amount", "tax_rate"): """tax, vat, taxes, gst, Steuer, Steuern, MwSt, USt, Mehrwertsteuer, Umsatzsteuer,
        TVA, taxe, IVA, impuesto, impuestos, imposte, tassa, BTW, belasting""",
    ("vendor_name", "client_name"): """name, company, company name, contact, contact name, party, partner, Firma,
        Name, Firmenname, Kontakt, Geschäftspartner, nom, société, entreprise, tiers, nombre, empresa, razón social,
        tercero, Empfänger, payee, nome, azienda, ragione sociale, denominazione, naam, bedrijf,
        bedrijfsnaam, relatie""",
}  # fmt: skip


def column_key(name: str) -> str:
    """Return a column's name for comparison, without case, accents, blanks, punctuation and a currency at its end."""
    text = _NUMBER_SIGNS.sub(" no ", _CURRENCY_AT_END.sub("", name.casefold()).replace("%", " percent "))
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in decomposed if character.isalnum())


@cache
def strong_names() -> Mapping[str, str]:
    """Return the field of each name with one meaning, by the name's key."""
    return {key: field for field, names in _STRONG.items() for key in _keys(names)}


@cache
def weak_names() -> Mapping[str, str]:
    """Return the field of each name that gives way to names with one meaning, by the name's key."""
    return {key: field for field, names in _WEAK.items() for key in _keys(names) if key not in strong_names()}


@cache
def ambiguous_names() -> Mapping[str, tuple[str, ...]]:
    """Return the fields that a name can mean, by the name's key."""
    found = {key: fields for fields, names in _AMBIGUOUS.items() for key in _keys(names)}
    return {key: fields for key, fields in found.items() if key not in strong_names() and key not in weak_names()}


def is_known(name: str) -> bool:
    """Return whether a name is a usual one."""
    key = column_key(name)
    return key in strong_names() or key in weak_names() or key in ambiguous_names()


def _keys(names: str) -> list[str]:
    return [column_key(name) for name in names.split(",")]
