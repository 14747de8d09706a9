"""Draw counts by size as a histogram with a logarithmic axis."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2

from data_tools.pipeline.tokens import step_below

_BOUND = re.compile(r"up to (\d{1,15})")
WIDTH, HEIGHT = 420, 190
_BASE = 165
_TOP = 36
_LABEL_WIDTH = 44
# Margin on both sides of the bars, in doublings.
_MARGIN = 0.4


@dataclass(frozen=True)
class Bar:
    """A bar for the values up to a bound; lengths in units of the drawing, y downwards."""

    x: float
    y: float
    width: float
    height: float
    middle: float
    count: int


@dataclass(frozen=True)
class Mark:
    """A label on the axis; `anchor` is the position of the text: start, middle or end."""

    x: float
    name: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Histogram:
    """A drawing of WIDTH × HEIGHT units.

    Attributes:
        title: quantity that is counted.
        description: the same counts in words, for screen readers.
        note: a sentence below the drawing.
        bars, ticks: from left to right.
        limit: a size that no value may exceed.
    """

    title: str
    description: str
    note: str
    bars: tuple[Bar, ...]
    ticks: tuple[Mark, ...]
    limit: Mark | None
    width: int = WIDTH
    height: int = HEIGHT
    base: int = _BASE


def histogram(
    title: str, counts: Mapping[str, int], name: Callable[[int], str], limit: int | None = None, note: str = ""
) -> Histogram | None:
    """Draw counts whose keys are `up to N`, as `tokens.histogram` makes them; None without counts.

    Args:
        title: quantity that is counted.
        counts: number of values up to each bound and above the next lower one.
        name: returns the label of a bound.
        limit: drawn as a line.
        note: a sentence below the drawing.
    """
    bounds = {int(found[1]): count for key, count in counts.items() if (found := _BOUND.fullmatch(key))}
    bounds = {bound: bounds[bound] for bound in sorted(bounds) if bound > 0}
    if not bounds:
        return None
    spans = [(bound - step_below(bound), bound) for bound in bounds]
    ends = [end for span in spans for end in span] + ([limit] if limit else [])
    left, right = log2(min(ends)) - _MARGIN, log2(max(ends)) + _MARGIN

    def x(value: float) -> float:
        return round(WIDTH * (log2(value) - left) / (right - left), 1)

    highest = max(bounds.values()) or 1
    bars = []
    for (lower, upper), count in zip(spans, bounds.values(), strict=True):
        height = round((_BASE - _TOP) * count / highest, 1)
        start, end = x(lower), x(upper)
        bars.append(Bar(start + 0.5, _BASE - height, max(end - start - 1, 1), height, (start + end) / 2, count))
    line = None
    if limit:
        anchor = "end" if x(limit) > WIDTH / 2 else "start"
        line = Mark(x(limit), f"limit {name(limit)}", anchor)
    ticks = _ticks([Mark(x(end), name(end)) for end in sorted({end for span in spans for end in span})])
    description = ", ".join(f"{count} up to {name(bound)}" for bound, count in bounds.items())
    return Histogram(title, description, note, tuple(bars), ticks, line)


def _ticks(marks: list[Mark]) -> tuple[Mark, ...]:
    """Return the labels that do not overlap."""
    kept: list[Mark] = []
    for mark in marks:
        if not kept or mark.x - kept[-1].x >= _LABEL_WIDTH:
            kept.append(mark)
    return tuple(kept)
