"""Read the content of a PDF with PDFium: words with their boxes, page images, attached files.

PDFium has no limits of time and memory, so only pdf_server calls these functions, in a process with limits. All other
modules use pages.pdf and sources.einvoices.pdf_attachments. PDFium is not thread-safe.

Coordinates are those of the page as a reader sees it, cropped and turned, with the origin at the top left.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

MAX_PAGES = 50
MAX_PAGE_PIXELS = 50_000_000
MAX_PAGE_CHARACTERS = 100_000
MAX_CHARACTERS = 500_000
MAX_ATTACHMENTS = 100
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
# Boxes use this scale in both directions, for every page size.
BOX_SCALE = 1000
_POINTS_PER_INCH = 72
# In multiples of the text height: larger gaps between glyphs separate words, larger gaps between words separate
# columns, and larger distances between the middles of words separate rows.
_WORD_GAP = 0.5
_COLUMN_GAP = 1.0
_ROW_OFFSET = 0.5
# The minimum difference of shades, 0 to 255, in the box of a printed word at 72 dpi, or in a page of `_INK_PIXELS`.
_INK = 12
_INK_PIXELS = 4_000_000


class _Box(NamedTuple):
    """A rectangle in points: x0 ≤ x1 from left to right, y0 ≤ y1 from top to bottom."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2

    def gap_to(self, other: _Box) -> float:
        """Return the distance in the direction in which it is larger; 0 if the boxes touch."""
        return max(other.x0 - self.x1, self.x0 - other.x1, other.y0 - self.y1, self.y0 - other.y1, 0)


class _Text(NamedTuple):
    """A glyph, a word, or the words of a line, with its box and letter height."""

    text: str
    box: _Box
    size: float


@contextmanager
def _open_pdf(raw: bytes) -> Iterator[Any]:
    """Open a PDF and yield pypdfium2's document, which is closed when the block ends.

    Raises:
        ValueError: not a PDF, a broken one, or one that needs a password; or PDFium fails inside the block.
    """
    from pypdfium2 import PdfDocument, PdfiumError
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    try:
        document = PdfDocument(raw)
    except PdfiumError as error:
        locked = error.err_code == FPDF_ERR_PASSWORD
        reason = "a PDF that needs a password" if locked else f"not a readable PDF: {error}"
        raise ValueError(reason) from error
    try:
        yield document
    except PdfiumError as error:
        raise ValueError(f"a broken PDF: {error}") from error
    finally:
        document.close()


def read_text(raw: bytes) -> list[dict[str, Any]] | None:
    """Read the text of each page; see `pdf.text_layer`."""
    pages: list[dict[str, Any]] = []
    characters = 0
    with _open_pdf(raw) as document:
        for number, page in _pages(document):
            pages.append(_page_text(page, number))
            characters += sum(map(len, pages[-1]["tokens"]))
            if characters > MAX_CHARACTERS:
                raise ValueError(f"a PDF with more than {MAX_CHARACTERS:,} characters")
    return pages if any(page["tokens"] for page in pages) else None


def draw_pages(raw: bytes, dpi: int) -> Iterator[bytes]:
    """Render the pages in turn; see `pdf.render_pages`."""
    with _open_pdf(raw) as document:
        _refuse_huge_pages(document, dpi)
        for _, page in _pages(document):
            yield _png(page, dpi)


def unpack_attachments(raw: bytes, limit_bytes: int) -> Iterator[tuple[str, bytes | None]]:
    """Unpack the attachments in turn; see `pdf_attachments.read_attachments`.

    PDFium unpacks an attachment before it returns its length: this takes up to 2.5 times the length in memory, and
    stops at 1 GiB. The first attachment that exceeds MAX_UNPACKED_BYTES in total is the last that is unpacked.
    """
    with _open_pdf(raw) as document:
        count = document.count_attachments()
        if count > MAX_ATTACHMENTS:
            raise ValueError(f"a PDF with {count:,} attachments, more than the limit of {MAX_ATTACHMENTS}")
        unpacked_bytes = 0
        for place in range(count):
            attachment = document.get_attachment(place)
            length_bytes = _unpacked_bytes(attachment)
            unpacked_bytes += length_bytes
            if unpacked_bytes > MAX_UNPACKED_BYTES:
                raise ValueError(f"a PDF with attachments of more than {MAX_UNPACKED_BYTES:,} bytes")
            yield attachment.get_name(), _content(attachment) if 0 < length_bytes <= limit_bytes else None


