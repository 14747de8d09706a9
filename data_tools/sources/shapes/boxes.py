"""Boxes as annotations write them, and a page's texts with their boxes as the service's OCR output."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from data_tools.pages.ocr import BOX_UNITS
from data_tools.sources.shapes.rows import Box


def page_box(value: Any) -> Box | None:
    """The upright box around four numbers (left, top, right, bottom) or eight (its corners); None for anything else."""
    if not isinstance(value, list) or len(value) not in (4, 8):
        return None
    if not all(isinstance(number, (int, float, Decimal)) and not isinstance(number, bool) for number in value):
        return None
    numbers = [float(number) for number in value]
    across, down = numbers[0::2], numbers[1::2]
    return min(across), min(down), max(across), max(down)


def ocr_of(pieces: Sequence[tuple[str, Box | None]], size: tuple[float, float] | None) -> Any:
    """Texts of a page as the service's OCR output.

    Args:
        pieces: each text with its box, in the order of the page.
        size: width and height of the page in the units of the boxes; None where it is unknown, and boxes are left out.

    Returns:
        `tokens` and, where every piece has a box, `bboxes` in thousandths of the page; None without any text.
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
    """Width and height of an image in pixels, from its header alone; None where it has none that can be read."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(path, formats=("PNG", "JPEG", "WEBP", "TIFF")) as image:
                return float(image.width), float(image.height)
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return None
