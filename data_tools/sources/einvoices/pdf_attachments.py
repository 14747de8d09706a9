"""Attachments of a PDF, unpacked in a process with limits."""

from __future__ import annotations

from data_tools.pages.pdf_process import read_apart


def read_attachments(raw: bytes, limit_bytes: int) -> list[tuple[str, bytes | None]]:
    """Return each attachment with its name; None as content of one that is empty, broken or too large.

    Raises:
        ValueError: the PDF cannot be read within the limits of pdf_process, has more than 100 attachments, or more than
            256 MiB of them.
        AdapterError: the process that reads PDF does not start.
    """
    parts = read_apart("read_attachments", raw, limit_bytes=limit_bytes)
    # Names and contents alternate; a content is never empty unless it is missing.
    return [(name.decode(), content or None) for name, content in zip(parts, parts, strict=True)]
