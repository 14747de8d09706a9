"""ERNIEKit's fused tensor layout and Hugging Face's split one: functions from arrays to arrays, without any I/O.

ERNIEKit keeps a linear weight as (in, out) and fuses the projections that read the same input: `qkv_proj` and
`up_gate_proj`. Hugging Face keeps (out, in) and one matrix per projection. Converting is cutting and transposing only,
so every number survives bit for bit, whatever its dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.adapters.layouts_lora import Linear
from erniekit_adapter.errors import AdapterError, Problem

Array = npt.NDArray[Any]

QKV = "self_attn.qkv_proj"
UP_GATE = "mlp.up_gate_proj"
# The first half of `up_gate_proj` is the gate (the half that goes through silu), whatever its name says.
PARTS = {
    QKV: ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.o_proj": ("self_attn.o_proj",),
    UP_GATE: ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down_proj": ("mlp.down_proj",),
}
_NORMS = ("input_layernorm", "post_attention_layernorm")
EMBEDDING, HEAD = "ernie.embed_tokens.weight", "lm_head.weight"

_SIZES = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "ffn": "intermediate_size",
    "vocab": "vocab_size",
}


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a dense ERNIE 4.5 that decide its tensors' shapes.

    Attributes:
        layers: number of decoder layers.
        hidden: width of the hidden states.
        heads: number of query heads.
        kv_heads: number of key and value heads; fewer than `heads` is grouped-query attention.
        head_dim: width of one head; `heads * head_dim` need not be `hidden`.
        ffn: width of the feed-forward layer.
        vocab: number of tokens.
        tied: whether the output head is the embedding.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    tied: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """Read the sizes from a model's config.json; nothing is assumed where a key is missing.

        Raises:
            AdapterError: keys are missing or wrong, or the model is one that is not converted; all problems at once.
        """
        if problems := list(_config_problems(config)):
            raise AdapterError(problems)
        return cls(tied=config["tie_word_embeddings"], **{field: config[key] for field, key in _SIZES.items()})

    @property
    def q_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads together, which is that of all value heads."""
        return self.kv_heads * self.head_dim

    @property
    def interleaved(self) -> bool:
        """Whether the columns of `qkv_proj` go q, k, v head by head instead of all q, all k, all v."""
        return self.kv_heads == self.heads


# A module's name and the model's sizes, to what cuts the module's columns.
Splitter = Callable[[str, ModelShape], Callable[[Array], list[Array]]]


def _config_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    remedy = "the model folder's config.json has to say it; nothing is assumed"
    missing = [key for key in (*_SIZES.values(), "tie_word_embeddings") if config.get(key) is None]
    yield from (Problem(f"config.json {key}", "missing", remedy) for key in missing)
    for key in _SIZES.values():
        value = config.get(key)
        if value is not None and not _is_positive(value):
            yield Problem(f"config.json {key}", f"{value!r} is not a positive whole number")
    tied = config.get("tie_word_embeddings")
    if tied is not None and not isinstance(tied, bool):
        yield Problem("config.json tie_word_embeddings", f"{tied!r} is not true or false")
    heads, kv_heads = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if isinstance(heads, int) and isinstance(kv_heads, int) and kv_heads > 0 and heads % kv_heads:
        yield Problem("config.json num_key_value_heads", f"{kv_heads} does not divide the {heads} heads")
    experts = config.get("moe_num_experts")
    if sum(experts) if isinstance(experts, list) else experts:
        yield Problem("config.json moe_num_experts", f"{experts}: mixture-of-experts models have a layout of their own")
    if config.get("use_bias"):
        yield Problem("config.json use_bias", "models whose linear layers have a bias are not converted")


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def linear_shapes(shape: ModelShape) -> dict[str, tuple[int, int]]:
    """ERNIEKit's linear modules of one layer, each with its (in, out)."""
    return {
        QKV: (shape.hidden, shape.q_width + 2 * shape.kv_width),
        "self_attn.o_proj": (shape.q_width, shape.hidden),
        UP_GATE: (shape.hidden, 2 * shape.ffn),
        "mlp.down_proj": (shape.ffn, shape.hidden),
    }


