"""The linear layers of a decoder layer: LoRA targets, sizes, and how the toolkits fuse them.

Attention is grouped-query attention, the feed-forward layer is SwiGLU: `down(silu(gate(x)) * up(x))`. Every ERNIE 4.5
model and PaddleOCR-VL's language model have these layers; an expert is a feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from erniekit_adapter.architectures.toolkits import Backend

TargetModule = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Block = Literal["self_attn", "mlp"]
# Widths: hidden states; all query heads; all key heads, which is that of all value heads; the feed-forward layer.
Width = Literal["hidden", "queries", "keys", "ffn"]
# Order of the columns of a fused layer: its parts one after the other; the same, but head by head if every query head
# has a key head of its own; or for each key head its query heads, itself, and its value head.
Columns = Literal["parts", "heads", "kv-groups"]


@dataclass(frozen=True)
class LinearLayer:
    """A linear layer under its name in Hugging Face's models, which is also its name as a LoRA target.

    Attributes:
        name: last part of its name.
        block: the module of a decoder layer that contains it.
        inputs, outputs: its widths.
    """

    name: TargetModule
    block: Block
    inputs: Width
    outputs: Width


LINEAR_LAYERS: tuple[LinearLayer, ...] = (
    LinearLayer("q_proj", "self_attn", "hidden", "queries"),
    LinearLayer("k_proj", "self_attn", "hidden", "keys"),
    LinearLayer("v_proj", "self_attn", "hidden", "keys"),
    LinearLayer("o_proj", "self_attn", "queries", "hidden"),
    LinearLayer("gate_proj", "mlp", "hidden", "ffn"),
    LinearLayer("up_proj", "mlp", "hidden", "ffn"),
    LinearLayer("down_proj", "mlp", "ffn", "hidden"),
)
LINEAR_MODULES: tuple[TargetModule, ...] = tuple(layer.name for layer in LINEAR_LAYERS)
ATTENTION_MODULES: tuple[TargetModule, ...] = tuple(layer.name for layer in LINEAR_LAYERS if layer.block == "self_attn")


@dataclass(frozen=True)
class FusedLayer:
    """Linear layers with the same input that a toolkit keeps in one matrix, side by side.

    Attributes:
        name: the toolkits' name; both use the same.
        parts: the layers in it, in order.
        columns: the order of its columns, by toolkit.
    """

    name: str
    parts: tuple[TargetModule, ...]
    columns: Mapping[Backend, Columns]


FUSED_LAYERS: tuple[FusedLayer, ...] = (
    FusedLayer("qkv_proj", ("q_proj", "k_proj", "v_proj"), {"erniekit": "heads", "paddleformers": "kv-groups"}),
    # Despite the name, the first half is the gate, to which silu applies.
    FusedLayer("up_gate_proj", ("gate_proj", "up_proj"), {"erniekit": "parts", "paddleformers": "parts"}),
)
# The two parameters of the experts of a layer in transformers 5: gate and up in one, and the last layer.
FUSED_EXPERT, LAST_EXPERT = "gate_up_proj", "down_proj"

# Each layer by itself.
SEPARATE: Mapping[str, tuple[LinearLayer, ...]] = {layer.name: (layer,) for layer in LINEAR_LAYERS}


def _with_fused() -> dict[str, tuple[LinearLayer, ...]]:
    fused_in = {part: fused for fused in FUSED_LAYERS for part in fused.parts}
    found: dict[str, tuple[LinearLayer, ...]] = {}
    for layer in LINEAR_LAYERS:
        if fused := fused_in.get(layer.name):
            found[fused.name] = tuple(SEPARATE[part][0] for part in fused.parts)
        else:
            found[layer.name] = (layer,)
    return found


# As the toolkits keep a text model: `{"qkv_proj": (q, k, v), "o_proj": (o,), …}`.
FUSED: Mapping[str, tuple[LinearLayer, ...]] = _with_fused()


def columns_of(module: str, toolkit: Backend) -> Columns:
    """Return the order of the columns of a toolkit's matrix, such as `self_attn.qkv_proj`."""
    name = module.rpartition(".")[2]
    return next((fused.columns[toolkit] for fused in FUSED_LAYERS if fused.name == name), "parts")
