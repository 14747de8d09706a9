"""Adapters that a tensor-parallel run left in the order of its processes, brought into the order of a whole model.

No shape tells one order from the other, so somebody has to say it; the proof shows whether it was right.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.adapters.layouts import QKV, UP_GATE, ModelShape
from erniekit_adapter.adapters.layouts_detection import layout_of, linears_of
from erniekit_adapter.adapters.layouts_lora import DEGREES, Array, shapes_of
from erniekit_adapter.adapters.peft import read_native, write_native
from erniekit_adapter.errors import fail

# What adapts each projection by itself, and so has nothing to bring into order.
_APART = ("paddleformers-apart", "paddleocr-vl")


def write_joined(native: Path, base_config: Mapping[str, Any], degree: int, output: Path) -> None:
    """Write an adapter with the columns of its fused projections in the order of a whole model, whole or not at all.

    Args:
        native: the adapter's folder as the toolkit wrote it.
        base_config: the content of the base model's config.json.
        degree: in how many parts its columns are ordered; 1 where they are joined, whatever lora_config.json says.
        output: the folder to write.

    Raises:
        AdapterError: a mixture of experts, or a degree that cannot have cut this model.
    """
    tensors, lora_config = read_native(native)
    if degree > 1:
        tensors = joined(tensors, base_config, degree)
    write_native(output, tensors, {**lora_config, **{key: 1 for key in DEGREES if key in lora_config}})


def joined(tensors: Mapping[str, Array], base_config: Mapping[str, Any], degree: int) -> dict[str, Array]:
    """The tensors of an adapter, `lora_B` (r, out) with its columns in the order of a whole model.

    Raises:
        AdapterError: a mixture of experts, or a degree that cannot have cut this model.
    """
    layout = layout_of(shapes_of(tensors), base_config)
    if layout in _APART:
        return dict(tensors)
    if layout.endswith("experts"):
        what = f"{degree}: how a model with experts is cut depends on expert parallelism, so it is not undone"
        raise fail("export.tensor_parallel_degree", what, "train with parallel.tensor 1")
    shape = ModelShape.from_config({"tie_word_embeddings": True, **base_config})
    check_degree(shape, degree)
    kinds = {stem: linear.kind for stem, linear in linears_of(layout, base_config).items()}

    def whole(name: str, array: Array) -> Array:
        kind = kinds.get(name.removesuffix(".lora_B"), "")
        # PaddleFormers cuts between key-value groups, which leaves their order as it is.
        if kind == QKV and layout == "paddleformers":
            return array
        return undo_tensor_parallel(kind, array, shape, degree)

    return {name: whole(name, array) if name.endswith(".lora_B") else array for name, array in tensors.items()}


def check_degree(shape: ModelShape, degree: int) -> None:
    """Refuse a tensor-parallel degree that cannot have cut this model into equal parts.

    Raises:
        AdapterError: `degree` does not divide the heads and the feed-forward width.
    """
    sizes = {"query heads": shape.heads, "key and value heads": shape.kv_heads, "feed-forward width": shape.ffn}
    if uneven := [f"{size} {name}" for name, size in sizes.items() if size % degree]:
        raise fail("export.tensor_parallel_degree", f"{degree} does not divide the model's {', '.join(uneven)}")


def undo_tensor_parallel(module: str, array: Array, shape: ModelShape, degree: int) -> Array:
    """Bring columns that lie part by part into the order of a whole model.

    A tensor-parallel run gives each of `degree` processes an equal share of every projection, so joined end to end
    the columns of `qkv_proj` are [q0 k0 v0 | q1 k1 v1 | …] and those of `up_gate_proj` [gate0 up0 | gate1 up1 | …].
    Where q, k and v interleave head by head, and where nothing is fused, the order is the same with and without.

    Args:
        module: ERNIEKit's name within a layer, a key of `PARTS`.
        array: (rows, out): a weight, or a `lora_B`.
        shape: the whole model's sizes.
        degree: the number of parts, which divides heads and widths.

    Returns:
        (rows, out) with the columns that `split_columns` expects.
    """
    if (widths := _fused_widths(module, shape)) is None or degree == 1:
        return array
    pieces = np.split(array, degree, axis=1)
    cuts = np.cumsum([width // degree for width in widths])[:-1]
    shares = [np.split(piece, cuts, axis=1) for piece in pieces]
    return np.concatenate([share[part] for part in range(len(widths)) for share in shares], axis=1)


def apply_tensor_parallel(module: str, array: Array, shape: ModelShape, degree: int) -> Array:
    """Order columns part by part, as `degree` tensor-parallel processes hold them: undoes `undo_tensor_parallel`."""
    if (widths := _fused_widths(module, shape)) is None or degree == 1:
        return array
    projections = np.split(array, np.cumsum(widths)[:-1], axis=1)
    shares = [np.split(projection, degree, axis=1) for projection in projections]
    return np.concatenate([share[rank] for rank in range(degree) for share in shares], axis=1)


def _fused_widths(module: str, shape: ModelShape) -> list[int] | None:
    """The widths of the projections that lie one after the other in a module's columns; None where none do."""
    if module == UP_GATE:
        return [shape.ffn, shape.ffn]
    if module == QKV and not shape.interleaved:
        return [shape.q_width, shape.kv_width, shape.kv_width]
    return None
