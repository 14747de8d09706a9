"""Percentile bootstrap of ratios of sums (Efron, 1979).

`scipy.stats.bootstrap(paired=True)` draws the same test sets from the same seed. It is not used because it keeps all
resampled values in memory and refuses a single test example: for 28 columns, 5,000 test examples and 1,000 resamples
it took 3.5 s and 1 GiB more memory, or 0.4 s with its best `batch`. The code below took 0.09 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from erniekit_adapter.errors import failure
from erniekit_adapter.metrics import AnswerScore, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_INTERVAL_PERCENT = (2.5, 97.5)


def terms(scores: Sequence[AnswerScore], metric: Metric) -> NDArray[np.float64]:
    """Return the contributions of each answer to a metric: shape (scores, 2), numerator and denominator."""
    import numpy as np

    found = [(metric.numerator(score), metric.denominator(score)) for score in scores]
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def resampled_totals(columns: NDArray[np.float64], *, seed: int, resamples: int) -> NDArray[np.float64]:
    """Return the column sums of test sets drawn with replacement.

    Args:
        columns: shape (examples, columns).
        seed: the same seed gives the same draws.
        resamples: number of test sets to draw.

    Returns:
        Shape (resamples, columns).

    Raises:
        AdapterError: `columns` has no rows, or `resamples` is below 1.
    """
    import numpy as np

    examples = len(columns)
    if not examples:
        raise failure("evaluation", "no test examples to score", "add at least one test example")
    if resamples < 1:
        raise failure("evaluation", f"resamples is {resamples}", "set it to at least 1; 1000 is usual")
    rng = np.random.default_rng(seed)
    # One draw at a time: memory grows with the examples, not with examples × resamples.
    draws = (np.bincount(rng.integers(examples, size=examples), minlength=examples) for _ in range(resamples))
    return np.stack([times_drawn @ columns for times_drawn in draws])


def ratios(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numerator / denominator for each row of shape (rows, 2); NaN if the denominator is 0."""
    import numpy as np

    found = np.full(len(totals), np.nan)
    np.divide(totals[:, 0], totals[:, 1], out=found, where=totals[:, 1] != 0)
    return found


def interval(resampled: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return the 95% percentile interval without NaN values; (None, None) if all values are NaN.

    If all examples have the same value, the interval has width 0, even for very few examples.
    """
    import numpy as np

    known = resampled[~np.isnan(resampled)]
    if not len(known):
        return None, None
    low, high = np.percentile(known, _INTERVAL_PERCENT)
    return float(low), float(high)


def ratio(numerator: float, denominator: float) -> float | None:
    """Return the quotient; None if the denominator is 0."""
    return numerator / denominator if denominator else None
