"""The result of a source for each document: a record, or a rejection with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erniekit_adapter.documents.document_type import AnyAnswer
from erniekit_adapter.documents.rules.rule import Finding


@dataclass(frozen=True)
class DocumentRecord:
    """One document and the information that its source has about it.

    Attributes:
        document_id: the name that the source gives it; not unique, because a log may contain a document several times.
        source: path of the file that it came from.
        line: number of the line or entry in that file, from 1; None if the whole file is one document.
        images: its pages in order; empty without a usable image.
        ocr: output of the OCR engine, any JSON value; None without one.
        answer: the content of the document; None if unknown.
        reviewed: whether a reviewer confirmed the answer.
        group: key of the documents that must be in the same split, such as a document and its augmented copies; empty
            if the source gives no name.
        request: the exact request, for ready training examples only.
        declared_fault: why the printed amounts do not add up, if the source states that they do not.
        unused_keys: keys of the source without a place in a record, reported in the manifest.
        pdf: file with the pages of the document; if there are images too, only their text is read from it.
        page_count: number of pages in the PDF according to the source; None if not stated.
        language: language of the page according to the source, as ISO 639-1: `de`.
        augmented: whether this is a copy whose page was changed on purpose.
        model_output: output of a model before its correction, in any format of a log; None if unknown.
        complete: whether the source states every field of the document, so that a missing required field is an error.
        findings: results of the source's own rules on the complete document; None without such rules.
        turns: degrees, counter-clockwise, by which each page was turned upright; empty if no page was turned.
    """

    document_id: str
    source: str
    line: int | None
    images: tuple[Path, ...]
    ocr: Any
    answer: AnyAnswer | None
    reviewed: bool
    group: str
    request: str | None = None
    declared_fault: str | None = None
    unused_keys: tuple[str, ...] = ()
    pdf: Path | None = None
    page_count: int | None = None
    language: str | None = None
    augmented: bool = False
    model_output: Any = None
    complete: bool = False
    findings: tuple[Finding, ...] | None = None
    turns: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rejection:
    """A document that does not become a training example.

    Attributes:
        source: path of the file that it came from.
        line: number of the line or entry in that file, from 1; None for the whole file.
        document_id: its name, if known.
        filter: the filter that rejected it; `source` or `image` if it could not be read.
        reason: the finding, with the expected value.
    """

    source: str
    line: int | None
    document_id: str | None
    filter: str
    reason: str


RecordOrRejection = DocumentRecord | Rejection


class RejectedError(Exception):
    """A document that a source rejects while reading it.

    Attributes:
        filter: the filter that rejects it.
        reason: the finding, with the expected value.
        document_id: its name, as far as known.
    """

    def __init__(self, filter_name: str, reason: str, document_id: str = "") -> None:
        self.filter, self.reason, self.document_id = filter_name, reason, document_id
        super().__init__(reason)
