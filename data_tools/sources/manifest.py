"""Manifests of documents: pages, ground truth and OCR by path. The pages of one invoice make one record."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.ground_truth import read_ground_truth
from data_tools.sources.reading import file_inside, identifier, path_inside, read_value, shown, unused
from erniekit_adapter.errors import AdapterError, fail
from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.answer import Answer

# The newer manifest's key first, then the older one's.
_IMAGE_KEYS = ("image_path", "image")
_TRUTH_KEYS = ("ground_truth_path", "ground_truth")
_USED = frozenset((*_IMAGE_KEYS, *_TRUTH_KEYS, "invoice_id", "ocr_path", "page_num", "is_augmented", "pdf_path"))


@dataclass(frozen=True)
class _Folders:
    """Where the files of a manifest lie."""

    own: Path
    images: Path
    ground_truth: Path


@dataclass(frozen=True)
class Entry:
    """An entry of the manifest; `number` counts from 1."""

    number: int
    value: dict[str, Any]

    @property
    def image(self) -> Any:
        """What it gives as its page's image; None where nothing."""
        return _first(self.value, _IMAGE_KEYS)

    @property
    def truth(self) -> Any:
        """What it gives as its ground truth; None where nothing."""
        return _first(self.value, _TRUTH_KEYS)

    @property
    def page(self) -> int | None:
        """The page's number; None where it gives none."""
        page = self.value.get("page_num")
        return page if isinstance(page, int) and not isinstance(page, bool) else None

    @property
    def augmented(self) -> bool:
        """Whether the page is a copy that was made to look different."""
        return self.value.get("is_augmented") is True

    @property
    def pdf(self) -> Any:
        """What it gives as the PDF with its page; None where nothing."""
        return self.value.get("pdf_path") or None


@dataclass(frozen=True)
class Document:
    """The pages of one invoice, or of one augmented copy of it."""

    document_id: str
    group: str
    rows: tuple[Entry, ...]


class _RefusedError(Exception):
    """A document that cannot be read, with the gate that says so."""

    def __init__(self, gate: str, reason: str) -> None:
        self.gate, self.reason = gate, reason
        super().__init__(reason)


def read_manifest(
    path: Path, images_dir: Path | None = None, ground_truth_dir: Path | None = None
) -> Iterator[Reading]:
    """Read a manifest; each document in it gives one record or one rejection.

    Args:
        path: the manifest, a JSON list of entries.
        images_dir: where images and PDF lie; the manifest's own folder where it is None.
        ground_truth_dir: where ground truth lies; the manifest's own folder where it is None.

    Raises:
        AdapterError: the manifest cannot be read or is no JSON list.
    """
    for document in read_documents(path):
        yield (
            document if isinstance(document, Rejection) else read_document(path, document, images_dir, ground_truth_dir)
        )


def read_documents(path: Path) -> Iterator[Document | Rejection]:
    """The documents that a manifest lists, in order, and a rejection for each entry that is no object.

    Raises:
        AdapterError: the manifest cannot be read or is no JSON list.
    """
    rows = []
    for number, value in enumerate(_entries(path), start=1):
        if isinstance(value, dict):
            rows.append(Entry(number, value))
        else:
            yield Rejection(str(path), number, None, "source", f"the entry is no object: {shown(value)}")
    yield from _documents(rows, path.name)


def read_document(path: Path, document: Document, images_dir: Path | None, ground_truth_dir: Path | None) -> Reading:
    """Read what a document of the manifest `path` consists of; the folders are those of `read_manifest`."""
    folders = _Folders(path.parent, images_dir or path.parent, ground_truth_dir or path.parent)
    try:
        return _read_document(path, document, folders)
    except _RefusedError as refusal:
        first = document.rows[0].number
        return Rejection(str(path), first, document.document_id, refusal.gate, refusal.reason)


def _entries(path: Path) -> list[Any]:
    try:
        entries = read_value(path)
    except ValueError as error:
        raise fail(
            path, str(error), "a manifest is a JSON list of objects with image_path, ground_truth_path"
        ) from error
    if not isinstance(entries, list):
        raise fail(path, f"no JSON list of entries: {shown(entries)}", "write [{...}, {...}]")
    return entries


