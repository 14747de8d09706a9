"""Annotations as a source of their own: each document with its pages, wherever its annotation tool put them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.sources.annotation_files import AnnotationItem
from data_tools.sources.entries import broken_text
from data_tools.sources.ground_truth import read_ground_truth
from data_tools.sources.places import find_file
from data_tools.sources.reading import parse_object, read_value, shown
from data_tools.sources.shapes.boxes import image_size, ocr_of, page_box
from data_tools.sources.shapes.label_studio import LABEL_STUDIO, page_names, task_name
from data_tools.sources.shapes.registry import recognise
from data_tools.sources.shapes.sroie import SROIE
from data_tools.sources.shapes.wildreceipt import WILDRECEIPT
from data_tools.sources.truth import ReadSettings, Truth, unconfirmed, with_remedy
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import is_inside, read_bytes

_PAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf")
# Where a line names its page, and where datasets put pages beside their annotations.
_NAMES = ("file_name", "image_path", "image", "filename", "file")
_FOLDERS = ("images", "img", "image")
# Label Studio puts eight figures before the name of an uploaded file.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_MAX_CLASSES_BYTES = 64 * 1024


@dataclass(frozen=True)
class AnnotationPlaces:
    """Where annotations and their pages lie.

    Attributes:
        source: the file or folder that is the source.
        root: where pages are looked for first; None for the places beside the annotations.
    """

    source: Path
    root: Path | None = None

    @property
    def top(self) -> Path:
        """The folder that holds the source."""
        return self.source if self.source.is_dir() else self.source.parent


def read_annotation(item: AnnotationItem, places: AnnotationPlaces, settings: ReadSettings) -> Reading:
    """Read one document with its pages.

    Returns:
        The record, or the rejection that says what is wrong; values are never guessed, and URLs never fetched.
    """
    try:
        return _read(item, places, settings)
    except _RefusedError as refused:
        return Rejection(str(item.path), item.number, refused.name or None, refused.gate, refused.reason[:2000])
    except RecursionError:
        return Rejection(str(item.path), item.number, None, "source", "nested too deeply")


class _RefusedError(Exception):
    """A document that cannot be read, with the gate that says so."""

    def __init__(self, gate: str, reason: str, name: str = "") -> None:
        self.gate, self.reason, self.name = gate, reason, name
        super().__init__(reason)


def _read(item: AnnotationItem, places: AnnotationPlaces, settings: ReadSettings) -> DocumentRecord:
    value = _value(item)
    names = _page_names(value)
    name = names[0] if names else _own_name(value, item)
    shape = recognise(value)
    if shape is WILDRECEIPT:
        value = _with_class_names(value, item.path.parent)
    try:
        truth = read_ground_truth(value if shape else _without_names(value), settings)
    except ValueError as error:
        raise _RefusedError("canonical", with_remedy(error), name) from error
    if truth.model and not settings.reviewed:
        raise _RefusedError("reviewed", unconfirmed(truth.model), name)
    pages = _pages(names, item, places, name)
    images = tuple(page for page in pages if page.suffix.lower() != ".pdf")
    if images and len(images) < len(pages):
        raise _RefusedError("image", "some of its pages are images and some are PDF", name)
    document_id = _identity(pages[0], places)
    return DocumentRecord(
        document_id=document_id,
        source=str(places.source),
        line=item.number,
        images=images,
        ocr=_sroie_ocr(item.path, pages[0]) if shape is SROIE else _ocr(truth, pages),
        answer=truth.answer,
        reviewed=True,
        group=document_id,
        declared_fault=truth.fault,
        unused_keys=truth.unused_keys,
        pdf=None if images else pages[0],
        language=truth.language,
        complete=truth.complete,
    )


def _value(item: AnnotationItem) -> Any:
    """What the file says of the document.

    Raises:
        _RefusedError: it cannot be read, or is no JSON object.
    """
    try:
        if item.value is None:
            value = read_value(item.path)
        else:
            value = parse_object(item.value) if isinstance(item.value, bytes) else item.value
    except (ValueError, AdapterError) as error:
        raise _RefusedError("source", str(error)) from error
    if not isinstance(value, dict):
        raise _RefusedError("source", f"{shown(value)} is no object")
    if problem := broken_text(value):
        raise _RefusedError("source", problem)
    return value


def _page_names(value: dict[str, Any]) -> list[str]:
    """The pages that a document names; empty where it names none, and its file's name has to do."""
    if LABEL_STUDIO.matches(value):
        return page_names(value)
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str) and value[key].strip()), None)
    return [name] if name else []


def _own_name(value: dict[str, Any], item: AnnotationItem) -> str:
    number = task_name(value) or (str(item.number) if item.number else "")
    return f"{item.path.name}:{number}" if number else item.path.stem


