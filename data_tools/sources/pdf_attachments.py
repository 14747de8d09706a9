"""Files that are attached to a PDF; unpacked in a process that has limits."""

from __future__ import annotations

from data_tools.pages.pdf_process import read_apart


def read_attachments(raw: bytes, limit_bytes: int) -> list[tuple[str, bytes | None]]:
    """Give each attachment with its name; None is the content of one that is empty, broken or beyond the limit.

    Raises:
        ValueError: no PDF that can be read within the limits of pdf_process, more than 100 attachments, or more than
            256 MiB in all of them.
        AdapterError: there is no process to unpack them in.
    """
    parts = read_apart("read_attachments", raw, limit_bytes=limit_bytes)
    # A name and its content in turn; the content is never empty where there is one.
    return [(name.decode(), content or None) for name, content in zip(parts, parts, strict=True)]
