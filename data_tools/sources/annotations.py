"""Source `annotations`: documents of an annotation tool, a data set or a service, with their pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from data_tools.records import DocumentRecord, RecordOrRejection, RejectedError, Rejection
from data_tools.sources.answers.truth import GroundTruth, ReadSettings, unconfirmed, with_currency_hint
from data_tools.sources.files.annotation_files import AnnotationItem, annotation_files, annotation_items
from data_tools.sources.files.json_lists import broken_text
from data_tools.sources.files.json_values import parse_object, read_value, shown
from data_tools.sources.files.paths import find_file
from data_tools.sources.ground_truth import check_source_labels, read_ground_truth
from data_tools.sources.shapes.boxes import image_size, ocr_of, page_box
from data_tools.sources.shapes.label_studio import LABEL_STUDIO, page_names, task_name
from data_tools.sources.shapes.registry import recognise
from data_tools.sources.shapes.sroie import SROIE
from data_tools.sources.shapes.wildreceipt import WILDRECEIPT
from data_tools.sources.source import Source, in_groups
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.field_names import FieldNames
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import is_inside, read_bytes
from erniekit_adapter.project.schema import AnnotationsSource

_PAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf")
# Keys with the name of the page, and folders in which data sets keep pages beside the annotations.
_NAMES = ("file_name", "image_path", "image", "filename", "file")
_FOLDERS = ("images", "img", "image")
# Label Studio adds eight hexadecimal digits before the name of an uploaded file.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_MAX_CLASSES_BYTES = 64 * 1024
AnnotationShard = tuple[AnnotationItem | Rejection, ...]


class Annotations(Source[AnnotationsSource, AnnotationShard]):
    """An annotation file or a folder of them; a shard is some documents, with rejections for unreadable entries."""

    def shards(self) -> Iterator[AnnotationShard]:
        """Yield the documents of the source in groups.

        Raises:
            AdapterError: the source cannot be read.
            UsageError: a label names an unknown field.
        """
        check_source_labels(self.settings.labels, self.path, self.document_type)
        return in_groups(annotation_items(self.path))

    def read(self, shard: AnnotationShard) -> Iterator[RecordOrRejection]:
        """Yield a record or rejection for each document."""
        given = self.settings
        settings = ReadSettings(
            self.date_order,
            given.reviewed,
            labels=given.labels,
            currency=given.currency,
            document_type=self.document_type,
        )
        for item in shard:
            yield item if isinstance(item, Rejection) else _record_or_rejection(item, given, settings)

    def inputs(self) -> list[Path]:
        """Return the annotation files.

        Raises:
            AdapterError: the path does not exist, or a folder cannot be read.
        """
        return annotation_files(self.path)


def _record_or_rejection(item: AnnotationItem, source: AnnotationsSource, settings: ReadSettings) -> RecordOrRejection:
    try:
        return _read(item, source, settings)
    except RejectedError as error:
        return Rejection(str(item.path), item.number, error.document_id or None, error.filter, error.reason[:2000])
    except RecursionError:
        return Rejection(str(item.path), item.number, None, "source", "nested too deeply")


def _read(item: AnnotationItem, source: AnnotationsSource, settings: ReadSettings) -> DocumentRecord:
    value = _value(item)
    names = _page_names(value)
    name = names[0] if names else _own_name(value, item)
    shape = recognise(value, settings.document_type)
    if shape is WILDRECEIPT:
        value = _with_class_names(value, item.path.parent)
    try:
        truth = read_ground_truth(value if shape else _without_names(value, settings.document_type), settings)
    except ValueError as error:
        raise RejectedError("canonical", with_currency_hint(error), name) from error
    if truth.model and not settings.reviewed:
        raise RejectedError("reviewed", unconfirmed(truth.model), name)
    pages = _pages(names, item, source, name)
    images = tuple(page for page in pages if page.suffix.lower() != ".pdf")
    if images and len(images) < len(pages):
        raise RejectedError("image", "some of its pages are images and some are PDF", name)
    document_id = _identity(pages[0], source)
    return DocumentRecord(
        document_id=document_id,
        source=str(source.path),
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
    """Return the content of the file about the document.

    Raises:
        RejectedError: the content cannot be read, or is not a JSON object.
    """
    try:
        if item.value is None:
            value = read_value(item.path)
        else:
            value = parse_object(item.value) if isinstance(item.value, bytes) else item.value
    except (ValueError, AdapterError) as error:
        raise RejectedError("source", str(error)) from error
    if not isinstance(value, dict):
        raise RejectedError("source", f"{shown(value)} is not an object")
    if problem := broken_text(value):
        raise RejectedError("source", problem)
    return value


def _page_names(value: dict[str, Any]) -> list[str]:
    """Return the pages that a document names; empty if it names none, and its page has the name of its file."""
    if LABEL_STUDIO.matches(value):
        return page_names(value)
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str) and value[key].strip()), None)
    return [name] if name else []


def _own_name(value: dict[str, Any], item: AnnotationItem) -> str:
    number = task_name(value) or (str(item.number) if item.number else "")
    return f"{item.path.name}:{number}" if number else item.path.stem


def _without_names(value: dict[str, Any], document_type: DocumentType) -> dict[str, Any]:
    """Return an object without the name of its page, unless a declared type has a field with such a key."""
    kept = () if document_type is INVOICE else [key for key in _NAMES if FieldNames(document_type).is_own(key)]
    return {key: part for key, part in value.items() if key not in _NAMES or key in kept}


def _top_folder(source: AnnotationsSource) -> Path:
    """Return the folder of the source."""
    return source.path if source.path.is_dir() else source.path.parent


def _pages(names: Sequence[str], item: AnnotationItem, source: AnnotationsSource, name: str) -> list[Path]:
    """Return the page files of a document.

    Raises:
        RejectedError: a page is missing; the message lists the paths that were tried.
    """
    if names:
        return [_named_page(page, item.path.parent, source, name) for page in names]
    if item.number is not None:
        raise RejectedError("image", "names no page: give each document of a list a file_name", name)
    beside, above = item.path.parent, item.path.parent.parent
    folders = [*([source.root] if source.root else []), beside, *(beside / name for name in _FOLDERS)]
    folders += [above / name for name in _FOLDERS] if item.path != source.path else []
    for folder in folders:
        for stem in (item.path.stem, item.path.name.removesuffix("".join(item.path.suffixes))):
            for suffix in (*_PAGE_SUFFIXES, *map(str.upper, _PAGE_SUFFIXES)):
                page = folder / f"{stem}{suffix}"
                if page.is_file() and _is_allowed(page, source):
                    return [page]
    tried = ", ".join(str(folder / f"{item.path.stem}.*") for folder in folders[:4])
    raise RejectedError("image", f"no page with this name: tried {tried}; set root: to the folder of the pages", name)


def _named_page(page: str, folder: Path, source: AnnotationsSource, name: str) -> Path:
    folders = [*([source.root] if source.root else []), folder]
    problem = ""
    for path in _possible_paths(page):
        try:
            return find_file(path, folders)
        except ValueError as error:
            problem = problem or str(error)
    if _SCHEME.match(page):
        problem = f"{shown(page)} is a URL, which is never fetched; no file with its name in {source.root or folder}"
    raise RejectedError("image", f"{problem}; set root: to the folder of the pages", name)


def _possible_paths(page: str) -> Iterator[str]:
    """Yield the paths that an annotation tool's name of a page can mean: the whole path first, the file name last."""
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


