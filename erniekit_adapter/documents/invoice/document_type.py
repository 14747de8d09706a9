"""The document type `invoice`: commercial invoices and credit notes, with the rules of EN 16931."""

from __future__ import annotations

from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType, VerdictKeys
from erniekit_adapter.documents.fields import Field
from erniekit_adapter.documents.invoice.answer import Answer, as_invoice, as_json
from erniekit_adapter.documents.invoice.prompts import invoice_prompts
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.server_schema import schema_of_fields

_FIELDS = (
    Field("document_type", "code", "Document type", choices=("invoice", "credit_note"), default="invoice"),
    Field("vendor_block.name", "text", "Vendor", role="issuer"),
    Field("vendor_block.address", "address", "Vendor's address"),
    Field("vendor_block.phone", "identifier", "Vendor's phone"),
    Field("vendor_block.email", "text", "Vendor's e-mail"),
    Field("vendor_block.confidence", "quantity", "Confidence", is_printed=False),
    Field("vendor_block.logo_detected", "flag", "Logo detected", is_printed=False, is_scored=True),
    Field("vendor_block.logo_brand", "text", "Brand of the logo", is_printed=False, is_scored=True),
    Field("client_info.name", "text", "Client"),
    Field("client_info.address", "address", "Client's address"),
    Field("client_info.invoice_number", "identifier", "Invoice number", role="number"),
    Field("client_info.invoice_date", "date", "Invoice date"),
    Field("client_info.due_date", "date", "Due date"),
    Field("client_info.confidence", "quantity", "Confidence", is_printed=False),
    Field("line_items[].description", "text", "Description", role="description"),
    Field("line_items[].quantity", "quantity", "Quantity", role="quantity"),
    Field("line_items[].unit_price", "amount", "Unit price", role="unit_price"),
    Field("line_items[].total", "amount", "Total of the line item", role="line_total"),
    Field("line_items[].confidence", "quantity", "Confidence", is_printed=False),
    Field("financial_summary.subtotal", "amount", "Subtotal"),
    Field("financial_summary.taxes[].type", "text", "Tax"),
    Field("financial_summary.taxes[].rate", "rate", "Tax rate"),
    Field("financial_summary.taxes[].amount", "amount", "Tax amount"),
    Field("financial_summary.discounts[].description", "text", "Discount"),
    Field("financial_summary.discounts[].amount", "amount", "Discount amount"),
    Field("financial_summary.charges[].description", "text", "Charge"),
    Field("financial_summary.charges[].amount", "amount", "Charge amount"),
    Field("financial_summary.grand_total", "amount", "Total", role="total"),
    Field("financial_summary.amount_paid", "amount", "Amount paid"),
    Field("financial_summary.rounding", "amount", "Rounding"),
    Field("financial_summary.amount_due", "amount", "Amount due"),
    Field("financial_summary.currency", "currency", "Currency", role="currency"),
    Field("payment_terms.due_date", "date", "Due date"),
    Field("payment_terms.payment_method", "text", "Payment method"),
    Field("payment_terms.notes", "text", "Notes on payment"),
)
_CONTENT_KEY = "structured_data"


def _dump(answer: AnyAnswer) -> dict[str, object]:
    return as_json(as_invoice(answer))


INVOICE = DocumentType(
    name="invoice",
    reference="invoice",
    title="invoice",
    language="en",
    model=Answer,
    schema=schema_of_fields(_FIELDS, _CONTENT_KEY, VerdictKeys()),
    fields={field.path: field for field in _FIELDS},
    tables=("line_items", "financial_summary.taxes", "financial_summary.discounts", "financial_summary.charges"),
    line_items="line_items",
    content_key=_CONTENT_KEY,
    verdict=VerdictKeys(),
    rules=RULES,
    prompts=invoice_prompts(_FIELDS),
    dump=_dump,
    # A definition in code changes with the version of the package.
    digest="",
)
