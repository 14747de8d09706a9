"""Manifests of documents: pages, ground truth and OCR by path. The pages of one invoice make one record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.entries import BrokenEntry, read_entries
from data_tools.sources.ground_truth import read_ground_truth
from data_tools.sources.page_ocr import read_ocr
from data_tools.sources.places import find_file, working_folder
from data_tools.sources.reading import identifier, read_value, shown, unused
from data_tools.sources.truth import DEFAULT, ReadSettings, Truth, unconfirmed, with_remedy
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.invoice import jsontext

# The newer manifest's key first, then the older one's.
_IMAGE_KEYS = ("image_path", "image")
_TRUTH_KEYS = ("ground_truth_path", "ground_truth")
# A larger number of pages is no number of pages.
_MAX_PAGES = 1_000
# How many pages the whole document has.
_COUNT_KEYS = ("total_pages", "page_count", "num_pages")
_USED = frozenset((
    *_IMAGE_KEYS, *_TRUTH_KEYS, *_COUNT_KEYS, "invoice_id", "ocr_path", "page_num", "is_augmented", "pdf_path",
))  # fmt: skip


@dataclass(frozen=True)
class Folders:
    """Where the files of a manifest are looked for after its own folder, and before the working folder.

    Attributes:
        root: for every path.
        images: for images and PDF.
        ground_truth: for ground truth.
    """

    root: Path | None = None
    images: Path | None = None
    ground_truth: Path | None = None


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
    def page_total(self) -> int:
        """How many pages it says that the document has; 0 if it does not say."""
        total = _first(self.value, _COUNT_KEYS)
        return total if isinstance(total, int) and not isinstance(total, bool) and 0 < total <= _MAX_PAGES else 0

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
    """The pages of one invoice, or of one augmented copy of it.

    Attributes:
        document_id: the invoice's id, with the copy's number behind it.
        group: the invoice's id.
        rows: its pages in order.
        pages: numbers of all pages of the invoice, by any of its copies and by what the entries give as their number.
        page_total: pages of its most complete copy without page numbers.
    """

    document_id: str
    group: str
    rows: tuple[Entry, ...]
    pages: frozenset[int] = frozenset()
    page_total: int = 0


class _RefusedError(Exception):
    """A document that cannot be read, with the gate that says so."""

    def __init__(self, gate: str, reason: str) -> None:
        self.gate, self.reason = gate, reason
        super().__init__(reason)


def read_manifest(
    path: Path,
    images_dir: Path | None = None,
    ground_truth_dir: Path | None = None,
    settings: ReadSettings = DEFAULT,
    root: Path | None = None,
) -> Iterator[Reading]:
    """Read a manifest; each document in it gives one record or one rejection.

    Args:
        path: the manifest, a JSON list of entries.
        images_dir: where images and PDF are looked for, after the manifest's own folder and `root`.
        ground_truth_dir: the same for ground truth.
        settings: what the project states about the answers.
        root: where every path is looked for after the manifest's own folder.

    Raises:
        AdapterError: the manifest cannot be read or is no JSON list.
    """
    folders = Folders(root, images_dir, ground_truth_dir)
    for document in read_documents(path):
        yield document if isinstance(document, Rejection) else read_document(path, document, folders, settings)


def read_documents(path: Path) -> Iterator[Document | Rejection]:
    """The documents that a manifest lists, in order, and a rejection for each entry that cannot be read.

    Raises:
        AdapterError: the manifest cannot be read or is no JSON list.
    """
    rows = []
    for number, value in enumerate(read_entries(path), start=1):
        if isinstance(value, BrokenEntry):
            yield Rejection(str(path), number, None, "source", value.problem)
        elif isinstance(value, dict):
            rows.append(Entry(number, value))
        else:
            yield Rejection(str(path), number, None, "source", f"the entry is no object: {shown(value)}")
    kept = []
    for members in _sharing_a_truth(rows):
        if (problem := _several_invoices(members)) is None:
            kept += members
            continue
        for row in members:
            yield Rejection(str(path), row.number, identifier(row.value.get("invoice_id"), ""), "source", problem)
    yield from _documents(sorted(kept, key=lambda row: row.number), path.name)


def read_document(path: Path, document: Document, folders: Folders, settings: ReadSettings = DEFAULT) -> Reading:
    """Read what a document of the manifest `path` consists of."""
    try:
        return _Reader(path, document, folders, settings).record()
    except _RefusedError as refusal:
        first = document.rows[0].number
        return Rejection(str(path), first, document.document_id, refusal.gate, refusal.reason)


def _sharing_a_truth(rows: Sequence[Entry]) -> list[list[Entry]]:
    """The rows in groups that name the same ground truth; a row that names none is alone."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for row in rows:
        groups[f"truth {jsontext.compose(row.truth)}" if row.truth else f"row {row.number}"].append(row)
    return list(groups.values())


def _several_invoices(rows: Sequence[Entry]) -> str | None:
    """What is wrong with rows that share a ground truth and have different invoice ids; copies may have their own."""
    named = [row.value.get("invoice_id") for row in rows if not row.augmented]
    ids = list(dict.fromkeys(identifier(name, "") for name in named if name))
    if len(ids) < 2:
        return None
    return (
        f"{shown(rows[0].truth)} is the ground truth of {len(ids)} invoice ids, {', '.join(ids)[:300]}: "
        "give each invoice its own file, and the pages of one invoice one invoice_id"
    )


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
    copies = {(*part, place): copy for part, members in parts.items() for place, copy in enumerate(_copies(members), 1)}
    pages = _pages_of_groups(copies)
    found = [
        Document(f"{group}#augmented-{place}" if augmented else group, group, copy, *pages[group])
        for (group, augmented, place), copy in copies.items()
    ]
    return sorted(found, key=lambda document: document.rows[0].number)