def _is_allowed(page: Path, source: AnnotationsSource) -> bool:
    """Return whether a page, links resolved, is inside the root or the folder of the source."""
    return any(is_inside(folder, page) for folder in (source.root, _top_folder(source)) if folder is not None)


def _identity(page: Path, source: AnnotationsSource) -> str:
    """Return the name of a document: the path of its first page, relative to the root or the source."""
    for folder in (source.root, _top_folder(source)):
        if folder is not None and page.is_relative_to(folder):
            return str(page.relative_to(folder))[:200]
    return page.name[:200]


def _with_class_names(value: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a WildReceipt document with the names of its classes, if the folder has a list of them."""
    try:
        rows = read_bytes(folder / "class_list.txt", _MAX_CLASSES_BYTES).decode().split("\n")
    except (AdapterError, UnicodeDecodeError):
        return value
    classes: dict[str, str] = dict(row.split() for row in rows if len(row.split()) == 2)
    named = [{**part, "label": classes.get(str(part["label"]), part["label"])} for part in value["annotations"]]
    return {**value, "annotations": named}


def _ocr(truth: GroundTruth, pages: Sequence[Path]) -> Any:
    """Return the text in the annotation itself; None for several pages."""
    return truth.ocr if len(pages) == 1 else None


def _sroie_ocr(path: Path, page: Path) -> Any:
    """Return the texts of SROIE, which are in files of another folder: eight numbers and a text on each line."""
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
