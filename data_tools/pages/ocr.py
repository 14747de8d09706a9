"""Read pages without OCR: RapidOCR with the PP-OCRv6 models in its wheel, offline, on one core.

This is an optional extra of 270 MB; only this module needs it.
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

from data_tools.optional_packages import OCR_ENGINE
from data_tools.pages.images import decode, turned
from erniekit_adapter.documents import json_text
from erniekit_adapter.errors import AdapterError, usage_error
from erniekit_adapter.files import read_bytes, write_text

if TYPE_CHECKING:
    from PIL.Image import Image

# Coordinates start at the page's top left corner, in thousandths of its width and height.
BOX_UNITS = 1000
MAX_CACHED_BYTES = 4 * 1024 * 1024

# Part of the engine's version, so that pages cached under older rules are read again.
_RULES = 2
_MODELS = {"Det.model_path": "PP-OCRv6_det_small.onnx", "Rec.model_path": "PP-OCRv6_rec_small.onnx"}
# A build runs one process on each core.
_THREADS = 1
# The engine would reduce a page to this size; Pillow does it without losing thin strokes.
_MAX_SIDE_PX = 2000
# The engine enlarges a page until its short side has 736 pixels; for a narrow strip that takes gigabytes.
_MAX_ASPECT = 4
_HINT = f"run {OCR_ENGINE}"
# Measured on synthetic pages: upright text has a mean score of 0.99; upside-down text 0.7, with a third of the letters
# missing. A poor scan is in between; it is turned only if that gives clearly more text.
_CERTAIN = Decimal("0.85")
_CLEARLY_BETTER = Decimal("1.2")
# A box this many times as wide as high shows the direction of its text line.
_WIDE = 3

Point = tuple[float, float]
Quad = Sequence[Point]
_Unit = Annotated[int, Field(strict=True, ge=0, le=BOX_UNITS)]
_Score = Annotated[Decimal, Field(ge=0, le=1, decimal_places=2)]


class _RecognisedPage(BaseModel):
    """The OCR result of a page as the cache stores it; it is validated before use."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    turn: Literal[0, 90, 180, 270] = 0
    tokens: list[Annotated[str, Field(min_length=1)]]
    bboxes: list[tuple[_Unit, _Unit, _Unit, _Unit]]
    scores: list[_Score]

    @model_validator(mode="after")
    def _one_of_each(self) -> _RecognisedPage:
        if not len(self.tokens) == len(self.bboxes) == len(self.scores):
            raise ValueError("tokens, bboxes and scores differ in number")
        return self

    @property
    def is_sideways(self) -> bool:
        """Return whether most letters are in boxes that are higher than wide."""
        tall = sum(
            len(text) for text, (x0, y0, x1, y1) in zip(self.tokens, self.bboxes, strict=True) if y1 - y0 > x1 - x0
        )
        return 2 * tall > sum(map(len, self.tokens))

    @property
    def certainty(self) -> Decimal:
        """Return the mean score of the letters, 0 to 1; 0 without letters."""
        letters = sum(map(len, self.tokens))
        return self.recognised / letters if letters else Decimal(0)

    @property
    def recognised(self) -> Decimal:
        """Return the number of letters, each weighted by its score."""
        return sum((score * len(text) for text, score in zip(self.tokens, self.scores, strict=True)), Decimal(0))

    def as_ocr(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "bboxes": [list(box) for box in self.bboxes], "scores": self.scores}


def read_page(content: bytes, cache: Path | None) -> dict[str, Any]:
    """Read one page in the format of the service's OCR.

    Args:
        content: the page as a PNG, JPEG or WebP file.
        cache: folder for the results, one file for each page and engine version; None for no cache.

    Returns:
        `tokens`: texts in reading order; `bboxes`: `[x0, y0, x1, y1]` of each text in whole thousandths of the upright
            page's width and height, from its top left corner; `scores`: the engine's confidence for each text, 0 to 1,
            a Decimal with 2 decimals. All are empty if the page shows no text.

    Raises:
        ValueError: the page cannot be read; the message has the reason.
        UsageError: the extra is not installed.
        AdapterError: the cache cannot be written.
    """
    return read_upright(content, cache)[0]


