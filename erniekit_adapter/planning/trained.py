"""Number of trained weights. Pure functions."""

from __future__ import annotations

from erniekit_adapter.architectures.linear_layers import LINEAR_MODULES
from erniekit_adapter.planning.shape import Matrix, ModelSizes
from erniekit_adapter.project.schema import Project


def trainable_parameters(project: Project, shape: ModelSizes) -> int:
    """Return the number of trained weights of the whole model."""
    if project.lora.enabled:
        layers = ((False, shape.dense_layers), (True, shape.expert_layers))
        return sum(count * lora_of_layer(project, shape, with_experts=sort) for sort, count in layers) + lora_of_joint(
            project, shape
        )
    return shape.text_parameters + trained_vision(project, shape)


def lora_of_layer(project: Project, shape: ModelSizes, *, with_experts: bool) -> int:
    """Return the LoRA weights of one layer: A (in, r) and B (r, out) for each matrix of the toolkit.

    ERNIEKit, and PaddleFormers for text models, adapt q, k and v as one matrix, gate and up as another. PaddleFormers
    adapts each linear layer by itself in models that take images.
    """
    apart = project.backend == "paddleformers" and shape.vision is not None
    return sum(
        each.count * _lora_of_matrix(each, project.lora.modules, project.lora.r, apart=apart)
        for each in shape.matrices(with_experts=with_experts)
    )


def _lora_of_matrix(matrix: Matrix, modules: frozenset[str], rank: int, *, apart: bool) -> int:
    if apart:
        chosen = [size for name, size in zip(matrix.projections, matrix.outputs, strict=True) if name in modules]
        return sum(rank * (matrix.inputs + size) for size in chosen)
    return rank * (matrix.inputs + sum(matrix.outputs)) if set(matrix.projections) <= modules else 0


def lora_of_joint(project: Project, shape: ModelSizes) -> int:
    """Return the LoRA weights of ERNIE-VL's resampler, which all-linear includes."""
    if shape.vision is None or shape.vision.projector != "resampler" or project.lora.modules < set(LINEAR_MODULES):
        return 0
    return sum(project.lora.r * (rows + columns) for rows, columns in shape.projector_sizes())


def trained_vision(project: Project, shape: ModelSizes) -> int:
    """Return the trained weights of vision tower and projector; `freeze_vision` leaves only the projector."""
    if shape.vision is None or project.lora.enabled:
        return 0
    return shape.projector_parameters if project.training.freeze_vision else shape.vision_parameters