def _pages_of_groups(
    copies: dict[tuple[str, bool, int], tuple[Entry, ...]],
) -> dict[str, tuple[frozenset[int], int]]:
    """The page numbers of each invoice, and the pages of its longest copy without numbers."""
    pages: dict[str, set[int]] = defaultdict(set)
    totals: dict[str, int] = defaultdict(int)
    for (group, _, _), rows in copies.items():
        numbers = {row.page for row in rows if row.page is not None}
        total = max(row.page_total for row in rows)
        if numbers:
            first = 0 if 0 in numbers else 1
            pages[group] |= numbers | set(range(first, first + total))
        else:
            totals[group] = max(totals[group], len(rows), total)
            pages[group] |= set()
    return {group: (frozenset(numbers), totals[group]) for group, numbers in pages.items()}


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


@dataclass(frozen=True)
class _Reader:
    """One document of a manifest that is being read."""

    path: Path
    document: Document
    folders: Folders
    settings: ReadSettings

    def record(self) -> DocumentRecord:
        """The document's record.

        Raises:
            _RefusedError: there is none, and why.
        """
        rows = self.document.rows
        _check_pages(self.document)
        images = tuple(self.image(row) for row in rows if row.image is not None)
        truth, ocr = self.truth(), self.ocr()
        ocr = truth.ocr if ocr is None and len(rows) == 1 else ocr
        # Beside images, a PDF supplies the text that is on them.
        pdf = None if images and ocr is not None else self.pdf()
        if len(images) < len(rows) and (images or (ocr is None and pdf is None)):
            raise _RefusedError("image", f"{_keys(rows)}: no image_path and no pdf_path, and no ocr_path to do without")
        unused_keys = {key for row in rows for key in unused(row.value, _USED)}
        unused_keys |= {f"ground truth {key}" for key in truth.unused_keys}
        return DocumentRecord(
            document_id=self.document.document_id,
            source=str(self.path),
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

    def file(self, name: object, given: Path | None) -> Path:
        """A file that the manifest names: beside it, in its root, in its kind's folder, or in the working folder."""
        named = [folder for folder in (self.folders.root, given) if folder is not None]
        return find_file(name, [self.path.parent, *named, *working_folder()], by_name=[self.path.parent, *named])

    def image(self, row: Entry) -> Path:
        try:
            return self.file(row.image, self.folders.images)
        except ValueError as error:
            raise _RefusedError("image", str(error)) from error

    def pdf(self) -> Path | None:
        """The one PDF that has all pages; None where none is named and there."""
        names = {name if isinstance(name := row.pdf, str) else None for row in self.document.rows}
        if len(names) != 1:
            return None
        try:
            return self.file(names.pop(), self.folders.images)
        except ValueError:
            return None

    def truth(self) -> Truth:
        rows = self.document.rows
        names = {jsontext.compose(row.truth): row.truth for row in rows if row.truth is not None}
        if len(names) > 1:
            raise _RefusedError("source", f"its pages name several ground truths: {', '.join(names)}"[:500])
        if not names:
            keys = ", ".join(sorted({key for row in rows for key in row.value}))
            raise _RefusedError("source", f"no ground_truth_path; the entry has {shown(keys)}"[:500])
        try:
            value = read_value(self.file(next(iter(names.values())), self.folders.ground_truth))
        except (ValueError, AdapterError) as error:
            raise _RefusedError("source", f"ground truth: {error}") from error
        try:
            truth = read_ground_truth(value, self.settings)
        except (ValueError, RecursionError) as error:
            raise _RefusedError("canonical", f"ground truth: {with_remedy(error)}"[:2000]) from error
        if truth.model and not self.settings.reviewed:
            raise _RefusedError("reviewed", unconfirmed(truth.model))
        return truth

    def ocr(self) -> Any:
        """The OCR of all pages: of a single page as it is, of several as a list in their order; None without any."""
        names = [row.value.get("ocr_path") for row in self.document.rows]
        if not any(names):
            return None
        if not all(names):
            raise _RefusedError("source", "some of its pages have an ocr_path and some have none")
        try:
            pages = [read_ocr(self.file(name, None)) for name in names]
        except (ValueError, AdapterError) as error:
            raise _RefusedError("source", f"OCR: {error}") from error
        return pages[0] if len(pages) == 1 else pages


def _keys(rows: Sequence[Entry]) -> str:
    return f"its keys are {shown(sorted({key for row in rows for key in row.value}))}"


def _check_pages(document: Document) -> None:
    """A missing page would leave the answer with values that nobody can read: it is named."""
    rows = document.rows
    for row in rows:
        if row.page is None and row.value.get("page_num") is not None:
            raise _RefusedError("source", f"page_num {shown(row.value['page_num'])} is no whole number")
    pages = [row.page for row in rows if row.page is not None]
    if not pages:
        if len(rows) < document.page_total:
            reason = f"{len(rows)} of {document.page_total} pages: list the others, or give each entry its page_num"
            raise _RefusedError("image", reason)
        return
    if len(pages) < len(rows):
        raise _RefusedError("image", f"{len(rows) - len(pages)} of {len(rows)} entries have no page_num")
    known = document.pages | set(pages)
    first, last = (0 if 0 in known else 1), max(known)
    missing = sorted(set(range(first, min(last, _MAX_PAGES) + 1)) - set(pages)) or [
        page for page in pages if page < first
    ]
    if missing or last > _MAX_PAGES:
        names = ", ".join(map(str, missing[:20]))
        raise _RefusedError("image", f"page {names} of {last} is missing; listed: {', '.join(map(str, pages))[:100]}")
