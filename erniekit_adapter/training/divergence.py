"""Detect a run that has diverged: by its losses while it trains, and by the weights that it saved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.finite import NotFinite, describe, not_finite
from erniekit_adapter.training.checkpoints import checkpoints_of, discard

# A run ends after two bad measurements over three steps: fp16 may overflow in one step and recover.
_BAD_MEASUREMENTS = 2
_BAD_STEPS = 3
# Paddle's cross entropy of logits that are NaN is ln(vocabulary); logged values differ from it by less than 3e-6.
_AT_GUESSING = 1e-4
# A loss below this share of ln(vocabulary) shows that a model has learned; with random weights it scatters around it.
_LEARNED_SHARE = 0.9


@dataclass(frozen=True)
class Divergence:
    """Divergence of a run.

    Attributes:
        step: the first step with a bad loss.
        loss: the loss there.
        guessing_loss: ln(vocabulary), the loss of a model that gives every token the same probability; None if the
            vocabulary is unknown or the loss is not a cross entropy over it.
    """

    step: int
    loss: float
    guessing_loss: float | None

    def __str__(self) -> str:
        if not math.isfinite(self.loss) or self.guessing_loss is None:
            return f"the training diverged: the loss is {self.loss:.4g} from step {self.step} on"
        return (
            f"the training diverged: the loss is {self.loss:.4g} at step {self.step}; random guessing has "
            f"{self.guessing_loss:.4g}"
        )


@dataclass
class LossWatch:
    """Detects divergence in the losses of a run.

    A loss is bad if it is NaN or infinite, or if it reaches ln(vocabulary) after it was clearly lower. A base model
    with random weights begins near ln(vocabulary); there only the exact ln(vocabulary) of NaN logits is bad.

    Attributes:
        guessing_loss: ln(vocabulary); None to detect only NaN and infinite losses.
    """

    guessing_loss: float | None
    _has_learned: bool = False
    _bad: list[tuple[int, float]] = field(default_factory=list)
    _good_step: int = 0

    def update(self, found: Mapping[str, float]) -> Divergence | None:
        """Process a measurement, and return the divergence if the run has diverged by now."""
        if "loss" not in found or "step" not in found:
            return None
        step, loss = int(found["step"]), found["loss"]
        if not self._is_bad(loss):
            self._has_learned |= self.guessing_loss is not None and loss < self.guessing_loss * _LEARNED_SHARE
            self._bad, self._good_step = [], step
            return None
        self._bad.append((step, loss))
        if len(self._bad) < _BAD_MEASUREMENTS or step - self._good_step < _BAD_STEPS:
            return None
        return self.at_end()

    def at_end(self) -> Divergence | None:
        """Return the divergence of a run that has ended; here one bad measurement at the end is enough."""
        return Divergence(*self._bad[0], self.guessing_loss) if self._bad else None

    def _is_bad(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        if self.guessing_loss is None:
            return False
        return abs(loss - self.guessing_loss) < _AT_GUESSING or (self._has_learned and loss >= self.guessing_loss)


class DivergedError(Exception):
    """Ends the toolkit of a diverged run from within the callback that follows its log."""


def guessing_loss(vocabulary: object, method: str) -> float | None:
    """Return the cross entropy in nats of a model that gives every token of a vocabulary the same probability.

    Args:
        vocabulary: number of tokens, from the model's config.json.
        method: the training method; None is returned for DPO, whose loss is not a cross entropy over the vocabulary.
    """
    if method == "DPO" or not isinstance(vocabulary, int) or vocabulary < 2:
        return None
    return math.log(vocabulary)


def saved_not_finite(folder: Path) -> list[NotFinite]:
    """Return the saved weights with NaN or infinite values; optimizer states are not read.

    Raises:
        AdapterError: a file is damaged.
    """
    return not_finite(weight_files_of(folder))


def weight_files_of(folder: Path) -> list[Path]:
    """Return the weight files in a toolkit's output folder or checkpoint."""
    return sorted([*folder.glob("peft_model*.safetensors"), *folder.glob("model*.safetensors")])


def drop_bad_checkpoints(output: Path) -> list[tuple[Path, str]]:
    """Remove the checkpoints with a damaged or non-finite adapter: a run resumed from one continues with NaN.

    Full weights are not read here: that takes minutes, and they are read at the end of the run.

    Returns:
        The removed folders, each with the reason.
    """
    removed = []
    for checkpoint in checkpoints_of(output):
        adapter = sorted(checkpoint.glob("peft_model*.safetensors"))
        try:
            found = not_finite(adapter)
            reason = f"NaN or infinite: {describe(found)}" if found else ""
        except AdapterError as error:
            if isinstance(error.__cause__, OSError):  # the disk may be offline, and the checkpoint good
                raise
            reason = str(error.problems[0])
        if reason:
            discard(checkpoint)
            removed.append((checkpoint, reason))
    return removed


def newest_finite(output: Path) -> Path | None:
    """Return the newest checkpoint whose safetensors weights are all finite, or None.

    Checkpoints of PaddleFormers hold no safetensors files, so they never count.
    """
    for checkpoint in checkpoints_of(output):
        try:
            if (files := weight_files_of(checkpoint)) and not not_finite(files):
                return checkpoint
        except AdapterError:
            continue
    return None


def diverged(command: str, divergence: str, learning_rate: float, kept: Path | None) -> AdapterError:
    """Return the error of a run that has diverged, with the setting to change.

    Args:
        command: the command that ran, such as `erniekit train`.
        divergence: how the divergence was detected.
        learning_rate: the project's learning rate.
        kept: the newest checkpoint whose weights are known to be finite.
    """
    rest = f"; the last checkpoint with finite weights is {kept}" if kept else ""
    hint = f"lower training.learning_rate (now {learning_rate:g}) and train with --restart{rest}"
    return failure(command, divergence, hint)
