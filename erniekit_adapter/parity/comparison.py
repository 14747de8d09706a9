"""Comparison of logits: whether a bundle format computes the same as the trained adapter. No files, no processes.

Each format is read by the software that will serve it, with the same tokens: test prompts, each with the answer of the
reference. If the logits agree over an answer, every greedy choice in it agrees too, except for ties. The number of
equal answers is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from erniekit_adapter.errors import Problem
from erniekit_adapter.tensor_files import TorchDtype

Arrays = Mapping[str, npt.NDArray[Any]]

# States of a format in the manifest. The text of the first one is that of schema version 1.
CHECKED: Final = "proven"
NOT_CHECKED: Final = "not checked"

# The largest allowed difference between two readers of the same weights, as a share of the largest logit and as a share
# of the adapter's effect; by the less precise type of stored and computed weights. Measured in float32: 2e-6 to 8e-5 of
# the largest logit. With a wrong tensor layout, the difference is as large as the adapter's effect, or larger.
_SHARE_OF_SCALE: Mapping[TorchDtype, float] = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
_SHARE_OF_EFFECT: Mapping[TorchDtype, float] = {"float32": 0.1, "float16": 0.3, "bfloat16": 0.5}
# A smaller effect, as a share of the largest logit, cannot be distinguished from rounding.
_MIN_EFFECT = 1e-4


@dataclass(frozen=True)
class LogitsComparison:
    """Comparison of two readings.

    Attributes:
        difference: the largest absolute difference in logits.
        same_answers: number of answers whose tokens are all the most likely ones in both readings.
        answers: number of answers.
    """

    difference: float
    same_answers: int
    answers: int


@dataclass(frozen=True)
class FormatResult:
    """Result of the parity check of a bundle format, as in the manifest.

    Attributes:
        state: whether the format was checked.
        read_by: the reader; None if nothing read the format.
        difference: the largest absolute difference in logits from the reference; None if nothing read the format.
        tolerance: the largest allowed difference.
        same_answers: number of test prompts with the same greedy answer.
        reason: why the format was not checked.
    """

    state: Literal["proven", "not checked"]
    read_by: str | None = None
    difference: float | None = None
    tolerance: float | None = None
    same_answers: int | None = None
    reason: str | None = None


def request_names(arrays: Arrays) -> list[str]:
    """Return the names of the requests in a reading."""
    return sorted(name for name in arrays if ":" not in name)


def compare(reference: Arrays, found: Arrays) -> LogitsComparison:
    """Compare two readings of the same tokens.

    Args:
        reference: for each request `N`, its logits (kept tokens + answer, vocabulary), and `N:answer_ids`.
        found: the same of the other reading.
    """
    names = request_names(reference)
    difference = max(_largest_difference(reference[name], found[name]) for name in names)
    same = sum(_has_answer(found[name], reference[f"{name}:answer_ids"]) for name in names)
    return LogitsComparison(difference, same, len(names))


def _largest_difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    if one.shape != other.shape:
        return float("inf")
    largest = float(np.abs(one - other).max())
    return float("inf") if np.isnan(largest) else largest


def _has_answer(logits: npt.NDArray[Any], answer: npt.NDArray[Any]) -> bool:
    """Return whether each token of the answer is the most likely one after the tokens before it."""
    before = logits[len(logits) - len(answer) - 1 : len(logits) - 1]
    return bool(np.array_equal(before.argmax(axis=-1), answer))


def scale_of(reading: Arrays) -> float:
    """Return the largest absolute logit."""
    return max(float(np.abs(reading[name]).max()) for name in request_names(reading))


def tolerance(dtype: TorchDtype, scale: float, effect: float) -> float:
    """Return the largest allowed difference in logits between two readers of the same weights.

    Args:
        dtype: the less precise type of stored and computed weights.
        scale: the largest absolute logit.
        effect: the largest difference in logits between base and tuned model.
    """
    return min(_SHARE_OF_SCALE[dtype] * scale, _SHARE_OF_EFFECT[dtype] * effect)


def effect_problems(effect: float, scale: float) -> Iterator[Problem]:
    """Yield a problem if the adapter does not change the base model's logits."""
    if not effect >= _MIN_EFFECT * scale:
        finding = (
            f"changes no logit by more than {effect:.2g}; the largest logit is {scale:.2g}, so this may be rounding"
        )
        yield Problem("adapter", finding, "train more steps, or with a higher learning rate")


def format_problem(
    bundle_format: str, reference: str, read_by: str, compared: LogitsComparison, allowed: float
) -> Problem | None:
    """Return a problem if the logits of a format differ from the reference by more than the allowed difference."""
    if compared.difference <= allowed:
        return None
    finding = (
        f"{read_by} computes logits that differ by up to {compared.difference:.2g} from {reference}; allowed: "
        f"{allowed:.2g}; same answers: {compared.same_answers} of {compared.answers}"
    )
    hint = "nothing was written: report it with the base model's config.json"
    return Problem(f"format {bundle_format}", finding, hint)


def rounded(value: float) -> float:
    """Round to two digits: further digits differ between machines."""
    return float(f"{value:.2g}")
