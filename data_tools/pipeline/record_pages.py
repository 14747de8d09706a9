"""Prepare the pages of a record: check them, turn them upright, and read those without OCR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from data_tools.build_settings import BuildSettings
from data_tools.optional_packages import OCR_ENGINE
from data_tools.pages.images import MAX_IMAGE_BYTES, PageImage, inspect_page, is_turned, upright_png
from data_tools.pages.pdf import MAX_PDF_BYTES, render_pages, text_layer
from data_tools.pages.tiff import is_tiff, tiff_pages
from data_tools.records import DocumentRecord
from data_tools.visibility import nothing_to_read
from data_tools.visibility.boxes import lies_on_its_side
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_bytes, write_bytes


@dataclass(frozen=True)
class PageFolders:
    """Folders for pages.

    Attributes:
        rendered: images of PDF and TIFF pages and upright copies, named by content; they belong to the examples.
        ocr_cache: results of the OCR engine, by image; the cache outlives the build.
    """

    rendered: Path
    ocr_cache: Path


def with_single_pages(record: DocumentRecord, folders: PageFolders) -> DocumentRecord:
    """Replace a record's TIFFs by one PNG per page, which every toolkit reads; other images do not change.

    Raises:
        ValueError: a TIFF cannot be used; the message names it.
    """
    if not any(_is_tiff(image) for image in record.images):
        return record
    pages: list[Path] = []
    for image in record.images:
        try:
            found = tiff_pages(_content(image, MAX_IMAGE_BYTES)) if _is_tiff(image) else None
            pages += [image] if found is None else [_written(page, folders.rendered) for page in found]
        except ValueError as error:
            raise ValueError(f"{image.name}: {error}") from error
    return replace(record, images=tuple(pages))


def inspect_pages(record: DocumentRecord) -> tuple[PageImage, ...]:
    """Inspect every page image of a record.

    Raises:
        ValueError: an image cannot be used; the message names it.
    """
    found = []
    for image in record.images:
        try:
            found.append(inspect_page(image))
        except (ValueError, AdapterError) as error:
            raise ValueError(f"{image.name}: {error}") from error
    return tuple(found)


def with_ocr(record: DocumentRecord, settings: BuildSettings, folders: PageFolders) -> DocumentRecord:
    """Add the text layer of a record's PDF, or the OCR of its pages, if the record has no OCR.

    Degrees by which pages had to be turned for reading are stored in `turns`. A ready-made example keeps its request;
    the text of its pages is read only to check its answer.

    Raises:
        ValueError: a page is missing or cannot be read.
        UsageError: the OCR engine is not installed.
    """
    has_text_request = record.request is not None and not (settings.is_multimodal and record.images)
    if has_text_request or not nothing_to_read(record.ocr):
        return record
    raw = _content(record.pdf, MAX_PDF_BYTES) if record.pdf else None
    pages = _text_of_pdf(record, raw) if raw else ()
    turns: tuple[int, ...] = ()
    if pages:
        turns = _turns_by_text(record, pages) if settings.is_multimodal and record.images else ()
    elif settings.ocr == "rapidocr":
        from data_tools.pages.ocr import read_upright

        read = [read_upright(image, folders.ocr_cache) for image in _page_contents(record, raw)]
        pages, turns = _of_all_pages(record, [ocr for ocr, _ in read]), tuple(turn for _, turn in read)
    if not pages:
        return record
    return replace(record, ocr=pages[0] if len(pages) == 1 else list(pages), turns=turns if any(turns) else ())


def page_files(record: DocumentRecord, settings: BuildSettings, folders: PageFolders) -> tuple[Path, ...]:
    """Return the upright page images of the request, rendering a PDF's pages; none for a text model.

    Raises:
        ValueError: the PDF cannot be rendered, or a page lies on its side and the direction to turn it is not known.
    """
    if not settings.is_multimodal:
        return ()
    if record.images or not record.pdf:
        turns = _turns(record, settings, folders)
        return tuple(_upright(image, turn, folders) for image, turn in zip(record.images, turns, strict=True))
    pages = _of_all_pages(record, list(render_pages(_content(record.pdf, MAX_PDF_BYTES))))
    turns = record.turns or (0,) * len(pages)
    drawn = [upright_png(page, turn) if turn else page for page, turn in zip(pages, turns, strict=True)]
    return tuple(_written(page, folders.rendered) for page in drawn)


def _text_of_pdf(record: DocumentRecord, raw: bytes) -> Sequence[Any]:
    """Return the text of each page; empty without text, or if it is unclear which pages the images show."""
    try:
        pages = text_layer(raw) or ()
    except ValueError:
        if not record.images:
            raise
        return ()
    is_unclear = record.page_count is None and len(pages) != len(record.images)
    return () if record.images and is_unclear else _of_all_pages(record, pages)


def _turns_by_text(record: DocumentRecord, pages: Sequence[Any]) -> tuple[int, ...]:
    """Return the degrees by which each image must be turned to match the text of its page."""
    from data_tools.pages.orientation import turn_by_text

    if len(pages) != len(record.images):
        return ()
    contents = (_content(image, MAX_IMAGE_BYTES) for image in record.images)
    return tuple(turn_by_text(content, page["bboxes"]) for content, page in zip(contents, pages, strict=True))


def _turns(record: DocumentRecord, settings: BuildSettings, folders: PageFolders) -> Sequence[int]:
    """Return the degrees by which each image must be turned; existing OCR shows only that a page lies on its side."""
    if record.turns or not lies_on_its_side(record.ocr):
        return record.turns or (0,) * len(record.images)
    if settings.ocr != "rapidocr":
        name = record.images[0].name if record.images else record.document_id
        raise ValueError(
            f"{name}: the page lies on its side, according to its OCR: turn it upright and read it again, or "
            f"run {OCR_ENGINE} and set data.ocr: rapidocr"
        )
    from data_tools.pages.ocr import read_upright

    return [read_upright(_content(image, MAX_IMAGE_BYTES), folders.ocr_cache)[1] for image in record.images]


def _upright(image: Path, turn: int, folders: PageFolders) -> Path:
    """Return the image, or an upright copy for readers that ignore EXIF."""
    try:
        content = _content(image, MAX_IMAGE_BYTES)
        return _written(upright_png(content, turn), folders.rendered) if turn or is_turned(content) else image
    except ValueError:
        # The filter `image` has already reported it, or is off.
        return image


def _page_contents(record: DocumentRecord, raw_pdf: bytes | None) -> Iterator[bytes]:
    """Yield each page as an image file."""
    if raw_pdf and not record.images:
        yield from render_pages(raw_pdf)
    else:
        yield from (_content(image, MAX_IMAGE_BYTES) for image in record.images)


def _of_all_pages(record: DocumentRecord, found: Sequence[Any]) -> Sequence[Any]:
    """Return the results of all pages of a PDF if the source lists the same number of pages."""
    if found and record.page_count not in (None, len(found)):
        name = record.pdf.name if record.pdf else record.document_id
        listed = record.page_count or 0
        absent = [str(number) for number in range(listed + 1, len(found) + 1)]
        missing = f": page {', '.join(absent)} is missing from the source" if absent else ""
        raise ValueError(f"{name} has {len(found)} pages, and the source lists {listed}{missing}")
    return found


def _is_tiff(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return is_tiff(stream.read(4))
    except OSError:
        return False


def _content(path: Path, limit_bytes: int) -> bytes:
    try:
        return read_bytes(path, limit_bytes)
    except AdapterError as error:
        raise ValueError(str(error)) from error


def _written(page: bytes, folder: Path) -> Path:
    """Write a page to a file named by its content, unless the file exists."""
    path = folder / f"{sha256(page).hexdigest()[:32]}.png"
    if not path.is_file():
        write_bytes(path, page)
    return path
