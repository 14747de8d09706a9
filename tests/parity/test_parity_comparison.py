"""Comparison of logits in a parity check, and its prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from erniekit_adapter.parity.checks import probe_requests
from erniekit_adapter.parity.comparison import (
    compare,
    effect_problems,
    format_problem,
    scale_of,
    tolerance,
)
from erniekit_adapter.tensor_files import TorchDtype

ANSWER = np.array([1, 2])


def reading(noise: float = 0.0) -> dict[str, Any]:
    """Return the arrays of one request: 2 positions of the prompt, 2 tokens of the answer, a vocabulary of 5 tokens."""
    logits = np.zeros((4, 5), np.float32)
    logits[1, 1] = logits[2, 2] = 10.0
    return {"0": logits + np.float32(noise), "0:prompt_ids": np.array([4, 4]), "0:answer_ids": ANSWER}


def test_equal_readings() -> None:
    assert compare(reading(), reading()) == compare(reading(), reading())
    assert (compare(reading(), reading()).difference, compare(reading(), reading()).same_answers) == (0.0, 1)


def test_difference_is_the_largest_of_all() -> None:
    assert compare(reading(), reading(0.25)).difference == 0.25


def test_another_most_likely_token_is_another_answer() -> None:
    other = reading()
    other["0"][2, 3] = 11.0
    assert compare(reading(), other).same_answers == 0


def test_logits_after_the_answer_do_not_count() -> None:
    other = reading()
    other["0"][3, 3] = 11.0
    assert compare(reading(), other).same_answers == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_an_infinite_difference(value: float) -> None:
    assert compare(reading(), reading(value)).difference == np.inf


def test_another_length_is_an_infinite_difference() -> None:
    shorter = reading() | {"0": reading()["0"][1:]}
    assert compare(reading(), shorter).difference == np.inf


@pytest.mark.parametrize(
    ("dtype", "scale", "effect", "allowed"),
    [
        ("float32", 10.0, 8.0, 1e-3),  # a share of the scale
        ("float32", 10.0, 2e-3, 2e-4),  # a weak adapter: a share of its effect
        ("bfloat16", 10.0, 8.0, 0.5),
        ("bfloat16", 10.0, 0.2, 0.1),
    ],
)
def test_tolerance_is_a_share_of_scale_and_effect(
    dtype: TorchDtype, scale: float, effect: float, allowed: float
) -> None:
    assert tolerance(dtype, scale, effect) == pytest.approx(allowed)


@pytest.mark.parametrize(("effect", "problems"), [(0.0, 1), (5e-4, 1), (float("nan"), 1), (2e-3, 0), (8.0, 0)])
def test_rejects_an_adapter_without_visible_effect(effect: float, problems: int) -> None:
    assert len(list(effect_problems(effect, scale=10.0))) == problems


def test_names_a_format_with_other_logits() -> None:
    problem = format_problem("peft", "native in ERNIEKit", "PEFT", compare(reading(), reading(0.5)), 0.1)
    assert problem
    assert str(problem).startswith("format peft: PEFT computes logits that differ by up to 0.5 from native in ERNIEKit")


def test_accepts_a_difference_within_the_tolerance() -> None:
    assert format_problem("peft", "native", "PEFT", compare(reading(), reading(0.05)), 0.1) is None


def test_scale_is_the_largest_absolute_logit() -> None:
    assert scale_of({"0": np.array([[-3.0, 2.0]]), "0:prompt_ids": ANSWER}) == 3.0


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        (b'{"src": ["What is the total?"], "tgt": ["{}"]}', "What is the total?"),
        (b'{"messages": [{"role": "user", "content": "Total?"}, {"role": "assistant", "content": "5"}]}', "Total?"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image"}]}]}', None),
        *((line, None) for line in (b"", b"{", b"[]", b"7", b'{"src": []}', b'{"src": " "}', b'{"messages": [1]}')),
    ],
)
def test_reads_prompts_of_both_formats(tmp_path: Path, line: bytes, prompt: str | None) -> None:
    (tmp_path / "test.jsonl").write_bytes(line + b"\n")
    *found, _ = probe_requests(tmp_path / "test.jsonl")
    assert found == ([prompt] if prompt else [])
