"""Prompt templates of invoices: four for each task."""

from __future__ import annotations

from erniekit_adapter.documents.fields import Field
from erniekit_adapter.documents.prompt_set import PageTemplate, PromptSet, structure_text

_VALIDATION_SUMMARY = '"validation_summary":{"is_valid","math_verified","issues":[]}'

_ANALYSIS = (
    PageTemplate(
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
    PageTemplate(
        "{given} Cover the vendor, the client and the invoice, the line items, taxes and discounts, totals and "
        "payment. Amounts are numbers, rates are fractions, dates are YYYY-MM-DD; what is not on the page is left out. "
        "Verify that the line items add up to the subtotal, and that subtotal - discounts + charges + taxes is the "
        "grand total; null means that a value for it is missing. A document_type is named for credit notes only. "
        "Return JSON of exactly this structure:\n{structure}",
        ocr="Please put one invoice in order: correct its OCR data and add what the OCR missed.",
        ocr_and_image="Please put one invoice in order: correct its OCR data by the image and add what the OCR missed.",
        image="Please put one invoice in order: take its data from the image.",
    ),
    PageTemplate(
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
    PageTemplate(
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
    PageTemplate(
        "Extract what this invoice says. {given} "
        "Find the five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment. "
        "Give every value as the page states it, even where it does not add up: do not judge, do not recalculate. "
        "Leave out what the page does not show, write amounts as numbers, "
        "rates as fractions and dates as YYYY-MM-DD. Answer with JSON of exactly this structure:\n{structure}",
        ocr="Read the OCR data and mend what the OCR misread.",
        ocr_and_image="Read the image, and the OCR data as far as it agrees with it.",
        image="Read the image.",
    ),
    PageTemplate(
        "{given} The vendor, the client and the invoice, the line items, taxes and discounts, totals and payment are "
        "wanted. Amounts are numbers, rates are fractions, dates are YYYY-MM-DD; what is not on the page is left out. "
        "Whether the amounts are right is not the question: copy them as stated and compute none. "
        "Return JSON of exactly this structure:\n{structure}",
        ocr="Please write down what the page of this OCR data says, without the mistakes of the OCR.",
        ocr_and_image="Please write down what the image says; its OCR data helps, but has mistakes.",
        image="Please write down what the image says.",
    ),
    PageTemplate(
        "Fill in exactly this JSON structure for an invoice, and write nothing else:\n{structure}\n"
        "{given} Omit what the page does not show, and keep what it shows, right or wrong: no checks, no sums of your "
        "own. Dates are written YYYY-MM-DD, amounts as numbers and rates as fractions. "
        "Look at five regions: vendor; client and invoice; line items; taxes and discounts; totals and payment.",
        ocr="The values are in its OCR data; undo misreadings.",
        ocr_and_image="The values are in its image; its OCR data may misread them.",
        image="The values are in its image.",
    ),
    PageTemplate(
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


def invoice_prompts(fields: tuple[Field, ...]) -> PromptSet:
    """Return the requests about invoices with these fields."""
    content = f'"structured_data":{structure_text(fields)}'
    return PromptSet(
        analysis=tuple(template.texts(f"{{{content},{_VALIDATION_SUMMARY}}}") for template in _ANALYSIS),
        extraction=tuple(template.texts(f"{{{content}}}") for template in _EXTRACTION),
        validation=tuple(text.format(issue=_ISSUE, structure=f"{{{_VALIDATION_SUMMARY}}}") for text in _VALIDATION),
        content_key="structured_data",
        data_mark="Invoice Data:",
    )
