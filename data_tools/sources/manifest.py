"""Source `manifest`: a JSON list of pages, with ground truth and OCR in files of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, RecordOrRejection, RejectedError, Rejection
from data_tools.sources.answers.truth import GroundTruth, ReadSettings, unconfirmed, with_currency_hint
from data_tools.sources.files.json_values import read_value, shown, unused
from data_tools.sources.files.paths import find_file, working_folder
from data_tools.sources.ground_truth import check_source_labels, read_ground_truth
from data_tools.sources.manifests.entries import (
    COUNT_KEYS,
    IMAGE_KEYS,
    TRUTH_KEYS,
    Entry,
    ManifestDocument,
    check_pages,
    read_documents,
)
from data_tools.sources.manifests.ocr_files import read_ocr
from data_tools.sources.source import Source, in_groups
from erniekit_adapter.documents import json_text
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import ManifestSource

_USED = frozenset((
    *IMAGE_KEYS, *TRUTH_KEYS, *COUNT_KEYS, "invoice_id", "ocr_path", "page_num", "is_augmented", "pdf_path",
))  # fmt: skip
ManifestShard = tuple[ManifestDocument | Rejection, ...]


class DocumentManifest(Source[ManifestSource, ManifestShard]):
    """A manifest; a shard is some of its documents, with rejections for entries that cannot be read."""

    def shards(self) -> Iterator[ManifestShard]:
        """Yield the documents of the manifest in groups.

        Raises:
            AdapterError: the manifest cannot be read or is not a JSON list.
            UsageError: a label names an unknown field.
        """
        check_source_labels(self.settings.labels, self.path, self.document_type)
        return in_groups(read_documents(self.path))

    def read(self, shard: ManifestShard) -> Iterator[RecordOrRejection]:
        """Yield a record or rejection for each document."""
        for document in shard:
            yield document if isinstance(document, Rejection) else self._read(document)

    def _read(self, document: ManifestDocument) -> RecordOrRejection:
        try:
            return _DocumentFiles(self.settings, document, self._read_settings).record()
        except RejectedError as error:
            first = document.rows[0].number
            return Rejection(str(self.path), first, document.document_id, error.filter, error.reason)

    @property
    def _read_settings(self) -> ReadSettings:
        given = self.settings
        return ReadSettings(
            self.date_order, given.reviewed, given.complete, given.labels, given.currency, self.document_type
        )


@dataclass(frozen=True)
class _DocumentFiles:
    """The files of one document of a manifest."""

    source: ManifestSource
    document: ManifestDocument
    settings: ReadSettings

    def record(self) -> DocumentRecord:
        """Return the record of the document.

        Raises:
            RejectedError: a file is missing or cannot be read.
        """
        rows = self.document.rows
        check_pages(self.document)
        images = tuple(self.image(row) for row in rows if row.image is not None)
        truth, ocr = self.truth(), self.ocr()
        ocr = truth.ocr if ocr is None and len(rows) == 1 else ocr
        # If there are images, a PDF is needed for their text only.
        pdf = None if images and ocr is not None else self.pdf()
        if len(images) < len(rows) and (images or (ocr is None and pdf is None)):
            raise RejectedError("image", f"{_keys(rows)}: no image_path and no pdf_path, and no ocr_path to do without")
        unused_keys = {key for row in rows for key in unused(row.value, _USED)}
        unused_keys |= {f"ground truth {key}" for key in truth.unused_keys}
        return DocumentRecord(
            document_id=self.document.document_id,
            source=str(self.source.path),
            line=rows[0].number,
            images=images,
            ocr=ocr,
            answer=truth.answer,
            reviewed=True,
            group=self.document.group,
            declared_fault=truth.fault,
            unused_keys=tuple(sorted(unused_keys)),
            pdf=pdf,
            page_count=len(rows) if pdf and rows[0].page is not None else None,
            language=truth.language,
            augmented=rows[0].augmented,
            complete=truth.complete or self.settings.complete,
        )

    def file(self, name: object, folder: Path | None) -> Path:
        """Find a file that the manifest names: beside it, in its root, in `folder`, or in the working folder."""
        beside = self.source.path.parent
        given = [each for each in (self.source.root, folder) if each is not None]
        return find_file(name, [beside, *given, *working_folder()], by_name=[beside, *given])

    def image(self, row: Entry) -> Path:
        try:
            return self.file(row.image, self.source.images_dir)
        except ValueError as error:
            raise RejectedError("image", str(error)) from error

    def pdf(self) -> Path | None:
        """Return the one PDF with all pages; None if no such file is named, or it does not exist."""
        names = {name if isinstance(name := row.pdf, str) else None for row in self.document.rows}
        if len(names) != 1:
            return None
        try:
            return self.file(names.pop(), self.source.images_dir)
        except ValueError:
            return None

    def truth(self) -> GroundTruth:
        rows = self.document.rows
        names = {json_text.compose(row.truth): row.truth for row in rows if row.truth is not None}
        if len(names) > 1:
            raise RejectedError("source", f"its pages name several ground truths: {', '.join(names)}"[:500])
        if not names:
            keys = ", ".join(sorted({key for row in rows for key in row.value}))
            raise RejectedError("source", f"no ground_truth_path; the entry has {shown(keys)}"[:500])
        try:
            value = read_value(self.file(next(iter(names.values())), self.source.ground_truth_dir))
        except (ValueError, AdapterError) as error:
            raise RejectedError("source", f"ground truth: {error}") from error
        try:
            truth = read_ground_truth(value, self.settings)
        except (ValueError, RecursionError) as error:
            raise RejectedError("canonical", f"ground truth: {with_currency_hint(error)}"[:2000]) from error
        if truth.model and not self.settings.reviewed:
            raise RejectedError("reviewed", unconfirmed(truth.model))
        return truth

    def ocr(self) -> Any:
        """Return the OCR of a single page, or a list with that of each page in order; None without OCR."""
        names = [row.value.get("ocr_path") for row in self.document.rows]
        if not any(names):
            return None
        if not all(names):
            raise RejectedError("source", "some of its pages have an ocr_path and some have none")
        try:
            pages = [read_ocr(self.file(name, None)) for name in names]
        except (ValueError, AdapterError) as error:
            raise RejectedError("source", f"OCR: {error}") from error
        return pages[0] if len(pages) == 1 else pages


def _keys(rows: Sequence[Entry]) -> str:
    return f"its keys are {shown(sorted({key for row in rows for key in row.value}))}"
