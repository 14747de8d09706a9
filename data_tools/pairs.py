"""From a record to what is trained on: the request as the service sends it, the answer as the model shall give it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from data_tools.records import DocumentRecord, Reading, Rejection
from erniekit_adapter.invoice import jsontext, rules
from erniekit_adapter.invoice.answer import as_json
from erniekit_adapter.invoice.prompts import analysis_request

# Contact data that a source knows and the page may not show: trained on unseen, it teaches the model to invent.
_CONTACT_FIELDS = ("phone", "email")
_NO_CONTENT = ("confidence", "logo_detected", "logo_brand")


@dataclass(frozen=True)
class Pair:
    """A request and its answer.

    Attributes:
        document_id: the record's.
        group: the record's.
        request: what the model is asked, word for word.
        answer_text: what it shall answer, one line of JSON.
        images: the pages that go with the request.
        left_out: fields of the answer that the request does not show.
        tokens: of request and answer together; None where they were not counted.
        content: hash of what it says: the same request and answer, however the amounts are spelt.
    """

    document_id: str
    group: str
    request: str
    answer_text: str
    images: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()
    tokens: int | None = None
    content: bytes = b""


def make_pair(record: DocumentRecord, count_tokens: Callable[[str], int] | None = None) -> Pair:
    """Make the pair of a record that has passed its gates.

    Raises:
        ValueError: the record has no answer, or holds text that cannot be written as UTF-8.
    """
    if record.answer is None:
        raise ValueError(f"{record.document_id} has no answer")
    # Text training: the pages do not go with the request, so it may not speak of them.
    request = record.request if record.request is not None else analysis_request(record.ocr, with_image=False)
    value = as_json(record.answer)
    _drop_confidence(value)
    left_out = _drop_unseen(value, request)
    # Never copied from a log: logs call anything valid, and the model would learn to.
    value["validation_summary"] = rules.summarize(rules.check(record.answer)).model_dump()
    text = jsontext.compose(value)
    return Pair(
        document_id=record.document_id,
        group=record.group,
        request=request,
        answer_text=text,
        images=record.images,
        left_out=left_out,
        tokens=count_tokens(request) + count_tokens(text) if count_tokens else None,
        content=sha256(request.encode() + orjson.dumps(value, default=_plain_number)).digest()[:16],
    )


def identity(record: DocumentRecord, pair: Pair) -> tuple[bytes, ...]:
    """What tells that two records are of one document: its invoice number, its name in the source, its request.

    Each is a short hash, because the stage keeps them all in memory. The first byte ranks them: the steadiest is the
    smallest, and names the group.
    """
    return tuple(sorted((*known_names(record), _key(b"3", pair.request))))


def known_names(reading: Reading) -> list[bytes]:
    """The part of a document's identity that is known even where it gets no pair: its number and its name."""
    if isinstance(reading, Rejection):
        return [_key(b"2", reading.document_id)] if reading.document_id else []
    # A number that nobody confirmed may be another document's.
    data = reading.answer.structured_data if reading.answer and reading.reviewed else None
    vendor = data.vendor_block.name if data and data.vendor_block else None
    number = data.client_info.invoice_number if data and data.client_info else None
    keys = [_key(b"2", reading.group)] if reading.group else []
    if vendor and number:
        keys.append(_key(b"1", f"{number} of {vendor.casefold()}"))
    return keys


def _key(rank: bytes, text: str) -> bytes:
    return rank + sha256(text.encode()).digest()[:15]


def _drop_confidence(value: dict[str, Any]) -> None:
    """Take out what no page says: how sure somebody was, and logos, which text does not show."""
    value.pop("confidence_scores", None)
    data = value["structured_data"]
    for part in (data.get("vendor_block", {}), data.get("client_info", {}), *data.get("line_items", [])):
        for name in _NO_CONTENT:
            part.pop(name, None)


def _drop_unseen(value: dict[str, Any], request: str) -> tuple[str, ...]:
    """Take out contact data that the request does not show, and say what."""
    vendor = value["structured_data"].get("vendor_block", {})
    known = [name for name in _CONTACT_FIELDS if name in vendor]
    if not known:
        return ()
    page = _letters(request)
    unseen = [name for name in known if _letters(vendor[name]) not in page]
    for name in unseen:
        del vendor[name]
    return tuple(f"vendor_block.{name}" for name in unseen)


def _letters(text: str) -> str:
    return re.sub(r"\W", "", text).casefold()


def _plain_number(value: Any) -> str:
    """3025.0 and 3025.00 spelt alike."""
    return str(value.normalize())
