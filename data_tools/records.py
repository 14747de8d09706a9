"""What a reader gives for each document it finds: a record, or a rejection that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erniekit_adapter.invoice.answer import Answer
from erniekit_adapter.invoice.rules import Finding


@dataclass(frozen=True)
class DocumentRecord:
    """One document with what is known of it.

    Attributes:
        document_id: the name that the source gives it; not unique, because documents are logged again and again.
        source: path of the file it came from.
        line: line or entry number in that file, from 1; None where the whole file is one document.
        images: its pages in order; none where there is no usable image.
        ocr: what the OCR engine gave, any JSON value; None where there is nothing.
        answer: what the document really says; None where nobody said it.
        reviewed: whether a person confirmed the answer.
        group: what must stay on one side of a split: the document with its augmented copies; empty where the source
            gives it no name.
        request: the request word for word, of ready-made lines only.
        declared_fault: why the printed amounts do not add up, where the source says that they must not.
        unused_keys: keys of the source that have no place in a record, to be named in the manifest.
        pdf: the file whose pages are the document's; beside images it supplies their text if they come without OCR.
        page_count: how many pages the source says that the PDF has; None where it does not say.
        language: what the source says the page is written in, as ISO 639-1: `de`.
        augmented: a copy of a page that was made to look different on purpose.
        turns: by how many degrees, counter-clockwise, each page had to be turned to be upright; empty if none had to.
        model_output: what a model had said before a person corrected it, in any form of a log; None where unknown.
        complete: the source claims to state every field of the document: then a missing required field is an error.
        findings: results of the source's own rules on the complete document; None if it has none.
    """

    document_id: str
    source: str
    line: int | None
    images: tuple[Path, ...]
    ocr: Any
    answer: Answer | None
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
    """Why a document is not trained on.

    Attributes:
        source: path of the file it came from.
        line: line or entry number in that file, from 1; None where the whole file is meant.
        document_id: the document's name, as far as it is known.
        gate: what refused it: a gate's name, or `source` and `image` for what could not be read.
        reason: what was found, and what would have been accepted.
    """

    source: str
    line: int | None
    document_id: str | None
    gate: str
    reason: str


Reading = DocumentRecord | Rejection
