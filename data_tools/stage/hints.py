"""The next step for whoever sees a rejection: a line to type or a key to set, by the filter that rejects."""

from __future__ import annotations

from collections.abc import Mapping

UNUSED_KEYS = "unused_keys"

HINTS: Mapping[str, str] = {
    "source": "correct the file or entry at this place; docs/data.md lists the shapes that are read",
    "reviewed": "set reviewed: true at the source in the project file if people confirmed these answers",
    "canonical": "correct the answer at this place; docs/formats.md lists the fields and how their values are read",
    "arithmetic": "state what the page shows besides (charges such as freight, discounts, rounding), or correct the "
    "amounts; if the pages themselves are wrong, data.gates.arithmetic: warn teaches them as invalid",
    "dates": "correct the dates, or set data.gates.dates: warn",
    "image": "replace or add the page at this place; data.gates.image: off skips the check",
    "visible": "give each page its OCR (ocr_path, ocr_context), or run make setup-ocr and set data.ocr: rapidocr",
    "page_mismatch": "give the document its own page; data.min_visible_share sets how much of it must be found",
    "verdict": "give all pages and OCR that reads every row, or take out of the answer what the page does not show",
    "toolkit": "remove the text that the toolkit reads as its own mark from the document",
    "length": "raise training.max_seq_length to the number named",
    "held_out": "remove the document from data.sources or from data.test_sources",
    "max_samples": "raise dataset.max_samples",
    "duplicate": "nothing, or set data.gates.duplicate: off to keep copies",
    "personal": "set data.gates.personal: mask",
    UNUSED_KEYS: "nothing if these values are not to be learnt; otherwise labels: {belegnr: invoice_number} on the "
    "source (columns: for a table) names the field that a key is; docs/formats.md lists the fields",
}


def hint(filter_name: str) -> str:
    """Return the hint for a filter."""
    return HINTS.get(filter_name, HINTS["source"])
