"""Tokens, steps and time of an epoch, from the data stage's manifest. Pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.planning.memory import recomputes
from erniekit_adapter.planning.shape import ModelSizes
from erniekit_adapter.project.schema import Project

# Dense bfloat16 peak of an A100 by its specification, and the assumed share of it.
GPU, GPU_FLOPS, UTILIZATION = "A100", 312e12, 0.35
_BOUND = re.compile(r"up to (\d{1,15})")


@dataclass(frozen=True)
class ExampleStatistics:
    """Statistics of the training examples in a data manifest.

    Attributes:
        examples: number of training examples.
        tokens_per_example: mean length of the counted examples; None without counts.
        longest: upper bound of the longest example, in tokens; None without counts.
        all_counted: whether every example was counted; the mean then differs only by the split.
    """

    examples: int
    tokens_per_example: float | None
    longest: int | None
    all_counted: bool


@dataclass(frozen=True)
class Epoch:
    """One pass over the training examples.

    Attributes:
        tokens: of all examples; None if lengths are unknown.
        packs: least (full packs) and most (one example each); None if lengths are unknown.
        steps: most optimizer steps of the whole run; None before the data stage.
        tokens_per_step: with full packs.
        hours: at the assumed speed; None on a CPU.
    """

    tokens: int | None
    packs: tuple[int, int] | None
    steps: int | None
    tokens_per_step: int
    hours: float | None


def example_statistics(manifest: Mapping[str, Any], *, preference: bool = False) -> ExampleStatistics:
    """Read the statistics in `data/manifest.json`; for DPO it has only the number of examples."""
    if preference:
        return ExampleStatistics(
            int(manifest["preferences"]["by_split"].get("train", 0)), None, None, all_counted=False
        )
    counted = manifest.get("tokens_counted") or {}
    examples, tokens = counted.get("lines", 0), counted.get("tokens", 0)
    bounds = [int(found[1]) for key in manifest.get("tokens") or {} if (found := _BOUND.fullmatch(key))]
    return ExampleStatistics(
        examples=int(manifest["by_split"]["train"]),
        tokens_per_example=tokens / examples if examples else None,
        longest=max(bounds, default=None),
        all_counted=examples == manifest.get("written"),
    )


def flops_per_token(project: Project, shape: ModelSizes) -> int:
    """Return the floating-point operations per token, for N active weights.

    2 N for the forward pass, 4 N for the backward pass (2 N with LoRA, without gradients of frozen weights), and 2 N
    for recomputation. The operations of attention itself are not counted.
    """
    multiple = (4 if project.lora.enabled else 6) + (2 if recomputes(project) else 0)
    embedding = 0 if shape.tied else shape.embedding
    return multiple * (shape.active_parameters - embedding)


def epoch_packs(read: ExampleStatistics, max_seq_length: int) -> tuple[int, int] | None:
    """Return the least (full) and most (one example each) packs of an epoch; None without lengths."""
    if read.tokens_per_example is None:
        return None
    return math.ceil(round(read.examples * read.tokens_per_example) / max_seq_length), read.examples


def epoch(project: Project, shape: ModelSizes, read: ExampleStatistics | None) -> Epoch:
    """Return an epoch of a project; without a manifest only the values of the project file."""
    training = project.training
    packs_per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps * project.parallel.data
    steps = training.max_steps
    if steps is None and read is not None:
        steps = math.ceil(read.examples * training.num_train_epochs / packs_per_step)
    tokens, packs, hours = None, None, None
    if read is not None and read.tokens_per_example is not None:
        tokens = round(read.examples * read.tokens_per_example)
        packs = epoch_packs(read, training.max_seq_length)
    if tokens is not None and training.device == "gpu":
        speed = GPU_FLOPS * UTILIZATION * project.parallel.world_size
        hours = tokens * flops_per_token(project, shape) / speed / 3600
    return Epoch(tokens, packs, steps, packs_per_step * training.max_seq_length, hours)
