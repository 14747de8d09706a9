"""English texts of requests about declared types."""

from __future__ import annotations

from erniekit_adapter.documents.declared.prompt_texts import Given, PromptTexts, VerdictFacts


def _verdict(facts: VerdictFacts) -> str:
    keys = facts.keys
    found = ["A rule whose values are missing is not checked and no issue. An issue is RULE: the compared values."]
    if facts.warnings:
        found.append(f"Warnings, which come last: {', '.join(facts.warnings)}.")
    if facts.has_errors:
        other_rule = "other rule" if facts.warnings else "rule"
        unchecked = f"{' or '.join(facts.decisive)} is not checked" if facts.decisive else f"no {other_rule} is checked"
        other = "an issue that is not a warning" if facts.warnings else "an issue"
        found.append(f"{keys.is_valid}: false with {other}, null if {unchecked}, else true.")
    else:
        found.append(f"{keys.is_valid}: null.")
    if facts.arithmetic:
        unchecked = f"null if {' or '.join(facts.sums)} is not checked, else true" if facts.sums else "else null"
        found.append(f"{keys.math_verified}: false with an issue of {' or '.join(facts.arithmetic)}, {unchecked}.")
    else:
        found.append(f"{keys.math_verified}: null.")
    return " ".join(found)


ENGLISH = PromptTexts(
    analysis=(
        (
            "Read this {title}. {given} {regions} {checks} Leave out what the page does not show. {notation} {codes} "
            "Answer with JSON of exactly this structure:\n{structure}",
            Given(
                "Correct the OCR data and fill in what the OCR missed.",
                "Correct the OCR data by the image and fill in what the OCR missed.",
                "Read the image.",
            ),
        ),
        (
            "{given} {regions} Everything that is not on the page is left out. {notation} {codes} {checks} "
            "Return JSON of exactly this structure for the {title}:\n{structure}",
            Given(
                "Please put the OCR data of one page in order: correct it and add what the OCR missed.",
                "Please put the OCR data of one page in order: correct it by the image and add what the OCR missed.",
                "Please take the data of one page from its image.",
            ),
        ),
        (
            "Fill in exactly this JSON structure for the {title}, and write nothing else:\n{structure}\n"
            "{given} Omit what the page does not show. {notation} {codes} {regions} {checks}",
            Given(
                "Its OCR data may be wrong or incomplete: correct and complete it.",
                "Its OCR data may be wrong or incomplete: compare the image, correct and complete it.",
                "Read the image.",
            ),
        ),
        (
            "Analysis of the {title}. {given} {regions} {checks} Only values of the page. {notation} {codes} "
            "JSON of exactly this structure:\n{structure}",
            Given(
                "Correct the OCR data, add missing values.",
                "Correct the OCR data by the image, add missing values.",
                "Read the image.",
            ),
        ),
    ),
    extraction=(
        (
            "Extract the values of this {title}. {given} {regions} Give every value as the page states it, also if it "
            "does not add up: do not judge, do not recalculate. Leave out what the page does not show. {notation} "
            "{codes} Answer with JSON of exactly this structure:\n{structure}",
            Given(
                "Read the OCR data and correct its misreadings.",
                "Read the image, and the OCR data as far as it agrees with it.",
                "Read the image.",
            ),
        ),
        (
            "{given} {regions} Copy the values as stated and compute none, even if they are wrong. Everything that is "
            "not on the page is left out. {notation} {codes} "
            "Return JSON of exactly this structure for the {title}:\n{structure}",
            Given(
                "Please write down the page of this OCR data, without the mistakes of the OCR.",
                "Please write down the image; its OCR data helps, but has mistakes.",
                "Please write down the image.",
            ),
        ),
        (
            "Fill in exactly this JSON structure for the {title}, and write nothing else:\n{structure}\n"
            "{given} Omit what the page does not show, and keep what it shows, right or wrong: no checks, no sums of "
            "your own. {notation} {codes} {regions}",
            Given(
                "The values are in its OCR data; undo misreadings.",
                "The values are in its image; its OCR data may misread them.",
                "The values are in its image.",
            ),
        ),
        (
            "Extraction from the {title}. {given} {regions} Only values of the page, as printed: nothing judged, "
            "nothing calculated. {notation} {codes} JSON of exactly this structure:\n{structure}",
            Given(
                "Source: the OCR data, less its reading errors.",
                "Source: the image; the OCR data is an aid with reading errors.",
                "Source: the image.",
            ),
        ),
    ),
    validation=(
        "Which of these rules does the data of this {title} break? Judge it as it is and correct nothing."
        " {rules} {verdict} Answer with JSON of exactly this structure:\n{structure}",
        "Please check the data of this {title} without changing it. The rules, by their names: {rules} "
        "{verdict} Return JSON of exactly this structure:\n{structure}",
        "Fill in exactly this JSON structure for the data of this {title}, and write nothing else:\n"
        "{structure}\nThe rules: {rules} {verdict} Take the data as it is.",
        "Validation of the {title}; the data stays as given. {rules} {verdict} "
        "JSON of exactly this structure:\n{structure}",
    ),
    data_mark="Document Data:",
    regions="Find these parts: {names}.",
    code="{path} is one of: {values}.",
    checks="Check these rules. {rules} Give true, false, or null if values are missing.",
    rule="{name}: {sentence}",
    notation="Write {parts}.",
    separator=", ",
    kinds={
        "amount": "amounts as numbers",
        "quantity": "quantities as numbers",
        "rate": "rates as fractions",
        "date": "dates as YYYY-MM-DD",
        "currency": "currencies as codes of ISO 4217",
        "flag": "flags as true or false",
    },
    text_numbers='numbers as text such as "1234.50"',
    some_text_numbers='{names} as text such as "1234.50"',
    percent="rates as percentages (19 for 19 %)",
    some_percent="{names} as percentages (19 for 19 %)",
    verdict=_verdict,
)
