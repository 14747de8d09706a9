"""The image gate: is a file a page that a model can be shown, and do two files show the same page?

Files are hostile until they are decoded: size, format, frames and pixels are checked before a pixel is read, and no
parser runs but those of the three formats that toolkits, services and chat endpoints all take. A TIFF becomes PNG pages
first, in a process of its own (tiff.py).
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
# The side of a patch that ERNIE-VL sees.
MIN_SIDE_PX = 28
# Long side to short side; the image processors of ERNIE-VL and PaddleOCR-VL fail beyond it.
MAX_ASPECT = 200
# Share of the inked cells that may differ between two files of one page; see `near`. On 300 synthetic pages it finds
# every copy that was saved as JPEG of quality 30, scaled by 15 %, blurred, shifted by 12 px or darkened by a fifth, and
# takes 3 in 100 invoices of the same vendor, labels and layout for copies, and no two unrelated ones.
NEAR_DISTANCE = 0.16

_FORMATS = ("PNG", "JPEG", "WEBP")
_ACCEPTED = "PNG, JPEG, WebP and TIFF are accepted"
_OTHER_FORMATS = {b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"GIF8": "a GIF", b"%PDF": "a PDF", b"BM": "a BMP"}
# The modes that convert to 8-bit colour as they look; 16-bit grey would become white.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
# A progressive JPEG has about ten; each costs a pass over all pixels.
_MAX_JPEG_SCANS = 64
_EXIF_ORIENTATION = 0x0112
_LYING_ON_ITS_SIDE = range(5, 9)
_TURNED = range(2, 9)

_COLUMNS, _ROWS = 48, 64
_SMALL_PX = (256, 352)
# Less contrast than this, in grey levels of 256, is paper.
_BLANK_LEVELS = 16
# Pixels this much darker than paper, and cells this dark, count as ink: shares of the darkest ones' darkness.
_INKED_PIXEL, _INKED_CELL = 0.1, 0.3


@dataclass(frozen=True)
class PageImage:
    """A page that can be shown to a model.

    Attributes:
        path: the file.
        width_px: its width when it stands upright.
        height_px: its height when it stands upright.
        perceptual_hash: what it looks like, 384 bytes; to be compared with `near`.
        sha256: the first 16 bytes of the SHA-256 of the file.
    """

    path: Path
    width_px: int
    height_px: int
    perceptual_hash: bytes
    sha256: bytes


class _RefusedError(ValueError):
    """What a page image must not be, in words for the user."""


def look_at(path: Path, folder: Path | None = None) -> PageImage:
    """Decode a page and say what it looks like.

    Args:
        path: the image of one page.
        folder: what the file must lie in, with every link resolved; anywhere where it is None.

    Raises:
        ValueError: no page that a model can be shown, with the reason and what would be accepted.
    """
    if folder is not None and not is_inside(folder, path):
        raise ValueError(f"lies outside {folder}")
    try:
        content = read_bytes(path, MAX_IMAGE_BYTES)
    except AdapterError as error:
        raise ValueError("; ".join(problem.what for problem in error.problems)) from error
    with _opened(content) as image:
        width_px, height_px = image.size
        # A JPEG decodes faster to a half, a quarter or an eighth of its size.
        image.draft("L", _SMALL_PX)
        image.load()
        _check_opaque(image)
        if _orientation(image) in _LYING_ON_ITS_SIDE:
            width_px, height_px = height_px, width_px
        page = _upright(image, "L")
    return PageImage(path, width_px, height_px, _perceptual_hash(page), hashlib.sha256(content).digest()[:16])


def decode(content: bytes, max_side_px: int) -> Image:
    """The page in colour, upright, and made smaller where a side is longer than `max_side_px`.

    Raises:
        ValueError: no page that a model can be shown, with the reason and what would be accepted.
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
    """Whether an image is upright only if its EXIF orientation is followed, which toolkits may ignore.

    Raises:
        ValueError: no page that a model can be shown.
    """
    with _opened(content) as image:
        return _orientation(image) in _TURNED


def upright_png(content: bytes, turn: int = 0) -> bytes:
    """The page as a PNG that is upright without any header, grey if it has no colour.

    Args:
        content: a PNG, JPEG or WebP.
        turn: degrees, counter-clockwise, by which the page is turned after its EXIF orientation: 0, 90, 180 or 270.

    Raises:
        ValueError: no page that a model can be shown.
    """
    with _opened(content) as image:
        image.load()
        _check_opaque(image)
        page = _upright(image, "L" if image.mode in ("1", "L", "LA") else "RGB")
    written = io.BytesIO()
    turned(page, turn).save(written, "PNG")
    return written.getvalue()


def turned(page: Image, turn: int) -> Image:
    """A page turned counter-clockwise by 0, 90, 180 or 270 degrees."""
    from PIL.Image import Transpose

    ways = {90: Transpose.ROTATE_90, 180: Transpose.ROTATE_180, 270: Transpose.ROTATE_270}
    return page.transpose(ways[turn]) if turn else page


