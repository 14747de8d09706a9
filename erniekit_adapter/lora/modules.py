"""The matrices that LoRA adapts, by their names in each toolkit. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from erniekit_adapter.architectures.families import DEFAULT_KIND, Kind, toolkit_layers
from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES, Backend
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.toolkit_sections import LoraSection


def matrices(backend: Backend, kind: Kind) -> Mapping[str, tuple[str, ...]]:
    """Return a toolkit's matrices of a decoder layer, each with the names of the linear layers in it."""
    layers = toolkit_layers(backend, kind)
    return {name: tuple(part.name for part in parts) for name, parts in layers.items()}


def target_matrices(lora: LoraSection, backend: Backend = "erniekit", kind: Kind = DEFAULT_KIND) -> tuple[str, ...]:
    """Return the toolkit's names of the LoRA targets, for example `("qkv_proj", "o_proj")`."""
    return tuple(name for name, parts in matrices(backend, kind).items() if lora.modules >= set(parts))


def target_problems(lora: LoraSection, backend: Backend, kind: Kind) -> list[Problem]:
    """Return the problems of empty targets, and of targets that are only a part of a fused matrix."""
    if not lora.modules:
        return [
            Problem(
                f"{PROJECT} lora.target_modules",
                "is empty, so nothing would be trained",
                "set it to all-linear, or list linear layers",
            )
        ]
    return [
        Problem(
            f"{PROJECT} lora.target_modules",
            f"{', '.join(sorted(chosen))} without {', '.join(sorted(set(parts) - chosen))}: "
            f"{TOOLKIT_NAMES[backend]} keeps them in one matrix, {name}",
            f"list all of {', '.join(parts)}, or none",
        )
        for name, parts in matrices(backend, kind).items()
        if (chosen := lora.modules & set(parts)) and chosen != set(parts)
    ]
