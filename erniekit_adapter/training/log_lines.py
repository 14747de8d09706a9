"""Parse the lines of ERNIEKit's log: measurements, numbers of steps and parameters. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from erniekit_adapter.backends.processes.failures import plain

_NUMBER = re.compile(r"(\w+): (-?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf))\b", re.IGNORECASE)
_TOTAL_STEPS = re.compile(r"Total optimization steps = (\d+)")
_TRAINABLE = re.compile(r"Number of trainable parameters = ([\d,]+)")

# ERNIEKit's names, and ours.
_NAMES: Mapping[str, str] = {
    "loss": "loss",
    "eval_loss": "eval_loss",
    "learning_rate": "learning_rate",
    "global_step": "step",
    "interval_steps_per_second": "steps_per_second",
    "progress_or_epoch": "progress",
}


def measurement(line: str) -> dict[str, float] | None:
    """Return the numbers of a training or evaluation line by our names; None for any other line.

    `loss: 6.2, learning_rate: 0.0004, global_step: 6, …, interval_steps_per_second: 0.5, …` becomes `{"loss": 6.2,
    "learning_rate": 0.0004, "step": 6, "steps_per_second": 0.5}`.
    """
    text = plain(line)
    if "loss: " not in text or text.lstrip().startswith("train_"):
        return None
    found = {_NAMES[name]: float(number) for name, number in _NUMBER.findall(text) if name in _NAMES}
    is_training = "loss" in found and "step" in found
    return found if is_training or "eval_loss" in found else None


def total_steps(line: str) -> int | None:
    """Return the number of optimizer steps if ERNIEKit announces it in this line."""
    match = _TOTAL_STEPS.search(line)
    return int(match[1]) if match else None


def trainable_parameters(line: str) -> int | None:
    """Return the number of trainable parameters if ERNIEKit announces it in this line."""
    match = _TRAINABLE.search(line)
    return int(match[1].replace(",", "")) if match else None
