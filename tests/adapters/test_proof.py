"""What a proof makes of logits: from made-up readings to a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from erniekit_adapter.adapters.proof import (
    Dtype,
    compare,
    effect_problems,
    form_problem,
    scale_of,
    tolerance,
)
from erniekit_adapter.adapters.proving import probe_requests
from erniekit_adapter.project.schema import Project

ANSWER = np.array([1, 2])


def reading(noise: float = 0.0) -> dict[str, Any]:
    """Of one prompt: two positions of the prompt, an answer of two tokens, five tokens in the vocabulary."""
    logits = np.zeros((4, 5), np.float32)
    logits[1, 1] = logits[2, 2] = 10.0
    return {"0": logits + np.float32(noise), "0:prompt_ids": np.array([4, 4]), "0:answer_ids": ANSWER}


def test_equal_readings_have_no_difference_and_the_same_answers() -> None:
    assert compare(reading(), reading()) == compare(reading(), reading())
    assert (compare(reading(), reading()).difference, compare(reading(), reading()).same_answers) == (0.0, 1)


def test_the_difference_is_the_largest_anywhere() -> None:
    assert compare(reading(), reading(0.25)).difference == 0.25


def test_an_answer_of_which_another_token_is_likelier_is_another_answer() -> None:
    other = reading()
    other["0"][2, 3] = 11.0
    assert compare(reading(), other).same_answers == 0


def test_what_follows_the_answer_does_not_count_for_it() -> None:
    other = reading()
    other["0"][3, 3] = 11.0
    assert compare(reading(), other).same_answers == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reading_that_is_no_number_is_infinitely_far(value: float) -> None:
    assert compare(reading(), reading(value)).difference == np.inf


def test_a_reading_of_another_length_is_infinitely_far() -> None:
    shorter = reading() | {"0": reading()["0"][1:]}
    assert compare(reading(), shorter).difference == np.inf


@pytest.mark.parametrize(
    ("dtype", "scale", "effect", "allowed"),
    [
        ("float32", 10.0, 8.0, 1e-3),  # a share of the scale
        ("float32", 10.0, 2e-3, 2e-4),  # a weak adapter: a share of what it changes
        ("bfloat16", 10.0, 8.0, 0.5),
        ("bfloat16", 10.0, 0.2, 0.1),
    ],
)
def test_the_tolerance_is_of_the_scale_and_never_as_large_as_the_effect(
    dtype: Dtype, scale: float, effect: float, allowed: float
) -> None:
    assert tolerance(dtype, scale, effect) == pytest.approx(allowed)


@pytest.mark.parametrize(("effect", "problems"), [(0.0, 1), (5e-4, 1), (float("nan"), 1), (2e-3, 0), (8.0, 0)])
def test_an_adapter_that_changes_nothing_that_can_be_seen_is_a_problem(effect: float, problems: int) -> None:
    assert len(list(effect_problems(effect, scale=10.0))) == problems


def test_a_form_that_is_off_is_named_with_both_figures() -> None:
    problem = form_problem("peft", "native in ERNIEKit", "PEFT", compare(reading(), reading(0.5)), 0.1)
    assert problem
    assert str(problem).startswith("form peft: PEFT computes logits up to 0.5 away from those of native in ERNIEKit")


def test_a_form_within_the_tolerance_is_no_problem() -> None:
    assert form_problem("peft", "native", "PEFT", compare(reading(), reading(0.05)), 0.1) is None


def test_the_scale_is_the_largest_logit_of_either_sign() -> None:
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
def test_the_prompts_of_test_lines_are_read_in_either_format_and_others_passed_over(
    tmp_path: Path, line: bytes, prompt: str | None
) -> None:
    project = Project.model_validate({"model": {"model_name_or_path": "a"}, "output_dir": str(tmp_path)})
    project.data_dir.mkdir()
    (project.data_dir / "test.jsonl").write_bytes(line + b"\n")
    *own, _ = probe_requests(project)
    assert own == ([prompt] if prompt else [])