def base_shapes(shape: ModelShape) -> dict[str, tuple[int, ...]]:
    """Every tensor of a base model in ERNIEKit's layout, each with its shape; a tied head is not among them."""
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (shape.vocab, shape.hidden)}
    for layer in range(shape.layers):
        prefix = f"ernie.layers.{layer}"
        shapes |= {f"{prefix}.{norm}.weight": (shape.hidden,) for norm in _NORMS}
        shapes |= {f"{prefix}.{module}.weight": size for module, size in linear_shapes(shape).items()}
    shapes["ernie.norm.weight"] = (shape.hidden,)
    if not shape.tied:
        shapes[HEAD] = (shape.hidden, shape.vocab)
    return shapes


def split_columns(module: str, array: Array, shape: ModelShape) -> dict[str, Array]:
    """Cut the columns of a fused projection into Hugging Face's projections.

    Args:
        module: ERNIEKit's name within a layer, a key of `PARTS`.
        array: (rows, out) in ERNIEKit's layout: a weight, or a `lora_B`.
        shape: the model's sizes.

    Returns:
        Hugging Face's names within a layer, each with its (rows, columns), still in ERNIEKit's orientation.
    """
    names = PARTS[module]
    if module == QKV and shape.interleaved:
        per_head = array.reshape(len(array), shape.heads, 3, shape.head_dim)
        return {name: per_head[:, :, part].reshape(len(array), shape.q_width) for part, name in enumerate(names)}
    if module == QKV:
        cuts = [shape.q_width, shape.q_width + shape.kv_width]
    else:
        cuts = [shape.ffn] if module == UP_GATE else []
    return dict(zip(names, np.split(array, cuts, axis=1), strict=True))


def join_columns(module: str, parts: Mapping[str, Array], shape: ModelShape) -> Array:
    """Fuse projections into ERNIEKit's columns: the inverse of `split_columns`."""
    arrays = [parts[name] for name in PARTS[module]]
    if module == QKV and shape.interleaved:
        heads = [array.reshape(len(array), shape.heads, shape.head_dim) for array in arrays]
        return np.stack(heads, axis=2).reshape(len(arrays[0]), 3 * shape.q_width)
    return np.concatenate(arrays, axis=1)


def erniekit_linears(shape: ModelShape) -> dict[str, Linear]:
    """The linear layers of a dense model as ERNIEKit keeps them."""
    return fused_linears(shape, "ernie", column_splitter)


def fused_linears(shape: ModelShape, prefix: str, splitter: Splitter) -> dict[str, Linear]:
    """The linear layers of a dense model that fuses q, k and v, and gate and up.

    Args:
        shape: the model's sizes.
        prefix: what the toolkit puts before `layers`.
        splitter: how the columns of a module are cut.
    """
    linears: dict[str, Linear] = {}
    for layer in range(shape.layers):
        for module, size in linear_shapes(shape).items():
            parts = tuple(f"model.layers.{layer}.{part}" for part in PARTS[module])
            linears[f"{prefix}.layers.{layer}.{module}"] = Linear(module, size, parts, splitter(module, shape))
    return linears


def column_splitter(module: str, shape: ModelShape) -> Callable[[Array], list[Array]]:
    """How ERNIEKit's columns of a module are cut."""
    return lambda array: list(split_columns(module, array, shape).values())


def lora_scaling(lora_config: Mapping[str, Any]) -> float:
    """The factor on A·B: alpha over the rank, or over its square root with rank-stabilised LoRA."""
    rank = lora_config["r"]
    return float(lora_config["lora_alpha"] / (math.sqrt(rank) if lora_config["rslora"] else rank))


def merged_weight(base: Array, lora_a: Array, lora_b: Array, scaling: float) -> npt.NDArray[np.float32]:
    """A base weight (in, out) with its LoRA, A (in, r) and B (r, out), added: (in, out) in float32.

    The arrays are of numpy's own float types; the product is scaled by `scaling`.
    """
    merged: npt.NDArray[np.float32] = lora_a.astype(np.float32) @ lora_b.astype(np.float32)
    merged *= np.float32(scaling)
    merged += base.astype(np.float32)
    return merged
