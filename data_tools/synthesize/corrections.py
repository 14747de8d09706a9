"""Log records of a service about a synthetic invoice: shapes 1, 2 and 3 of `active_learning.jsonl`."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

from babel.numbers import get_currency_symbol

from data_tools.synthesize.invoice import SyntheticInvoice
from data_tools.synthesize.page_layout import postal_address, tax_name, text_lines
from data_tools.synthesize.streams import random_stream
from erniekit_adapter.documents.invoice.answer import read_answer
from erniekit_adapter.documents.invoice.rules import RULES
from erniekit_adapter.documents.json_text import compose
from erniekit_adapter.documents.loading import INVOICE

MODEL_VERSION = "synthetic-0"


def ocr_tokens(invoice: SyntheticInvoice) -> dict[str, Any]:
    """Return the lines of the page as structured output of an OCR engine."""
    return {"tokens": text_lines(invoice)}


def canonical_answer(invoice: SyntheticInvoice) -> dict[str, Any]:
    """Return the answer that the service expects, with the values of the page only; tax rates are fractions."""
    answer: dict[str, Any] = {
        "structured_data": {
            "vendor_block": _vendor_block(invoice),
            "client_info": {
                "name": invoice.client.name,
                "address": postal_address(invoice.client, invoice.language),
                "invoice_number": invoice.invoice_id,
                "invoice_date": invoice.issue_date.isoformat(),
                "due_date": invoice.due_date.isoformat(),
            },
            "line_items": _line_items(invoice),
            "financial_summary": _financial_summary(invoice),
            "payment_terms": {"due_date": invoice.due_date.isoformat(), "notes": invoice.payment_terms},
        },
    }
    # The page shows no other value that could explain a difference.
    summary = RULES.summarize(RULES.check(read_answer(answer), as_given=True))
    return answer | {"validation_summary": summary.model_dump()}


def flat_correction(invoice: SyntheticInvoice, document_id: str, source_file: str, timestamp: str) -> dict[str, Any]:
    """Return shape 1: extracted values, one of them wrong, and their correction by a reviewer."""
    correction = _flat_fields(invoice)
    rng = random_stream("extracted", invoice.invoice_id)
    wrong = rng.choice(("vendor_name", "client_name", "grand_total", "subtotal"))
    extracted = []
    for name, value in correction.items():
        if name == "line_items":
            continue
        seen = _misread(value) if name == wrong else value
        confidence = Decimal(rng.randint(40, 70) if name == wrong else rng.randint(80, 99)) / 100
        extracted.append({"field_name": name, "value": seen, "confidence": confidence})
    return {
        "document_id": document_id,
        "source_file": source_file,
        "extracted_data": extracted,
        "correction": correction,
        "timestamp": timestamp,
    }


def automatic_log(invoice: SyntheticInvoice, document_id: str, source_file: str, timestamp: str) -> dict[str, Any]:
    """Return shape 2: an answer without review that is marked as valid although its total is wrong by 1000."""
    calculated = invoice.subtotal - invoice.discount_total + invoice.tax_total
    wrong_total = calculated + 1000
    if random_stream("log", invoice.invoice_id).random() < 0.5:
        model_output, validation = _receipt(invoice, wrong_total), _total_check(calculated, wrong_total)
    else:
        model_output, validation = canonical_answer(invoice), _loose_validation(wrong_total)
        model_output["structured_data"]["financial_summary"]["grand_total"] = wrong_total
        model_output["validation_summary"] = {"is_valid": True, "math_verified": True, "issues": []}
    return {
        "document_id": document_id,
        "source_file": source_file,
        "timestamp": timestamp,
        "model_output": model_output,
        "validation": validation,
        "needs_review": False,
        "difficulty_label": "easy",
        "error_type": None,
    }


def reviewed_correction(
    invoice: SyntheticInvoice, document_id: str, source_file: str, timestamp: str
) -> dict[str, Any]:
    """Return shape 3: the model's answer and the reviewer's, each as JSON in a string, with the text of the page."""
    answer = canonical_answer(invoice)
    original, mistake = _mistaken(answer, invoice)
    ocr = ocr_tokens(invoice)
    return {
        "document_id": document_id,
        "timestamp": timestamp,
        "type": "correction",
        "prompt": INVOICE.prompts.analysis_request(ocr, with_image=True),
        "completion": compose(answer),
        "metadata": {
            "user_id": f"reviewer-{random_stream('reviewer', invoice.invoice_id).randint(1, 5)}",
            "image_path": source_file,
            "model_version": MODEL_VERSION,
            "correction_type": mistake,
            "difficulty": "hard" if invoice.fault else "medium",
        },
        "original_output": compose(original),
        "corrected_output": compose(answer),
        "ocr_context": {"raw_ocr": "\n".join(ocr["tokens"]), "structured_ocr": ocr},
    }


def _vendor_block(invoice: SyntheticInvoice) -> dict[str, str]:
    vendor = invoice.vendor
    block = {"name": vendor.name, "address": postal_address(vendor, invoice.language)}
    contact = {"phone": vendor.phone, "email": vendor.email}
    return block | {name: value for name, value in contact.items() if value}


def _line_items(invoice: SyntheticInvoice) -> list[dict[str, Any]]:
    return [
        {"description": item.description, "quantity": item.quantity, "unit_price": item.unit_price, "total": item.net}
        for item in invoice.items
    ]


def _financial_summary(invoice: SyntheticInvoice) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "subtotal": invoice.subtotal,
        "taxes": [{"type": tax_name(invoice), "rate": _fraction(invoice.tax_rate), "amount": invoice.tax_total}],
    }
    if invoice.discount_total:
        summary["discounts"] = [{"amount": invoice.discount_total}]
    return summary | {"grand_total": invoice.grand_total, "currency": invoice.currency}


def _flat_fields(invoice: SyntheticInvoice) -> dict[str, Any]:
    fields = {
        "vendor_name": invoice.vendor.name,
        "vendor_address": postal_address(invoice.vendor, invoice.language),
        "client_name": invoice.client.name,
        "invoice_number": invoice.invoice_id,
        "invoice_date": invoice.issue_date.isoformat(),
        "due_date": invoice.due_date.isoformat(),
        "currency": invoice.currency,
        "subtotal": invoice.subtotal,
        "tax_rate": _fraction(invoice.tax_rate),
        "tax_amount": invoice.tax_total,
    }
    discount = {"discount": invoice.discount_total} if invoice.discount_total else {}
    return fields | discount | {"grand_total": invoice.grand_total, "line_items": _line_items(invoice)}


def _fraction(percent: Decimal) -> Decimal:
    return (percent / 100).normalize()


def _misread(value: Any) -> Any:
    """Return the text without its last word, or the amount times 10."""
    return value * 10 if isinstance(value, Decimal) else value.rsplit(" ", 1)[0]


def _mistaken(answer: dict[str, Any], invoice: SyntheticInvoice) -> tuple[dict[str, Any], str]:
    """Return the answer with one mistake and a verdict of valid, and the name of the mistake."""
    wrong = copy.deepcopy(answer)
    data = wrong["structured_data"]
    mistake = random_stream("mistake", invoice.invoice_id).choice(
        ("grand_total", "vendor_name", "line_items", "due_date")
    )
    if mistake == "grand_total":
        data["financial_summary"]["grand_total"] = invoice.grand_total + 1000
    elif mistake == "vendor_name":
        data["vendor_block"]["name"] = _misread(invoice.vendor.name)
    elif mistake == "line_items":
        data["line_items"].pop()
    else:
        data["client_info"]["due_date"] = data["payment_terms"]["due_date"] = invoice.issue_date.isoformat()
    wrong["validation_summary"] = {"is_valid": True, "math_verified": True, "issues": []}
    return wrong, mistake


def _receipt(invoice: SyntheticInvoice, total: Decimal) -> dict[str, Any]:
    top_px, row_px = 300, 24
    return {
        "document_type": "receipt",
        "receipt_type": invoice.invoice_type,
        "merchant_info": {"name": invoice.vendor.name, "address": postal_address(invoice.vendor, invoice.language)},
        "transaction_info": {"number": invoice.invoice_id, "date": invoice.issue_date.isoformat()},
        "line_items": [
            line | {"bbox": [44, top_px + place * row_px, 576, top_px + (place + 1) * row_px]}
            for place, line in enumerate(_line_items(invoice))
        ],
        "financial_summary": {
            "subtotal": invoice.subtotal,
            "tax": invoice.tax_total,
            "discount": invoice.discount_total,
            "grand_total": total,
            "currency": get_currency_symbol(invoice.currency, "en_US"),
        },
        "payment_info": {"terms": invoice.payment_terms},
    }


def _total_check(calculated: Decimal, extracted: Decimal) -> dict[str, Any]:
    check = {"calculated": calculated, "extracted": extracted, "difference": extracted - calculated, "is_valid": True}
    return {"is_valid": True, "errors": [], "warnings": [], "arithmetic_checks": {"total_check": check}}


def _loose_validation(total: Decimal) -> dict[str, Any]:
    return {
        "is_valid": True,
        "math_ok": True,
        "dates_ok": True,
        "issues": [],
        "field_confidences": {"grand_total": Decimal("0.95")},
        "needs_review": False,
        "normalized_data": {"grand_total": total},
    }
