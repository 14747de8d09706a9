"""Parsing of log lines that ERNIEKit wrote."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.training.log_lines import measurement, total_steps, trainable_parameters

INFO = "\x1b[32m[2026-11-22 18:46:44,349] [    INFO]\x1b[0m - "
TRAINING = (
    f"{INFO}loss: 6.27860689, learning_rate: 0.0004132, global_step: 6, interval_runtime: 0.1649, "
    "interval_samples_per_second: 6.0639, interval_steps_per_second: 6.0639, ppl: 533.04, progress_or_epoch: 0.6\x1b[0m"
)
EVALUATION = (
    f"{INFO}eval_loss: 6.268, eval_runtime: 0.0619, eval_samples_per_second: 16.15, eval_steps_per_second: 16.15, "
    "progress_or_epoch: 0.5\x1b[0m"
)
END = (
    f"{INFO}train_runtime: 1.3851, train_samples_per_second: 7.2194, train_steps_per_second: 7.2194, "
    "train_loss: 6.30, progress_or_epoch: 1.0\x1b[0m"
)


def test_parses_a_training_line() -> None:
    assert measurement(TRAINING) == {
        "loss": 6.27860689,
        "learning_rate": 0.0004132,
        "step": 6,
        "steps_per_second": 6.0639,
        "progress": 0.6,
    }


def test_parses_an_evaluation_line() -> None:
    assert measurement(EVALUATION) == {"eval_loss": 6.268, "progress": 0.5}


@pytest.mark.parametrize(
    "line",
    [
        END,
        f"{INFO}Saving model checkpoint to output/checkpoint-4\x1b[0m",
        "\x1b[35m[2026-11-22 19:08:44,964] [   DEBUG]\x1b[0m - moe_aux_loss_lambda           : 1e-05\x1b[0m",
        f"{INFO}  eval_loss               =     6.2680\x1b[0m",
        '  "enable_delay_scale_loss": true,',
        "loss: unknown",
        "loss: 5.0",
        "",
    ],
)
def test_ignores_other_lines(line: str) -> None:
    assert measurement(line) is None


@pytest.mark.parametrize("number", ["1e-05", "4e-05", "0.0", "0"])
def test_parses_a_rate_with_an_exponent(number: str) -> None:
    found = measurement(f"loss: 5.1, learning_rate: {number}, global_step: 7")
    assert found is not None
    assert found["learning_rate"] == float(number)


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "NaN"])
def test_parses_nan_and_infinite_losses(word: str) -> None:
    found = measurement(f"{INFO}loss: {word}, learning_rate: 0.0004, global_step: 3\x1b[0m")
    assert found is not None
    assert not math.isfinite(found["loss"])


@given(loss=st.floats(0, 1e6), rate=st.floats(0, 1), step=st.integers(0, 10**7))
def test_parses_any_numbers_that_python_writes(loss: float, rate: float, step: int) -> None:
    found = measurement(
        f"{INFO}loss: {loss}, learning_rate: {rate}, global_step: {step}, progress_or_epoch: 0.5\x1b[0m"
    )
    assert found == {"loss": loss, "learning_rate": rate, "step": step, "progress": 0.5}


@given(line=st.text(max_size=80))
def test_accepts_any_line(line: str) -> None:
    assert measurement(line) is None or "loss" in line


def test_parses_the_number_of_steps() -> None:
    assert total_steps(f"{INFO}  Total optimization steps = 130\x1b[0m") == 130
    assert total_steps(TRAINING) is None


def test_parses_the_number_of_trainable_parameters() -> None:
    line = f"{INFO}  Number of trainable parameters = 720,896 (per device)\x1b[0m"
    assert trainable_parameters(line) == 720_896
    assert trainable_parameters(TRAINING) is None
