"""Bytes on the device and steps of a training run, from the model's shape and the project. Pure functions.

Counted exactly: weights, LoRA weights, gradients, optimizer states. Estimated: activations (see `activation_bytes`).
Held against a GPU only by the published minimum (one 80 GB card for the 0.3B model); no run of ours measured it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.errors import fail
from erniekit_adapter.project.catalogue import CatalogueModel
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import ATTENTION_MODULES

GIB = 2**30
_CATALOGUE_HEAD_DIM, _CATALOGUE_VOCABULARY = 128, 103_424


@dataclass(frozen=True)
class DenseShape:
    """The sizes of a dense decoder: layers, widths, heads, vocabulary in pieces, tied output head or not."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    tied: bool

    def linear_sizes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each projection of a layer, by its common name."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.ffn),
            "up_proj": (self.hidden, self.ffn),
            "down_proj": (self.ffn, self.hidden),
        }

    @property
    def parameters(self) -> int:
        """All weights: embedding, head unless tied, projections, two norms a layer and the last one."""
        layer = sum(rows * columns for rows, columns in self.linear_sizes().values()) + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * layer + self.hidden


def shape_of_catalogue(model: CatalogueModel) -> DenseShape:
    """The shape of a published dense model.

    Raises:
        AdapterError: it is a mixture of experts, whose memory this version does not estimate.
    """
    if model.kind != "dense":
        raise fail(model.id, "is a mixture of experts: its memory is not estimated yet", "see docs/cluster.md")
    sizes = (model.layers, model.hidden, model.heads, model.kv_heads)
    return DenseShape(*sizes, _CATALOGUE_HEAD_DIM, model.ffn, _CATALOGUE_VOCABULARY, tied=True)


def shape_of_config(config: Mapping[str, Any]) -> DenseShape:
    """The shape in a model folder's config.json.

    Raises:
        AdapterError: a key is missing, or the model is a mixture of experts.
    """
    keys = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size")
    unusable = [key for key in (*keys, "vocab_size") if not isinstance(config.get(key), int)]
    if unusable:
        raise fail("config.json", f"has no number for {', '.join(unusable)}", "is this an ERNIE 4.5 model's folder?")
    if config.get("moe_num_experts"):
        raise fail("config.json moe_num_experts", "a mixture of experts: its memory is not estimated yet")
    layers, hidden, heads, kv_heads, ffn = (config[key] for key in keys)
    head_dim = config.get("head_dim") or hidden // heads
    tied = bool(config.get("tie_word_embeddings", False))
    return DenseShape(layers, hidden, heads, kv_heads, head_dim, ffn, config["vocab_size"], tied)


@dataclass(frozen=True)
class Plan:
    """What a run needs.

    Attributes:
        parameters, trainable: numbers of weights.
        weight_bytes, optimizer_bytes, activation_bytes: on the device; optimizer includes gradients and LoRA weights.
        steps: optimizer steps at most: packing lines together makes them fewer; None while the lines are not known.
        tokens_per_step: at most, with full packs.
    """

    parameters: int
    trainable: int
    weight_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    steps: int | None
    tokens_per_step: int

    @property
    def device_bytes(self) -> int:
        """All that is counted, together."""
        return self.weight_bytes + self.optimizer_bytes + self.activation_bytes


def plan(project: Project, shape: DenseShape, lines: int | None) -> Plan:
    """What a project needs on one device.

    Args:
        project: the project file.
        shape: the base model's.
        lines: training lines, when the data stage has made them; every pack holds at least one.
    """
    training = project.training
    trainable = trainable_parameters(project, shape)
    width = 4 if training.device == "cpu" else 2
    frozen = shape.parameters if project.lora.enabled else 0
    # A trained weight costs itself, its gradient, and AdamW's two moments and master copy in float32.
    per_trained_weight = width + width + 4 + 4 + (0 if width == 4 else 4)
    global_batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
    steps = training.max_steps
    if steps is None and lines is not None:
        steps = math.ceil(lines * training.num_train_epochs / global_batch)
    return Plan(
        parameters=shape.parameters,
        trainable=trainable,
        weight_bytes=frozen * width,
        optimizer_bytes=trainable * per_trained_weight,
        activation_bytes=activation_bytes(project, shape),
        steps=steps,
        tokens_per_step=global_batch * training.max_seq_length,
    )


def trainable_parameters(project: Project, shape: DenseShape) -> int:
    """Weights that training changes; a fused projection has one A (in, r) and one B (r, out), as in ERNIEKit."""
    if not project.lora.enabled:
        return shape.parameters
    sizes, chosen, rank = shape.linear_sizes(), project.lora.modules, project.lora.r
    fused = (ATTENTION_MODULES[:3], ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
    layer = 0
    for parts in fused:
        if set(parts) <= chosen:
            layer += rank * (sizes[parts[0]][0] + sum(sizes[part][1] for part in parts))
    return shape.layers * layer


def activation_bytes(project: Project, shape: DenseShape) -> int:
    """Activations of a step: an estimate.

    With recomputation (GPU) each layer keeps its input, and one layer at a time its inner values; without (CPU) every
    layer keeps them. Inner values are taken as 8 × hidden + 4 × ffn numbers a token; logits are kept in float32 with
    their gradient.
    """
    training = project.training
    tokens, width = training.per_device_train_batch_size * training.max_seq_length, 2
    inner = 8 * shape.hidden + 4 * shape.ffn
    if training.device == "cpu":
        width, kept = 4, shape.layers * inner
        # No flash attention: the scores of every head stand in memory, in and out of the softmax.
        scores = 2 * shape.layers * shape.heads * training.max_seq_length * tokens * width
    else:
        kept, scores = shape.layers * shape.hidden + inner, 0
    return tokens * kept * width + scores + 2 * tokens * shape.vocabulary * 4
