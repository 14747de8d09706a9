"""Looking for an answer's values in what a request shows, whatever its format: text, page image or both."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_tools.build_settings import BuildSettings
from data_tools.pairs.personal import mask_value
from data_tools.records import DocumentRecord
from data_tools.visibility import PageText, drop_unseen, nothing_to_read, page_mismatch, page_text
from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.answer import as_json
from erniekit_adapter.invoice.prompts import OCR_MARK

UNCHECKED = (
    "no text of the page can be had, so nobody knows which values it shows: give each page an ocr_path or a PDF with "
    "text, or run make setup-ocr and set data.ocr: rapidocr; to use such pages all the same, set "
    "data.gates.visible: unchecked"
)
_MAX_ROW_CHARACTERS = 60
_NUMBERS = frozenset({"quantity", "unit_price", "total"})


@dataclass(frozen=True)
class Looked:
    """What became of an answer's values.

    Attributes:
        unseen: fields that the page does not show.
        mismatch: why page and answer are of two documents; None if nothing speaks against one.
        rows: line items that left the answer whole: number and description.
    """

    unseen: tuple[str, ...] = ()
    mismatch: str | None = None
    rows: tuple[str, ...] = ()


def look_for_values(
    record: DocumentRecord, data: dict[str, Any], ocr: object, request: str | None, settings: BuildSettings
) -> Looked:
    """Look for each value of an answer; with `visible: error` or `unchecked`, take out of it what is not found.

    Args:
        record: the document.
        data: its structured data as JSON, without personal data if that is masked; changed in place.
        ocr: its OCR, masked alike.
        request: the request of a ready-made line, masked alike.
        settings: what a finding does.
    """
    page = _page(record, ocr, request, settings)
    if settings.gates.visible == "off" or page is None:
        return Looked()
    looked_at = {"structured_data": copy.deepcopy(data) if settings.gates.visible == "warn" else data}
    unseen = drop_unseen(looked_at, page)
    if not unseen or record.answer is None:
        return Looked(unseen)
    truth = as_json(record.answer)["structured_data"]
    mismatch = page_mismatch(truth, looked_at["structured_data"], page, settings.min_visible_share)
    rows = _rows_left_out(truth.get("line_items", []), looked_at["structured_data"].get("line_items", []))
    if settings.gates.personal == "mask":
        mismatch = mismatch and str(mask_value(mismatch)[0])
        rows = [str(mask_value(row)[0]) for row in rows]
    return Looked(unseen, mismatch, tuple(rows))


def _rows_left_out(truth: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows of a truth that are no longer in an answer, whose other rows are in their order, perhaps with less."""
    found: list[str] = []
    place = 0
    if len(shown) == len(truth):
        return found
    for number, row in enumerate(truth, start=1):
        # A description may have been masked in the answer.
        if place < len(shown) and all(row.get(name) == shown[place][name] for name in shown[place].keys() & _NUMBERS):
            place += 1
        else:
            found.append(f"{number} ({str(row.get('description', 'no description'))[:_MAX_ROW_CHARACTERS]})")
    return found


def unchecked(record: DocumentRecord, settings: BuildSettings) -> str | None:
    """Why the values of a record that goes with a page image cannot be looked for; None if they can."""
    if not settings.sees_pages or _page(record, record.ocr, record.request, settings) is not None:
        return None
    return UNCHECKED


def _page(record: DocumentRecord, ocr: object, request: str | None, settings: BuildSettings) -> PageText | None:
    """The text to look in; None if a page goes along as an image and its text is not known."""
    if request is None:
        has_image = settings.sees_pages and (record.images or record.pdf)
        return None if has_image and nothing_to_read(ocr) else page_text(ocr)
    asked = _asked(request)
    if not settings.sees_pages or not record.images:
        return page_text(asked)
    if not nothing_to_read(ocr):
        return page_text([asked, ocr])
    return page_text(asked) if asked is not request or _shows_most(record, request) else None


def _asked(request: str) -> object:
    """What a request shows: the OCR in it as JSON, or the request itself if it has none in the service's form."""
    _, mark, written = request.partition(f"\n{OCR_MARK} ")
    if not mark:
        return request
    try:
        ocr = jsontext.parse(written)
    except (ValueError, RecursionError):
        return request
    return request if nothing_to_read(ocr) else ocr


def _shows_most(record: DocumentRecord, request: str) -> bool:
    """Whether a request in words of its own holds the page's text: at least half of the answer's values."""
    if record.answer is None:
        return False
    value = as_json(record.answer)
    before = _count(value["structured_data"])
    drop_unseen(value, page_text(request))
    return before > 0 and 2 * _count(value["structured_data"]) >= before


def _count(value: object) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if parts is None else sum(map(_count, parts))
