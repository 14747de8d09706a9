"""Rules for an initial adapter: when training starts from one, and when that is refused. Pure functions.

Neither toolkit has a key for LoRA targets or dropout. PaddleFormers reads `lora_alpha` and uses 2 × rank instead, or 4
with rslora. An initial adapter carries such settings: the toolkit takes over its configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from erniekit_adapter.architectures.families import Kind, family_of, takes_images
from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES
from erniekit_adapter.errors import Problem
from erniekit_adapter.lora.modules import matrices, target_matrices
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project


@dataclass(frozen=True)
class Reason:
    """A setting that the toolkit has no key for.

    Attributes:
        key: the project key.
        finding: its value, and the behaviour of the toolkit without an initial adapter.
        hint: a value for which no initial adapter is needed.
    """

    key: str
    finding: str
    hint: str


def initial_adapter_reasons(project: Project, kind: Kind) -> tuple[Reason, ...]:
    """Return the settings for which LoRA training starts from an initial adapter; empty if it does not."""
    return tuple(_reasons(project, kind)) if project.lora.enabled else ()


def needs_initial_adapter(project: Project, kind: Kind) -> bool:
    """Return whether LoRA training starts from an initial adapter."""
    return bool(initial_adapter_reasons(project, kind))


def _reasons(project: Project, kind: Kind) -> Iterator[Reason]:
    lora, backend = project.lora, project.backend
    toolkit = TOOLKIT_NAMES[backend]
    if target_matrices(lora, backend, kind) != tuple(matrices(backend, kind)):
        targets = ", ".join(sorted(lora.modules))
        finding = f"found {targets}; {toolkit} itself adapts every linear layer"
        yield Reason("lora.target_modules", finding, "set it to all-linear")
    if lora.lora_dropout > 0:
        finding = f"found {lora.lora_dropout:g}; {toolkit} itself trains without dropout"
        yield Reason("lora.lora_dropout", finding, "set it to 0.0")
    if backend == "erniekit":
        return
    own_alpha = 4 if lora.rslora else 2 * lora.r
    if lora.alpha != own_alpha:
        rule = "4 with rslora" if lora.rslora else "2 × lora.r"
        finding = f"found {lora.alpha}; {toolkit} itself uses {own_alpha} ({rule})"
        yield Reason("lora.lora_alpha", finding, f"set it to {own_alpha}")
    if backend in family_of(kind).adapts_vision and project.training.freeze_vision:
        finding = f"found true; {toolkit} itself adapts q, k and v of a frozen vision tower"
        yield Reason("training.freeze_vision", finding, "set it to false")


def initial_adapter_problems(project: Project, kind: Kind) -> list[Problem]:
    """Return the settings that need an initial adapter although training cannot start from one, each by its key."""
    reasons = initial_adapter_reasons(project, kind)
    if not reasons or not (refused := _refusal(project, kind)):
        return []
    finding, alternative = refused
    return [
        Problem(
            f"{PROJECT} {reason.key}",
            f"{reason.finding}, so training starts from an initial adapter: {finding}",
            f"{reason.hint}{alternative}",
        )
        for reason in reasons
    ]


def _refusal(project: Project, kind: Kind) -> tuple[str, str] | None:
    """Return why an initial adapter cannot be used, and another way out; None if it can."""
    parallel, backend = project.parallel, project.backend
    if parallel.model_parallel > 1:
        finding = f"this is not verified with tensor {parallel.tensor}, pipeline {parallel.pipeline}"
        return finding, "" if takes_images(kind) else ", or parallel.tensor and parallel.pipeline to 1"
    if backend == "erniekit" and takes_images(kind):
        return "ERNIEKit is not known to train a model that takes images from one", ""
    if backend in family_of(kind).adapts_vision and not project.training.freeze_vision:
        finding = f"{TOOLKIT_NAMES[backend]} would then not adapt the vision tower, and training.freeze_vision is false"
        return finding, ", or training.freeze_vision to true"
    return None
