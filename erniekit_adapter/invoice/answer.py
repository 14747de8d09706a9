"""The canonical answer: what the service expects for an invoice, as pydantic models.

Names in brackets are the business terms of EN 16931. Every field may be missing: an answer holds what the page shows.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool, ValidationError

from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.money import parse_amount, within_limits

_PLAIN_NUMBER = re.compile(r"-?\d{1,24}(\.\d{1,24})?")


def _number(value: object) -> Decimal:
    if type(value) is Decimal:
        return within_limits(value)
    if isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value):
        raise ValueError(f"{value[:40]!r} is no plain number")
    return parse_amount(Decimal(value) if isinstance(value, str) else value)


def _text(value: object) -> str:
    if type(value) is str:
        # JSON can escape half a character (\ud800), which no file can hold.
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise ValueError("holds half of a surrogate pair") from error
        return value
    # Models and logs write phone and invoice numbers as JSON numbers; as text nothing is lost.
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{str(value)[:40]!r} is no text")


def _iso_date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(f"{str(value)[:40]!r} is no ISO date (2025-01-31)")


Number = Annotated[Decimal, BeforeValidator(_number)]
Text = Annotated[str, BeforeValidator(_text)]
IsoDate = Annotated[date, BeforeValidator(_iso_date)]


DocumentType = Literal["invoice", "credit_note"]


class _Part(BaseModel):
    """A part of the answer: unknown keys are an error, so that nothing is lost in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VendorBlock(_Part):
    """The seller [BG-4]."""

    name: Text | None = None
    address: Text | None = None
    phone: Text | None = None
    email: Text | None = None
    confidence: Number | None = None
    logo_detected: StrictBool | None = None
    logo_brand: Text | None = None


class ClientInfo(_Part):
    """The buyer [BG-7] and what identifies the invoice [BT-1, BT-2, BT-9]."""

    name: Text | None = None
    address: Text | None = None
    invoice_number: Text | None = None
    invoice_date: IsoDate | None = None
    due_date: IsoDate | None = None
    confidence: Number | None = None


class LineItem(_Part):
    """An invoice line [BG-25]: quantity [BT-129], unit price [BT-146], net amount [BT-131]."""

    description: Text | None = None
    quantity: Number | None = None
    unit_price: Number | None = None
    total: Number | None = None
    confidence: Number | None = None


class Tax(_Part):
    """A row of the VAT breakdown [BG-23]: rate [BT-119] as a fraction (0.19), amount [BT-117]."""

    type: Text | None = None
    rate: Number | None = None
    amount: Number | None = None


class Discount(_Part):
    """A document level allowance [BG-20]: amount [BT-92] taken off the subtotal; negative where the page adds it."""

    description: Text | None = None
    amount: Number | None = None


class Charge(_Part):
    """A document level charge [BG-21], such as freight: amount [BT-99] added to the subtotal."""

    description: Text | None = None
    amount: Number | None = None


class FinancialSummary(_Part):
    """Sum of the lines [BT-106], taxes, discounts, charges, total with VAT [BT-112], currency [BT-5].

    `amount_paid` [BT-113], `rounding` [BT-114] and `amount_due` [BT-115] are given if something was paid in advance or
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


class PaymentTerms(_Part):
    """When and how to pay [BT-9, BT-20, BG-16]."""

    due_date: IsoDate | None = None
    payment_method: Text | None = None
    notes: Text | None = None


class StructuredData(_Part):
    """The content of the invoice.

    `document_type` is given for a credit note only [BT-3]; its amounts are positive, as they are printed.
    """

    document_type: DocumentType | None = None
    vendor_block: VendorBlock | None = None
    client_info: ClientInfo | None = None
    line_items: list[LineItem] | None = None
    financial_summary: FinancialSummary | None = None
    payment_terms: PaymentTerms | None = None


class ValidationSummary(_Part):
    """The result of the rules: true, false, or None if operands are missing; `issues` name the rule and the amounts."""

    is_valid: StrictBool | None
    math_verified: StrictBool | None
    issues: list[Text] = []


class Answer(_Part):
    """The whole answer to an analysis request."""

    structured_data: StructuredData
    validation_summary: ValidationSummary | None = None
    confidence_scores: dict[Text, Number] | None = None

    @property
    def summary(self) -> FinancialSummary:
        """The financial summary, empty where there is none."""
        return self.structured_data.financial_summary or FinancialSummary()

    @property
    def lines(self) -> list[LineItem]:
        """The line items, none where there are none."""
        return self.structured_data.line_items or []


def read_answer(value: object) -> Answer:
    """Make an answer of a JSON object.

    Raises:
        ValueError: the object is not of this shape; the message lists every key with its problem.
    """
    try:
        return Answer.model_validate(value)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ValueError("; ".join(problems)[:2000]) from error


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer as a JSON object without what is missing: amounts stay Decimal, dates become ISO text."""
    found = answer.model_dump(exclude_none=True)
    dated = (("client_info", "invoice_date"), ("client_info", "due_date"), ("payment_terms", "due_date"))
    for block, name in dated:
        part = found["structured_data"].get(block, {})
        if name in part:
            part[name] = part[name].isoformat()
    return found


def as_text(answer: Answer) -> str:
    """The answer as the model shall write it: one line of JSON, amounts with their digits."""
    return jsontext.compose(as_json(answer))
