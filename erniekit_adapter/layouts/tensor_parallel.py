"""Reordering of adapters whose columns have the order of tensor-parallel processes.

Shapes cannot show the order, so the project sets the degree. With a wrong degree, answers are wrong in every format.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.architectures.families import SEPARATE_LAYOUTS
from erniekit_adapter.errors import failure
from erniekit_adapter.layouts.adapter_files import read_native, write_native
from erniekit_adapter.layouts.dense import QKV, UP_GATE, DenseShape
from erniekit_adapter.layouts.detection import layout_of, linears_of
from erniekit_adapter.layouts.lora_tensors import DEGREES, Array, shapes_of


def write_joined(native: Path, base_config: Mapping[str, Any], degree: int, output: Path) -> None:
    """Write an adapter with the columns of its fused projections in the order of a whole model, atomically.

    Args:
        native: the adapter's folder as the toolkit wrote it.
        base_config: content of the base model's config.json.
        degree: the number of processes in the order of the columns; 1 if they are already joined.
        output: the folder to write.

    Raises:
        AdapterError: the model has experts, or the degree does not divide its sizes.
    """
    tensors, lora_config = read_native(native)
    if degree > 1:
        tensors = joined(tensors, base_config, degree)
    write_native(output, tensors, {**lora_config, **{key: 1 for key in DEGREES if key in lora_config}})


def joined(tensors: Mapping[str, Array], base_config: Mapping[str, Any], degree: int) -> dict[str, Array]:
    """Return the tensors of an adapter, with the columns of `lora_B` (r, out) in the order of a whole model.

    Raises:
        AdapterError: the model has experts, or the degree does not divide its sizes.
    """
    layout = layout_of(shapes_of(tensors), base_config)
    if layout in SEPARATE_LAYOUTS:
        return dict(tensors)
    if layout.endswith("experts"):
        finding = f"{degree}: not supported for models with experts, whose order depends on expert parallelism"
        raise failure("export.tensor_parallel_degree", finding, "train with parallel.tensor 1")
    shape = DenseShape.from_config({"tie_word_embeddings": True, **base_config})
    check_degree(shape, degree)
    kinds = {stem: linear.kind for stem, linear in linears_of(layout, base_config).items()}

    def whole(name: str, array: Array) -> Array:
        kind = kinds.get(name.removesuffix(".lora_B"), "")
        # PaddleFormers splits between key-value groups, which keeps their order.
        if kind == QKV and layout == "paddleformers":
            return array
        return undo_tensor_parallel(kind, array, shape, degree)

    return {name: whole(name, array) if name.endswith(".lora_B") else array for name, array in tensors.items()}


def check_degree(shape: DenseShape, degree: int) -> None:
    """Refuse a tensor-parallel degree that does not divide a model into equal parts.

    Raises:
        AdapterError: `degree` does not divide the heads and the feed-forward width.
    """
    sizes = {"query heads": shape.heads, "key and value heads": shape.kv_heads, "feed-forward width": shape.ffn}
    if uneven := [f"{size} {name}" for name, size in sizes.items() if size % degree]:
        raise failure("export.tensor_parallel_degree", f"{degree} does not divide the model's {', '.join(uneven)}")


def undo_tensor_parallel(module: str, array: Array, shape: DenseShape, degree: int) -> Array:
    """Convert columns from the order of tensor-parallel processes to the order of a whole model.

    A tensor-parallel run gives each of `degree` processes an equal share of every projection. Concatenated, the columns
    of `qkv_proj` are [q0 k0 v0 | q1 k1 v1 | …] and those of `up_gate_proj` are [gate0 up0 | gate1 up1 | …]. Projections
    that are not fused, or interleave q, k and v by head, have the same order with and without tensor parallelism.

    Args:
        module: ERNIEKit's name within a layer, a key of `PARTS`.
        array: (rows, out): a weight, or a `lora_B`.
        shape: the whole model's sizes.
        degree: the number of processes, which divides heads and widths.

    Returns:
        (rows, out) with columns in the order of `split_columns`.
    """
    if (widths := fused_widths(module, shape)) is None or degree == 1:
        return array
    pieces = np.split(array, degree, axis=1)
    ends = np.cumsum([width // degree for width in widths])[:-1]
    shares = [np.split(piece, ends, axis=1) for piece in pieces]
    return np.concatenate([share[part] for part in range(len(widths)) for share in shares], axis=1)


def fused_widths(module: str, shape: DenseShape) -> list[int] | None:
    """Return the widths of projections that follow one another in a module's columns; None for other modules."""
    if module == UP_GATE:
        return [shape.ffn, shape.ffn]
    if module == QKV and not shape.interleaved:
        return [shape.q_width, shape.kv_width, shape.kv_width]
    return None
