"""Check that an image file is a page that a model can be shown, and compare pages.

Files are untrusted: size, format, number of frames and pixels are checked before any pixel is decoded. Only the
decoders of the three formats that all toolkits, services and chat endpoints accept are used. A TIFF is converted to PNG
pages first, in a separate process (tiff.py).
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import is_inside, read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

MAX_IMAGE_BYTES = 32 * 1024 * 1024
# An A3 page at 600 dpi has 70 million.
MAX_PIXELS = 80_000_000
# Side of a patch of ERNIE-VL.
MIN_SIDE_PX = 28
# Ratio of long to short side; the image processors of ERNIE-VL and PaddleOCR-VL fail above it.
MAX_ASPECT = 200
# Share of the inked cells that may differ between two files of one page; see `near`. Measured on 300 synthetic pages:
# it finds every copy that was saved as JPEG of quality 30, scaled by 15 %, blurred, shifted by 12 px or darkened by a
# fifth. It takes 3 in 100 invoices with the same vendor, labels and page layout for copies, and no unrelated ones.
NEAR_DISTANCE = 0.16

_FORMATS = ("PNG", "JPEG", "WEBP")
_ACCEPTED = "PNG, JPEG, WebP and TIFF are accepted"
_OTHER_FORMATS = {b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"GIF8": "a GIF", b"%PDF": "a PDF", b"BM": "a BMP"}
# Modes that convert to 8-bit colour without a visible change; 16-bit grey would become white.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
# A progressive JPEG has about ten scans; each costs a pass over all pixels.
_MAX_JPEG_SCANS = 64
_EXIF_ORIENTATION = 0x0112
_LYING_ON_ITS_SIDE = range(5, 9)
_TURNED = range(2, 9)

_COLUMNS, _ROWS = 48, 64
_SMALL_PX = (256, 352)
# Pages with less contrast than this, in grey levels of 256, are blank.
_BLANK_LEVELS = 16
# Pixels and cells at least this dark count as ink: shares of the darkness of the darkest ones.
_INKED_PIXEL, _INKED_CELL = 0.1, 0.3


@dataclass(frozen=True)
class PageImage:
    """A page that can be shown to a model.

    Attributes:
        path: the file.
        width_px: width of the upright page.
        height_px: height of the upright page.
        perceptual_hash: 384 bytes that describe the appearance; compare them with `near`.
        sha256: the first 16 bytes of the file's SHA-256.
    """

    path: Path
    width_px: int
    height_px: int
    perceptual_hash: bytes
    sha256: bytes


class _UnusableImageError(ValueError):
    """The reason why a page image cannot be used, for the user."""


def inspect_page(path: Path, folder: Path | None = None) -> PageImage:
    """Decode a page and compute its size and perceptual hash.

    Args:
        path: image of one page.
        folder: folder that must contain the file after links are resolved; None for any folder.

    Raises:
        ValueError: the image cannot be shown to a model; the message has the reason and the accepted formats.
    """
    if folder is not None and not is_inside(folder, path):
        raise ValueError(f"is outside {folder}")
    try:
        content = read_bytes(path, MAX_IMAGE_BYTES)
    except AdapterError as error:
        raise ValueError("; ".join(problem.finding for problem in error.problems)) from error
    with _opened(content) as image:
        width_px, height_px = image.size
        # JPEG decodes faster at a half, a quarter or an eighth of its size.
        image.draft("L", _SMALL_PX)
        image.load()
        _check_opaque(image)
        if _orientation(image) in _LYING_ON_ITS_SIDE:
            width_px, height_px = height_px, width_px
        page = _upright(image, "L")
    return PageImage(path, width_px, height_px, _perceptual_hash(page), hashlib.sha256(content).digest()[:16])


def decode(content: bytes, max_side_px: int) -> Image:
    """Decode a page in colour and upright, reduced so that no side is longer than `max_side_px`.

    Raises:
        ValueError: the image cannot be shown to a model; the message has the reason and the accepted formats.
    """
    if len(content) > MAX_IMAGE_BYTES:
        raise ValueError(f"{len(content):,} bytes, more than the limit of {MAX_IMAGE_BYTES:,}")
    with _opened(content) as image:
        image.draft("RGB", (max_side_px, max_side_px))
        image.load()
        _check_opaque(image)
        page = _upright(image, "RGB")
        page.thumbnail((max_side_px, max_side_px))
        return page


def is_turned(content: bytes) -> bool:
    """Return whether an image is upright only with its EXIF orientation, which toolkits may ignore.

    Raises:
        ValueError: the image cannot be shown to a model.
    """
    with _opened(content) as image:
        return _orientation(image) in _TURNED


def upright_png(content: bytes, turn: int = 0) -> bytes:
    """Return the page as a PNG that is upright without EXIF; grey if it has no colour.

    Args:
        content: a PNG, JPEG or WebP.
        turn: degrees, counter-clockwise, by which the page is turned after its EXIF orientation: 0, 90, 180 or 270.

    Raises:
        ValueError: the image cannot be shown to a model.
    """
    with _opened(content) as image:
        image.load()
        _check_opaque(image)
        page = _upright(image, "L" if image.mode in ("1", "L", "LA") else "RGB")
    written = io.BytesIO()
    turned(page, turn).save(written, "PNG")
    return written.getvalue()


def turned(page: Image, turn: int) -> Image:
    """Turn a page counter-clockwise by 0, 90, 180 or 270 degrees."""
    from PIL.Image import Transpose

    ways = {90: Transpose.ROTATE_90, 180: Transpose.ROTATE_180, 270: Transpose.ROTATE_270}
    return page.transpose(ways[turn]) if turn else page


def near(a: bytes, b: bytes) -> bool:
    """Return whether two perceptual hashes belong to one page, as far as can be seen without reading it.

    The distance is the Hamming distance of the hashes divided by the number of cells with ink on either page: blank
    paper does not count, because all pages share it. Two invoices that differ in a few digits are near.
    """
    first, second = int.from_bytes(a, "big"), int.from_bytes(b, "big")
    return (first ^ second).bit_count() <= NEAR_DISTANCE * (first | second).bit_count()


@contextmanager
def _opened(content: bytes) -> Iterator[Image]:
    """Open an image and check its header without decoding pixels; every failure becomes a ValueError."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise ValueError("the file is empty")
    with warnings.catch_warnings():
        # Pillow's warnings are about limits that are checked here, and about unused metadata.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                check_header(image, content)
                if image.format == "PNG":
                    # Decoding does not verify checksums.
                    Image.open(io.BytesIO(content), formats=_FORMATS).verify()
                yield image
        except _UnusableImageError:
            raise
        except UnidentifiedImageError as error:
            found = next((name for start, name in _OTHER_FORMATS.items() if content.startswith(start)), "not an image")
            raise ValueError(f"{found}: {_ACCEPTED}, one file for each page") from error
        except Image.DecompressionBombError as error:
            raise ValueError(f"more than {MAX_PIXELS:,} pixels: {error}"[:300]) from error
        except Exception as error:  # decoders can fail in any way on hostile bytes
            raise ValueError(f"broken or truncated: {error or type(error).__name__}"[:300]) from error