def _unpacked_bytes(attachment: Any) -> int:
    """Return the length of an attachment without copying it; 0 if it is broken."""
    from pypdfium2 import raw as pdfium

    length = ctypes.c_ulong()
    # Without a buffer PDFium returns the length; with a buffer that is too small it ends the process.
    found = pdfium.FPDFAttachment_GetFile(attachment, None, 0, length)
    return length.value if found else 0


def _content(attachment: Any) -> bytes | None:
    from pypdfium2 import PdfiumError

    try:
        return bytes(attachment.get_data())
    except PdfiumError:
        return None


def _refuse_huge_pages(document: Any, dpi: int) -> None:
    for number in range(1, _page_count(document) + 1):
        width, height = (side / _POINTS_PER_INCH for side in document.get_page_size(number - 1))
        if not width * dpi * height * dpi <= MAX_PAGE_PIXELS:
            size = f"{width:,.1f} × {height:,.1f} inches"
            raise ValueError(f"page {number} has {size}: more than {MAX_PAGE_PIXELS:,} pixels at {dpi} dpi")


def _page_count(document: Any) -> int:
    count = len(document)
    if not 1 <= count <= MAX_PAGES:
        raise ValueError(f"a PDF with {count:,} pages, expected 1 to {MAX_PAGES}")
    return count


def _pages(document: Any) -> Iterator[tuple[int, Any]]:
    """Yield each page with its number from 1; only one is open at a time."""
    from pypdfium2 import PdfiumError

    count = _page_count(document)
    for number in range(1, count + 1):
        try:
            page = document[number - 1]
        except PdfiumError as error:
            raise ValueError(f"page {number} of {count} is broken: {error}") from error
        try:
            yield number, page
        finally:
            page.close()


def _png(page: Any, dpi: int) -> bytes:
    # In colour a page of text takes more than twice the time and ten times the bytes.
    bitmap = page.render(scale=dpi / _POINTS_PER_INCH, grayscale=True)
    try:
        written = io.BytesIO()
        bitmap.to_pil().save(written, "PNG")
        return written.getvalue()
    finally:
        bitmap.close()


def _page_text(page: Any, number: int) -> dict[str, Any]:
    width, height = page.get_size()
    rows = _rows(_with_ink(_words(_glyphs(page, number)), page))
    segments = [segment for row in rows for segment in _segments(row)]
    return {
        "tokens": [segment.text for segment in segments],
        "bboxes": [_scaled(segment.box, width, height) for segment in segments],
    }


def _scaled(box: _Box, width: float, height: float) -> list[int]:
    sides = ((box.x0, width), (box.y0, height), (box.x1, width), (box.y1, height))
    return [min(max(round(BOX_SCALE * place / side), 0), BOX_SCALE) for place, side in sides]


def _glyphs(page: Any, number: int) -> Iterator[_Text]:
    """Yield each glyph of the page in the order of the text; separators become blanks."""
    from pypdfium2 import raw as pdfium

    width, height = page.get_size()
    turned = _turned(page)
    text_page = page.get_textpage()
    try:
        count = text_page.count_chars()
        if count > MAX_PAGE_CHARACTERS:
            raise ValueError(f"page {number} has {count:,} characters, more than the limit of {MAX_PAGE_CHARACTERS:,}")
        bounds = pdfium.FS_RECTF()
        place = ctypes.byref(bounds)
        for index in range(count):
            text = _character(pdfium.FPDFText_GetUnicode(text_page, index))
            pdfium.FPDFText_GetLooseCharBox(text_page, index, place)
            box = turned(bounds.left, bounds.bottom, bounds.right, bounds.top)
            on_page = 0 <= (box.x0 + box.x1) / 2 <= width and 0 <= box.middle <= height
            yield _Text(text if on_page else " ", box, box.y1 - box.y0)
    finally:
        text_page.close()


