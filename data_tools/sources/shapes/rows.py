"""Pieces of text with boxes, put together as the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Piece:
    """A text on a page.

    Attributes:
        name: its field of a line item.
        text: its characters.
        box: left, top, right, bottom; y grows downwards; None if unknown.
    """

    name: str
    text: str
    box: Box | None


def rows_of(pieces: Sequence[Piece], first: str = "description") -> list[dict[str, str]] | None:
    """Return the rows of a table, from top to bottom, by the boxes of the pieces.

    A row begins with each piece of the column `first`; each other piece belongs to the row whose vertical position is
    nearest to its middle.

    Returns:
        The rows; None if they are not certain: a piece has no box or is far from every row, or a row has two pieces of
        one column.
    """
    placed = [(piece, piece.box) for piece in pieces if piece.box is not None]
    starts = sorted((box[1] + box[3], piece, box) for piece, box in placed if piece.name == first)
    if len(placed) < len(pieces) or not starts:
        return None
    height = median(box[3] - box[1] for _, box in placed) or 1.0
    found: list[dict[str, str]] = [{first: piece.text} for _, piece, _ in starts]
    for piece, box in placed:
        if piece.name == first:
            continue
        middle = box[1] + box[3]
        distances = [abs(middle - start) / 2 for start, _, _ in starts]
        nearest = min(range(len(starts)), key=distances.__getitem__)
        if distances[nearest] > height or piece.name in found[nearest]:
            return None
        found[nearest][piece.name] = piece.text
    return found


def in_reading_order(pieces: Sequence[tuple[str, Box | None]]) -> list[str]:
    """Return texts from top to bottom and, in a row, from left to right; unchanged if one has no box."""
    if any(box is None for _, box in pieces):
        return [text for text, _ in pieces]
    boxes = [box for _, box in pieces if box is not None]
    height = median([box[3] - box[1] for box in boxes] or [1.0]) or 1.0
    order = sorted(range(len(pieces)), key=lambda index: (round(boxes[index][1] / height), boxes[index][0]))
    return [pieces[index][0] for index in order]
