"""Assignment of expected rows to found rows, so that the most cells agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from erniekit_adapter.evaluation.answer_values import Cells, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def assign_rows(expected: list[Cells], found: list[Cells], width: int) -> Iterator[tuple[Cells, Cells]]:
    """Yield expected and found rows, assigned so that the most cells agree (Kuhn, 1955).

    A row without a partner is yielded with an empty one. Among assignments with the same number of correct cells, the
    one with the most exact rows is taken.

    Args:
        expected, found: sorted rows without empty ones.
        width: number of columns.
    """
    partner = _partners(expected, found)
    empty: Cells = (None,) * width
    for i, row in enumerate(expected):
        yield row, found[partner[i]] if i in partner else empty
    taken = set(partner.values())
    yield from ((empty, row) for j, row in enumerate(found) if j not in taken)


def _partners(expected: list[Cells], found: list[Cells]) -> dict[int, int]:
    """Return the index of the found row for each expected row that has one."""
    if expected == found:
        return {index: index for index in range(len(expected))}
    if not expected or not found:
        return {}
    from scipy.optimize import linear_sum_assignment

    chosen = linear_sum_assignment(_gains(expected, found), maximize=True)
    return dict(zip(chosen[0].tolist(), chosen[1].tolist(), strict=True))


def _gains(expected: list[Cells], found: list[Cells]) -> NDArray[np.int64]:
    """Return the gain of each pair of rows: shape (expected, found), agreeing cells first, then exact rows.

    Found rows are looked up by their cells: a model that repeats a row thousands of times must not cost minutes.
    """
    import numpy as np

    with_cell: dict[tuple[int, Value], list[int]] = {}
    equal: dict[Cells, list[int]] = {}
    for j, row in enumerate(found):
        equal.setdefault(row, []).append(j)
        for column, cell in enumerate(row):
            if cell is not None:
                with_cell.setdefault((column, cell), []).append(j)
    exact_weight = min(len(expected), len(found)) + 1
    gains = np.zeros((len(expected), len(found)), dtype=np.int64)
    for i, row in enumerate(expected):
        for column, cell in enumerate(row):
            if cell is not None and (places := with_cell.get((column, cell))):
                gains[i, places] += exact_weight
        if places := equal.get(row):
            gains[i, places] += 1
    return gains
