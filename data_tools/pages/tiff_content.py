"""Convert TIFF pages to PNG. Only pdf_server uses this module; other modules use `tiff.tiff_pages`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

from data_tools.pages.images import MAX_PIXELS, check_header
from data_tools.pages.tiff import MAX_FRAMES

_ORIENTATION = 0x0112
# Output mode for each mode of pixels; `check_header` rejects 16-bit grey.
_WRITTEN_AS = {"1": "1", "L": "L", "LA": "LA", "RGBA": "RGBA", "P": "RGB", "PA": "RGBA"}


def split_tiff(raw: bytes) -> Iterator[bytes]:
    """Yield each page as a PNG; see `tiff.tiff_pages`."""
    from PIL import Image, ImageOps, ImageSequence

    warnings.simplefilter("ignore")
    try:
        with Image.open(io.BytesIO(raw), formats=["TIFF"]) as image:
            frames = int(getattr(image, "n_frames", 1))
            if frames > MAX_FRAMES:
                raise ValueError(f"a TIFF with {frames:,} pages, more than the limit of {MAX_FRAMES}")
            for number, frame in enumerate(ImageSequence.Iterator(image), start=1):
                try:
                    check_header(frame, raw, with_frames=True)
                except ValueError as error:
                    raise ValueError(f"page {number} of {frames}: {error}") from error
                # Each copy of a large page takes hundreds of megabytes, so no unnecessary copy is made.
                mode = _WRITTEN_AS.get(frame.mode, "RGB")
                page = frame if frame.mode == mode else frame.convert(mode)
                if frame.getexif().get(_ORIENTATION, 1) != 1:
                    page = ImageOps.exif_transpose(page)
                written = io.BytesIO()
                page.save(written, "PNG")
                yield written.getvalue()
    except (ValueError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(f"more than {MAX_PIXELS:,} pixels: {error}"[:300]) from error
    except Exception as error:  # decoders can fail in any way on hostile bytes
        raise ValueError(f"a broken or truncated TIFF: {error or type(error).__name__}"[:300]) from error
