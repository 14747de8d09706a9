"""Texts and numbers in the JSON output of an OCR engine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

# Keys of numbers that are not printed on the page: positions and confidences, as OCR engines name them.
_NOT_PRINTED = frozenset({
    "angle", "block", "block_num", "bottom", "box_id", "conf", "confidence", "dpi", "h", "height", "id", "index",
    "left", "level", "line_num", "orientation", "page", "page_index", "page_num", "page_number", "par_num", "prob",
    "probability", "right", "rotation", "score", "timestamp", "top", "w", "width", "word_num",
    "x", "x0", "x1", "x2", "y", "y0", "y1", "y2",
})  # fmt: skip
_LETTERS = re.compile(r"[^\W_]")


def texts_of(ocr: object) -> Iterator[str]:
    """Yield every text and number of a JSON value in order; without recursion, because the nesting may be hostile."""
    waiting = [ocr]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            printed = (name for name, part in value.items() if name not in _NOT_PRINTED or not is_number(part))
            waiting += [value[name] for name in printed][::-1]
        elif isinstance(value, (list, tuple)):
            if not (value and is_number(value[0]) and all(map(is_number, value))):
                waiting += value[::-1]
        elif is_number(value):
            yield str(value)


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def has_text(ocr: object) -> bool:
    """Return whether the output of an OCR engine contains a letter or a digit."""
    return any(_LETTERS.search(text) for text in texts_of(ocr))
