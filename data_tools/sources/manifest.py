"""Manifests of documents: pages, ground truth and OCR by path. The pages of one invoice make one record."""

from __future__ import annotations

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
class _Row:
    """An entry of the manifest; `number` counts from 1."""

    number: int
    value: dict[str, Any]

    @property
    def image(self) -> Any:
        return _first(self.value, _IMAGE_KEYS)

    @property
    def truth(self) -> Any:
        return _first(self.value, _TRUTH_KEYS)

    @property
    def page(self) -> int | None:
        page = self.value.get("page_num")
        return page if isinstance(page, int) and not isinstance(page, bool) else None

    @property
    def augmented(self) -> bool:
        return self.value.get("is_augmented") is True


@dataclass(frozen=True)
class _Document:
    """The pages of one invoice, or of one augmented copy of it."""

    document_id: str
    group: str
    rows: tuple[_Row, ...]


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
        images_dir: where images lie; the manifest's own folder where it is None.
        ground_truth_dir: where ground truth lies; the manifest's own folder where it is None.

    Raises:
        AdapterError: the manifest cannot be read or is no JSON list.
    """
    own = path.parent
    folders = _Folders(own, images_dir or own, ground_truth_dir or own)
    rows = []
    for number, value in enumerate(_entries(path), start=1):
        if isinstance(value, dict):
            rows.append(_Row(number, value))
        else:
            yield Rejection(str(path), number, None, "source", f"the entry is no object: {shown(value)}")
    for document in _documents(rows, path.name):
        try:
            yield _read_document(path, document, folders)
        except _RefusedError as refusal:
            first = document.rows[0].number
            yield Rejection(str(path), first, document.document_id, refusal.gate, refusal.reason)


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


def _documents(rows: Sequence[_Row], name: str) -> list[_Document]:
    """Rows of one invoice id, or of one ground truth, in documents: the pages together, each augmented copy alone."""
    identities: dict[tuple[str, str], str] = {}
    parts: dict[tuple[str, bool], list[_Row]] = defaultdict(list)
    for row in rows:
        named = (("id", row.value.get("invoice_id")), ("ground truth", row.truth))
        keys = [(kind, jsontext.compose(value)) for kind, value in named if value]
        fresh = identifier(_first(row.value, ("invoice_id", *_TRUTH_KEYS)), f"{name}:{row.number}")
        group = next((identities[key] for key in keys if key in identities), fresh)
        identities.update({key: group for key in keys if key not in identities})
        parts[group, row.augmented].append(row)
    found = [
        _Document(f"{group}#augmented-{place}" if augmented else group, group, copy)
        for (group, augmented), members in parts.items()
        for place, copy in enumerate(_copies(members), start=1)
    ]
    return sorted(found, key=lambda document: document.rows[0].number)


def _copies(rows: list[_Row]) -> list[tuple[_Row, ...]]:
    """Rows as copies of one document: a page number that comes again begins the next copy.

    Without page numbers, originals are the pages in their order, and every augmented row is a copy of its own.
    """
    if all(row.page is None for row in rows):
        return [(row,) for row in rows] if rows[0].augmented else [tuple(rows)]
    copies: list[dict[int | None, _Row]] = []
    for row in rows:
        place = next((copy for copy in copies if row.page not in copy), None)
        if place is None:
            copies.append(place := {})
        place[row.page] = row
    return [tuple(sorted(copy.values(), key=lambda row: row.page or 0)) for copy in copies]


def _read_document(path: Path, document: _Document, folders: _Folders) -> DocumentRecord:
    rows = document.rows
    _check_pages(rows)
    images = tuple(_image(row, folders.images) for row in rows if row.image is not None)
    ocr = _ocr(rows, folders.own)
    if len(images) < len(rows) and (images or ocr is None):
        raise _RefusedError(
            "image", f"{_keys(rows)}: no image_path, and no ocr_path to do without; a pdf has to be rendered"
        )
    truths = {jsontext.compose(row.truth): row.truth for row in rows if row.truth is not None}
    if len(truths) > 1:
        raise _RefusedError("source", f"its pages name several ground truths: {', '.join(truths)}"[:500])
    answer, fault, unused_truth = _truth(next(iter(truths.values()), None), folders.ground_truth)
    unused_keys = {key for row in rows for key in unused(row.value, _USED)} | {
        f"ground truth {k}" for k in unused_truth
    }
    return DocumentRecord(
        document_id=document.document_id,
        source=str(path),
        line=rows[0].number,
        images=images,
        ocr=ocr,
        answer=answer,
        reviewed=True,
        group=document.group,
        declared_fault=fault,
        unused_keys=tuple(sorted(unused_keys)),
    )


def _keys(rows: Sequence[_Row]) -> str:
    return f"its keys are {shown(sorted({key for row in rows for key in row.value}))}"


def _check_pages(rows: Sequence[_Row]) -> None:
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


def _image(row: _Row, folder: Path) -> Path:
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


def _truth(name: Any, folder: Path) -> Any:
    if name is None:
        raise _RefusedError("source", "no ground_truth_path: nobody said what the page shows")
    try:
        value = read_value(_file(folder, name))
    except (ValueError, AdapterError) as error:
        raise _RefusedError("source", f"ground truth: {error}") from error
    try:
        return read_ground_truth(value)
    except (ValueError, RecursionError) as error:
        raise _RefusedError("canonical", f"ground truth: {error}"[:2000]) from error


def _ocr(rows: Sequence[_Row], folder: Path) -> Any:
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
