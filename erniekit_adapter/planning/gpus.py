"""The models that one GPU of a given size can train, by this estimate. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from erniekit_adapter.architectures.families import family_of
from erniekit_adapter.architectures.models import one_of_each_size, published
from erniekit_adapter.architectures.toolkits import Quantization
from erniekit_adapter.planning.memory import memory_use
from erniekit_adapter.planning.recommend import changed, degrees, room_bytes
from erniekit_adapter.planning.shape import shape_of_catalogue
from erniekit_adapter.project.schema import Project

LENGTHS = tuple(1024 << power for power in range(8))
GPU_SIZES_GIB = (16, 24, 40, 80)


def _sizes() -> Iterator[tuple[str, Quantization | None]]:
    """Yield the first published model of each size, smallest first, with the quantization that needs least memory."""
    for model in sorted(one_of_each_size().values(), key=lambda each: each.parameters_billion):
        family = family_of(model.kind)
        yield model.id, "wint4/8" if family.has_experts else None if family.takes_images else "wint8"


@dataclass(frozen=True)
class SingleGpuRun:
    """A way to train a model on one GPU.

    Attributes:
        model: its published id.
        method: `every weight`, `LoRA`, or LoRA over quantized weights.
        max_seq_length: the longest packs that fit, of 1,024, 2,048 … tokens; None if the shortest do not fit.
        impossible: why the toolkit cannot train it on one GPU; empty if it can.
    """

    model: str
    method: str
    max_seq_length: int | None
    impossible: str = ""


def trainable_on(memory_gib: float) -> list[SingleGpuRun]:
    """Return the runs on one GPU with one pack per step, LoRA of rank 16 on all targets, and defaults otherwise."""
    found = []
    for name, quantization in _sizes():
        if not degrees(_project(name, {}), shape_of_catalogue(published(name)), 1):
            found.append(SingleGpuRun(name, "any", None, "needs two GPUs or more, as a pipeline"))
            continue
        found.append(_longest(name, "every weight", {"lora": {"enabled": False}}, memory_gib))
        found.append(_longest(name, "LoRA", {}, memory_gib))
        if quantization:
            found.append(
                _longest(name, f"LoRA, {quantization}", {"training": {"quantization": quantization}}, memory_gib)
            )
    return found


def _longest(name: str, method: str, settings: Mapping[str, object], memory_gib: float) -> SingleGpuRun:
    shape = shape_of_catalogue(published(name))
    project = _project(name, settings)
    fits = None
    for length in LENGTHS:
        if memory_use(changed(project, training={"max_seq_length": length}), shape).total > room_bytes(memory_gib):
            break
        fits = length
    return SingleGpuRun(name, method, fits)


def _project(name: str, settings: Mapping[str, object]) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": name}, "output_dir": "./runs/plan", **settings})
