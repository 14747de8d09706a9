"""Drawing of text rows on a grey page, with Pillow's built-in font, which has ASCII letters only."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from data_tools.synthesize.page_layout import Block, Style, TextRow

PAGE_WIDTH_PX = 620
PAGE_HEIGHT_PX = 877
_MARGIN_PX = 44
_BLOCK_GAP_PX = 22
_RIGHT_PX = PAGE_WIDTH_PX - _MARGIN_PX
# Right edges of quantity, price and net amount.
_COLUMN_EDGES_PX = (370, 470, _RIGHT_PX)
_FONT_PX: dict[Style, int] = {
    "title": 26,
    "left": 17,
    "right": 15,
    "small": 15,
    "head": 14,
    "item": 15,
    "total": 15,
    "grand": 17,
}
_PAPER, _INK, _RULE = 250, 25, 140
# With few grey levels the file has half the size and remains equally readable.
_GREY_LEVELS = 16


def page_png(blocks: Sequence[Block]) -> bytes:
    """Return the page as a grey PNG of PAGE_WIDTH_PX by PAGE_HEIGHT_PX pixels."""
    stream = io.BytesIO()
    page = draw_page(blocks)
    step = 256 // _GREY_LEVELS
    page.point([level // step * step + step // 2 for level in range(256)]).save(stream, "PNG")
    return stream.getvalue()


def draw_page(blocks: Sequence[Block]) -> Image.Image:
    """Draw the blocks from top to bottom with a gap between them."""
    page = Image.new("L", (PAGE_WIDTH_PX, PAGE_HEIGHT_PX), _PAPER)
    canvas = ImageDraw.Draw(page)
    y = _MARGIN_PX
    for block in blocks:
        for row in block:
            _draw_row(canvas, row, y)
            y += _FONT_PX[row.style] * 8 // 5
        y += _BLOCK_GAP_PX
    return page


def _draw_row(canvas: ImageDraw.ImageDraw, row: TextRow, y: int) -> None:
    font = _font(_FONT_PX[row.style])
    if row.style in ("head", "item"):
        canvas.text((_MARGIN_PX, y), row.cells[0], _INK, font)
        for edge, cell in zip(_COLUMN_EDGES_PX, row.cells[1:], strict=True):
            canvas.text((edge, y), cell, _INK, font, anchor="ra")
    elif row.style in ("total", "grand"):
        canvas.text((_COLUMN_EDGES_PX[1], y), " ".join(row.cells[:-1]), _INK, font, anchor="ra")
        canvas.text((_RIGHT_PX, y), row.cells[-1], _INK, font, anchor="ra")
    elif row.style == "right":
        canvas.text((_RIGHT_PX, y), " ".join(row.cells), _INK, font, anchor="ra")
    else:
        canvas.text((_MARGIN_PX, y), " ".join(row.cells), _INK, font)
    _draw_rule(canvas, row.style, y)


def _draw_rule(canvas: ImageDraw.ImageDraw, style: Style, y: int) -> None:
    if style == "head":
        canvas.line((_MARGIN_PX, y + 19, _RIGHT_PX, y + 19), _RULE)
    elif style == "grand":
        canvas.line((_COLUMN_EDGES_PX[0] - 80, y - 4, _RIGHT_PX, y - 4), _RULE)


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)
