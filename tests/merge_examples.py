"""Base models and adapters with random numbers, on disk, for tests of merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from layout_examples import EXPERTS

from erniekit_adapter.files import write_json
from erniekit_adapter.layouts.base_model import expert_base
from erniekit_adapter.layouts.dense import PARTS, DenseShape, base_shapes, linear_shapes
from erniekit_adapter.layouts.experts import ExpertShape, expert_linears
from erniekit_adapter.layouts.lora_tensors import Linear
from erniekit_adapter.tensor_files import Array, file_header, read_indexed, read_tensors

GROUPED = DenseShape(layers=2, hidden=12, heads=4, kv_heads=2, head_dim=4, ffn=10, vocab=17, tied=True)
EQUAL = replace(GROUPED, kv_heads=4, tied=False)
CONFIG = {"r": 3, "lora_alpha": 6, "rslora": False, "lora_dropout": 0.0, "tensor_parallel_degree": -1}
DTYPES = {"BF16": np.dtype(ml_dtypes.bfloat16), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
# Keys of a model's config.json that are not sizes.
OTHER = {
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 5e5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
# One layer without experts, then two with experts.
EXPERT_CONFIG: dict[str, Any] = {**EXPERTS, **OTHER, "num_hidden_layers": 3, "moe_k": 2, "moe_use_aux_free": True}

Tensors = dict[str, Array]


def write_file(path: Path, tensors: Tensors, dtypes: dict[str, str] | None = None) -> None:
    names = {dtype: name for name, dtype in DTYPES.items()}
    listed = [(name, (dtypes or {}).get(name) or names[array.dtype], array.shape) for name, array in tensors.items()]
    data = b"".join(array.tobytes() for array in tensors.values())
    path.write_bytes(file_header(listed, {"format": "np"}) + data)


def config_of(shape: DenseShape) -> dict[str, Any]:
    sizes = {
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.ffn,
        "vocab_size": shape.vocab,
        "tie_word_embeddings": shape.tied,
    }
    return sizes | OTHER


def write_base(
    folder: Path, tensors: Tensors, model: DenseShape | Mapping[str, Any] = GROUPED, shards: int = 1
) -> Path:
    """Write a model folder. `model` is the shape of a dense model, or the content of config.json."""
    folder.mkdir()
    if shards == 1:
        write_file(folder / "model.safetensors", tensors)
    else:
        places: dict[str, str] = {}
        for number, names in enumerate(np.array_split(list(tensors), shards), 1):
            file = f"model-{number:05}-of-{shards:05}.safetensors"
            write_file(folder / file, {name: tensors[name] for name in names.tolist()})
            places |= dict.fromkeys(names.tolist(), file)
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})
    write_json(folder / "config.json", config_of(model) if isinstance(model, DenseShape) else model)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "Ernie4_5_Tokenizer", "chat_template": "{{ 1 }}"})
    (folder / "tokenizer.model").write_bytes(b"\n\x06pieces")
    return folder


def read_model(folder: Path) -> Tensors:
    index = folder / "model.safetensors.index.json"
    return read_indexed(index) if index.is_file() else read_tensors(folder / "model.safetensors")


def write_adapter(folder: Path, tensors: Tensors, config: dict[str, Any] = CONFIG) -> Path:
    folder.mkdir()
    file = "peft_model-00001-of-00001.safetensors"
    write_file(folder / file, tensors)
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, file)}
    write_json(folder / "peft_model.safetensors.index.json", index)
    write_json(folder / "lora_config.json", config)
    return folder


def random_tensors(sizes: Mapping[str, tuple[int, ...]], dtype: str = "F32", seed: int = 0) -> Tensors:
    numbers = np.random.default_rng(seed)
    return {name: numbers.normal(size=size).astype(DTYPES[dtype]) for name, size in sizes.items()}


def random_base(shape: DenseShape, dtype: str = "F32") -> Tensors:
    return random_tensors(base_shapes(shape), dtype)


def random_expert_base(config: Mapping[str, Any] = EXPERT_CONFIG, dtype: str = "F32") -> Tensors:
    """Return a mixture of experts. Routers are float32 for every `dtype`, as in ERNIEKit."""
    tensors = random_tensors(expert_base(ExpertShape.from_config(config)).sizes)
    routing = (".mlp.gate.weight", ".e_score_correction_bias")
    return {name: array if name.endswith(routing) else array.astype(DTYPES[dtype]) for name, array in tensors.items()}


def random_adapter(shape: DenseShape, modules: tuple[str, ...] = tuple(PARTS), rank: int = 3) -> Tensors:
    sizes: dict[str, tuple[int, ...]] = {}
    for layer in range(shape.layers):
        for module in modules:
            width_in, width_out = linear_shapes(shape)[module]
            stem = f"ernie.layers.{layer}.{module}"
            sizes[f"{stem}.lora_A"], sizes[f"{stem}.lora_B"] = (width_in, rank), (rank, width_out)
    return random_tensors(sizes, seed=1)


def random_adapter_of(linears: Mapping[str, Linear], rank: int = 3) -> Tensors:
    """Return an adapter for all linear layers of a layout."""
    sizes: dict[str, tuple[int, ...]] = {}
    for stem, linear in linears.items():
        sizes[f"{stem}.lora_A"], sizes[f"{stem}.lora_B"] = (linear.size[0], rank), (rank, linear.size[1])
    return random_tensors(sizes, seed=1)


def random_expert_adapter(config: Mapping[str, Any] = EXPERT_CONFIG) -> Tensors:
    return random_adapter_of(expert_linears(ExpertShape.from_config(config), "erniekit"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def bits(tensors: Tensors) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(array).tobytes() for name, array in tensors.items()}


def as_floats(array: Array, dtype: str = "F32") -> Array:
    """Return the numbers of an array from a file as float32."""
    return np.ascontiguousarray(array).view(DTYPES[dtype]).astype(np.float32)
