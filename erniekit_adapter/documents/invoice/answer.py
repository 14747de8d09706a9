"""Schema of the answer that the service expects for an invoice, as pydantic models.

Names in brackets are the business terms of EN 16931. Every field is optional: an answer contains only what
the page shows.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from erniekit_adapter.documents.field_types import IsoDate, Number, Text
from erniekit_adapter.documents.validation_summary import ValidationSummary

DocumentType = Literal["invoice", "credit_note"]


class _AnswerPart(BaseModel):
    """Part of the answer; unknown keys are an error, so that no value is dropped silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VendorBlock(_AnswerPart):
    """The seller [BG-4]."""

    name: Text | None = None
    address: Text | None = None
    phone: Text | None = None
    email: Text | None = None
    confidence: Number | None = None
    logo_detected: StrictBool | None = None
    logo_brand: Text | None = None


class ClientInfo(_AnswerPart):
    """The buyer [BG-7], and number and dates of the invoice [BT-1, BT-2, BT-9]."""

    name: Text | None = None
    address: Text | None = None
    invoice_number: Text | None = None
    invoice_date: IsoDate | None = None
    due_date: IsoDate | None = None
    confidence: Number | None = None


class LineItem(_AnswerPart):
    """A line item [BG-25]: quantity [BT-129], unit price [BT-146], net amount [BT-131]."""

    description: Text | None = None
    quantity: Number | None = None
    unit_price: Number | None = None
    total: Number | None = None
    confidence: Number | None = None


class Tax(_AnswerPart):
    """A row of the VAT breakdown [BG-23]: rate [BT-119] as a fraction (0.19), amount [BT-117]."""

    type: Text | None = None
    rate: Number | None = None
    amount: Number | None = None


class Discount(_AnswerPart):
    """A document level allowance [BG-20]: amount [BT-92] subtracted from the subtotal; negative if the page adds it."""

    description: Text | None = None
    amount: Number | None = None


class Charge(_AnswerPart):
    """A document level charge [BG-21], such as freight: amount [BT-99] added to the subtotal."""

    description: Text | None = None
    amount: Number | None = None


class FinancialSummary(_AnswerPart):
    """Sum of the line items [BT-106], taxes, discounts, charges, total with VAT [BT-112], currency [BT-5].

    `amount_paid` [BT-113], `rounding` [BT-114] and `amount_due` [BT-115] are given if an amount was paid in advance or
    the amount to pay was rounded.
    """

    subtotal: Number | None = None
    taxes: list[Tax] | None = None
    discounts: list[Discount] | None = None
    charges: list[Charge] | None = None
    grand_total: Number | None = None
    amount_paid: Number | None = None
    rounding: Number | None = None
    amount_due: Number | None = None
    currency: Text | None = None


class PaymentTerms(_AnswerPart):
    """Due date and method of payment [BT-9, BT-20, BG-16]."""

    due_date: IsoDate | None = None
    payment_method: Text | None = None
    notes: Text | None = None


class StructuredData(_AnswerPart):
    """The content of the invoice.

    `document_type` is given for a credit note only [BT-3]; its amounts are positive, as they are printed.
    """

    document_type: DocumentType | None = None
    vendor_block: VendorBlock | None = None
    client_info: ClientInfo | None = None
    line_items: list[LineItem] | None = None
    financial_summary: FinancialSummary | None = None
    payment_terms: PaymentTerms | None = None


class Answer(_AnswerPart):
    """The complete answer to an analysis request."""

    structured_data: StructuredData
    validation_summary: ValidationSummary | None = None
    confidence_scores: dict[Text, Number] | None = None

    @property
    def summary(self) -> FinancialSummary:
        """The financial summary; empty if the answer has none."""
        return self.structured_data.financial_summary or FinancialSummary()

    @property
    def lines(self) -> list[LineItem]:
        """The line items; empty if the answer has none."""
        return self.structured_data.line_items or []


def read_answer(value: object) -> Answer:
    """Validate a JSON object as an answer.

    Raises:
        ValueError: the object does not match the schema; the message lists every key with its problem.
    """
    try:
        return Answer.model_validate(value)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ValueError("; ".join(problems)[:2000]) from error


def as_invoice(answer: BaseModel) -> Answer:
    """Return an answer of the document type `invoice` as such.

    Raises:
        TypeError: it is an answer of another type.
    """
    if not isinstance(answer, Answer):
        raise TypeError(f"expected an answer about an invoice, found {type(answer).__name__}")
    return answer


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the answer as a JSON object without missing fields: amounts stay Decimal, dates become ISO text."""
    found = answer.model_dump(exclude_none=True)
    dated = (("client_info", "invoice_date"), ("client_info", "due_date"), ("payment_terms", "due_date"))
    for block, name in dated:
        part = found["structured_data"].get(block, {})
        if name in part:
            part[name] = part[name].isoformat()
    return found
