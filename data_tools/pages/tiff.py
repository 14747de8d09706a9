"""Convert TIFF pages to PNG, because toolkits, services and chat endpoints read no TIFF; in a process with limits."""

from __future__ import annotations

from collections.abc import Iterator

from data_tools.pages.pdf_process import read_apart

MAX_FRAMES = 50
_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(start: bytes) -> bool:
    """Return whether a file is a TIFF, by its first four bytes."""
    return start[:4] in _STARTS


def tiff_pages(raw: bytes) -> Iterator[bytes]:
    """Yield each page of a TIFF as a PNG, upright according to its header: 1-bit, grey or in colour.

    Raises:
        ValueError: the TIFF cannot be read within the limits of pdf_process, has more than MAX_FRAMES pages, or a page
            outside the limits of `images`.
        AdapterError: no process can be started to read it.
    """
    yield from read_apart("tiff_pages", raw)