def check_header(image: Image, content: bytes, *, with_frames: bool = False) -> None:
    """Check an image's header before any pixel is decoded.

    Args:
        image: opened but not decoded.
        content: the complete file.
        with_frames: whether the file may contain several images.

    Raises:
        ValueError: the image cannot be shown to a model; the message has the reason.
    """
    width_px, height_px = image.size
    size = f"{width_px:,} × {height_px:,} pixels"
    if width_px * height_px > MAX_PIXELS:
        raise _UnusableImageError(f"{size}, more than the limit of {MAX_PIXELS:,}")
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise _UnusableImageError(f"{size}: a page needs at least {MIN_SIDE_PX} on each side")
    if max(width_px, height_px) > MAX_ASPECT * min(width_px, height_px):
        raise _UnusableImageError(f"{size}: more than {MAX_ASPECT} times as long as wide")
    if not with_frames and (frames := getattr(image, "n_frames", 1)) > 1:
        raise _UnusableImageError(f"contains {frames} images: save each page in a separate file")
    if image.mode not in _MODES:
        raise _UnusableImageError(f"has pixels of mode {image.mode}: save it with 8 bits per channel")
    if image.format == "JPEG" and content.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise _UnusableImageError(f"a JPEG with more than {_MAX_JPEG_SCANS} scans, which would take minutes to decode")


def _check_opaque(image: Image) -> None:
    """Reject transparent pages: toolkits show different colours in transparent places."""
    if image.has_transparency_data:
        with_alpha = image if "A" in image.getbands() else image.convert("RGBA")
        lowest, _ = with_alpha.getchannel("A").getextrema()
        if isinstance(lowest, int) and lowest < 255:
            raise _UnusableImageError("has transparent areas, which toolkits show differently: save it on white")


def _orientation(image: Image) -> Any:
    return image.getexif().get(_EXIF_ORIENTATION)


def _upright(image: Image, mode: Literal["L", "RGB"]) -> Image:
    """Return the pixels turned according to EXIF."""
    from PIL import ImageOps

    turned = image.convert(mode)
    ImageOps.exif_transpose(turned, in_place=True)
    return turned


def _perceptual_hash(page: Image) -> bytes:
    """Return one bit for each of 48 × 64 cells: whether it has ink.

    The grid is centred on the ink's centre of gravity, so a shifted page gives the same bits. The levels of paper and
    ink are taken from the page, so a darker scan does too. Cells overlap by half, and the grid wraps around at the
    edges.
    """
    import numpy as np
    from PIL.Image import Resampling

    small = page.resize(_SMALL_PX, Resampling.BILINEAR, reducing_gap=3.0)
    counts = np.cumsum(small.histogram())
    darkest, paper = (int(level) for level in np.searchsorted(counts, counts[-1] * np.array((0.005, 0.75))))
    if paper - darkest < _BLANK_LEVELS:
        return bytes(_COLUMNS * _ROWS // 8)
    darkness = paper - np.asarray(small, dtype=np.float32)
    ink = np.where(darkness > _INKED_PIXEL * (paper - darkest), darkness, 0)
    cells = _cell_weights(ink.sum(axis=1), _ROWS) @ darkness @ _cell_weights(ink.sum(axis=0), _COLUMNS).T
    return np.packbits(cells > _INKED_CELL * np.percentile(cells, 97)).tobytes()


def _cell_weights(ink: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the weight of each pixel along an axis for `count` cells around the ink's centre: (count, pixels)."""
    import numpy as np

    length_px = len(ink)
    middles_px = np.arange(length_px, dtype=np.float32) + np.float32(0.5)
    cell_px = length_px / count
    centres_px = ink @ middles_px / ink.sum() + (np.arange(count, dtype=np.float32) - (count - 1) / 2) * cell_px
    away_px = np.abs(middles_px - centres_px[:, None])
    away_px = np.minimum(away_px, np.abs(length_px - away_px))
    weights: NDArray[Any] = np.maximum(1 - away_px / cell_px, 0)
    return weights
