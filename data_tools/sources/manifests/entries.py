"""Entries of a manifest, grouped into documents: the pages of one invoice are one document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.records import RejectedError, Rejection
from data_tools.sources.files.json_lists import BrokenEntry, read_entries
from data_tools.sources.files.json_values import identifier, shown
from erniekit_adapter.documents import json_text

# Current keys first, then those of an older manifest.
IMAGE_KEYS = ("image_path", "image")
TRUTH_KEYS = ("ground_truth_path", "ground_truth")
# Keys for the number of pages of the whole document.
COUNT_KEYS = ("total_pages", "page_count", "num_pages")
# A larger value of those keys is ignored.
_MAX_PAGES = 1_000


@dataclass(frozen=True)
class Entry:
    """An entry of the manifest; `number` counts from 1."""

    number: int
    value: dict[str, Any]

    @property
    def image(self) -> Any:
        """The image of the page, as the entry gives it; None without one."""
        return _first(self.value, IMAGE_KEYS)

    @property
    def truth(self) -> Any:
        """The ground truth, as the entry gives it; None without one."""
        return _first(self.value, TRUTH_KEYS)

    @property
    def page(self) -> int | None:
        """The number of the page; None without one."""
        page = self.value.get("page_num")
        return page if isinstance(page, int) and not isinstance(page, bool) else None

    @property
    def page_total(self) -> int:
        """The number of pages of the document; 0 if not given."""
        total = _first(self.value, COUNT_KEYS)
        return total if isinstance(total, int) and not isinstance(total, bool) and 0 < total <= _MAX_PAGES else 0

    @property
    def augmented(self) -> bool:
        """True if the page is an augmented copy."""
        return self.value.get("is_augmented") is True

    @property
    def pdf(self) -> Any:
        """The PDF with the page, as the entry gives it; None without one."""
        return self.value.get("pdf_path") or None


@dataclass(frozen=True)
class ManifestDocument:
    """The pages of one invoice, or of one augmented copy of it.

    Attributes:
        document_id: id of the invoice, followed by the number of the copy.
        group: id of the invoice.
        rows: its pages in order.
        pages: numbers of all pages of the invoice, from all of its copies and from the page counts of the entries.
        page_total: number of pages of its longest copy without page numbers.
    """

    document_id: str
    group: str
    rows: tuple[Entry, ...]
    pages: frozenset[int] = frozenset()
    page_total: int = 0


def read_documents(path: Path) -> Iterator[ManifestDocument | Rejection]:
    """Yield the documents of a manifest in order, and a rejection for each entry that cannot be read.

    Raises:
        AdapterError: the manifest cannot be read or is not a JSON list.
    """
    rows = []
    for number, value in enumerate(read_entries(path), start=1):
        if isinstance(value, BrokenEntry):
            yield Rejection(str(path), number, None, "source", value.problem)
        elif isinstance(value, dict):
            rows.append(Entry(number, value))
        else:
            yield Rejection(str(path), number, None, "source", f"the entry is not an object: {shown(value)}")
    kept = []
    for members in _by_ground_truth(rows):
        if (problem := _several_invoices(members)) is None:
            kept += members
            continue
        for row in members:
            yield Rejection(str(path), row.number, identifier(row.value.get("invoice_id"), ""), "source", problem)
    yield from _documents(sorted(kept, key=lambda row: row.number), path.name)


def _by_ground_truth(rows: Sequence[Entry]) -> list[list[Entry]]:
    """Return the rows grouped by their ground truth; a row without one is a group."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for row in rows:
        groups[f"truth {json_text.compose(row.truth)}" if row.truth else f"row {row.number}"].append(row)
    return list(groups.values())


def _several_invoices(rows: Sequence[Entry]) -> str | None:
    """Return the problem of rows with one ground truth and several invoice ids; augmented copies may have other ids."""
    named = [row.value.get("invoice_id") for row in rows if not row.augmented]
    ids = list(dict.fromkeys(identifier(name, "") for name in named if name))
    if len(ids) < 2:
        return None
    return (
        f"{shown(rows[0].truth)} is the ground truth of {len(ids)} invoice ids, {', '.join(ids)[:300]}: "
        "give each invoice its own file, and the pages of one invoice the same invoice_id"
    )


def _first(value: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((value[key] for key in keys if value.get(key) not in (None, "")), None)


def _documents(rows: Sequence[Entry], name: str) -> list[ManifestDocument]:
    """Return the documents of rows with the same invoice id or ground truth; each augmented copy is a document."""
    identities: dict[tuple[str, str], str] = {}
    parts: dict[tuple[str, bool], list[Entry]] = defaultdict(list)
    for row in rows:
        named = (("id", row.value.get("invoice_id")), ("ground truth", row.truth))
        keys = [(kind, json_text.compose(value)) for kind, value in named if value]
        new_group = identifier(_first(row.value, ("invoice_id", *TRUTH_KEYS)), f"{name}:{row.number}")
        group = next((identities[key] for key in keys if key in identities), new_group)
        identities.update({key: group for key in keys if key not in identities})
        parts[group, row.augmented].append(row)
    copies = {(*part, index): copy for part, members in parts.items() for index, copy in enumerate(_copies(members), 1)}
    pages = _pages_of_groups(copies)
    found = [
        ManifestDocument(f"{group}#augmented-{index}" if augmented else group, group, copy, *pages[group])
        for (group, augmented, index), copy in copies.items()
    ]
    return sorted(found, key=lambda document: document.rows[0].number)


def _pages_of_groups(
    copies: dict[tuple[str, bool, int], tuple[Entry, ...]],
) -> dict[str, tuple[frozenset[int], int]]:
    """Return for each invoice its page numbers and the length of its longest copy without page numbers."""
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
    """Return the copies of one document: a repeated page number begins the next copy.

    Without page numbers, the originals are the pages in their order, and each augmented row is a copy.
    """
    if all(row.page is None for row in rows):
        return [(row,) for row in rows] if rows[0].augmented else [tuple(rows)]
    copies: list[dict[int | None, Entry]] = []
    for row in rows:
        copy = next((copy for copy in copies if row.page not in copy), None)
        if copy is None:
            copies.append(copy := {})
        copy[row.page] = row
    return [tuple(sorted(copy.values(), key=lambda row: row.page or 0)) for copy in copies]


def check_pages(document: ManifestDocument) -> None:
    """Check that no page of a document is missing, because its answer would have values that no page shows.

    Raises:
        RejectedError: a page is missing, or has no usable number.
    """
    rows = document.rows
    for row in rows:
        if row.page is None and row.value.get("page_num") is not None:
            raise RejectedError("source", f"page_num {shown(row.value['page_num'])} is not an integer")
    pages = [row.page for row in rows if row.page is not None]
    if not pages:
        if len(rows) < document.page_total:
            reason = f"{len(rows)} of {document.page_total} pages: list the others, or give each entry its page_num"
            raise RejectedError("image", reason)
        return
    if len(pages) < len(rows):
        raise RejectedError("image", f"{len(rows) - len(pages)} of {len(rows)} entries have no page_num")
    known = document.pages | set(pages)
    first, last = (0 if 0 in known else 1), max(known)
    missing = sorted(set(range(first, min(last, _MAX_PAGES) + 1)) - set(pages)) or [
        page for page in pages if page < first
    ]
    if missing or last > _MAX_PAGES:
        names = ", ".join(map(str, missing[:20]))
        raise RejectedError("image", f"page {names} of {last} is missing; listed: {', '.join(map(str, pages))[:100]}")
