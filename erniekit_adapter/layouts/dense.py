"""ERNIEKit's fused tensor layout of dense models, and Hugging Face's split layout: functions of arrays, without files.

ERNIEKit stores a linear weight as (in, out) and fuses projections with the same input: `qkv_proj` and `up_gate_proj`.
Hugging Face stores (out, in) and one matrix for each projection. The conversion splits and transposes, so every number
of any dtype stays bit for bit the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.architectures.linear_layers import FUSED, FUSED_LAYERS, LINEAR_LAYERS, Width, columns_of
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.layouts.lora_tensors import Array, Linear

QKV, UP_GATE = (f"{FUSED[fused.name][0].block}.{fused.name}" for fused in FUSED_LAYERS)
# ERNIEKit's matrices of a decoder layer, each with the Hugging Face layers in its columns, in order. The first half of
# `up_gate_proj` is the gate (the half with silu), although its name begins with `up`.
PARTS = {
    f"{parts[0].block}.{name}": tuple(f"{part.block}.{part.name}" for part in parts) for name, parts in FUSED.items()
}
_LAYERS = {f"{layer.block}.{layer.name}": layer for layer in LINEAR_LAYERS}
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
class DenseShape:
    """Sizes of a dense ERNIE 4.5 that determine the shapes of its tensors.

    Attributes:
        layers: number of decoder layers.
        hidden: width of the hidden states.
        heads: number of query heads.
        kv_heads: number of key and value heads; with fewer than `heads`, attention has grouped queries.
        head_dim: width of one head; `heads * head_dim` can differ from `hidden`.
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
    def from_config(cls, config: Mapping[str, Any]) -> DenseShape:
        """Read the sizes from a model's config.json. A missing key has no default and is an error.

        Raises:
            AdapterError: keys are missing or wrong, or the model is not supported; all problems at once.
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
        """Width of all key heads together, equal to that of all value heads."""
        return self.kv_heads * self.head_dim

    def width(self, width: Width) -> int:
        """Width of a linear layer's input or output."""
        return {"hidden": self.hidden, "queries": self.q_width, "keys": self.kv_width, "ffn": self.ffn}[width]

    @property
    def interleaved(self) -> bool:
        """True if the columns of `qkv_proj` are q, k, v of each head instead of all q, all k, all v."""
        return self.kv_heads == self.heads


# Returns a function that splits a module's columns, from the module's name and the model's sizes.
Splitter = Callable[[str, DenseShape], Callable[[Array], list[Array]]]


def _config_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    hint = "add it to the model folder's config.json; it has no default"
    missing = [key for key in (*_SIZES.values(), "tie_word_embeddings") if config.get(key) is None]
    yield from (Problem(f"config.json {key}", "missing", hint) for key in missing)
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
        yield Problem("config.json moe_num_experts", f"{experts}: mixture-of-experts models have another layout")
    if config.get("use_bias"):
        yield Problem("config.json use_bias", "models with a bias in linear layers are not supported")


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def linear_shapes(shape: DenseShape) -> dict[str, tuple[int, int]]:
    """Return the shape (in, out) of each linear module of one layer in ERNIEKit's layout."""
    sizes = part_shapes(shape)
    return {module: (sizes[parts[0]][0], sum(sizes[part][1] for part in parts)) for module, parts in PARTS.items()}


def part_shapes(shape: DenseShape) -> dict[str, tuple[int, int]]:
    """Return the shape (in, out) of each linear layer of one decoder layer in the Hugging Face layout."""
    return {name: (shape.width(layer.inputs), shape.width(layer.outputs)) for name, layer in _LAYERS.items()}


def base_shapes(shape: DenseShape) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a base model in ERNIEKit's layout, without a tied head."""
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (shape.vocab, shape.hidden)}
    for layer in range(shape.layers):
        prefix = f"ernie.layers.{layer}"
        shapes |= {f"{prefix}.{norm}.weight": (shape.hidden,) for norm in _NORMS}
        shapes |= {f"{prefix}.{module}.weight": size for module, size in linear_shapes(shape).items()}
    shapes["ernie.norm.weight"] = (shape.hidden,)
    if not shape.tied:
        shapes[HEAD] = (shape.hidden, shape.vocab)
    return shapes


def split_columns(module: str, array: Array, shape: DenseShape) -> dict[str, Array]:
    """Split the columns of a fused projection into Hugging Face's projections.

    Args:
        module: ERNIEKit's name within a layer, a key of `PARTS`.
        array: (rows, out) in ERNIEKit's layout: a weight, or a `lora_B`.
        shape: the model's sizes.

    Returns:
        Arrays (rows, columns) by Hugging Face's names within a layer, in ERNIEKit's orientation.
    """
    names = PARTS[module]
    if columns_of(module, "erniekit") == "heads" and shape.interleaved:
        per_head = array.reshape(len(array), shape.heads, 3, shape.head_dim)
        return {name: per_head[:, :, part].reshape(len(array), shape.q_width) for part, name in enumerate(names)}
    sizes = part_shapes(shape)
    cuts = np.cumsum([sizes[name][1] for name in names])[:-1]
    return dict(zip(names, np.split(array, cuts, axis=1), strict=True))


def join_columns(module: str, parts: Mapping[str, Array], shape: DenseShape) -> Array:
    """Fuse projections into ERNIEKit's columns: the inverse of `split_columns`."""
    arrays = [parts[name] for name in PARTS[module]]
    if columns_of(module, "erniekit") == "heads" and shape.interleaved:
        heads = [array.reshape(len(array), shape.heads, shape.head_dim) for array in arrays]
        return np.stack(heads, axis=2).reshape(len(arrays[0]), 3 * shape.q_width)
    return np.concatenate(arrays, axis=1)


def erniekit_linears(shape: DenseShape) -> dict[str, Linear]:
    """Return the linear layers of a dense model in ERNIEKit's layout."""
    return fused_linears(shape, "ernie", column_splitter)


def fused_linears(shape: DenseShape, prefix: str, splitter: Splitter) -> dict[str, Linear]:
    """Return the linear layers of a dense model that fuses q, k and v, and gate and up.

    Args:
        shape: the model's sizes.
        prefix: the toolkit's prefix of `layers` in names.
        splitter: returns the function that splits the columns of a module.
    """
    linears: dict[str, Linear] = {}
    for layer in range(shape.layers):
        for module, size in linear_shapes(shape).items():
            parts = tuple(f"model.layers.{layer}.{part}" for part in PARTS[module])
            linears[f"{prefix}.layers.{layer}.{module}"] = Linear(module, size, parts, splitter(module, shape))
    return linears


def column_splitter(module: str, shape: DenseShape) -> Callable[[Array], list[Array]]:
    """Return the function that splits ERNIEKit's columns of a module."""
    return lambda array: list(split_columns(module, array, shape).values())


def merged_weight(base: Array, lora_a: Array, lora_b: Array, scaling: float) -> npt.NDArray[np.float32]:
    """Return base + scaling · A·B, (in, out) in float32, for a base weight (in, out), A (in, r) and B (r, out)."""
    merged: npt.NDArray[np.float32] = lora_a.astype(np.float32) @ lora_b.astype(np.float32)
    merged *= np.float32(scaling)
    merged += base.astype(np.float32)
    return merged
