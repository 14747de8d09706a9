from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools.inspect.histogram import WIDTH, histogram
from data_tools.pipeline.tokens import histogram as counted

name = "{:,}".format
LENGTHS = st.dictionaries(st.integers(1, 10**6), st.integers(1, 10**6), min_size=1, max_size=20)


@pytest.mark.parametrize("counts", [{}, {"many": 3}, {"up to x": 1}, {"up to 0": 1}, {"up to " + "9" * 400: 1}])
def test_no_counts_no_histogram(counts: dict[str, int]) -> None:
    assert histogram("t", counts, name) is None


def test_bar_heights_are_proportional_to_counts() -> None:
    drawing = histogram("t", {"up to 640": 10, "up to 768": 5, "up to 1280": 1}, name)
    assert drawing is not None
    first, second, third = drawing.bars
    assert first.height == pytest.approx(2 * second.height)
    assert first.x + first.width == pytest.approx(second.x, abs=1.1)
    assert third.x - (second.x + second.width) > second.width
    # 512 to 640 is the same share of a doubling as 1,024 to 1,280.
    assert first.width == pytest.approx(third.width, abs=0.2)
    assert drawing.description == "10 up to 640, 5 up to 768, 1 up to 1,280"


@pytest.mark.parametrize(("limit", "anchor"), [(300, "start"), (976, "end"), (100_000, "end")])
def test_the_limit_is_at_its_place_on_the_axis(limit: int, anchor: str) -> None:
    drawing = histogram("t", {"up to 512": 1, "up to 1024": 1}, name, limit)
    assert drawing is not None
    assert drawing.limit is not None
    places = {tick.name: tick.x for tick in drawing.ticks}
    assert [mark for mark in places if places[mark] < drawing.limit.x] == [
        mark for mark in places if int(mark.replace(",", "")) < limit
    ]
    assert drawing.limit.anchor == anchor


@given(LENGTHS, st.one_of(st.none(), st.integers(1, 10**6)))
def test_everything_is_inside_the_drawing(lengths: dict[int, int], limit: int | None) -> None:
    drawing = histogram("t", counted(lengths), name, limit)
    assert drawing is not None
    assert sum(bar.count for bar in drawing.bars) == sum(lengths.values())
    for bar in drawing.bars:
        assert 0 <= bar.x < bar.middle < bar.x + bar.width <= WIDTH
        assert 0 < bar.y <= drawing.base
        assert bar.y + bar.height == pytest.approx(drawing.base)
    assert all(left.x + left.width <= right.x + 0.1 for left, right in pairwise(drawing.bars))
    assert all(left.x < right.x for left, right in pairwise(drawing.ticks))
    assert drawing.limit is None or 0 <= drawing.limit.x <= WIDTH
