"""Positions of the texts of a page: rows of boxes, or lines of text if the OCR has no boxes.

The usual box formats are supported: `tokens` with `bboxes`, objects with a text and a box, and the pairs of corners and
text of PaddleOCR. Boxes can have any unit: heights and widths are only compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from data_tools.visibility.spellings import without_compatibility_forms
from erniekit_adapter.documents.ocr_values import has_text, texts_of

# Limit for the use of positions: a dense page has about 1,500 pieces of text.
MAX_CELLS = 6_000
MAX_LINES = 6_000
_MAX_COORDINATE = 1e9
_TEXTS = ("tokens", "texts", "rec_texts", "words")
_BOXES = ("bboxes", "boxes", "rec_boxes", "rec_polys", "dt_polys", "polygons")
_PAGES = ("pages", "readResults")
_TEXT = ("text", "transcription", "value", "word", "content", "WordText")
_BOX = ("bbox", "box", "bounding_box", "boundingBox", "polygon", "points", "quad", "coordinates")
_SIDES = (
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_CORNER_AND_SIZE = (("x", "y", "width", "height"), ("left", "top", "width", "height"), ("x", "y", "w", "h"))
# Minimum letters of a text whose box must be wider than high, and the ratio of height to width above which it is not.
_LEAST_LETTERS, _TALL = 4, 1.5
# Cells are in one row if their middles differ by less than this share of the smaller height.
_ROW_OFFSET = 0.5
# Lines of one cell are at most this many heights apart, from bottom to top.
_LINE_GAP = 1.2
# Words of one text are at most this many heights apart.
_WORD_GAP = 0.8
# Tolerance of left edges of wrapped text, in heights.
_LEFT_EDGE = 0.8


class Cell(NamedTuple):
    """Text with its rectangle; x increases to the right, y downwards."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def height(self) -> float:
        """Height of the rectangle; never 0."""
        return max(self.y1 - self.y0, 1e-9)


