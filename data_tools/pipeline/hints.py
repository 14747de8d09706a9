"""Hints for rejected records by filter: a command to type or a key to set."""

from __future__ import annotations

from collections.abc import Mapping

from data_tools.optional_packages import OCR_ENGINE

UNUSED_KEYS = "unused_keys"

HINTS: Mapping[str, str] = {
    "source": "correct the file or entry at this place; docs/data.md lists the shapes that can be read",
    "reviewed": "set reviewed: true at the source in the project file if people confirmed these answers",
    "canonical": "correct the answer at this place; docs/formats.md lists the fields and how their values are read",
    "arithmetic": "add amounts that the page shows (charges such as freight, discounts, rounding), or correct the "
    "amounts; if the pages themselves are wrong, data.filters.arithmetic: warn teaches them as invalid",
    "dates": "correct the dates, or set data.filters.dates: warn",
    "image": "replace or add the page at this place; data.filters.image: off skips the check",
    "visible": f"give each page its OCR (ocr_path, ocr_context), or run {OCR_ENGINE} and set data.ocr: rapidocr",
    "page_mismatch": "give the document its own page; data.min_visible_share sets the share of values to find",
    "verdict": "give all pages and OCR that reads every row, or remove from the answer the values that the "
    "page does not show",
    "toolkit": "remove the text that the toolkit treats as a control token from the document",
    "length": "raise training.max_seq_length to the largest number in the reasons; "
    "erniekit-adapter data rejected FOLDER --filter length lists them",
    "held_out": "remove the document from data.sources or from data.test_sources",
    "max_samples": "raise dataset.max_samples",
    "duplicate": "none needed; data.filters.duplicate: off keeps copies",
    "personal": "set data.filters.personal: mask",
    UNUSED_KEYS: "none needed if these values are not to be learnt; otherwise map a key to a field with labels: "
    "{belegnr: invoice_number} on the source (columns: for a table), or add it to schema.json of your own type; "
    "docs/formats.md lists the fields of invoices",
}


def hint(filter_name: str) -> str:
    """Return the hint for a filter."""
    return HINTS.get(filter_name, HINTS["source"])
