"""Tensor layouts of PaddleFormers 1.2's adapters: text models fuse q, k and v by kv group, PaddleOCR-VL fuses nothing.

Names are those of Hugging Face's checkpoints (`model.`). The orientation is Paddle's: A (in, r), B (r, out).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from erniekit_adapter.architectures.linear_layers import columns_of
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.layouts.dense import DenseShape, column_splitter, fused_linears, part_shapes
from erniekit_adapter.layouts.lora_tensors import Array, Linear, whole


def split_groups(array: Array, shape: DenseShape) -> list[Array]:
    """Split the columns of PaddleFormers' `qkv_proj` into q, k and v.

    Each key head comes after its query heads and before its value head: [q0 q1 k0 v0 | q2 q3 k1 v1 | …]. If there are
    as many key heads as query heads, this is ERNIEKit's interleaved order.

    Args:
        array: (rows, (heads + 2 · kv_heads) · head_dim).
        shape: the model's sizes.

    Returns:
        q (rows, heads · head_dim), k and v (rows, kv_heads · head_dim).
    """
    rows, queries = len(array), shape.heads // shape.kv_heads
    groups = array.reshape(rows, shape.kv_heads, queries + 2, shape.head_dim)
    return [
        groups[:, :, :queries].reshape(rows, shape.q_width),
        groups[:, :, queries].reshape(rows, shape.kv_width),
        groups[:, :, queries + 1].reshape(rows, shape.kv_width),
    ]


def join_groups(q: Array, k: Array, v: Array, shape: DenseShape) -> Array:
    """Fuse q, k and v, each (rows, width), into PaddleFormers' columns: the inverse of `split_groups`."""
    rows, queries = len(q), shape.heads // shape.kv_heads
    parts = [
        q.reshape(rows, shape.kv_heads, queries, shape.head_dim),
        k.reshape(rows, shape.kv_heads, 1, shape.head_dim),
        v.reshape(rows, shape.kv_heads, 1, shape.head_dim),
    ]
    return np.concatenate(parts, axis=2).reshape(rows, shape.q_width + 2 * shape.kv_width)


def group_splitter(module: str, shape: DenseShape) -> Callable[[Array], list[Array]]:
    """Return the function that splits PaddleFormers' columns of a module."""
    if columns_of(module, "paddleformers") == "kv-groups":
        return lambda array: split_groups(array, shape)
    return column_splitter(module, shape)


def text_linears(shape: DenseShape) -> dict[str, Linear]:
    """Return the linear layers of a dense text model in the layout of PaddleFormers 1.2."""
    return fused_linears(shape, "model", group_splitter)


def apart_linears(shape: DenseShape, target: str = "model.layers") -> dict[str, Linear]:
    """Return the linear layers of a decoder without fused projections: PaddleFormers 0.3 and 0.4, and PaddleOCR-VL.

    Args:
        shape: the model's sizes.
        target: name of the layers in Hugging Face's model.
    """
    return {
        f"model.layers.{layer}.{part}": Linear(part, size, (f"{target}.{layer}.{part}",), whole)
        for layer in range(shape.layers)
        for part, size in part_shapes(shape).items()
    }


_VISION_KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "spatial_merge_size")


def paddleocr_vl_shape(config: Mapping[str, Any]) -> DenseShape:
    """Return the sizes of PaddleOCR-VL's language model: keys of the config, or of its text_config (transformers 5).

    Raises:
        AdapterError: keys are missing or wrong; all problems at once.
    """
    text_config = config.get("text_config")
    return DenseShape.from_config({**config, **text_config} if isinstance(text_config, Mapping) else config)


def paddleocr_vl_linears(config: Mapping[str, Any]) -> dict[str, Linear]:
    """Return the linear layers of PaddleOCR-VL by PaddleFormers' names, with the names of transformers 5 as parts.

    In transformers 5, the language model's layers are `model.language_model.layers`, the vision tower is `model.visual`
    and `mlp_AR` is `model.projector`.

    Raises:
        AdapterError: the config lacks a size; all of them at once.
    """
    shape = paddleocr_vl_shape(config)
    vision = config.get("vision_config")
    vision = vision if isinstance(vision, Mapping) else {}
    if problems := list(_vision_problems(vision)):
        raise AdapterError(problems)
    linears = apart_linears(shape, "model.language_model.layers")
    hidden, ffn = vision["hidden_size"], vision["intermediate_size"]
    sizes = {f"self_attn.{name}_proj": (hidden, hidden) for name in ("q", "k", "v", "out")}
    sizes |= {"mlp.fc1": (hidden, ffn), "mlp.fc2": (ffn, hidden)}
    for layer in range(vision["num_hidden_layers"]):
        for module, size in sizes.items():
            stem = f"visual.vision_model.encoder.layers.{layer}.{module}"
            linears[stem] = Linear(f"visual {module}", size, (f"model.{stem}",), whole)
    merged = hidden * vision["spatial_merge_size"] ** 2
    for name, width in (("linear_1", merged), ("linear_2", shape.hidden)):
        linears[f"mlp_AR.{name}"] = Linear(f"mlp_AR {name}", (merged, width), (f"model.projector.{name}",), whole)
    return linears


def _vision_problems(vision: Mapping[str, Any]) -> Iterator[Problem]:
    for key in _VISION_KEYS:
        value = vision.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield Problem(f"config.json vision_config.{key}", f"{value!r} is not a positive whole number")
