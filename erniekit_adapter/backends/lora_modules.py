"""Which matrices LoRA adapts, by the names that each toolkit gives them. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from erniekit_adapter.errors import Problem
from erniekit_adapter.project.catalogue import Kind
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import LINEAR_MODULES, Backend, LoraSection

# Both toolkits keep these projections of a text model in one matrix; the images' models of PaddleFormers do not.
_FUSED: Mapping[str, tuple[str, ...]] = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "o_proj": ("o_proj",),
    "up_gate_proj": ("gate_proj", "up_proj"),
    "down_proj": ("down_proj",),
}
_APART: Mapping[str, tuple[str, ...]] = {name: (name,) for name in LINEAR_MODULES}


def matrices(backend: Backend, kind: Kind) -> Mapping[str, tuple[str, ...]]:
    """The toolkit's names of a layer's matrices, each with the projections that it holds, by their common names."""
    return _APART if backend == "paddleformers" and kind in ("vl-moe", "ocr-vl") else _FUSED


def target_matrices(lora: LoraSection, backend: Backend = "erniekit", kind: Kind = "dense") -> tuple[str, ...]:
    """The toolkit's names of what `lora.target_modules` asks, for example `("qkv_proj", "o_proj")`."""
    return tuple(name for name, parts in matrices(backend, kind).items() if lora.modules >= set(parts))


def target_problems(lora: LoraSection, backend: Backend, kind: Kind) -> list[Problem]:
    """Targets that are none, or a part of a matrix that the toolkit trains as a whole."""
    if not lora.modules:
        return [Problem(f"{PROJECT} lora.target_modules", "is empty: nothing would be trained", "name a projection")]
    return [
        Problem(
            f"{PROJECT} lora.target_modules",
            f"{', '.join(sorted(chosen))} without {', '.join(sorted(set(parts) - chosen))}: "
            f"{'ERNIEKit' if backend == 'erniekit' else 'PaddleFormers'} keeps them in one matrix, {name}",
            f"take all of {', '.join(parts)}, or none",
        )
        for name, parts in matrices(backend, kind).items()
        if (chosen := lora.modules & set(parts)) and chosen != set(parts)
    ]


def needs_initial_adapter(project: Project, kind: Kind) -> bool:
    """Whether LoRA is asked for in a way that the toolkit has no key for, so that training starts from an adapter.

    Neither toolkit has a key for targets or dropout. PaddleFormers takes `lora_alpha` and goes by 2 × rank, with rslora
    by 4; and of PaddleOCR-VL it adapts the vision tower's q, k and v even where it is told to freeze it.
    """
    lora, backend = project.lora, project.backend
    if not lora.enabled:
        return False
    if target_matrices(lora, backend, kind) != tuple(matrices(backend, kind)) or lora.lora_dropout > 0:
        return True
    if backend == "erniekit":
        return False
    frozen = kind == "ocr-vl" and project.training.freeze_vision
    return frozen or lora.alpha != (4 if lora.rslora else 2 * lora.r)
