"""Read pages that came without OCR: RapidOCR with the PP-OCRv6 models that its wheel carries, offline, on one core.

An optional extra, because it brings 270 MB along; nothing else in the stage needs it.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_tools.pages.images import decode, turned
from erniekit_adapter.errors import AdapterError, misuse
from erniekit_adapter.files import read_bytes, write_text
from erniekit_adapter.invoice import jsontext

if TYPE_CHECKING:
    from PIL.Image import Image

# Boxes count from the page's top left corner in thousandths of its width and height.
BOX_UNITS = 1000
MAX_CACHED_BYTES = 4 * 1024 * 1024

# Part of the engine's version, so that a page that was cached under older rules is read again.
_RULES = 2
_MODELS = {"Det.model_path": "PP-OCRv6_det_small.onnx", "Rec.model_path": "PP-OCRv6_rec_small.onnx"}
# The data stage runs one process a core.
_THREADS = 1
# What the engine would shrink a page to; Pillow does it without losing thin strokes.
_MAX_SIDE_PX = 2000
# The engine enlarges a page until its short side has 736 pixels, which takes a narrow strip to gigabytes.
_MAX_ASPECT = 4
_REMEDY = "run make setup-ocr, or pip install 'erniekit-adapter[ocr]'"
# Measured on drawn pages: upright text has a mean score of 0.99, text on its head 0.7 with a third of the letters
# missing. A poor scan is between; it is turned only if that gives clearly more text.
_CERTAIN = Decimal("0.85")
_CLEARLY_BETTER = Decimal("1.2")
# A box this much wider than high says which way its line runs.
_WIDE = 3

Point = tuple[float, float]
Quad = Sequence[Point]
_Unit = Annotated[int, Field(strict=True, ge=0, le=BOX_UNITS)]
_Score = Annotated[Decimal, Field(ge=0, le=1, decimal_places=2)]


class _Page(BaseModel):
    """What was read from a page, as the cache keeps it: nothing in it is trusted before it fits."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    turn: Literal[0, 90, 180, 270] = 0
    tokens: list[Annotated[str, Field(min_length=1)]]
    bboxes: list[tuple[_Unit, _Unit, _Unit, _Unit]]
    scores: list[_Score]

    @model_validator(mode="after")
    def _one_of_each(self) -> _Page:
        if not len(self.tokens) == len(self.bboxes) == len(self.scores):
            raise ValueError("tokens, bboxes and scores differ in number")
        return self

    @property
    def is_sideways(self) -> bool:
        """Whether most letters are in boxes that are higher than wide."""
        tall = sum(
            len(text) for text, (x0, y0, x1, y1) in zip(self.tokens, self.bboxes, strict=True) if y1 - y0 > x1 - x0
        )
        return 2 * tall > sum(map(len, self.tokens))

    @property
    def certainty(self) -> Decimal:
        """The mean score of its letters, 0 to 1; 0 without any."""
        letters = sum(map(len, self.tokens))
        return self.recognised / letters if letters else Decimal(0)

    @property
    def recognised(self) -> Decimal:
        """Its letters, each weighted by its score."""
        return sum((score * len(text) for text, score in zip(self.tokens, self.scores, strict=True)), Decimal(0))

    def as_ocr(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "bboxes": [list(box) for box in self.bboxes], "scores": self.scores}


def read_page(content: bytes, cache: Path | None) -> dict[str, Any]:
    """Read one page as the service's OCR output.

    Args:
        content: the page as a PNG, JPEG or WebP file.
        cache: folder that keeps what was read, one file for each page and engine; None keeps nothing.

    Returns:
        `tokens`: the texts in reading order; `bboxes`: for each `[x0, y0, x1, y1]`, whole thousandths of the upright
        page's width and height from its top left corner; `scores`: for each the engine's confidence from 0 to 1, a
        Decimal with 2 decimals. All three are empty where the page shows no text.

    Raises:
        ValueError: no page that can be read, with the reason.
        UsageError: the extra is not installed.
        AdapterError: the cache cannot be written.
    """
    return read_upright(content, cache)[0]


def read_upright(content: bytes, cache: Path | None) -> tuple[dict[str, Any], int]:
    """Read one page, turned until its text is upright; takes and raises what `read_page` does.

    Returns:
        What `read_page` gives, of the upright page; and by how many degrees, counter-clockwise, the page had to be
        turned for it: 0, 90, 180 or 270.
    """
    kept = _place(cache, content) if cache else None
    page = _recalled(kept) if kept else None
    if page is None:
        page = _read_upright(decode(content, _MAX_SIDE_PX))
        if kept:
            write_text(kept, jsontext.compose(page.as_ocr() | ({"turn": page.turn} if page.turn else {})))
    return page.as_ocr(), page.turn


def _read_upright(image: Image) -> _Page:
    """Read a page as it is, and once more turned if its text runs downwards or is hardly recognised.

    The engine reads text that runs downwards as if it were upright, and text on its head hardly at all.
    """
    page = _read(image)
    is_certain = page.certainty >= _CERTAIN
    if not page.tokens or (is_certain and not page.is_sideways):
        return page
    turn: Literal[90, 180, 270] = 180 if not page.is_sideways else 90 if is_certain else 270
    other = _read(turned(image, turn)).model_copy(update={"turn": turn})
    if page.is_sideways and other.certainty < _CERTAIN and not is_certain:
        opposite = _read(turned(image, 90)).model_copy(update={"turn": 90})
        other = max(other, opposite, key=lambda read: read.recognised)
    return other if page.is_sideways or other.recognised > _CLEARLY_BETTER * page.recognised else page


