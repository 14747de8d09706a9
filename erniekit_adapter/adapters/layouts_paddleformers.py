"""The layouts of PaddleFormers 1.2's adapters: text models fuse q, k and v per kv group, PaddleOCR-VL keeps all apart.

Its names are those of Hugging Face's checkpoints (`model.`), its orientation is Paddle's: A (in, r), B (r, out).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from erniekit_adapter.adapters.layouts import (
    PARTS,
    QKV,
    UP_GATE,
    ModelShape,
    column_splitter,
    fused_linears,
    linear_shapes,
)
from erniekit_adapter.adapters.layouts_lora import Array, Linear, whole
from erniekit_adapter.errors import AdapterError, Problem


def split_groups(array: Array, shape: ModelShape) -> list[Array]:
    """Cut the columns of PaddleFormers' `qkv_proj` into q, k and v.

    For each key head there lie its query heads, then itself, then its value head:
    [q0 q1 k0 v0 | q2 q3 k1 v1 | …]. With as many key as query heads that is ERNIEKit's interleaving.

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


def join_groups(q: Array, k: Array, v: Array, shape: ModelShape) -> Array:
    """Fuse q, k and v, each (rows, width), into PaddleFormers' columns: the inverse of `split_groups`."""
    rows, queries = len(q), shape.heads // shape.kv_heads
    parts = [
        q.reshape(rows, shape.kv_heads, queries, shape.head_dim),
        k.reshape(rows, shape.kv_heads, 1, shape.head_dim),
        v.reshape(rows, shape.kv_heads, 1, shape.head_dim),
    ]
    return np.concatenate(parts, axis=2).reshape(rows, shape.q_width + 2 * shape.kv_width)


def group_splitter(module: str, shape: ModelShape) -> Callable[[Array], list[Array]]:
    """How PaddleFormers' columns of a module are cut."""
    if module == QKV:
        return lambda array: split_groups(array, shape)
    return column_splitter(module, shape)


def text_linears(shape: ModelShape) -> dict[str, Linear]:
    """The linear layers of a dense text model as PaddleFormers 1.2 keeps them."""
    return fused_linears(shape, "model", group_splitter)


def apart_linears(shape: ModelShape, target: str = "model.layers") -> dict[str, Linear]:
    """The linear layers of a decoder that keeps every projection apart: PaddleFormers 0.3 and 0.4, and PaddleOCR-VL.

    Args:
        shape: the model's sizes.
        target: what the layers are called in Hugging Face's model.
    """
    fused = linear_shapes(shape)
    sizes = {part: fused[module] for module, parts in PARTS.items() for part in parts}
    for part, width in zip(PARTS[QKV], (shape.q_width, shape.kv_width, shape.kv_width), strict=True):
        sizes[part] = (shape.hidden, width)
    sizes |= dict.fromkeys(PARTS[UP_GATE], (shape.hidden, shape.ffn))
    return {
        f"model.layers.{layer}.{part}": Linear(part, size, (f"{target}.{layer}.{part}",), whole)
        for layer in range(shape.layers)
        for part, size in sizes.items()
    }


_VISION_KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "spatial_merge_size")


def paddleocr_vl_shape(config: Mapping[str, Any]) -> ModelShape:
    """The sizes of PaddleOCR-VL's language model, which the config says at its top or, of transformers 5, apart.

    Raises:
        AdapterError: keys are missing or wrong; all problems at once.
    """
    apart = config.get("text_config")
    return ModelShape.from_config({**config, **apart} if isinstance(apart, Mapping) else config)


def paddleocr_vl_linears(config: Mapping[str, Any]) -> dict[str, Linear]:
    """The linear layers of PaddleOCR-VL, in PaddleFormers' names, to those of transformers 5's class.

    There, the language model's layers are `model.language_model.layers`, the vision tower's are under `model.visual`
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
