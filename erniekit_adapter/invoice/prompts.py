"""The request, word for word: the one place that makes it, for training, evaluation and service alike.

Three tasks, each in four wordings. The service sends wording 0; training may mix in the others, so that a model learns
what is asked and not how. A request ends with what it is about, as JSON without control tokens, behind a mark; all
before is constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.control_tokens import neutralised
from erniekit_adapter.invoice.ocr_values import has_text

Task = Literal["analysis", "extraction", "validation"]
TASKS: tuple[Task, ...] = ("analysis", "extraction", "validation")
OCR_MARK = "Preliminary OCR Data:"
DATA_MARK = "Invoice Data:"
WORDINGS = 4

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
class _PageWording:
    """One way to ask about a page.

    Attributes:
        text: the request, with places for {given} and {structure}.
        ocr: {given} where there is no image: the model reads OCR data alone.
        ocr_and_image: {given} where it sees both.
        image: {given} where it sees the image alone.
    """

    text: str
    ocr: str
    ocr_and_image: str
    image: str


_ANALYSIS = (
    _PageWording(
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
    _PageWording(
        "{given} Cover the vendor, the client and the invoice, the line items, taxes and discounts, totals and "
        "payment. Amounts are numbers, rates are fractions, dates are YYYY-MM-DD; what is not on the page is left out. "
        "Verify that the line items add up to the subtotal, and that subtotal - discounts + charges + taxes is the "
        "grand total; null means that a value for it is missing. A document_type is named for credit notes only. "
        "Return JSON of exactly this structure:\n{structure}",
        ocr="Please put one invoice in order: correct its OCR data and add what the OCR missed.",
        ocr_and_image="Please put one invoice in order: correct its OCR data by the image and add what the OCR missed.",
        image="Please put one invoice in order: take its data from the image.",
    ),
    _PageWording(
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
    _PageWording(
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
    _PageWording(
        "Extract what this invoice says. {given} "
        "Find the five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment. "
        "Give every value as the page states it, even where it does not add up: do not judge, do not recalculate. "
        "Leave out what the page does not show, write amounts as numbers, "
        "rates as fractions and dates as YYYY-MM-DD. Answer with JSON of exactly this structure:\n{structure}",
        ocr="Read the OCR data and mend what the OCR misread.",
        ocr_and_image="Read the image, and the OCR data as far as it agrees with it.",
        image="Read the image.",
    ),
    _PageWording(
        "{given} The vendor, the client and the invoice, the line items, taxes and discounts, totals and payment are "
        "wanted. Amounts are numbers, rates are fractions, dates are YYYY-MM-DD; what is not on the page is left out. "
        "Whether the amounts are right is not the question: copy them as stated and compute none. "
        "Return JSON of exactly this structure:\n{structure}",
        ocr="Please write down what the page of this OCR data says, without the mistakes of the OCR.",
        ocr_and_image="Please write down what the image says; its OCR data helps, but has mistakes.",
        image="Please write down what the image says.",
    ),
    _PageWording(
        "Fill in exactly this JSON structure for an invoice, and write nothing else:\n{structure}\n"
        "{given} Omit what the page does not show, and keep what it shows, right or wrong: no checks, no sums of your "
        "own. Dates are written YYYY-MM-DD, amounts as numbers and rates as fractions. "
        "Look at five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment.",
        ocr="The values are in its OCR data; undo misreadings.",
        ocr_and_image="The values are in its image; its OCR data may misread them.",
        image="The values are in its image.",
    ),
    _PageWording(
        "Invoice extraction. {given} "
        "Regions: vendor; client, invoice; line items; taxes, discounts; totals, payment. "
        "Only what the page shows, as it stands: nothing judged, nothing calculated. "
        "Amounts as numbers, rates as fractions, dates as YYYY-MM-DD. JSON of exactly this structure:\n{structure}",
        ocr="Source: the OCR data, less its reading errors.",
        ocr_and_image="Source: the image; the OCR data is an aid with reading errors.",
        image="Source: the image.",
    ),
)

# The rules of invoice.rules in their order, and the summary that its `summarize` makes; {issue} is an example.
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


def _page_texts(wordings: tuple[_PageWording, ...], structure: str) -> tuple[dict[tuple[bool, bool], str], ...]:
    """Each wording's texts by (there is OCR data, there is an image)."""
    return tuple(
        {
            (has_ocr, with_image): wording.text.format(given=given, structure=structure)
            for has_ocr, with_image, given in (
                (False, False, wording.ocr),
                (True, False, wording.ocr),
                (True, True, wording.ocr_and_image),
                (False, True, wording.image),
            )
        }
        for wording in wordings
    )


