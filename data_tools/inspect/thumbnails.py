"""Make small pictures of pages for an HTML file."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from data_tools.pages.images import MAX_IMAGE_BYTES, decode
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_bytes

_MAX_SIDE_PX = 640
_QUALITY = 60


@dataclass(frozen=True)
class Thumbnail:
    """A page as a picture.

    Attributes:
        data_uri: the picture as JPEG; empty if the page cannot be shown.
        width_px, height_px: size of the picture.
        problem: why the page cannot be shown; empty otherwise.
    """

    data_uri: str
    width_px: int
    height_px: int
    problem: str


def thumbnail(image: Path) -> Thumbnail:
    """Make a small picture of a page; equal files give equal bytes."""
    try:
        page = decode(read_bytes(image, MAX_IMAGE_BYTES), _MAX_SIDE_PX)
    except AdapterError as error:
        return Thumbnail("", 0, 0, error.problems[0].finding)
    except ValueError as error:
        return Thumbnail("", 0, 0, str(error))
    content = BytesIO()
    page.save(content, "JPEG", quality=_QUALITY, optimize=True)
    uri = f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}"
    return Thumbnail(uri, page.width, page.height, "")
