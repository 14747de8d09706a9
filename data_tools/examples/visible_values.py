"""Find an answer's values in the content that a request shows: text, page image or both."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_tools.build_settings import BuildSettings
from data_tools.examples.personal import mask_value
from data_tools.optional_packages import OCR_ENGINE
from data_tools.records import DocumentRecord
from data_tools.visibility import PageText, drop_unseen, nothing_to_read, page_mismatch, page_text
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.fields import NUMBER_KINDS
from erniekit_adapter.documents.rules.context import rows_at

UNCHECKED = (
    "the text of the page is not available, so the values on it cannot be checked: give each page an ocr_path or a PDF "
    f"with text, or run {OCR_ENGINE} and set data.ocr: rapidocr; to use such pages without this "
    "check, set data.filters.visible: unchecked"
)
_MAX_ROW_CHARACTERS = 60


@dataclass(frozen=True)
class VisibilityResult:
    """The result of looking for an answer's values.

    Attributes:
        unseen: fields that the page does not show.
        mismatch: why page and answer belong to two documents; None if nothing indicates it.
        rows: line items that were removed completely: number and description.
    """

    unseen: tuple[str, ...] = ()
    mismatch: str | None = None
    rows: tuple[str, ...] = ()


def check_values(
    record: DocumentRecord, data: dict[str, Any], ocr: object, request: str | None, settings: BuildSettings
) -> VisibilityResult:
    """Look for each value of an answer on the page; with `visible: error` or `unchecked`, remove those not found.

    Args:
        record: the document.
        data: its structured data as JSON, without personal data if that is masked; changed in place.
        ocr: its OCR output, masked in the same way.
        request: the request of a ready-made example, masked in the same way.
        settings: levels of the filters.
    """
    document_type = settings.document_type
    page = _page(record, ocr, request, document_type, is_multimodal=settings.is_multimodal)
    if settings.filters.visible == "off" or page is None:
        return VisibilityResult()
    kept = copy.deepcopy(data) if settings.filters.visible == "warn" else data
    unseen = drop_unseen(document_type, kept, page)
    if not unseen or record.answer is None:
        return VisibilityResult(unseen)
    truth = document_type.content_of(record.answer)
    mismatch = page_mismatch(document_type, truth, kept, page, settings.min_visible_share)
    table = document_type.line_items
    rows = _rows_left_out(rows_at(truth, table), rows_at(kept, table), document_type) if table else []
    if settings.filters.personal == "mask":
        mismatch = mismatch and str(mask_value(mismatch)[0])
        rows = [str(mask_value(row)[0]) for row in rows]
    return VisibilityResult(unseen, mismatch, tuple(rows))


def _rows_left_out(
    truth: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]], document_type: DocumentType
) -> list[str]:
    """Return the line items of a ground truth that are missing in an answer; the other items keep their order."""
    found: list[str] = []
    columns = document_type.columns(document_type.line_items or "")
    numbers = {field.name for field in columns if field.kind in NUMBER_KINDS and field.is_printed}
    description = next((field.name for field in columns if field.kind == "text"), "description")
    place = 0
    if len(shown) == len(truth):
        return found
    for number, row in enumerate(truth, start=1):
        # The description may be masked in the answer, so only numbers are compared.
        if place < len(shown) and all(row.get(name) == shown[place][name] for name in shown[place].keys() & numbers):
            place += 1
        else:
            found.append(f"{number} ({str(row.get(description, 'no description'))[:_MAX_ROW_CHARACTERS]})")
    return found


def unchecked(document_type: DocumentType, record: DocumentRecord, *, is_multimodal: bool) -> str | None:
    """Return why the values of a record with a page image cannot be looked for; None if they can."""
    if not is_multimodal or _page(record, record.ocr, record.request, document_type, is_multimodal=True) is not None:
        return None
    return UNCHECKED


def _page(
    record: DocumentRecord, ocr: object, request: str | None, document_type: DocumentType, *, is_multimodal: bool
) -> PageText | None:
    """Return the text to search; None if the page is an image whose text is not known."""
    if request is None:
        has_image = is_multimodal and (record.images or record.pdf)
        return None if has_image and nothing_to_read(ocr) else page_text(ocr)
    text = _text_of_request(request, document_type.prompts.ocr_mark)
    if not is_multimodal or not record.images:
        return page_text(text)
    if not nothing_to_read(ocr):
        return page_text([text, ocr])
    return page_text(text) if text is not request or _shows_most(record, request, document_type) else None


def _text_of_request(request: str, ocr_mark: str) -> object:
    """Return the OCR output in a request as JSON, or the request itself if it has none in the service's format."""
    _, mark, written = request.partition(f"\n{ocr_mark} ")
    if not mark:
        return request
    try:
        ocr = json_text.parse(written)
    except (ValueError, RecursionError):
        return request
    return request if nothing_to_read(ocr) else ocr


def _shows_most(record: DocumentRecord, request: str, document_type: DocumentType) -> bool:
    """Return whether a free-form request contains the page's text: at least half of the answer's values."""
    if record.answer is None:
        return False
    value = document_type.content_of(record.answer)
    before = _count(value)
    drop_unseen(document_type, value, page_text(request))
    return before > 0 and 2 * _count(value) >= before


def _count(value: object) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if parts is None else sum(map(_count, parts))
