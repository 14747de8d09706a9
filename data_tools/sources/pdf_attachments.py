"""Files that are attached to a PDF."""

from __future__ import annotations

from typing import Any

MAX_ATTACHMENTS = 100


def read_attachments(raw: bytes, limit_bytes: int) -> list[tuple[str, bytes | None]]:
    """Give each attachment with its name; None is the content of one that is empty, broken or beyond the limit.

    Raises:
        ValueError: no PDF that can be read, or more than 100 attachments.
    """
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        document = PdfDocument(raw)
    except PdfiumError as error:
        raise ValueError(f"no PDF that can be read: {error}") from error
    try:
        count = document.count_attachments()
        if count > MAX_ATTACHMENTS:
            raise ValueError(f"a PDF with {count:,} attachments, more than the limit of {MAX_ATTACHMENTS}")
        attachments = [document.get_attachment(place) for place in range(count)]
        return [(attachment.get_name(), _content(attachment, limit_bytes)) for attachment in attachments]
    except PdfiumError as error:
        raise ValueError(f"a PDF whose attachments cannot be read: {error}") from error
    finally:
        document.close()


def _content(attachment: Any, limit_bytes: int) -> bytes | None:
    from pypdfium2 import PdfiumError

    try:
        content = attachment.get_data()
    except PdfiumError:
        return None
    return bytes(content) if len(content) <= limit_bytes else None
