"""Whether the forms of a bundle compute the same as the adapter that was trained: from logits to a verdict, pure.

Every form is read by what will serve it, over the same tokens: test prompts, each with the answer that the reference
wrote. Where the logits agree over an answer, so does every greedy choice in it but for ties, which are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from erniekit_adapter.errors import Problem

Dtype = Literal["float32", "float16", "bfloat16"]
Arrays = Mapping[str, npt.NDArray[Any]]

# By the coarser of the types that weights are stored and read in: how far two readings of the same weights may lie
# apart, as a share of the largest logit, and as a share of what the adapter changes. Seen in float32: 2e-6 to 8e-5 of
# the scale; wrong layouts: as much as the adapter changes, or more.
_OF_SCALE: Mapping[Dtype, float] = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
_OF_EFFECT: Mapping[Dtype, float] = {"float32": 0.1, "float16": 0.3, "bfloat16": 0.5}
# An adapter that changes less than this share of the scale cannot be told from rounding.
_LEAST_EFFECT = 1e-4


@dataclass(frozen=True)
class Compared:
    """One reading held against another.

    Attributes:
        difference: the largest absolute difference in logits.
        same_answers: answers of which every token is the likeliest in both.
        answers: how many there are.
    """

    difference: float
    same_answers: int
    answers: int


@dataclass(frozen=True)
class FormProof:
    """What is known of a form.

    Attributes:
        state: whether it was read and found right.
        read_by: what read it; None where nothing did.
        difference: the largest absolute difference in logits from the reference; None where nothing read it.
        tolerance: the largest that is allowed.
        same_answers: of how many test prompts the greedy answer is the same.
        reason: why it was not checked.
    """

    state: Literal["proven", "not checked"]
    read_by: str | None = None
    difference: float | None = None
    tolerance: float | None = None
    same_answers: int | None = None
    reason: str | None = None


def request_names(arrays: Arrays) -> list[str]:
    """The requests whose logits a reading holds."""
    return sorted(name for name in arrays if ":" not in name)


def compare(reference: Arrays, found: Arrays) -> Compared:
    """Hold two readings of the same tokens against each other.

    Args:
        reference: of each request `N` its logits (kept tokens + answer, vocabulary), and `N:answer_ids`.
        found: the same of the other one.
    """
    names = request_names(reference)
    difference = max(_largest(reference[name], found[name]) for name in names)
    same = sum(_chooses(found[name], reference[f"{name}:answer_ids"]) for name in names)
    return Compared(difference, same, len(names))


def _largest(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    if one.shape != other.shape:
        return float("inf")
    largest = float(np.abs(one - other).max())
    return float("inf") if np.isnan(largest) else largest


def _chooses(logits: npt.NDArray[Any], answer: npt.NDArray[Any]) -> bool:
    """Whether each token of the answer is the likeliest after those before it."""
    before = logits[len(logits) - len(answer) - 1 : len(logits) - 1]
    return bool(np.array_equal(before.argmax(axis=-1), answer))


def scale_of(reading: Arrays) -> float:
    """The largest absolute logit."""
    return max(float(np.abs(reading[name]).max()) for name in request_names(reading))


def tolerance(dtype: Dtype, scale: float, effect: float) -> float:
    """How far two readings of the same weights may lie apart in logits.

    Args:
        dtype: the coarser of the types that the weights are stored and read in.
        scale: the largest absolute logit.
        effect: the largest difference in logits between base and tuned model.
    """
    return min(_OF_SCALE[dtype] * scale, _OF_EFFECT[dtype] * effect)


def effect_problems(effect: float, scale: float) -> Iterator[Problem]:
    """What is wrong with an adapter that leaves the base model's logits as they are."""
    if not effect >= _LEAST_EFFECT * scale:
        what = (
            f"changes no logit by more than {effect:.2g}, on a scale of {scale:.2g}: that cannot be told from rounding"
        )
        yield Problem("adapter", what, "train more steps, or with a higher rate")


def form_problem(form: str, reference: str, read_by: str, compared: Compared, allowed: float) -> Problem | None:
    """What is wrong with a form whose logits are not those of the reference."""
    if compared.difference <= allowed:
        return None
    what = (
        f"{read_by} computes logits up to {compared.difference:.2g} away from those of {reference}, allowed are "
        f"{allowed:.2g}; {compared.same_answers} of {compared.answers} answers are the same"
    )
    return Problem(f"form {form}", what, "nothing was written: report it with the base model's config.json")


def rounded(value: float) -> float:
    """Two digits: a proof's figures differ in more from machine to machine."""
    return float(f"{value:.2g}")
