"""Memory of the fullest GPU of a run, from the model's shape and the project. Pure functions.

Counted: weights, LoRA, gradients, optimizer, the reference model of DPO. Estimated: activations, logits, the vision
tower's activations, buffers and the reserve; the functions give the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from erniekit_adapter.architectures.toolkits import Quantization
from erniekit_adapter.planning.shape import ModelSizes
from erniekit_adapter.planning.trained import lora_of_joint, lora_of_layer, trained_vision
from erniekit_adapter.project.schema import Project

GIB = 2**30
# Share of image tokens in a pack: a page of a megapixel has about 1,300 tokens, its answer about 800.
PAGE_SHARE = 0.6
# Share of tokens with a loss, for toolkits that compute logits only for them: 37 % in the demo's training examples.
LABELLED_SHARE = 0.4
FRAMEWORK_BYTES, LINKED_GPU_BYTES, CPU_BYTES = round(1.5 * GIB), GIB, GIB // 2
FRAGMENTED_SHARE = 0.05
_PATCHES_PER_TOKEN = 4

# Bytes of a weight outside and inside experts.
_QUANTIZED: Mapping[Quantization, tuple[float, float]] = {
    "wint8": (1, 1),
    "wint4": (0.5, 0.5),
    "wint4/8": (1, 0.5),
    "nf4": (0.5, 0.5),
    "fp8": (1, 1),
}


@dataclass(frozen=True)
class MemoryUse:
    """Memory of the fullest GPU, in bytes.

    Attributes:
        weights: text model, trained or frozen.
        lora, gradients, optimizer: of trained weights; the optimizer has float32 master weights and two moments.
        reference: DPO's second copy of the model, without LoRA.
        activations, logits: of one step.
        vision: weights and activations of vision tower and projector.
        buffers: the dequantized copy of a matrix.
        reserve: framework, CUDA context, communication and fragmentation.
        host: optimizer in host memory, of all GPUs together; not in `total`.
    """

    weights: int
    lora: int
    gradients: int
    optimizer: int
    reference: int
    activations: int
    logits: int
    vision: int
    buffers: int
    reserve: int
    host: int

    @property
    def total(self) -> int:
        """Memory on the GPU, in bytes."""
        return sum(size for name, size in asdict(self).items() if name != "host")


@dataclass(frozen=True)
class Precision:
    """Bytes per number, and the effects of toolkit keys on memory.

    Attributes:
        linear, expert: weights of matrices outside and inside experts.
        other: embeddings, norms, LoRA, the vision tower, activations.
        gradient, optimizer: per trained weight.
        on_host: whether the optimizer is in host memory.
        labelled_only: whether logits are computed only for tokens with a loss.
    """

    linear: float
    expert: float
    other: int
    gradient: int
    optimizer: int
    on_host: bool
    labelled_only: bool


def toolkit_keys(project: Project) -> dict[str, Any]:
    """Return the toolkit's own keys in a project."""
    return project.erniekit.extra if project.backend == "erniekit" else project.paddleformers.extra


def precision(project: Project) -> Precision:
    """Return the bytes per number, by `training.quantization`, the device and the toolkit's own keys.

    These keys count: `amp_master_grad`, `tensorwise_offload_optimizer`, `offload_optim`, `use_lowprecision_moment`,
    `use_sparse_head_and_loss_fn` and `use_filtered_label_loss`. With fp8 ERNIEKit sets the second and the fourth, and
    for DPO the fifth.
    """
    training, keys = project.training, toolkit_keys(project)
    labelled = training.method == "DPO" and project.backend == "erniekit"
    labelled = bool(keys.get("use_sparse_head_and_loss_fn", keys.get("use_filtered_label_loss", labelled)))
    if training.device == "cpu":
        return Precision(4, 4, other=4, gradient=4, optimizer=8, on_host=False, labelled_only=labelled)
    fp8 = training.quantization == "fp8"
    linear, expert = _QUANTIZED[training.quantization] if training.quantization else (2, 2)
    on_host = fp8 or bool(keys.get("tensorwise_offload_optimizer") or keys.get("offload_optim"))
    return Precision(
        linear,
        expert,
        other=2,
        gradient=4 if keys.get("amp_master_grad") else 2,
        optimizer=8 if fp8 or keys.get("use_lowprecision_moment") else 12,
        on_host=on_host,
        labelled_only=labelled,
    )


