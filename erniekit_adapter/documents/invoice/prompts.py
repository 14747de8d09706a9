"""Prompt templates: the only place that writes requests, for training, evaluation and service.

There are three tasks with four prompt templates each. The service uses template 0; training can mix in the others, so
that a model learns the task and not the words. A request ends with a mark and the data, as JSON without control tokens;
the part before is constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.control_tokens import neutralised
from erniekit_adapter.documents.ocr_values import has_text

Task = Literal["analysis", "extraction", "validation"]
TASKS: tuple[Task, ...] = ("analysis", "extraction", "validation")
OCR_MARK = "Preliminary OCR Data:"
DATA_MARK = "Invoice Data:"
PROMPT_TEMPLATES = 4

_STRUCTURED_DATA = (
    '"structured_data":{"document_type","vendor_block":{"name","address","phone","email"},'
    '"client_info":{"name","address","invoice_number","invoice_date","due_date"},'
    '"line_items":[{"description","quantity","unit_price","total"}],'
    '"financial_summary":{"subtotal","taxes":[{"type","rate","amount"}],"discounts":[{"description","amount"}],'
    '"charges":[{"description","amount"}],"grand_total","amount_paid","rounding","amount_due","currency"},'
    '"payment_terms":{"due_date","payment_method","notes"}}'
)
_VALIDATION_SUMMARY = '"validation_summary":{"is_valid","math_verified","issues":[]}'


@dataclass(frozen=True)
class _PageTemplate:
    """Prompt template of a request about a page.

    Attributes:
        text: the request, with placeholders {given} and {structure}.
        ocr: {given} if the request has OCR data only.
        ocr_and_image: {given} if it has both.
        image: {given} if it has an image only.
    """

    text: str
    ocr: str
    ocr_and_image: str
    image: str


_ANALYSIS = (
    _PageTemplate(
        "Analyse this invoice. {given} "
        "Find the five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment. "
        "Check that the lines sum to the subtotal and that subtotal - discounts + charges + taxes = grand total: "
        "true, false, or null if values are missing. Give a document_type for a credit note only. "
        "Leave out what the page does not show, write amounts as numbers, "
        "rates as fractions and dates as YYYY-MM-DD. Answer with JSON of exactly this structure:\n{structure}",
        ocr="Validate the OCR data, correct it and fill in what the OCR missed.",
        ocr_and_image="Validate the OCR data against the image, correct it and fill in what the OCR missed.",
        image="Read the image.",
    ),
    _PageTemplate(
        "{given} Cover the vendor, the client and the invoice, the line items, taxes and discounts, totals and "
        "payment. Amounts are numbers, rates are fractions, dates are YYYY-MM-DD; what is not on the page is left out. "
        "Verify that the line items add up to the subtotal, and that subtotal - discounts + charges + taxes is the "
        "grand total; null means that a value for it is missing. A document_type is named for credit notes only. "
        "Return JSON of exactly this structure:\n{structure}",
        ocr="Please put one invoice in order: correct its OCR data and add what the OCR missed.",
        ocr_and_image="Please put one invoice in order: correct its OCR data by the image and add what the OCR missed.",
        image="Please put one invoice in order: take its data from the image.",
    ),
    _PageTemplate(
        "Fill in exactly this JSON structure for an invoice, and write nothing else:\n{structure}\n"
        "{given} Omit what the page does not show. "
        "Dates are written YYYY-MM-DD, amounts as numbers and rates as fractions. "
        "Look at five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment. "
        "Two checks: subtotal = sum of the lines; grand total = subtotal - discounts + charges + taxes. "
        "Without the values for a check: null. document_type: of a credit note only.",
        ocr="Its OCR data may be wrong or incomplete: correct and complete it.",
        ocr_and_image="Its OCR data may be wrong or incomplete: compare the image, correct and complete it.",
        image="Read the image.",
    ),
    _PageTemplate(
        "Invoice analysis. {given} "
        "Regions: vendor; client, invoice; line items; taxes, discounts; totals, payment. "
        "Checks: lines sum to subtotal; subtotal - discounts + charges + taxes = grand total; null without the values. "
        "document_type for credit notes only. "
        "Only what the page shows. Amounts as numbers, rates as fractions, dates as YYYY-MM-DD. "
        "JSON of exactly this structure:\n{structure}",
        ocr="Correct the OCR data, add what is missing.",
        ocr_and_image="Correct the OCR data by the image, add what is missing.",
        image="Read the image.",
    ),
)

_EXTRACTION = (
    _PageTemplate(
        "Extract what this invoice says. {given} "
        "Find the five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment. "
        "Give every value as the page states it, even where it does not add up: do not judge, do not recalculate. "
        "Leave out what the page does not show, write amounts as numbers, "
        "rates as fractions and dates as YYYY-MM-DD. Answer with JSON of exactly this structure:\n{structure}",
        ocr="Read the OCR data and mend what the OCR misread.",
        ocr_and_image="Read the image, and the OCR data as far as it agrees with it.",
        image="Read the image.",
    ),
    _PageTemplate(
        "{given} The vendor, the client and the invoice, the line items, taxes and discounts, totals and payment are "
        "wanted. Amounts are numbers, rates are fractions, dates are YYYY-MM-DD; what is not on the page is left out. "
        "Whether the amounts are right is not the question: copy them as stated and compute none. "
        "Return JSON of exactly this structure:\n{structure}",
        ocr="Please write down what the page of this OCR data says, without the mistakes of the OCR.",
        ocr_and_image="Please write down what the image says; its OCR data helps, but has mistakes.",
        image="Please write down what the image says.",
    ),
    _PageTemplate(
        "Fill in exactly this JSON structure for an invoice, and write nothing else:\n{structure}\n"
        "{given} Omit what the page does not show, and keep what it shows, right or wrong: no checks, no sums of your "
        "own. Dates are written YYYY-MM-DD, amounts as numbers and rates as fractions. "
        "Look at five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment.",
        ocr="The values are in its OCR data; undo misreadings.",
        ocr_and_image="The values are in its image; its OCR data may misread them.",
        image="The values are in its image.",
    ),
    _PageTemplate(
        "Invoice extraction. {given} "
        "Regions: vendor; client, invoice; line items; taxes, discounts; totals, payment. "
        "Only what the page shows, as it stands: nothing judged, nothing calculated. "
        "Amounts as numbers, rates as fractions, dates as YYYY-MM-DD. JSON of exactly this structure:\n{structure}",
        ocr="Source: the OCR data, less its reading errors.",
        ocr_and_image="Source: the image; the OCR data is an aid with reading errors.",
        image="Source: the image.",
    ),
)

# The rules of invoice.rules in their order, and the summary of its `summarize`; {issue} is an example.
_ISSUE = '"BR-CO-15: grand_total 120.00 ≠ subtotal - discounts + taxes 119.00"'
_VALIDATION = (
    "Which of these rules does the given invoice data break? Judge it as it is and correct nothing. "
    "BR-CL-04: the currency is an ISO 4217 code. "
    "BR-DEC: no amount has more decimals than the currency (2 if it is unknown). "
    "BR-CO-10: the lines sum to the subtotal. BR-CO-15: subtotal - discounts + charges + taxes = grand_total. "
    "BR-CO-16: grand_total - amount_paid + rounding = amount_due. "
    "BR-CO-17: a tax has a rate from 0 to 1 and is at most rate × the taxed amount, within one unit of the currency. "
    "R120: quantity × unit_price = total in every line, within two minor units. "
    "DUE-DATE: due_date is not before invoice_date. "
    "A rule whose operands are missing is not checked and no issue. "
    "An issue is RULE: the compared amounts, as in {issue}. "
    "R120 and DUE-DATE are warnings and come last. "
    "is_valid: false with any other issue, null if BR-CO-15 is not checked, else true. "
    "math_verified: false with an issue of BR-CO-10, BR-CO-15, BR-CO-16 or BR-CO-17, null if BR-CO-10 or BR-CO-15 is "
    "not checked, else true. "
    "Answer with JSON of exactly this structure:\n{structure}",
    "Please check the data of one invoice, without changing it. These are the rules, by their names: "
    "BR-CL-04, the currency is a code of ISO 4217; "
    "BR-DEC, amounts have at most the currency's decimals, 2 if it is unknown; "
    "BR-CO-10, subtotal = sum of the lines; BR-CO-15, grand_total = subtotal - discounts + charges + taxes; "
    "BR-CO-16, amount_due = grand_total - amount_paid + rounding; "
    "BR-CO-17, a tax has a rate from 0 to 1 and is not more than the taxed amount × rate, give or take one unit of the "
    "currency; R120, each line's total is quantity × unit_price, give or take two minor units; "
    "DUE-DATE, nothing is due before the invoice_date. Skip a rule if something is missing for it. "
    "Write each broken rule as RULE: the compared amounts, like {issue}, the warnings R120 and DUE-DATE at the end. "
    "Data is_valid unless a rule other than these two is broken, and it is unknown (null) if BR-CO-15 was skipped. "
    "It is math_verified unless BR-CO-10, BR-CO-15, BR-CO-16 or BR-CO-17 is broken, and unknown (null) if BR-CO-10 or "
    "BR-CO-15 was skipped. Return JSON of exactly this structure:\n{structure}",
    "Fill in exactly this JSON structure for the given invoice data, and write nothing else:\n{structure}\n"
    "issues has one text for every rule that is broken, RULE: the compared amounts, such as {issue}. "
    "Errors: BR-CL-04 (currency not in ISO 4217), "
    "BR-DEC (an amount with more decimals than the currency; 2 if unknown), BR-CO-10 (lines do not sum to subtotal), "
    "BR-CO-15 (subtotal - discounts + charges + taxes is not grand_total), "
    "BR-CO-16 (grand_total - amount_paid + rounding is not amount_due), "
    "BR-CO-17 (a tax whose rate is not from 0 to 1, or that is more than the rate makes of the taxed amount, beyond "
    "one unit of the currency). Then warnings: R120 (a line's total more than two minor units off "
    "quantity × unit_price), DUE-DATE (due_date before invoice_date). Missing values break no rule. "
    "is_valid is false with any error, else null without the values for BR-CO-15, else true. "
    "math_verified is false with BR-CO-10, BR-CO-15, BR-CO-16 or BR-CO-17, else null without the values for BR-CO-10 "
    "or BR-CO-15, else true. Take the data as it is.",
    "Invoice validation; data stays as given. Errors: BR-CL-04 currency in ISO 4217; "
    "BR-DEC decimals of the currency at most (unknown: 2); BR-CO-10 lines sum to subtotal; "
    "BR-CO-15 subtotal - discounts + charges + taxes = grand_total; "
    "BR-CO-16 grand_total - amount_paid + rounding = amount_due; "
    "BR-CO-17 tax: rate from 0 to 1, amount ≤ rate × taxed amount + 1 unit. "
    "Warnings: R120 line total = quantity × unit_price ± 2 minor units; DUE-DATE due_date not before invoice_date. "
    "Operand missing: skip the rule. "
    "Issues: RULE: compared amounts, e.g. {issue}, errors first. is_valid: no errors; null if BR-CO-15 is skipped. "
    "math_verified: none of BR-CO-10, BR-CO-15, BR-CO-16, BR-CO-17; null if BR-CO-10 or BR-CO-15 is skipped. "
    "JSON of exactly this structure:\n{structure}",
)


def _page_texts(
    prompt_templates: tuple[_PageTemplate, ...], structure: str
) -> tuple[dict[tuple[bool, bool], str], ...]:
    """Return the texts of each prompt template, by (has OCR data, has an image)."""
    return tuple(
        {
            (has_ocr, with_image): template.text.format(given=given, structure=structure)
            for has_ocr, with_image, given in (
                (False, False, template.ocr),
                (True, False, template.ocr),
                (True, True, template.ocr_and_image),
                (False, True, template.image),
            )
        }
        for template in prompt_templates
    )


_ANALYSIS_TEXTS = _page_texts(_ANALYSIS, f"{{{_STRUCTURED_DATA},{_VALIDATION_SUMMARY}}}")
_EXTRACTION_TEXTS = _page_texts(_EXTRACTION, f"{{{_STRUCTURED_DATA}}}")
_VALIDATION_TEXTS = tuple(text.format(issue=_ISSUE, structure=f"{{{_VALIDATION_SUMMARY}}}") for text in _VALIDATION)


def analysis_request(ocr: object | None, *, with_image: bool, template: int = 0, written_ocr: str | None = None) -> str:
    """Return the request for the full analysis of one invoice.

    Args:
        ocr: output of the OCR engine, any JSON value; None, or a value without text, if only the image is used.
        with_image: whether the request has a page image.
        template: number of the prompt template, from 0, which the service uses, to PROMPT_TEMPLATES - 1.
        written_ocr: the OCR data as text of json_text.compose, if the caller has it already.

    Raises:
        ValueError: the prompt template does not exist.
    """
    return _about_a_page(_ANALYSIS_TEXTS, ocr, with_image, template, written_ocr)


def extraction_request(
    ocr: object | None, *, with_image: bool, template: int = 0, written_ocr: str | None = None
) -> str:
    """Return the request for the values of the page without validation; same arguments as `analysis_request`."""
    return _about_a_page(_EXTRACTION_TEXTS, ocr, with_image, template, written_ocr)


def validation_request(data: object, *, template: int = 0) -> str:
    """Return the request for the validation of given data, for example of an ERP or of another model.

    Args:
        data: a JSON value, {"structured_data": {...}}, dates as ISO text.
        template: number of the prompt template, from 0, which the service uses, to PROMPT_TEMPLATES - 1.

    Raises:
        ValueError: the prompt template does not exist, or the data has another key than `structured_data`: a
            `validation_summary` would reveal the answer.
    """
    if not isinstance(data, dict) or data.keys() != {"structured_data"}:
        found = ", ".join(map(str, data))[:200] if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"data to validate must be an object whose only key is structured_data, found: {found}")
    _check_template(template)
    return f"{_VALIDATION_TEXTS[template]}\n{DATA_MARK} {neutralised(json_text.compose(data))}"


def constant_part(request: str) -> str:
    """Return the constant part of a request: up to its mark and the blank after it; "" if it has no mark."""
    # The text of the page can contain a mark too, so the first mark counts.
    ocr = request.find(f"{OCR_MARK} ")
    data = request.find(f"{DATA_MARK} ", 0, ocr if ocr >= 0 else len(request))
    if data >= 0:
        return request[: data + len(DATA_MARK) + 1]
    return request[: ocr + len(OCR_MARK) + 1] if ocr >= 0 else ""


def _about_a_page(
    texts: tuple[dict[tuple[bool, bool], str], ...],
    ocr: object | None,
    with_image: bool,
    template: int,
    written_ocr: str | None,
) -> str:
    _check_template(template)
    if ocr is None or (with_image and not has_text(ocr)):
        # A request with an image mentions OCR data only if it has some.
        return texts[template][False, with_image]
    written = json_text.compose(ocr) if written_ocr is None else written_ocr
    return f"{texts[template][True, with_image]}\n{OCR_MARK} {neutralised(written)}"


def _check_template(template: int) -> None:
    if not 0 <= template < PROMPT_TEMPLATES:
        raise ValueError(f"prompt template {template} does not exist: expected 0 to {PROMPT_TEMPLATES - 1}")
