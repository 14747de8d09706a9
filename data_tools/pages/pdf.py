"""Pages of a PDF: the words of its text layer with their boxes, and images; read in a process that has limits.

Coordinates are those of the page as a reader sees it, cropped and turned, with the origin top-left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from data_tools.pages.pdf_process import read_apart

MAX_PDF_BYTES = 64 * 1024 * 1024


def text_layer(raw: bytes) -> list[dict[str, Any]] | None:
    """Read what a PDF says of its own text, in the shape of the service's OCR.

    Words that stand next to each other make one token, and the columns of a table make several: rows from top to
    bottom, in each row from left to right. What lies off the page is left out; so are form fields and annotations.

    Returns:
        One `{"tokens": [text, …], "bboxes": [[x0, y0, x1, y1], …]}` for each page, boxes as whole numbers from 0 to
        1000; None where no page has any text, as in a scan.

    Raises:
        ValueError: no PDF that can be read within the limits of pdf_process, or more than 50 pages, 100,000 characters
            on one of them or 500,000 in all.
        AdapterError: there is no process to read it in.
    """
    pages: list[dict[str, Any]] | None = orjson.loads(b"".join(read_apart("text_layer", raw)))
    return pages


def render_pages(raw: bytes, dpi: int = 150) -> Iterator[bytes]:
    """Draw each page, one after the other, as a grey PNG.

    A page that would be too large is refused, not scaled, and before any page is drawn.

    Raises:
        ValueError: no PDF that can be read within the limits of pdf_process, more than 50 pages, or a page of more than
            50 million pixels at this resolution.
        AdapterError: there is no process to draw it in.
    """
    yield from read_apart("render_pages", raw, dpi=dpi)
