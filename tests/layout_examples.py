"""Small models and adapters whose numbers are all different, so that tests notice a wrong position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import strategies as st

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.dense import PARTS, DenseShape, erniekit_linears, linear_shapes
from erniekit_adapter.layouts.lora_tensors import Array, Linear, check_lora, convert_lora, shapes_of
from erniekit_adapter.layouts.tensor_parallel import fused_widths
from erniekit_adapter.tensor_files import write_tensors

GROUPED = DenseShape(layers=2, hidden=8, heads=4, kv_heads=2, head_dim=4, ffn=6, vocab=11, tied=True)
EQUAL = replace(GROUPED, kv_heads=4, tied=False)
LORA_CONFIG = {"r": 3, "lora_alpha": 6, "rslora": False, "lora_dropout": 0.0, "tensor_parallel_degree": -1}
CONFIG: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "intermediate_size": 6,
    "vocab_size": 11,
    "tie_word_embeddings": True,
}
EXPERTS: dict[str, Any] = CONFIG | {
    "model_type": "ernie4_5_moe",
    "moe_num_experts": 3,
    "moe_intermediate_size": 5,
    "moe_num_shared_experts": 2,
    "moe_layer_interval": 1,
    "moe_layer_start_index": 1,
}
VISION = {"hidden_size": 4, "intermediate_size": 7, "num_hidden_layers": 1, "spatial_merge_size": 2}
OCR_VL: dict[str, Any] = CONFIG | {"model_type": "paddleocr_vl", "vision_config": VISION}


@st.composite
def shapes(draw: st.DrawFn) -> DenseShape:
    kv_heads, group = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    sizes = {name: draw(st.integers(1, 6)) for name in ("layers", "hidden", "head_dim", "ffn", "vocab")}
    return DenseShape(heads=kv_heads * group, kv_heads=kv_heads, tied=draw(st.booleans()), **sizes)


def numbered(sizes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return tensors whose numbers are all different."""
    start, tensors = 0, {}
    for name, size in sizes.items():
        count = int(np.prod(size))
        tensors[name] = np.arange(start, start + count, dtype=np.float32).reshape(size)
        start += count
    return tensors


def adapter_of(linears: Mapping[str, Linear], rank: int = 3, kinds: set[str] | None = None) -> dict[str, Array]:
    """Return an adapter for the linear layers of a layout, of some kinds or of all."""
    sizes: dict[str, tuple[int, ...]] = {}
    for stem, linear in linears.items():
        if kinds is None or linear.kind in kinds:
            sizes[f"{stem}.lora_A"], sizes[f"{stem}.lora_B"] = (linear.size[0], rank), (rank, linear.size[1])
    return numbered(sizes)


def lora_tensors(shape: DenseShape, modules: tuple[str, ...] = tuple(PARTS), rank: int = 3) -> dict[str, Array]:
    sizes: dict[str, tuple[int, ...]] = {}
    for layer in range(shape.layers):
        for module in modules:
            width_in, width_out = linear_shapes(shape)[module]
            sizes[f"ernie.layers.{layer}.{module}.lora_A"] = (width_in, rank)
            sizes[f"ernie.layers.{layer}.{module}.lora_B"] = (rank, width_out)
    return numbered(sizes)


def problems_of(error: pytest.ExceptionInfo[AdapterError]) -> str:
    return str(error.value)


def native_folder(folder: Path, tensors: dict[str, Array], config: Mapping[str, Any] = LORA_CONFIG) -> Path:
    folder.mkdir()
    shard = "peft_model-00001-of-00001.safetensors"
    write_tensors(folder / shard, tensors)
    index = {"weight_map": dict.fromkeys(tensors, shard)}
    (folder / "peft_model.safetensors.index.json").write_bytes(orjson.dumps(index))
    (folder / "lora_config.json").write_bytes(orjson.dumps(dict(config)))
    return folder


def lora_to_peft(tensors: dict[str, Array], shape: DenseShape, lora_config: dict[str, Any]) -> dict[str, Array]:
    """Convert an adapter of a dense model from ERNIEKit's layout to PEFT's, as `write_peft` does, without files."""
    linears = erniekit_linears(shape)
    check_lora(shapes_of(tensors), linears, lora_config)
    return convert_lora(tensors, linears)


def tensor_parallel_adapter(tensors: dict[str, Array], degree: int) -> dict[str, Array]:
    """Return an adapter of GROUPED with columns in the order of `degree` tensor-parallel processes."""
    return {
        name: apply_tensor_parallel(name.split(".", 3)[3].removesuffix(".lora_B"), array, GROUPED, degree)
        if name.endswith("lora_B")
        else array
        for name, array in tensors.items()
    }


def assert_same(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def apply_tensor_parallel(module: str, array: Array, shape: DenseShape, degree: int) -> Array:
    """Convert columns to the order of `degree` tensor-parallel processes: the inverse of `undo_tensor_parallel`."""
    if (widths := fused_widths(module, shape)) is None or degree == 1:
        return array
    projections = np.split(array, np.cumsum(widths)[:-1], axis=1)
    shares = [np.split(projection, degree, axis=1) for projection in projections]
    return np.concatenate([share[rank] for rank in range(degree) for share in shares], axis=1)
