"""Pages of a TIFF as PNG: toolkits, services and chat endpoints read no TIFF. Read in a process that has limits."""

from __future__ import annotations

from collections.abc import Iterator

from data_tools.pages.pdf_process import read_apart

MAX_FRAMES = 50
_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(start: bytes) -> bool:
    """Whether a file is a TIFF by its first four bytes."""
    return start[:4] in _STARTS


def tiff_pages(raw: bytes) -> Iterator[bytes]:
    """Give each page of a TIFF, upright as its header says, as a PNG: 1-bit, grey or in colour.

    Raises:
        ValueError: no TIFF that can be read within the limits of pdf_process, more than MAX_FRAMES pages, or a page
            that is no page image by the limits of images.
        AdapterError: there is no process to read it in.
    """
    yield from read_apart("tiff_pages", raw)