def _first(value: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((value[key] for key in keys if value.get(key) not in (None, "")), None)


def _documents(rows: Sequence[Entry], name: str) -> list[Document]:
    """Rows of one invoice id, or of one ground truth, in documents: the pages together, each augmented copy alone."""
    identities: dict[tuple[str, str], str] = {}
    parts: dict[tuple[str, bool], list[Entry]] = defaultdict(list)
    for row in rows:
        named = (("id", row.value.get("invoice_id")), ("ground truth", row.truth))
        keys = [(kind, jsontext.compose(value)) for kind, value in named if value]
        fresh = identifier(_first(row.value, ("invoice_id", *_TRUTH_KEYS)), f"{name}:{row.number}")
        group = next((identities[key] for key in keys if key in identities), fresh)
        identities.update({key: group for key in keys if key not in identities})
        parts[group, row.augmented].append(row)
    found = [
        Document(f"{group}#augmented-{place}" if augmented else group, group, copy)
        for (group, augmented), members in parts.items()
        for place, copy in enumerate(_copies(members), start=1)
    ]
    return sorted(found, key=lambda document: document.rows[0].number)


def _copies(rows: list[Entry]) -> list[tuple[Entry, ...]]:
    """Rows as copies of one document: a page number that comes again begins the next copy.

    Without page numbers, originals are the pages in their order, and every augmented row is a copy of its own.
    """
    if all(row.page is None for row in rows):
        return [(row,) for row in rows] if rows[0].augmented else [tuple(rows)]
    copies: list[dict[int | None, Entry]] = []
    for row in rows:
        place = next((copy for copy in copies if row.page not in copy), None)
        if place is None:
            copies.append(place := {})
        place[row.page] = row
    return [tuple(sorted(copy.values(), key=lambda row: row.page or 0)) for copy in copies]


def _read_document(path: Path, document: Document, folders: _Folders) -> DocumentRecord:
    rows = document.rows
    _check_pages(rows)
    images = tuple(_image(row, folders.images) for row in rows if row.image is not None)
    ocr = _ocr(rows, folders.own)
    pdf = None if images else _pdf(rows, folders.images)
    if len(images) < len(rows) and (images or (ocr is None and pdf is None)):
        raise _RefusedError("image", f"{_keys(rows)}: no image_path and no pdf_path, and no ocr_path to do without")
    truths = {jsontext.compose(row.truth): row.truth for row in rows if row.truth is not None}
    if len(truths) > 1:
        raise _RefusedError("source", f"its pages name several ground truths: {', '.join(truths)}"[:500])
    truth = _truth(next(iter(truths.values()), None), folders.ground_truth)
    unused_keys = {key for row in rows for key in unused(row.value, _USED)} | set(truth.unused_keys)
    return DocumentRecord(
        document_id=document.document_id,
        source=str(path),
        line=rows[0].number,
        images=images,
        ocr=ocr,
        answer=truth.answer,
        reviewed=True,
        group=document.group,
        declared_fault=truth.fault,
        unused_keys=tuple(sorted(unused_keys)),
        pdf=pdf,
        page_count=len(rows) if pdf and rows[0].page is not None else None,
        language=truth.language,
        augmented=rows[0].augmented,
    )


def _pdf(rows: Sequence[Entry], folder: Path) -> Path | None:
    """The one PDF that has all pages; None where none is named and there."""
    names = {name if isinstance(name := row.pdf, str) else None for row in rows}
    if len(names) != 1:
        return None
    try:
        return _file(folder, names.pop())
    except ValueError:
        return None


def _keys(rows: Sequence[Entry]) -> str:
    return f"its keys are {shown(sorted({key for row in rows for key in row.value}))}"


def _check_pages(rows: Sequence[Entry]) -> None:
    """A missing page would leave the answer with lines that nobody can read."""
    for row in rows:
        if row.page is None and row.value.get("page_num") is not None:
            raise _RefusedError("source", f"page_num {shown(row.value['page_num'])} is no whole number")
    pages = [row.page for row in rows if row.page is not None]
    if not pages:
        return
    first = 0 if pages[0] == 0 else 1
    if len(pages) < len(rows) or pages != list(range(first, first + len(pages))):
        raise _RefusedError("image", f"pages {', '.join(map(str, pages))[:100]} of {len(rows)} listed: one is missing")


def _image(row: Entry, folder: Path) -> Path:
    try:
        return _file(folder, row.image)
    except ValueError as error:
        raise _RefusedError("image", str(error)) from error


def _file(folder: Path, name: Any) -> Path:
    """A file in a folder, by the path that the manifest gives, or by its name alone where the folder was moved."""
    inside = path_inside(folder, name)
    try:
        return file_inside(folder, name)
    except ValueError as error:
        try:
            return file_inside(folder, inside.name)
        except ValueError:
            raise error from None


@dataclass(frozen=True)
class _Truth:
    """What the ground truth says."""

    answer: Answer
    fault: str | None
    unused_keys: tuple[str, ...]
    language: str | None


def _truth(name: Any, folder: Path) -> _Truth:
    if name is None:
        raise _RefusedError("source", "no ground_truth_path: nobody said what the page shows")
    try:
        value = read_value(_file(folder, name))
    except (ValueError, AdapterError) as error:
        raise _RefusedError("source", f"ground truth: {error}") from error
    try:
        answer, fault, unused_keys = read_ground_truth(value)
    except (ValueError, RecursionError) as error:
        raise _RefusedError("canonical", f"ground truth: {error}"[:2000]) from error
    return _Truth(answer, fault, tuple(f"ground truth {key}" for key in unused_keys), _language(value.get("language")))


def _language(value: object) -> str | None:
    """An ISO 639-1 code, also where a region stands behind it; None for anything else."""
    code = value[:2].lower() if isinstance(value, str) else ""
    return code if re.fullmatch("[a-z]{2}", code) else None


def _ocr(rows: Sequence[Entry], folder: Path) -> Any:
    """The OCR of all pages: of a single page as it is, of several as a list in their order; None without any."""
    names = [row.value.get("ocr_path") for row in rows]
    if not any(names):
        return None
    if not all(names):
        raise _RefusedError("source", "some of its pages have an ocr_path and some have none")
    try:
        pages = [read_value(_file(folder, name)) for name in names]
    except (ValueError, AdapterError) as error:
        raise _RefusedError("source", f"OCR: {error}") from error
    return pages[0] if len(pages) == 1 else pages