_ANALYSIS_TEXTS = _page_texts(_ANALYSIS, f"{{{_STRUCTURED_DATA},{_VALIDATION_SUMMARY}}}")
_EXTRACTION_TEXTS = _page_texts(_EXTRACTION, f"{{{_STRUCTURED_DATA}}}")
_VALIDATION_TEXTS = tuple(text.format(issue=_ISSUE, structure=f"{{{_VALIDATION_SUMMARY}}}") for text in _VALIDATION)


def analysis_request(ocr: object | None, *, with_image: bool, wording: int = 0, written_ocr: str | None = None) -> str:
    """The request for the full analysis of one invoice.

    Args:
        ocr: what the OCR engine gave, any JSON value; None, or a value without any text, if the image alone is read.
        with_image: whether the page image goes with the request.
        wording: 0, which the service sends, up to WORDINGS - 1.
        written_ocr: the OCR data as jsontext.compose writes it, if the caller has it already.

    Raises:
        ValueError: there is no such wording.
    """
    return _about_a_page(_ANALYSIS_TEXTS, ocr, with_image, wording, written_ocr)


def extraction_request(
    ocr: object | None, *, with_image: bool, wording: int = 0, written_ocr: str | None = None
) -> str:
    """The request for what the page says, without judgement; takes and raises what `analysis_request` does."""
    return _about_a_page(_EXTRACTION_TEXTS, ocr, with_image, wording, written_ocr)


def validation_request(data: object, *, wording: int = 0) -> str:
    """The request for what is wrong with given data, of an ERP or of another model.

    Args:
        data: a JSON value, {"structured_data": {...}}, dates as ISO text.
        wording: 0, which the service sends, up to WORDINGS - 1.

    Raises:
        ValueError: there is no such wording, or the data has another key than `structured_data`: a
            `validation_summary` would tell the answer.
    """
    if not isinstance(data, dict) or data.keys() != {"structured_data"}:
        found = ", ".join(map(str, data))[:200] if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"data to validate is an object with the key structured_data alone, found: {found}")
    _check_wording(wording)
    return f"{_VALIDATION_TEXTS[wording]}\n{DATA_MARK} {neutralised(jsontext.compose(data))}"


def constant_part(request: str) -> str:
    """The part of a request that others share: up to its mark and the blank behind it; "" where there is no mark."""
    # Behind the mark, what the page says may hold a mark as well: the first one counts.
    ocr = request.find(f"{OCR_MARK} ")
    data = request.find(f"{DATA_MARK} ", 0, ocr if ocr >= 0 else len(request))
    if data >= 0:
        return request[: data + len(DATA_MARK) + 1]
    return request[: ocr + len(OCR_MARK) + 1] if ocr >= 0 else ""


def _about_a_page(
    texts: tuple[dict[tuple[bool, bool], str], ...],
    ocr: object | None,
    with_image: bool,
    wording: int,
    written_ocr: str | None,
) -> str:
    _check_wording(wording)
    if ocr is None or (with_image and not has_text(ocr)):
        # A request that goes with an image mentions OCR data only if it carries some.
        return texts[wording][False, with_image]
    written = jsontext.compose(ocr) if written_ocr is None else written_ocr
    return f"{texts[wording][True, with_image]}\n{OCR_MARK} {neutralised(written)}"


def _check_wording(wording: int) -> None:
    if not 0 <= wording < WORDINGS:
        raise ValueError(f"there is no wording {wording}: expected 0 to {WORDINGS - 1}")
