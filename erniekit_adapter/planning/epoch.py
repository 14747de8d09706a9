"""Tokens, steps and time of an epoch, from the data stage's manifest. Pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.planning.memory import recomputes
from erniekit_adapter.planning.shape import ModelShape
from erniekit_adapter.project.schema import Project

# Dense bfloat16 of an A100 as its maker gives it, and the share of it that a run is taken to reach.
CARD, CARD_FLOPS, UTILIZATION = "A100", 312e12, 0.35
_BOUND = re.compile(r"up to (\d{1,15})")


@dataclass(frozen=True)
class LinesRead:
    """What a data manifest says about training lines.

    Attributes:
        lines: lines to train on.
        tokens_per_line: mean of the lines that were counted; None where lengths were not counted.
        longest: an upper bound of the longest line's tokens; None likewise.
        all_counted: whether every line was counted, so that only the split makes the mean a guess.
    """

    lines: int
    tokens_per_line: float | None
    longest: int | None
    all_counted: bool


@dataclass(frozen=True)
class Epoch:
    """One pass over the training lines.

    Attributes:
        tokens: of all lines; None where lengths are not known.
        packs: at least and at most: full ones, or a line in each; None likewise.
        steps: optimizer steps of the whole run at most; None while the lines are not known.
        tokens_per_step: at most, with full packs.
        hours: at the assumed speed; None on a CPU, where no time is promised.
    """

    tokens: int | None
    packs: tuple[int, int] | None
    steps: int | None
    tokens_per_step: int
    hours: float | None


def lines_read(manifest: Mapping[str, Any], *, preference: bool = False) -> LinesRead:
    """What planning needs of `data/manifest.json`; of lines for DPO it holds the number alone."""
    if preference:
        return LinesRead(int(manifest["preferences"]["by_split"].get("train", 0)), None, None, all_counted=False)
    counted = manifest.get("tokens_counted") or {}
    lines, tokens = counted.get("lines", 0), counted.get("tokens", 0)
    bounds = [int(found[1]) for key in manifest.get("tokens") or {} if (found := _BOUND.fullmatch(key))]
    return LinesRead(
        lines=int(manifest["by_split"]["train"]),
        tokens_per_line=tokens / lines if lines else None,
        longest=max(bounds, default=None),
        all_counted=lines == manifest.get("written"),
    )


def flops_per_token(project: Project, shape: ModelShape) -> int:
    """Floating-point operations a token, with N weights that see it: 2 N forwards, 4 N backwards, of which LoRA spares
    the half that makes gradients of frozen weights, and 2 N again with recomputation. Attention's own are left out."""
    multiple = (4 if project.lora.enabled else 6) + (2 if recomputes(project) else 0)
    looked_up = 0 if shape.tied else shape.embedding
    return multiple * (shape.active_parameters - looked_up)


def epoch_packs(read: LinesRead, max_seq_length: int) -> tuple[int, int] | None:
    """Return the packs of an epoch, at least (full ones) and at most (a line in each); None without lengths."""
    if read.tokens_per_line is None:
        return None
    return math.ceil(round(read.lines * read.tokens_per_line) / max_seq_length), read.lines


def epoch(project: Project, shape: ModelShape, read: LinesRead | None) -> Epoch:
    """An epoch of a project; without a manifest only what the project itself says."""
    training = project.training
    packs_per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps * project.parallel.data
    steps = training.max_steps
    if steps is None and read is not None:
        steps = math.ceil(read.lines * training.num_train_epochs / packs_per_step)
    tokens, packs, hours = None, None, None
    if read is not None and read.tokens_per_line is not None:
        tokens = round(read.lines * read.tokens_per_line)
        packs = epoch_packs(read, training.max_seq_length)
    if tokens is not None and training.device == "gpu":
        speed = CARD_FLOPS * UTILIZATION * project.parallel.world_size
        hours = tokens * flops_per_token(project, shape) / speed / 3600
    return Epoch(tokens, packs, steps, packs_per_step * training.max_seq_length, hours)