def _character(code: int) -> str:
    # PDFium returns 2 for a hyphen at the end of a line.
    if code == 2:
        return "-"
    # Half of a UTF-16 surrogate pair: UTF-8 cannot represent it.
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return "\N{REPLACEMENT CHARACTER}"
    text = chr(code)
    return text if text.isprintable() else " "


def _turned(page: Any) -> Callable[[float, float, float, float], _Box]:
    """Return a function that converts (left, bottom, right, top) in page coordinates to a box on the page as seen."""
    left, bottom, right, top = page.get_bbox()
    return {
        0: lambda x0, y0, x1, y1: _Box(x0 - left, top - y1, x1 - left, top - y0),
        90: lambda x0, y0, x1, y1: _Box(y0 - bottom, x0 - left, y1 - bottom, x1 - left),
        180: lambda x0, y0, x1, y1: _Box(right - x1, y0 - bottom, right - x0, y1 - bottom),
        270: lambda x0, y0, x1, y1: _Box(top - y1, right - x1, top - y0, right - x0),
    }[page.get_rotation()]


def _words(glyphs: Iterable[_Text]) -> list[_Text]:
    """Join glyphs into words; a blank or a gap separates words."""
    words: list[list[_Text]] = [[]]
    for glyph in glyphs:
        if glyph.text == " ":
            words.append([])
        elif words[-1] and words[-1][-1].box.gap_to(glyph.box) > _WORD_GAP * glyph.size:
            words.append([glyph])
        else:
            words[-1].append(glyph)
    return [_together(word, "") for word in words if word]


def _with_ink(words: list[_Text], page: Any) -> list[_Text]:
    """Return the words with ink in the rendered page: white, transparent and covered text is not printed.

    The invisible text of a scanned page has the scan's ink behind it.
    """
    if not words:
        return words
    width, height = page.get_size()
    scale = min(1.0, (_INK_PIXELS / max(width * height, 1)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        drawn = bitmap.to_pil().convert("L")
        return [word for word in words if _is_drawn(word.box, drawn, scale)]
    finally:
        bitmap.close()


def _is_drawn(box: _Box, drawn: Any, scale: float) -> bool:
    x0, y0 = max(int(box.x0 * scale), 0), max(int(box.y0 * scale), 0)
    x1, y1 = min(int(box.x1 * scale) + 1, drawn.width), min(int(box.y1 * scale) + 1, drawn.height)
    if x1 <= x0 or y1 <= y0:
        return False
    darkest, lightest = drawn.crop((x0, y0, x1, y1)).getextrema()
    return bool(lightest - darkest >= _INK)


def _rows(words: Iterable[_Text]) -> list[list[_Text]]:
    """Group words at the same height into rows, from top to bottom."""
    rows: list[list[_Text]] = []
    for word in sorted(words, key=lambda word: word.box.middle):
        first = rows[-1][0] if rows else None
        if first and word.box.middle - first.box.middle <= _ROW_OFFSET * min(first.size, word.size):
            rows[-1].append(word)
        else:
            rows.append([word])
    return rows


def _segments(row: Iterable[_Text]) -> list[_Text]:
    """Join the adjacent words of a row into segments, from left to right."""
    segments: list[list[_Text]] = []
    for word in sorted(row, key=lambda word: word.box.x0):
        last = segments[-1][-1] if segments else None
        if last and word.box.x0 - last.box.x1 <= _COLUMN_GAP * min(last.size, word.size):
            segments[-1].append(word)
        else:
            segments.append([word])
    return [_together(segment, " ") for segment in segments]


def _together(parts: list[_Text], joint: str) -> _Text:
    x0s, y0s, x1s, y1s = zip(*(part.box for part in parts), strict=True)
    return _Text(joint.join(part.text for part in parts), _Box(min(x0s), min(y0s), max(x1s), max(y1s)), parts[0].size)
