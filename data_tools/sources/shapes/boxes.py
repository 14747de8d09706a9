"""Boxes of annotations, and the texts of a page with their boxes as OCR output of the service."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from data_tools.pages.ocr import BOX_UNITS
from data_tools.sources.shapes.rows import Box


def page_box(value: Any) -> Box | None:
    """Return the upright box of four numbers (left, top, right, bottom) or eight (corners); None for other values."""
    if not isinstance(value, list) or len(value) not in (4, 8):
        return None
    if not all(isinstance(number, (int, float, Decimal)) and not isinstance(number, bool) for number in value):
        return None
    numbers = [float(number) for number in value]
    across, down = numbers[0::2], numbers[1::2]
    return min(across), min(down), max(across), max(down)


def ocr_of(pieces: Sequence[tuple[str, Box | None]], size: tuple[float, float] | None) -> Any:
    """Return the texts of a page as OCR output of the service.

    Args:
        pieces: each text with its box, in reading order.
        size: width and height of the page in the unit of the boxes; None if unknown, which leaves the boxes out.

    Returns:
        `tokens` and, if every piece has a box, `bboxes` in thousandths of the page; None without text.
    """
    kept = [(" ".join(text.split()), box) for text, box in pieces if text.strip()]
    if not kept:
        return None
    tokens = [text for text, _ in kept]
    boxes = [box for _, box in kept if box is not None]
    if size is None or min(size) <= 0 or len(boxes) < len(kept):
        return {"tokens": tokens}
    return {"tokens": tokens, "bboxes": [_scaled(box, size) for box in boxes]}


def _scaled(box: Box, size: tuple[float, float]) -> list[int]:
    return [
        min(max(round(number * BOX_UNITS / side), 0), BOX_UNITS)
        for number, side in zip(box, (*size, *size), strict=True)
    ]


def image_size(path: Path) -> tuple[float, float] | None:
    """Return width and height of an image in pixels, from its header; None if it cannot be read."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path, formats=("PNG", "JPEG", "WEBP", "TIFF")) as image:
                return float(image.width), float(image.height)
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return None
