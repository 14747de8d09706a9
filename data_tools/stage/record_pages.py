"""The pages of a record: whether they can be used, what they look like, and what stands on those without OCR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from data_tools.build_settings import BuildSettings
from data_tools.pages.images import MAX_IMAGE_BYTES, PageImage, look_at
from data_tools.pages.pdf import MAX_PDF_BYTES, render_pages, text_layer
from data_tools.pairs.visible import nothing_to_read
from data_tools.records import DocumentRecord
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_bytes, write_bytes

Found = TypeVar("Found")


@dataclass(frozen=True)
class PageFolders:
    """Where pages are written.

    Attributes:
        rendered: images of PDF pages, named by what they show; they belong to the lines.
        ocr_cache: what an engine has read, by image; it outlives the stage.
    """

    rendered: Path
    ocr_cache: Path


def look_at_pages(record: DocumentRecord) -> tuple[PageImage, ...]:
    """Open every page image of a record.

    Raises:
        ValueError: one cannot be used; the message names it.
    """
    found = []
    for image in record.images:
        try:
            found.append(look_at(image))
        except (ValueError, AdapterError) as error:
            raise ValueError(f"{image.name}: {error}") from error
    return tuple(found)


def with_ocr(record: DocumentRecord, settings: BuildSettings, folders: PageFolders) -> DocumentRecord:
    """The record with its PDF's text layer, or what an engine reads on its pages, where it came without OCR.

    Raises:
        ValueError: a page cannot be read.
        UsageError: the engine is not installed.
    """
    if record.request is not None or not nothing_to_read(record.ocr):
        return record
    raw = _content(record.pdf, MAX_PDF_BYTES) if record.pdf else None
    pages: Sequence[Any] = _of_all_pages(record, text_layer(raw) or ()) if raw else ()
    if not pages and settings.ocr == "rapidocr":
        from data_tools.pages.ocr import read_page

        images = render_pages(raw) if raw else (_content(image, MAX_IMAGE_BYTES) for image in record.images)
        pages = _of_all_pages(record, [read_page(image, folders.ocr_cache) for image in images])
    if not pages:
        return record
    return replace(record, ocr=pages[0] if len(pages) == 1 else list(pages))


def page_files(record: DocumentRecord, settings: BuildSettings, folders: PageFolders) -> tuple[Path, ...]:
    """The images that go with the request: none for a text model; a PDF's pages are drawn.

    Raises:
        ValueError: the PDF cannot be drawn.
    """
    if not settings.sees_pages:
        return ()
    if record.images or not record.pdf:
        return record.images
    pages = render_pages(_content(record.pdf, MAX_PDF_BYTES))
    drawn = [_written(page, folders.rendered) for page in pages]
    return tuple(_of_all_pages(record, drawn))


def _of_all_pages(record: DocumentRecord, found: Sequence[Found]) -> Sequence[Found]:
    """What was found on each page of a PDF, where these are as many as the source says."""
    if found and record.page_count not in (None, len(found)):
        name = record.pdf.name if record.pdf else record.document_id
        raise ValueError(f"{name} has {len(found)} pages, and the source lists {record.page_count}")
    return found


def _content(path: Path, limit_bytes: int) -> bytes:
    try:
        return read_bytes(path, limit_bytes)
    except AdapterError as error:
        raise ValueError(str(error)) from error


def _written(page: bytes, folder: Path) -> Path:
    """The file of a page, named by its content: written by whoever comes first, and the same for all."""
    path = folder / f"{sha256(page).hexdigest()[:32]}.png"
    if not path.is_file():
        write_bytes(path, page)
    return path