def _without_names(value: dict[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in value.items() if key not in _NAMES}


def _pages(names: Sequence[str], item: AnnotationItem, places: AnnotationPlaces, name: str) -> list[Path]:
    """The files of a document's pages.

    Raises:
        _RefusedError: one is not there; the message lists what was tried.
    """
    if names:
        return [_named_page(page, item.path.parent, places, name) for page in names]
    if item.number is not None:
        raise _RefusedError("image", "names no page: give each document of a list a file_name", name)
    beside, above = item.path.parent, item.path.parent.parent
    folders = [*([places.root] if places.root else []), beside, *(beside / name for name in _FOLDERS)]
    folders += [above / name for name in _FOLDERS] if item.path != places.source else []
    for folder in folders:
        for stem in (item.path.stem, item.path.name.removesuffix("".join(item.path.suffixes))):
            for suffix in (*_PAGE_SUFFIXES, *map(str.upper, _PAGE_SUFFIXES)):
                page = folder / f"{stem}{suffix}"
                if page.is_file() and _is_in_reach(page, places):
                    return [page]
    tried = ", ".join(str(folder / f"{item.path.stem}.*") for folder in folders[:4])
    raise _RefusedError("image", f"no page of that name: tried {tried}; set root: to the folder of the pages", name)


def _named_page(page: str, folder: Path, places: AnnotationPlaces, name: str) -> Path:
    folders = [*([places.root] if places.root else []), folder]
    problem = ""
    for spelling in _spellings(page):
        try:
            return find_file(spelling, folders)
        except ValueError as error:
            problem = problem or str(error)
    if _SCHEME.match(page):
        problem = f"{shown(page)} is a URL, which is never fetched; no file of its name in {places.root or folder}"
    raise _RefusedError("image", f"{problem}; set root: to the folder of the pages", name)


def _spellings(page: str) -> Iterator[str]:
    """The paths that an annotation tool's spelling of a page can mean, the whole path first, its name alone last."""
    path = page
    if "?d=" in path:
        path = unquote(path.partition("?d=")[2])
    elif _SCHEME.match(path):
        path = PurePosixPath(unquote(urlsplit(path).path)).name
    path = path.replace("\\", "/").removeprefix("/data/upload/").lstrip("/")
    parts = PurePosixPath(path).parts
    for start in range(len(parts)):
        yield str(PurePosixPath(*parts[start:]))
    if parts and _UPLOADED.match(parts[-1]):
        yield _UPLOADED.sub("", parts[-1])


def _is_in_reach(page: Path, places: AnnotationPlaces) -> bool:
    """Whether a page lies below the root, or below the folder that holds the source, with its links resolved."""
    return any(is_inside(place, page) for place in (places.root, places.top) if place is not None)


def _identity(page: Path, places: AnnotationPlaces) -> str:
    """The document's name: its first page's path below the root or the source."""
    for place in (places.root, places.top):
        if place is not None and page.is_relative_to(place):
            return str(page.relative_to(place))[:200]
    return page.name[:200]


def _with_class_names(value: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A WildReceipt document with the names of its classes, where a list of them lies beside it."""
    try:
        rows = read_bytes(folder / "class_list.txt", _MAX_CLASSES_BYTES).decode().split("\n")
    except (AdapterError, UnicodeDecodeError):
        return value
    classes: dict[str, str] = dict(row.split() for row in rows if len(row.split()) == 2)
    named = [{**part, "label": classes.get(str(part["label"]), part["label"])} for part in value["annotations"]]
    return {**value, "annotations": named}


def _ocr(truth: Truth, pages: Sequence[Path]) -> Any:
    """What the annotation itself says of a page's text."""
    return truth.ocr if len(pages) == 1 else None


def _sroie_ocr(path: Path, page: Path) -> Any:
    """The texts that SROIE gives in a folder of their own: eight numbers and a text on each line."""
    for folder in (path.parent.parent / "box", path.parent.parent / "boxes", path.parent):
        for suffix in (".txt", ".csv"):
            boxes = folder / f"{path.stem}{suffix}"
            if boxes == path or not boxes.is_file():
                continue
            try:
                text = read_bytes(boxes, 1024 * 1024).decode("utf-8", "replace")
            except AdapterError:
                continue
            pieces = [piece for line in text.splitlines() if (piece := _boxed_text(line))]
            return ocr_of(pieces, image_size(page)) if pieces else None
    return None


def _boxed_text(line: str) -> tuple[str, Any] | None:
    *numbers, text = line.strip().split(",", 8)
    if len(numbers) != 8 or not all(number.strip().lstrip("-").isdecimal() for number in numbers):
        return None
    return text, page_box([int(number) for number in numbers])