@functools.cache
def engine_version() -> str:
    """What reads the pages, with every version that what it reads depends on.

    Raises:
        UsageError: the extra is not installed.
    """
    try:
        versions = [f"{name} {metadata.version(name)}" for name in ("rapidocr", "onnxruntime")]
    except metadata.PackageNotFoundError as error:
        raise misuse("OCR", f"{error.name} is not installed, and a page came without OCR", _REMEDY) from error
    return ", ".join([*versions, f"rules {_RULES}"])


def reading_order(quads: Sequence[Quad]) -> list[int]:
    """The order in which boxes are read: rows from top to bottom, and each from left to right.

    Args:
        quads: for each box its corners, clockwise from the text's top left one; y grows downwards.

    A page that was scanned askew is turned back first, by the slope of most of its wide boxes. A box belongs to the
    row above where its middle is less than half a box height away.
    """
    slope = median([_slope(quad) for quad in quads if _width(quad) > _WIDE * _height(quad)] or [0.0])
    middles = [(sum(x for x, _ in quad) / 4, sum(y for _, y in quad) / 4) for quad in quads]
    level = [y * math.cos(slope) - x * math.sin(slope) for x, y in middles]
    along = [x * math.cos(slope) + y * math.sin(slope) for x, y in middles]
    rows: list[list[int]] = []
    for place in sorted(range(len(quads)), key=lambda place: level[place]):
        row = rows[-1] if rows else []
        if row and level[place] - level[row[0]] < min(_height(quads[place]), _height(quads[row[0]])) / 2:
            row.append(place)
        else:
            rows.append([place])
    return [place for row in rows for place in sorted(row, key=lambda place: along[place])]


def _slope(quad: Quad) -> float:
    return math.atan2(quad[1][1] - quad[0][1], quad[1][0] - quad[0][0])


def _width(quad: Quad) -> float:
    return math.dist(quad[0], quad[1])


def _height(quad: Quad) -> float:
    return math.dist(quad[0], quad[3])


def _read(image: Image) -> _Page:
    import numpy as np

    engine = _engine()
    try:
        found = engine(np.asarray(_widened(image))[:, :, ::-1].copy())  # blue first, as OpenCV has it
    except Exception as error:  # what a network makes of odd pixels is not known beforehand
        raise ValueError(f"the OCR engine failed on it: {error}"[:300]) from error
    if not found.txts:
        return _Page(tokens=[], bboxes=[], scores=[])
    quads = [[(float(x), float(y)) for x, y in box] for box in found.boxes]
    order = reading_order(quads)
    return _Page(
        tokens=[found.txts[place] for place in order],
        bboxes=[_box(quads[place], image.size) for place in order],
        scores=[Decimal(f"{found.scores[place]:.2f}") for place in order],
    )


def _widened(image: Image) -> Image:
    """The page with white paper added at the right or below, where it is a strip; places on it stay the same."""
    from PIL import ImageOps

    least_px = -(-max(image.size) // _MAX_ASPECT)
    added_px = [max(least_px - side_px, 0) for side_px in image.size]
    return ImageOps.expand(image, (0, 0, *added_px), "white")


def _box(quad: Quad, size_px: tuple[int, int]) -> tuple[int, int, int, int]:
    x0, x1, y0, y1 = (
        min(max(round(end(point[axis] for point in quad) * BOX_UNITS / size_px[axis]), 0), BOX_UNITS)
        for axis in (0, 1)
        for end in (min, max)
    )
    return x0, y0, x1, y1


@functools.cache
def _engine() -> Any:
    """The engine, once a process. Models are given by path: where one is missing, the engine would fetch it."""
    engine_version()
    try:
        import cv2
        import rapidocr
    except ImportError as error:
        raise misuse("OCR", f"the engine cannot be loaded: {error}", _REMEDY) from error
    folder = Path(rapidocr.__file__).parent / "models"
    models = {key: str(folder / name) for key, name in _MODELS.items()}
    if missing := [path for path in models.values() if not Path(path).is_file()]:
        raise misuse("OCR", f"{engine_version()} has no {', '.join(missing)}", _REMEDY)
    cv2.setNumThreads(_THREADS)
    return rapidocr.RapidOCR(
        params={
            **models,
            "Global.log_level": "critical",
            # The classifier of directions turns a line here and there upside down, and a 9 alone becomes a 6.
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": _THREADS,
            "EngineConfig.onnxruntime.inter_op_num_threads": _THREADS,
            # Each line alone: what it says then does not hang on its neighbours, and nothing is padded to their width.
            "Rec.rec_batch_num": 1,
            # The engine leaves out what goes beyond; a dense page has about 1500 pieces of text.
            "Det.max_candidates": 3000,
        }
    )


def _place(cache: Path, content: bytes) -> Path:
    name = hashlib.sha256(hashlib.sha256(content).digest() + engine_version().encode()).hexdigest()
    return cache / name[:2] / f"{name}.json"


def _recalled(kept: Path) -> _Page | None:
    """The page from the cache; None where it is not there, or is not what was written."""
    try:
        return _Page.model_validate(jsontext.parse(read_bytes(kept, MAX_CACHED_BYTES)))
    except (AdapterError, ValueError):
        return None