def memory_use(project: Project, shape: ModelSizes) -> MemoryUse:
    """Return the memory of the fullest GPU of a run, by `parallel`, `training` and `lora`.

    Tensor parallelism divides matrices, embeddings, logits and inner activations. Pipelines divide layers: the fullest
    rank has the most layers with experts, and the embedding or the head. Sharding divides the optimizer, from stage2
    also the gradients, in stage3 also the weights. Each GPU of the first rank has the whole vision tower.
    """
    parallel, used = project.parallel, precision(project)
    share = _DividedBy.of(project)
    weights = round(_weights_of_rank(shape, used, parallel.pipeline) / parallel.tensor / share.weights)
    trained = _trained_of_rank(project, shape)
    optimizer = round(trained / share.optimizer * used.optimizer)
    reference = project.training.method == "DPO" and not project.lora.enabled and not project.dpo.reference_free
    vision = shape.vision_parameters * used.other / share.weights + _vision_activations(project, shape)
    counted = {
        "weights": weights,
        "lora": round(trained * used.other) if project.lora.enabled else 0,
        "gradients": round(trained / share.gradients * used.gradient),
        "optimizer": 0 if used.on_host else optimizer,
        "reference": weights if reference else 0,
        **_step(project, shape),
        "vision": round(vision),
        "buffers": _buffers(project, shape),
    }
    if project.training.device == "cpu":
        fixed = CPU_BYTES
    else:
        fixed = FRAMEWORK_BYTES + (LINKED_GPU_BYTES if parallel.world_size > 1 else 0)
    reserve = fixed + round(sum(counted.values()) * FRAGMENTED_SHARE)
    # Each data-parallel group without sharding has its own optimizer.
    host = optimizer * parallel.world_size if used.on_host else 0
    return MemoryUse(**counted, reserve=reserve, host=host)


@dataclass(frozen=True)
class _DividedBy:
    """Number of GPUs that share each part through sharding."""

    optimizer: int
    gradients: int
    weights: int

    @classmethod
    def of(cls, project: Project) -> _DividedBy:
        degree, stage = project.parallel.sharding, project.parallel.sharding_stage
        return cls(degree, degree if stage in ("stage2", "stage3") else 1, degree if stage == "stage3" else 1)


def _layers_of_rank(shape: ModelSizes, pipeline: int) -> tuple[int, int]:
    """Return the layers without and with experts of the fullest pipeline rank."""
    count = math.ceil(shape.layers / pipeline)
    with_experts = min(count, shape.expert_layers)
    return count - with_experts, with_experts


def _weights_of_rank(shape: ModelSizes, used: Precision, pipeline: int) -> float:
    size = 0.0
    for sort, count in zip((False, True), _layers_of_rank(shape, pipeline), strict=True):
        linear = shape.layer_parameters("attention", with_experts=sort) + shape.layer_parameters(
            "mlp", with_experts=sort
        )
        experts = shape.layer_parameters("experts", with_experts=sort)
        other = shape.layer_parameters("other", with_experts=sort)
        size += count * (linear * used.linear + experts * used.expert + other * used.other)
    embeddings = 1 if shape.tied or pipeline > 1 else 2
    return size + (embeddings * shape.embedding + shape.hidden) * used.other


def _trained_of_rank(project: Project, shape: ModelSizes) -> float:
    """Return the trained weights on the fullest GPU; the LoRA of a matrix is divided like the matrix."""
    parallel = project.parallel
    counts = tuple(zip((False, True), _layers_of_rank(shape, parallel.pipeline), strict=True))
    if project.lora.enabled:
        lora = sum(count * lora_of_layer(project, shape, with_experts=sort) for sort, count in counts)
        return lora / parallel.tensor + lora_of_joint(project, shape)
    text = sum(count * shape.one_layer(with_experts=sort) for sort, count in counts)
    text += shape.embedding * (1 if shape.tied or parallel.pipeline > 1 else 2) + shape.hidden
    return text / parallel.tensor + trained_vision(project, shape)


