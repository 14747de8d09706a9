"""Tiny random ERNIE models: a text for the tokenizer, weights and adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from erniekit_adapter.layouts.dense import PARTS, DenseShape, base_shapes, linear_shapes
from erniekit_adapter.tensor_files import BFLOAT16, Array, write_tensors


def corpus() -> str:
    numbers = np.random.default_rng(0)
    vendors = ["Acme Corp", "Globex", "Müller GmbH", "Initech", "Stark Industries"]
    lines = []
    for _ in range(600):
        quantity, price = numbers.integers(1, 10), numbers.integers(100, 10_000) / 100
        vendor, total = numbers.choice(vendors), f"{quantity * price:.2f}"
        lines.append(
            f"Analyze this invoice. Vendor: {vendor} qty {quantity} price {price} total {total} "
            f'{{"vendor": "{vendor}", "total": "{total}"}} User: Assistant: '
        )
    return "\n".join(lines)


SIZES = {
    "grouped-tied": ("--heads", 6, "--kv-heads", 2),
    "equal-untied": ("--heads", 4, "--kv-heads", 4, "--untied"),
}


def build_loud(model: Path, kind: str, run_python: Callable[..., str], python: Path, *, bfloat16: bool) -> DenseShape:
    """Write a tiny dense model of one of SIZES in ERNIEKit's layout, see `louder_weights`."""
    text = model.with_name("corpus.txt")
    text.write_text(corpus(), encoding="utf-8")
    options = ["--corpus", text, "--output", model, "--vocab-size", 400, "--layers", 3, *SIZES[kind]]
    run_python(python, "-m", "erniekit_adapter.workers.erniekit_tiny_model", *options)
    shape = DenseShape.from_config(orjson.loads((model / "config.json").read_bytes()))
    weights = louder_weights(shape)
    write_tensors(model / "model.safetensors", as_bfloat16(weights) if bfloat16 else weights, framework="np")
    return shape


def louder_weights(shape: DenseShape) -> dict[str, Array]:
    """Return weights for which a wrong position changes logits: different norms, logits of tens, a likely end token."""
    numbers = np.random.default_rng(1)
    weights: dict[str, Array] = {}
    for name, size in base_shapes(shape).items():
        drawn = numbers.normal(0, 1.5 / np.sqrt(shape.hidden), size) if len(size) > 1 else numbers.normal(1, 0.3, size)
        weights[name] = drawn.astype(np.float32)
    if shape.tied:
        weights["ernie.embed_tokens.weight"][2] *= 2
    else:
        weights["lm_head.weight"][:, 2] *= 2
    return weights


def as_bfloat16(tensors: dict[str, Array]) -> dict[str, Array]:
    """Truncate float32 to bfloat16."""
    return {name: (array.view(np.uint32) >> 16).astype("<u2").view(BFLOAT16) for name, array in tensors.items()}


def write_native_adapter(folder: Path, shape: DenseShape, dtype: str, rslora: bool, deviation: float = 0.1) -> None:
    """Write a random adapter without zeros, in ERNIEKit's files."""
    numbers = np.random.default_rng(2)
    tensors: dict[str, Array] = {}
    for layer in range(shape.layers):
        for module in PARTS:
            width_in, width_out = linear_shapes(shape)[module]
            tensors[f"ernie.layers.{layer}.{module}.lora_A"] = numbers.normal(0, deviation, (width_in, 4))
            tensors[f"ernie.layers.{layer}.{module}.lora_B"] = numbers.normal(0, deviation, (4, width_out))
    tensors = {name: array.astype(np.float32) for name, array in tensors.items()}
    tensors = as_bfloat16(tensors) if dtype == "bfloat16" else tensors
    config = {
        "r": 4,
        "lora_alpha": 8,
        "rslora": rslora,
        "lora_dropout": 0.0,
        "dtype": dtype,
        "target_modules": [".*qkv_proj.*", ".*o_proj.*", ".*up_gate_proj.*", ".*down_proj.*"],
        "tensor_parallel_degree": -1,
    }
    write_adapter_folder(folder, tensors, config)


def write_adapter_folder(folder: Path, tensors: dict[str, Array], config: dict[str, Any]) -> None:
    folder.mkdir()
    shard = "peft_model-00001-of-00001.safetensors"
    write_tensors(folder / shard, tensors, framework="np")
    index = {"metadata": {"total_size": 0}, "weight_map": dict.fromkeys(tensors, shard)}
    (folder / "peft_model.safetensors.index.json").write_bytes(orjson.dumps(index))
    (folder / "lora_config.json").write_bytes(orjson.dumps(config))
