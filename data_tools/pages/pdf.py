"""Read pages of a PDF: words of the text layer with their boxes, and images; in a process with limits.

Coordinates are those of the page as a reader sees it, cropped and turned, with the origin at the top left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from data_tools.pages.pdf_process import read_apart

MAX_PDF_BYTES = 64 * 1024 * 1024


def text_layer(raw: bytes) -> list[dict[str, Any]] | None:
    """Read the text layer of a PDF in the format of the service's OCR.

    Adjacent words form one token; columns of a table form several. Rows are ordered from top to bottom, and each row
    from left to right. Text outside the page, form fields and annotations are left out.

    Returns:
        `{"tokens": [text, …], "bboxes": [[x0, y0, x1, y1], …]}` for each page, boxes as whole numbers from 0 to 1000;
            None if no page has text, as in a scan.

    Raises:
        ValueError: the PDF cannot be read within the limits of pdf_process, or has more than 50 pages, 100,000
            characters on a page or 500,000 in all.
        AdapterError: no process can be started to read it.
    """
    pages: list[dict[str, Any]] | None = orjson.loads(b"".join(read_apart("text_layer", raw)))
    return pages


def render_pages(raw: bytes, dpi: int = 150) -> Iterator[bytes]:
    """Render each page in turn as a grey PNG.

    A page above the limit is rejected, not scaled, before any page is rendered.

    Raises:
        ValueError: the PDF cannot be read within the limits of pdf_process, or has more than 50 pages, or a page of
            more than 50 million pixels at this resolution.
        AdapterError: no process can be started to render it.
    """
    yield from read_apart("render_pages", raw, dpi=dpi)
