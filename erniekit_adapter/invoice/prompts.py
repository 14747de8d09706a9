"""The request, word for word: the one place that makes it, for training, evaluation and service alike."""

from __future__ import annotations

from erniekit_adapter.invoice import jsontext

OCR_MARK = "Preliminary OCR Data:"

_STRUCTURE = (
    '{"structured_data":{"vendor_block":{"name","address","phone","email"},'
    '"client_info":{"name","address","invoice_number","invoice_date","due_date"},'
    '"line_items":[{"description","quantity","unit_price","total"}],'
    '"financial_summary":{"subtotal","taxes":[{"type","rate","amount"}],"discounts":[{"description","amount"}],'
    '"grand_total","currency"},"payment_terms":{"due_date","payment_method","notes"}},'
    '"validation_summary":{"is_valid","math_verified","issues":[]}}'
)


def analysis_request(ocr: object | None, *, with_image: bool) -> str:
    """The request for the full analysis of one invoice.

    Args:
        ocr: what the OCR engine gave, any JSON value; None where there is none.
        with_image: whether the page image goes with the request.
    """
    against = " against the image" if with_image else ""
    request = (
        f"Analyse this invoice. Validate the OCR data{against} and correct it. "
        "Find the five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment. "
        "Check that the lines sum to the subtotal and that subtotal + taxes - discounts = grand total. "
        "Fill in what the OCR missed, leave out what the page does not show, write amounts as numbers, "
        "rates as fractions and dates as YYYY-MM-DD. Answer with JSON of exactly this structure:\n"
        f"{_STRUCTURE}"
    )
    return request if ocr is None else f"{request}\n{OCR_MARK} {jsontext.compose(ocr)}"
