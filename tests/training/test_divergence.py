"""Detection of divergence from the losses of a run. ln(3,072) is 8.030084."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from erniekit_adapter.training.divergence import LossWatch, guessing_loss, newest_finite

NAN, GUESSING = math.nan, 8.030084


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        # Logged by ERNIEKit with a learning rate of 0.99.
        ([3.534, 10.750, 8.379, 8.030086, 8.030083, 8.030085], 2),
        # NaN in the base model: its logits are NaN from the first step on.
        ([8.030083, 8.030085, 8.030083, 8.030085], 1),
        ([2.0, NAN, NAN, NAN, NAN], 2),
        ([2.0, math.inf, NAN, NAN], 2),
    ],
)
def test_detects_divergence(losses: list[float], step: int) -> None:
    found = [divergence for divergence in follow(losses) if divergence]
    assert found
    assert found[0].step == step


@pytest.mark.parametrize(
    "losses",
    [
        [3.5, 2.0, 1.0, 0.5],
        [9.2, 8.8, 8.31, 8.03, 7.9, 7.0],  # random weights begin above
        [8.05, 8.04, 8.032, 8.029, 8.02],
        [8.04, 8.02, 8.04, 8.035, 8.04, 8.033],  # random weights before they learn
        [2.0, NAN, 1.9, NAN, 1.8],  # fp16 overflows and recovers
        [2.0, 8.5, 2.0, 8.5, 2.0],
        [0.0, 0.0, 0.0],
    ],
)
def test_accepts_the_losses_of_a_learning_run(losses: list[float]) -> None:
    assert not any(follow(losses))


def follow(losses: list[float]) -> list[object]:
    watch = LossWatch(GUESSING)
    return [watch.update({"step": step, "loss": loss}) for step, loss in enumerate(losses, start=1)]


def test_one_bad_measurement_is_not_enough() -> None:
    watch = LossWatch(GUESSING)
    assert watch.update({"step": 10, "loss": 2.0}) is None
    assert watch.update({"step": 20, "loss": NAN}) is None
    assert watch.update({"step": 30, "loss": NAN}) is not None


def test_last_measurement_decides_at_the_end() -> None:
    watch = LossWatch(GUESSING)
    watch.update({"step": 1, "loss": 2.0})
    assert watch.at_end() is None
    watch.update({"step": 2, "loss": NAN})
    assert watch.at_end() is not None


def test_ignores_evaluation_losses() -> None:
    watch = LossWatch(GUESSING)
    assert not any(watch.update({"eval_loss": NAN}) for _ in range(9))


def test_dpo_has_no_guessing_loss() -> None:
    assert guessing_loss(3072, "SFT") == pytest.approx(GUESSING)
    assert guessing_loss(3072, "DPO") is None
    assert guessing_loss(None, "SFT") is None


def test_finds_the_newest_finite_checkpoint(tmp_path: Path) -> None:
    for step, value in ((9, 1.0), (10, 1.0), (11, NAN)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save_file({"a": np.full(3, value, np.float32)}, folder / "model-00001-of-00001.safetensors")
    assert newest_finite(tmp_path) == tmp_path / "checkpoint-10"


def test_ignores_checkpoints_without_safetensors(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / "model_state.distcp").write_bytes(b"unknown")
    assert newest_finite(tmp_path) is None
