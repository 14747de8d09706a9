"""Names of an invoice's fields, and their other names in English and German."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from erniekit_adapter.errors import usage_error

# Field → its other names, as `key_of` returns them. An ambiguous name is not listed.
_OTHER_NAMES: dict[str, str] = {
    "vendor_name": "vendor supplier seller merchant issuer company company_name supplier_name seller_name "
    "merchant_name store_name shop_name vendor_company lieferant lieferantenname "
    "verkäufer rechnungssteller kreditor firma händler",
    "vendor_address": "supplier_address seller_address merchant_address store_address store_addr company_address "
    "issuer_address lieferantenadresse lieferantenanschrift",
    "vendor_phone": "supplier_phone seller_phone merchant_phone store_phone company_phone vendor_tel supplier_tel "
    "vendor_phone_number supplier_phone_number merchant_phone_number",
    "vendor_email": "supplier_email seller_email merchant_email company_email vendor_e_mail",
    "client_name": "client customer buyer customer_name buyer_name receiver_name recipient_name bill_to "
    "bill_to_name billed_to invoice_recipient kunde kundenname käufer rechnungsempfänger debitor",
    "client_address": "customer_address buyer_address receiver_address recipient_address bill_to_address "
    "billing_address kundenadresse kundenanschrift rechnungsadresse rechnungsanschrift",
    "invoice_number": "invoice_no invoice_nr invoice_num invoice_id invoice inv_no inv_number receipt_number "
    "receipt_no receipt_id bill_number bill_no document_number document_no rechnungsnummer rechnungsnr "
    "rechnungs_nr rechnung_nr re_nr rg_nr belegnummer beleg_nr belegnr bonnummer",
    "invoice_date": "date issue_date date_issued date_of_issue issued invoice_issue_date receipt_date transaction_date "
    "document_date bill_date inv_date rechnungsdatum datum belegdatum ausstellungsdatum",
    "due_date": "date_due payment_due_date payment_due due_on pay_by fälligkeitsdatum fälligkeit fällig fällig_am "
    "zahlbar_bis",
    "subtotal": "sub_total subtotal_amount net net_amount net_total total_net amount_net amount_untaxed total_excl_tax "
    "total_net_worth total_before_tax total_excluding_tax total_without_tax netto nettobetrag "
    "nettosumme summe_netto gesamt_netto zwischensumme",
    "grand_total": "total total_amount amount_total grand_total_amount gross gross_amount gross_total total_gross "
    "total_gross_worth invoice_total invoice_amount total_incl_tax total_including_tax total_with_tax brutto "
    "bruttobetrag bruttosumme summe_brutto gesamt gesamtbetrag gesamtsumme gesamt_brutto rechnungsbetrag endbetrag",
    "currency": "currency_code curr währung währungscode",
    "payment_method": "method_of_payment payment_means payment_mode zahlungsart zahlungsweise zahlungsmittel",
    "payment_terms": "terms terms_of_payment payment_term payment_conditions zahlungsbedingungen",
    "amount_paid": "paid_amount prepaid prepaid_amount anzahlung bereits_bezahlt",
    "amount_due": "balance_due amount_payable payable_amount offener_betrag restbetrag",
    "rounding": "rounding_amount payable_rounding_amount",
    "document_type": "doc_type belegart",
    "tax_type": "tax_name vat_type steuerart",
    "tax_rate": "vat_rate gst_rate tax_percent vat_percent tax_percentage steuersatz mwst_satz ust_satz",
    "tax_amount": "tax tax_total total_tax total_tax_amount vat vat_amount vat_total total_vat gst gst_amount "
    "sales_tax amount_tax mwst ust umsatzsteuer mehrwertsteuer steuer steuerbetrag mwst_betrag ust_betrag",
    "discount": "discount_amount discount_total total_discount rabatt nachlass",
    "line_items": "items lines positions invoice_lines invoice_items line_item positionen rechnungspositionen",
}
# Names of amounts that are added to the subtotal before tax.
CHARGE_NAMES = frozenset({
    "charge", "shipping", "shipping_cost", "shipping_costs", "shipping_amount", "shipping_charge", "shipping_fee",
    "freight", "freight_amount", "delivery_charge", "delivery_fee", "handling", "handling_fee", "service_charge",
    "service_fee", "tip", "tips", "gratuity", "surcharge", "versand", "versandkosten", "fracht", "frachtkosten",
})  # fmt: skip
_OTHER_LINE_NAMES: dict[str, str] = {
    "description": "desc text item item_name item_description name product product_name product_description article "
    "service title beschreibung bezeichnung artikel artikelbezeichnung leistung",
    "quantity": "qty count cnt units menge anzahl",
    "unit_price": "price net_price unit_cost unitprice price_unit price_per_unit unit_amount "
    "einzelpreis stückpreis preis",
    "total": "line_total amount line_amount total_price total_amount price_subtotal net_worth extended_price subtotal "
    "net_amount gesamtpreis gesamt betrag zeilensumme",
    "tax_rate": "vat_rate tax_percent vat_percent tax_percentage steuersatz mwst_satz ust_satz",
    "tax_amount": "tax vat vat_amount mwst ust steuer",
    "discount": "discount_amount rabatt",
}
_LINE_PREFIXES = ("line_item_", "item_", "line_", "product_", "prod_", "position_", "artikel_")
# On a page, each of these may be the price of one piece or of all pieces.
_PRICE_OF_SOMETHING = frozenset({"price", "preis"})
# MwSt is one word.
_CAMEL = re.compile(r"(?<=[a-z0-9]{2})(?=[A-Z])")
_NO_LETTERS = re.compile(r"[\W_]+")
_ALIASES = {name: known for known, names in _OTHER_NAMES.items() for name in (known, *names.split())}
_LINE_ALIASES = {name: known for known, names in _OTHER_LINE_NAMES.items() for name in (known, *names.split())}
FIELDS = frozenset(_OTHER_NAMES) | {"charge", "taxes", "discounts", "charges"}
LINE_ITEM_FIELDS = frozenset(_OTHER_LINE_NAMES)


@lru_cache(maxsize=4096)
def key_of(name: str) -> str:
    """Return a name as in the tables above: `Invoice No.`, `invoiceNo` and `INVOICE-NO` are invoice_no."""
    text = unicodedata.normalize("NFKC", name[:200]).strip()
    text = _NO_LETTERS.sub("_", _CAMEL.sub("_", text)).strip("_").casefold()
    return text.replace("ß", "ss")


def field_named(name: str, labels: Mapping[str, str] | None = None) -> str | None:
    """Return the field with a name, or None; the labels of the project have priority.

    Every charge is `charge`.
    """
    if labels and (own := _own(name, labels)):
        return own if own in FIELDS else None
    key = key_of(name)
    return "charge" if key in CHARGE_NAMES else _ALIASES.get(key, key if key in FIELDS else None)


def line_item_field_named(name: str, labels: Mapping[str, str] | None = None) -> str | None:
    """Return the field of a line item with a name, or None; in labels it is written as `line_items.total`."""
    if labels and (own := _own(name, labels)):
        own = own.removeprefix("line_items.")
        return own if own in LINE_ITEM_FIELDS else None
    key = key_of(name)
    prefix = next((prefix for prefix in _LINE_PREFIXES if key.startswith(prefix)), "")
    return _LINE_ALIASES.get(key, _LINE_ALIASES.get(key.removeprefix(prefix)))


def line_item_label(name: str, labels: Mapping[str, str] | None = None) -> str | None:
    """Return the field of a line item for a label on a page: `item_total`, or a clear name such as `quantity`."""
    if labels and (own := _own(name, labels)):
        stripped = own.removeprefix("line_items.")
        return stripped if own != stripped and stripped in LINE_ITEM_FIELDS else None
    key = key_of(name)
    prefix = next((prefix for prefix in _LINE_PREFIXES if key.startswith(prefix)), "")
    field = _LINE_ALIASES.get(key.removeprefix(prefix))
    if field is None or key.removeprefix(prefix) in _PRICE_OF_SOMETHING:
        return None
    return field if prefix or (field in ("description", "quantity", "unit_price") and key not in _ALIASES) else None


def rate_or_amount(field: str | None, value: object) -> str | None:
    """Return the field, or `tax_rate` for a tax amount that is a percentage: a column VAT may have either."""
    is_rate = field == "tax_amount" and isinstance(value, str) and value.strip().endswith("%")
    return "tax_rate" if is_rate else field


def unknown_fields(labels: Mapping[str, str]) -> list[str]:
    """Return the labels of a project that name an unknown field, as `name: field`."""
    line_names = {f"line_items.{name}" for name in LINE_ITEM_FIELDS}
    return [f"{name}: {field}" for name, field in labels.items() if field not in FIELDS and field not in line_names]


def all_fields() -> Iterable[str]:
    """Return every field that the labels of a project may name."""
    return sorted([*FIELDS, *(f"line_items.{name}" for name in LINE_ITEM_FIELDS)])


def _own(name: str, labels: Mapping[str, str]) -> str | None:
    if name in labels:
        return labels[name]
    key = key_of(name)
    return next((field for own, field in labels.items() if key_of(own) == key), None)


def check_labels(labels: Mapping[str, str], path: Path) -> None:
    """Check that the labels of a source name fields.

    Args:
        labels: names of the source → fields.
        path: the source, for the message.

    Raises:
        UsageError: a label names an unknown field.
    """
    if unknown := unknown_fields(labels):
        fields = f"the fields are {', '.join(all_fields())}"
        raise usage_error(f"labels of {path}", f"no such field: {', '.join(unknown)[:300]}", fields)


def usual_names(field: str, *, of_row: bool = False) -> tuple[str, ...]:
    """Return a field of an invoice, or of its line items, and its other names."""
    others = (_OTHER_LINE_NAMES if of_row else _OTHER_NAMES).get(field, "")
    return (field, *others.split())
