"""Conversion of PEFT adapters of dense models to a toolkit's fused layout, as initial adapters for training.

A fused layer has one A, but in PEFT q, k and v can have different ones. The fused A then has all three side by side,
and B is zero for the combinations that do not exist. The rank grows, and the product stays bit for bit the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from erniekit_adapter.architectures.linear_layers import columns_of
from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.layouts.dense import PARTS, DenseShape, join_columns
from erniekit_adapter.layouts.experts import Toolkit
from erniekit_adapter.layouts.lora_tensors import PEFT_PREFIX, Array, Sizes, mismatches, shapes_of
from erniekit_adapter.layouts.paddleformers import apart_linears, join_groups
from erniekit_adapter.layouts.peft_fields import config_problems
from erniekit_adapter.lora.config import scaling


def lora_from_peft(
    tensors: Mapping[str, Array], shape: DenseShape, adapter_config: Mapping[str, Any], toolkit: Toolkit
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Convert a PEFT adapter of a dense model to a toolkit's adapter that computes exactly the same.

    With different A for each projection, the rank of `qkv_proj` is multiplied by 3, that of `up_gate_proj` by 2. With
    equal A, bit for bit, it stays. All layers get the largest of these ranks, padded with zeros. The scaling must stay,
    so alpha is multiplied by the same factor. With rank-stabilised LoRA, alpha is multiplied by the root of the factor;
    there the factor is 4, whose root is a whole number.

    Args:
        tensors: `lora_A` (r, in) and `lora_B` (out, r) of any dtype, by PEFT's names.
        shape: the base model's sizes.
        adapter_config: content of adapter_config.json.
        toolkit: the toolkit of the result.

    Returns:
        `lora_A` (in, R) and `lora_B` (R, out) by the toolkit's names, and the content of lora_config.json.

    Raises:
        AdapterError: the adapter is not plain LoRA, or a tensor is missing, unmatched or has another shape; all
            problems at once.
    """
    if problems := list(config_problems(adapter_config)):
        raise AdapterError(problems)
    rank = adapter_config["r"]
    if not tensors:
        raise failure("adapter", "has no tensors")
    if problems := mismatches(shapes_of(tensors), _expected(tensors, shape, rank)):
        raise AdapterError(problems)
    prefix = "ernie.layers" if toolkit == "erniekit" else "model.layers"
    made: dict[str, tuple[Array, Array]] = {}
    for layer in range(shape.layers):
        for module, parts in PARTS.items():
            stems = {part: f"{PEFT_PREFIX}model.layers.{layer}.{part}" for part in parts}
            pairs = {
                part: (tensors[f"{stem}.lora_A.weight"].T, tensors[f"{stem}.lora_B.weight"].T)
                for part, stem in stems.items()
                if f"{stem}.lora_A.weight" in tensors
            }
            if pairs:
                made[f"{prefix}.{layer}.{module}"] = _fused(module, pairs, shape, toolkit)
    factor = max(a.shape[1] for a, _ in made.values()) // rank
    rslora = bool(adapter_config.get("use_rslora"))
    if rslora and factor > 1:
        factor = 4
    native: dict[str, Array] = {}
    for stem, (a, b) in made.items():
        native[f"{stem}.lora_A"] = np.pad(a, ((0, 0), (0, factor * rank - a.shape[1])))
        native[f"{stem}.lora_B"] = np.pad(b, ((0, factor * rank - len(b)), (0, 0)))
    modules = sorted({stem.rpartition(".")[2] for stem in made})
    alpha = adapter_config["lora_alpha"] * (2 if rslora and factor > 1 else factor)
    return native, _lora_config(adapter_config, factor * rank, alpha, rslora, modules, toolkit)


def _fused(
    module: str, pairs: Mapping[str, tuple[Array, Array]], shape: DenseShape, toolkit: Toolkit
) -> tuple[Array, Array]:
    """Fuse A (in, r) and B (r, width) of a module's projections to A (in, k·r) and B (k·r, out), with k different A."""
    widths = _widths(module, shape)
    distinct: list[Array] = []
    places: dict[str, int] = {}
    for part, (a, _) in pairs.items():
        same = [place for place, other in enumerate(distinct) if _bytes(a) == _bytes(other)]
        places[part] = same[0] if same else len(distinct)
        distinct += [] if same else [a]
    rank = distinct[0].shape[1]
    columns: dict[str, Array] = {}
    for part, width in widths.items():
        columns[part] = np.zeros((rank * len(distinct), width), distinct[0].dtype)
        if part in pairs:
            start = rank * places[part]
            columns[part][start : start + rank] = pairs[part][1]
    if columns_of(module, toolkit) == "kv-groups":
        q, k, v = columns.values()
        return np.concatenate(distinct, axis=1), join_groups(q, k, v, shape)
    return np.concatenate(distinct, axis=1), join_columns(module, columns, shape)


def _bytes(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _widths(module: str, shape: DenseShape) -> dict[str, int]:
    linears = apart_linears(shape)
    return {part: linears[f"model.layers.0.{part}"].size[1] for part in PARTS[module]}


def _expected(names: Mapping[str, Array], shape: DenseShape, rank: int) -> Sizes:
    """Return the shapes of the tensors of all layers, for each kind of projection in the adapter."""
    linears = apart_linears(shape)
    stems = {name.removeprefix(PEFT_PREFIX).rsplit(".", 2)[0] for name in names}
    kinds = {linears[stem].kind for stem in stems if stem in linears}
    expected: dict[str, tuple[int, ...]] = {}
    for stem, linear in linears.items():
        if linear.kind in kinds:
            expected[f"{PEFT_PREFIX}{stem}.lora_A.weight"] = (rank, linear.size[0])
            expected[f"{PEFT_PREFIX}{stem}.lora_B.weight"] = (linear.size[1], rank)
    return expected


def _lora_config(
    config: Mapping[str, Any], rank: int, alpha: float, rslora: bool, modules: list[str], toolkit: Toolkit
) -> dict[str, Any]:
    """Return the content of lora_config.json. Both toolkits match target patterns with a module's whole name."""
    erniekit = toolkit == "erniekit"
    return {
        "base_model_name_or_path": config.get("base_model_name_or_path"),
        "lora_alpha": alpha,
        "lora_dropout": config.get("lora_dropout") or 0.0,
        "merge_weights": False,
        "r": rank,
        "rslora": rslora,
        "scaling": scaling(alpha, rank, rslora=rslora),
        "target_modules": [f".*{m}.*" if erniekit else rf"{re.escape('model.layers.')}.*\.{m}" for m in modules],
        "tensor_parallel_degree" if erniekit else "tensor_model_parallel_size": -1,
        "trainable_bias": None,
        "trainable_modules": None,
    }