@dataclass(frozen=True)
class Line:
    """A row of a page.

    Attributes:
        text: texts of the cells from left to right, separated by single blanks.
        cells: the cells; empty if the OCR has no boxes.
        page: page number, from 0.
    """

    text: str
    cells: tuple[Cell, ...] = ()
    page: int = 0

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Start of each cell in `text`."""
        places, at = [], 0
        for cell in self.cells:
            places.append(at)
            at += len(cell.text) + 1
        return tuple(places)

    def span(self, start: int, end: int) -> tuple[float, float]:
        """Return left and right edge of the characters from `start` to `end`, assuming equal widths."""
        if not self.cells:
            return float(start), float(end)
        place = max(number for number, begin in enumerate(self.starts) if begin <= start)
        cell, begin = self.cells[place], self.starts[place]
        width = (cell.x1 - cell.x0) / max(len(cell.text), 1)
        return cell.x0 + (start - begin) * width, min(cell.x0 + (end - begin) * width, cell.x1)

    def is_close(self, start: int, end: int) -> bool:
        """Return whether the cells of the characters from `start` to `end` are as close as words of one text."""
        places = [number for number, begin in enumerate(self.starts) if start < begin < end]
        pairs = [(self.cells[number - 1], self.cells[number]) for number in places]
        return all(right.x0 - left.x1 <= _WORD_GAP * min(left.height, right.height) for left, right in pairs)


def read_lines(ocr: object) -> tuple[Line, ...]:
    """Return the lines of a page, or of several pages one after the other."""
    lines: list[Line] = []
    for number, page in enumerate(_pages(ocr)):
        cells = _cells(page)
        lines += _rows(cells, number) if cells else _text_lines(page, number)
        if len(lines) > MAX_LINES:
            break
    return tuple(lines[:MAX_LINES])


def by_columns(lines: Sequence[Line]) -> list[str]:
    """Return the texts of all boxes, column by column, which joins text that wraps in a cell.

    A hyphen at the end of a line is removed if the next line begins with a lower-case letter.
    """
    cells = [(line.page, cell) for line in lines for cell in line.cells]
    below = _cells_below(cells)
    starts = set(range(len(cells))) - set(below.values())
    found = []
    for start in sorted(starts):
        place: int | None = start
        text = ""
        while place is not None:
            text = _joined(text, cells[place][1].text)
            place = below.get(place)
        found.append(text)
    return found


def lies_on_its_side(ocr: object) -> bool:
    """Return whether most letters are in boxes much higher than wide: the text runs upwards or downwards."""
    cells = [cell for line in read_lines(ocr) for cell in line.cells if len(cell.text) >= _LEAST_LETTERS]
    letters = sum(len(cell.text) for cell in cells)
    tall = sum(len(cell.text) for cell in cells if cell.height > _TALL * max(cell.x1 - cell.x0, 0))
    return 2 * tall > letters


def _joined(text: str, following: str) -> str:
    if text.endswith(("-", "\u00ad", "‐")) and following[:1].islower():
        return text[:-1] + following
    return f"{text} {following}" if text else following


def _cells_below(cells: Sequence[tuple[int, Cell]]) -> dict[int, int]:
    """Map each cell to the next one of its column: directly below, with the same left edge or middle."""
    below: dict[int, int] = {}
    taken: set[int] = set()
    for place, (page, cell) in enumerate(cells):
        for other, (other_page, next_cell) in enumerate(cells[place + 1 : place + 60], start=place + 1):
            if other_page != page or next_cell.y0 - cell.y1 > _LINE_GAP * cell.height:
                break
            if other in taken or next_cell.y0 + next_cell.y1 <= cell.y0 + cell.y1 + cell.height:
                continue
            if _is_aligned(cell, next_cell):
                below[place] = other
                taken.add(other)
                break
    return below


def _is_aligned(cell: Cell, other: Cell) -> bool:
    near = _LEFT_EDGE * min(cell.height, other.height)
    middles = abs(cell.x0 + cell.x1 - other.x0 - other.x1) / 2
    return min(abs(cell.x0 - other.x0), abs(cell.x1 - other.x1), middles) <= near


def _rows(cells: Sequence[Cell], page: int) -> list[Line]:
    rows: list[list[Cell]] = []
    for cell in sorted(cells, key=lambda cell: cell.y0 + cell.y1):
        first = rows[-1][0] if rows else None
        offset = (cell.y0 + cell.y1 - first.y0 - first.y1) / 2 if first else 0.0
        if first and offset <= _ROW_OFFSET * min(first.height, cell.height):
            rows[-1].append(cell)
        else:
            rows.append([cell])
    found = []
    for row in rows:
        ordered = tuple(sorted(row, key=lambda cell: cell.x0))
        found.append(Line(" ".join(cell.text for cell in ordered), ordered, page))
    return found


def _pages(ocr: object) -> list[Any]:
    """Return the OCR of each page, because the boxes of each page begin at 0.

    Pages are a list or an object, possibly under a key such as `pages`, of objects or lists with several texts each.
    """
    if isinstance(ocr, dict):
        inner = [ocr, *(part for part in ocr.values() if isinstance(part, dict))]
        known = (part[name] for part in inner for name in _PAGES if isinstance(part.get(name), (list, dict)))
        named = (pages for pages in known if has_text(pages))
        pages = next(named, ocr)
        parts = list(pages.values()) if isinstance(pages, dict) else pages
        is_pages = pages is not ocr or (
            bool(parts) and all(isinstance(part, dict) and _is_page(part) for part in parts)
        )
        return list(parts) if is_pages else [ocr]
    is_pages = isinstance(ocr, list) and bool(ocr) and all(_is_page(part) for part in ocr)
    return list(ocr) if is_pages and isinstance(ocr, list) else [ocr]


def _is_page(part: object) -> bool:
    if isinstance(part, dict):
        return any(isinstance(part.get(name), list) for name in (*_TEXTS, "lines", "blocks", "regions"))
    return isinstance(part, list) and len(part) > 1 and all(isinstance(item, (dict, str)) for item in part)


def _text_lines(page: object, number: int) -> list[Line]:
    found = []
    for text in texts_of(page):
        for line in text.splitlines():
            if printed := _normal(line):
                found.append(Line(printed, (), number))
            if len(found) > MAX_LINES:
                return found
    return found


def _cells(page: object) -> list[Cell]:
    """Return every text of a page with its box; empty if a text has no box, or there are too many."""
    found: list[Cell] = []
    waiting: list[object] = [page]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if (pairs := _parallel(value)) is not None:
                found += pairs
            elif (cell := _labelled(value)) is not None:
                found.append(cell)
            else:
                waiting += list(value.values())[::-1]
        elif isinstance(value, (list, tuple)):
            if (cell := _cornered(value)) is not None:
                found.append(cell)
            elif not (value and _is_number(value[0])):
                waiting += list(value)[::-1]
        elif isinstance(value, str) and value.strip():
            # A text without a box: the rows are unknown.
            return []
        if len(found) > MAX_CELLS:
            return []
    return found


def _parallel(value: dict[str, Any]) -> list[Cell] | None:
    """Return the cells of `tokens` and `bboxes`; None if the object has another format."""
    texts = next((value[name] for name in _TEXTS if isinstance(value.get(name), list)), None)
    boxes = next((value[name] for name in _BOXES if isinstance(value.get(name), list)), None)
    if texts is None or boxes is None or len(texts) != len(boxes) or not all(isinstance(text, str) for text in texts):
        return None
    if all(isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) for box in boxes):
        if any(x1 < x0 or y1 < y0 for x0, y0, x1, y1 in boxes):
            boxes = [[x, y, x + width, y + height] for x, y, width, height in boxes]
        pairs = zip(texts, boxes, strict=True)
        return [Cell(_normal(text), *map(float, box)) for text, box in pairs if text.strip()]
    cells = [_cell(text, box) for text, box in zip(texts, boxes, strict=True) if text.strip()]
    return [cell for cell in cells if cell] if all(cells) else None


def _labelled(value: dict[str, Any]) -> Cell | None:
    text = next((value[name] for name in _TEXT if isinstance(value.get(name), str)), None)
    if text is None or not text.strip():
        return None
    if (box := next((value[name] for name in _BOX if value.get(name)), None)) is not None:
        return _cell(text, box)
    for names in _SIDES:
        if all(_is_number(value.get(name)) for name in names):
            return _cell(text, [value[name] for name in names])
    for names in _CORNER_AND_SIZE:
        if all(_is_number(value.get(name)) for name in names):
            x, y, width, height = (float(value[name]) for name in names)
            return _cell(text, [x, y, x + width, y + height])
    return None


def _cornered(value: Sequence[Any]) -> Cell | None:
    """Return the cell of `[corners, [text, score]]` or `[corners, text, score]`."""
    if len(value) < 2 or not isinstance(value[0], (list, tuple)):
        return None
    text = value[1][0] if isinstance(value[1], (list, tuple)) and value[1] else value[1]
    return _cell(text, value[0]) if isinstance(text, str) and text.strip() else None


def _cell(text: str, box: object) -> Cell | None:
    points = list(_points(box))
    if len(points) < 2:
        return None
    xs, ys = zip(*points, strict=True)
    return Cell(_normal(text), min(xs), min(ys), max(xs), max(ys))


def _points(box: object) -> Iterator[tuple[float, float]]:
    """Yield the corners of a box, given as flat numbers, as pairs, or as objects with x and y."""
    if isinstance(box, dict):
        box = next((box[name] for name in ("vertices", "points") if name in box), [box.get(name) for name in _SIDES[0]])
    if not isinstance(box, (list, tuple)) or len(box) > 64:
        return
    if len(box) % 2 == 0 and all(map(_is_number, box)):
        yield from zip(map(float, box[::2]), map(float, box[1::2]), strict=True)
        return
    for point in box:
        pair = [point.get("x"), point.get("y")] if isinstance(point, dict) else point
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(map(_is_number, pair)):
            return
        yield float(pair[0]), float(pair[1])


def _normal(text: str) -> str:
    return " ".join(without_compatibility_forms(text).split()).replace(" %", "%")


def _is_number(value: object) -> bool:
    """Return whether a value can be a coordinate."""
    if not isinstance(value, (int, float, Decimal)) or isinstance(value, bool):
        return False
    return not (isinstance(value, Decimal) and value.is_nan()) and -_MAX_COORDINATE < value < _MAX_COORDINATE