def read_upright(content: bytes, cache: Path | None) -> tuple[dict[str, Any], int]:
    """Read one page after turning it upright; arguments and errors are those of `read_page`.

    Returns:
        The result of `read_page` for the upright page, and the degrees, counter-clockwise, by which the page was
            turned: 0, 90, 180 or 270.
    """
    kept = _place(cache, content) if cache else None
    page = _recalled(kept) if kept else None
    if page is None:
        page = _read_upright(decode(content, _MAX_SIDE_PX))
        if kept:
            write_text(kept, json_text.compose(page.as_ocr() | ({"turn": page.turn} if page.turn else {})))
    return page.as_ocr(), page.turn


def _read_upright(image: Image) -> _RecognisedPage:
    """Read a page, and again turned if its text runs vertically or is hardly recognised.

    The engine reads vertical text as if it were upright, and upside-down text hardly.
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
    """Return name and versions of everything that influences the OCR result.

    Raises:
        UsageError: the extra is not installed.
    """
    try:
        versions = [f"{name} {metadata.version(name)}" for name in ("rapidocr", "onnxruntime")]
    except metadata.PackageNotFoundError as error:
        raise usage_error("OCR", f"{error.name} is not installed, and a page has no OCR", _HINT) from error
    return ", ".join([*versions, f"rules {_RULES}"])


def reading_order(quads: Sequence[Quad]) -> list[int]:
    """Return the reading order of boxes: rows from top to bottom, and each row from left to right.

    Args:
        quads: corners of each box, clockwise from the text's top left corner; y grows downwards.

    A skewed page is straightened first, by the slope of most of its wide boxes. A box belongs to the row above if its
    middle is less than half a box height away.
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


def _read(image: Image) -> _RecognisedPage:
    import numpy as np

    engine = _engine()
    try:
        found = engine(np.asarray(_widened(image))[:, :, ::-1].copy())  # blue first, as OpenCV has it
    except Exception as error:  # the networks can fail in any way on unusual pixels
        raise ValueError(f"the OCR engine failed: {error}"[:300]) from error
    if not found.txts:
        return _RecognisedPage(tokens=[], bboxes=[], scores=[])
    quads = [[(float(x), float(y)) for x, y in box] for box in found.boxes]
    order = reading_order(quads)
    return _RecognisedPage(
        tokens=[found.txts[place] for place in order],
        bboxes=[_box(quads[place], image.size) for place in order],
        scores=[Decimal(f"{found.scores[place]:.2f}") for place in order],
    )


def _widened(image: Image) -> Image:
    """Add white paper at the right or bottom of a strip; coordinates on the page do not change."""
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
    """Return the engine, one per process. Models are given by path, because the engine downloads missing ones."""
    engine_version()
    try:
        import cv2
        import rapidocr
    except ImportError as error:
        raise usage_error("OCR", f"the OCR engine cannot be loaded: {error}", _HINT) from error
    folder = Path(rapidocr.__file__).parent / "models"
    models = {key: str(folder / name) for key, name in _MODELS.items()}
    if missing := [path for path in models.values() if not Path(path).is_file()]:
        raise usage_error("OCR", f"{engine_version()} has no {', '.join(missing)}", _HINT)
    cv2.setNumThreads(_THREADS)
    return rapidocr.RapidOCR(
        params={
            **models,
            "Global.log_level": "critical",
            # The direction classifier sometimes turns a line upside down, and a single 9 becomes a 6.
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": _THREADS,
            "EngineConfig.onnxruntime.inter_op_num_threads": _THREADS,
            # Read each line separately: its result does not depend on its neighbours, and nothing is padded to their
            # width.
            "Rec.rec_batch_num": 1,
            # The engine drops texts above this number; a dense page has about 1500.
            "Det.max_candidates": 3000,
        }
    )


def _place(cache: Path, content: bytes) -> Path:
    name = hashlib.sha256(hashlib.sha256(content).digest() + engine_version().encode()).hexdigest()
    return cache / name[:2] / f"{name}.json"


def _recalled(kept: Path) -> _RecognisedPage | None:
    """Return a page from the cache; None if it is missing or invalid."""
    try:
        return _RecognisedPage.model_validate(json_text.parse(read_bytes(kept, MAX_CACHED_BYTES)))
    except (AdapterError, ValueError):
        return None