def recomputes(project: Project) -> bool:
    """Return whether activations are recomputed in the backward pass."""
    training = project.training
    return training.device == "gpu" if training.recompute is None else training.recompute


def inner_numbers(shape: ModelSizes, *, with_experts: bool) -> tuple[int, int]:
    """Return the numbers per token for the backward pass of a layer: outside matrices, and in their outputs.

    Assumed are 8 × hidden + 4 × ffn for a layer without experts. With experts, each chosen one copies its input and
    output, and has 4 × its ffn.
    """
    if not with_experts or shape.experts is None:
        return 4 * shape.hidden, 4 * shape.hidden + 4 * shape.ffn
    experts = shape.experts
    routed = experts.chosen * (2 * shape.hidden + 4 * experts.ffn)
    return 4 * shape.hidden, 4 * shape.hidden + 4 * experts.shared * experts.ffn + routed


def _step(project: Project, shape: ModelSizes) -> dict[str, int]:
    """Return the activations and logits of a step on the fullest GPU, in bytes.

    With recomputation each layer keeps its input, and one layer at a time its inner numbers; without it all layers
    keep them. The first rank of a pipeline keeps one micro-batch per rank. The last one has the logits in bfloat16,
    in float32 and as a float32 gradient (on a CPU only the last two).
    """
    training, parallel, used = project.training, project.parallel, precision(project)
    tokens = training.per_device_train_batch_size * training.max_seq_length
    outside = parallel.tensor if parallel.sequence else 1
    dense, mixed = _layers_of_rank(shape, parallel.pipeline)
    inner = {
        sort: a / outside + b / parallel.tensor
        for sort, (a, b) in ((s, inner_numbers(shape, with_experts=s)) for s in (False, True))
    }
    largest = max(inner[sort] for sort, count in ((False, shape.dense_layers), (True, shape.expert_layers)) if count)
    if recomputes(project):
        kept, passing = (dense + mixed) * shape.hidden / outside, largest
    else:
        kept, passing = dense * inner[False] + mixed * inner[True], 0.0
    in_flight = min(parallel.pipeline, training.gradient_accumulation_steps)
    scores = 0
    if training.device == "cpu":
        # Without flash attention the scores of every head are in memory, before and after the softmax.
        scores = 2 * shape.layers * shape.heads * training.max_seq_length * tokens * used.other
    bytes_per_logit = 8 if training.device == "cpu" else 10
    labelled = LABELLED_SHARE if used.labelled_only else 1.0
    return {
        "activations": round(tokens * (kept * in_flight + passing) * used.other) + scores,
        "logits": round(tokens * labelled * shape.vocabulary / parallel.tensor * bytes_per_logit),
    }


def _vision_activations(project: Project, shape: ModelSizes) -> float:
    """Return the bytes of the vision tower's activations; a frozen tower keeps those of one layer."""
    if shape.vision is None:
        return 0.0
    training, tower, used = project.training, shape.vision, precision(project)
    tokens = training.per_device_train_batch_size * training.max_seq_length * PAGE_SHARE
    patches = tokens * _PATCHES_PER_TOKEN
    inner = 8 * tower.hidden + 4 * tower.ffn
    if project.lora.enabled or training.freeze_vision:
        numbers = inner / 2
    elif recomputes(project):
        numbers = tower.layers * tower.hidden + inner
    else:
        numbers = tower.layers * inner
    return patches * numbers * used.other


def _buffers(project: Project, shape: ModelSizes) -> int:
    """Return the bytes of the largest matrix, dequantized to bfloat16."""
    if project.training.quantization is None:
        return 0
    sorts = [sort for sort, count in ((False, shape.dense_layers), (True, shape.expert_layers)) if count]
    sizes = [each.parameters // each.count for sort in sorts for each in shape.matrices(with_experts=sort)]
    return 2 * max(sizes) // project.parallel.tensor
