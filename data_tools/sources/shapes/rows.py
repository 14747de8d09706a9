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
        name: the field of a line item that it is.
        text: what it says.
        box: left, top, right, bottom; y grows downwards; None where nobody says where it stands.
    """

    name: str
    text: str
    box: Box | None


def rows_of(pieces: Sequence[Piece], first: str = "description") -> list[dict[str, str]] | None:
    """The rows of a table, from the top, by where the pieces stand.

    A row begins with each piece of the column `first`; every other piece belongs to the row whose height its middle is
    nearest to.

    Returns:
        The rows; None where that is not certain: without boxes, with two pieces of a column in one row, or with one
        that stands far from every row.
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
    """Texts from the top and, in a row, from the left; as they are given where one has no box."""
    if any(box is None for _, box in pieces):
        return [text for text, _ in pieces]
    boxes = [box for _, box in pieces if box is not None]
    height = median([box[3] - box[1] for box in boxes] or [1.0]) or 1.0
    order = sorted(range(len(pieces)), key=lambda place: (round(boxes[place][1] / height), boxes[place][0]))
    return [pieces[place][0] for place in order]