def near(a: bytes, b: bytes) -> bool:
    """Whether two perceptual hashes are of one page, as far as can be seen without reading it.

    The distance is the Hamming distance of the hashes divided by the number of cells with ink on either page: blank
    paper, which all pages share, does not count. Two invoices that differ in a few digits are near.
    """
    first, second = int.from_bytes(a, "big"), int.from_bytes(b, "big")
    return (first ^ second).bit_count() <= NEAR_DISTANCE * (first | second).bit_count()


@contextmanager
def _opened(content: bytes) -> Iterator[Image]:
    """The image with its header checked and its pixels unread; whatever fails on it becomes a ValueError."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise ValueError("the file is empty")
    with warnings.catch_warnings():
        # Pillow warns of what is checked here, and of odd metadata that nobody uses.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                check_header(image, content)
                if image.format == "PNG":
                    # Checksums, which decoding alone does not look at.
                    Image.open(io.BytesIO(content), formats=_FORMATS).verify()
                yield image
        except _RefusedError:
            raise
        except UnidentifiedImageError as error:
            found = next((name for start, name in _OTHER_FORMATS.items() if content.startswith(start)), "no image")
            raise ValueError(f"{found} that can be read here: {_ACCEPTED}, one file for each page") from error
        except Image.DecompressionBombError as error:
            raise ValueError(f"more than {MAX_PIXELS:,} pixels: {error}"[:300]) from error
        except Exception as error:  # a parser fails on hostile bytes in any way it likes
            raise ValueError(f"broken or cut off: {error or type(error).__name__}"[:300]) from error


def check_header(image: Image, content: bytes, *, with_frames: bool = False) -> None:
    """Check what an image's header promises, before a pixel is read.

    Args:
        image: opened and not decoded.
        content: the whole file.
        with_frames: whether it may hold several images.

    Raises:
        ValueError: no page that a model can be shown, with the reason.
    """
    width_px, height_px = image.size
    size = f"{width_px:,} × {height_px:,} pixels"
    if width_px * height_px > MAX_PIXELS:
        raise _RefusedError(f"{size}, more than the limit of {MAX_PIXELS:,}")
    if min(width_px, height_px) < MIN_SIDE_PX:
        raise _RefusedError(f"{size}: a page has at least {MIN_SIDE_PX} on each side")
    if max(width_px, height_px) > MAX_ASPECT * min(width_px, height_px):
        raise _RefusedError(f"{size}: a strip that is more than {MAX_ASPECT} times as long as wide")
    if not with_frames and (frames := getattr(image, "n_frames", 1)) > 1:
        raise _RefusedError(f"holds {frames} images: give each page a file of its own")
    if image.mode not in _MODES:
        raise _RefusedError(f"its pixels are of the kind {image.mode}: save it with 8 bits a channel")
    if image.format == "JPEG" and content.count(b"\xff\xda") > _MAX_JPEG_SCANS:
        raise _RefusedError(f"a JPEG of more than {_MAX_JPEG_SCANS} scans, which would take minutes to decode")


def _check_opaque(image: Image) -> None:
    """One toolkit shows black where a page is transparent, another white."""
    if image.has_transparency_data:
        with_alpha = image if "A" in image.getbands() else image.convert("RGBA")
        lowest, _ = with_alpha.getchannel("A").getextrema()
        if isinstance(lowest, int) and lowest < 255:
            raise _RefusedError("transparent in places, where toolkits differ in what they show: save it on white")


def _orientation(image: Image) -> Any:
    return image.getexif().get(_EXIF_ORIENTATION)


def _upright(image: Image, mode: Literal["L", "RGB"]) -> Image:
    """The pixels as EXIF says that they are to be looked at."""
    from PIL import ImageOps

    turned = image.convert(mode)
    ImageOps.exif_transpose(turned, in_place=True)
    return turned


def _perceptual_hash(page: Image) -> bytes:
    """One bit for each of 48 by 64 cells: whether there is ink in it.

    The grid is laid around the ink's centre of gravity, so that a page that was shifted gives the same bits, and what
    counts as paper and as ink is taken from the page, so that a darker scan does as well. Cells overlap by half, and
    what leaves the page on one side comes in on the other.
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
    """How much each pixel along an axis counts for each of `count` cells around the ink's centre: (count, pixels)."""
    import numpy as np

    length_px = len(ink)
    middles_px = np.arange(length_px, dtype=np.float32) + np.float32(0.5)
    cell_px = length_px / count
    centres_px = ink @ middles_px / ink.sum() + (np.arange(count, dtype=np.float32) - (count - 1) / 2) * cell_px
    away_px = np.abs(middles_px - centres_px[:, None])
    away_px = np.minimum(away_px, np.abs(length_px - away_px))
    weights: NDArray[Any] = np.maximum(1 - away_px / cell_px, 0)
    return weights
