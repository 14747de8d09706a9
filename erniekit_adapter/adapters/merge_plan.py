"""What a merge will write, found from headers alone: where each adapter tensor goes, what each base tensor becomes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.adapters.layouts import PARTS, ModelShape, base_shapes, lora_scaling, split_columns
from erniekit_adapter.adapters.layouts_lora import listed
from erniekit_adapter.adapters.server_files import Layout
from erniekit_adapter.adapters.tensor_files import ITEM_BYTES, StoredTensor
from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.files import read_json

MERGED_DTYPES = ("BF16", "F16", "F32")
_EMBEDDING, _HEAD = "ernie.embed_tokens.weight", "lm_head.weight"
# Settings with which the trained weights are not base + scaling · A·B.
_NOT_PLAIN_LORA = (
    *("pissa", "loraga", "use_mora", "lora_use_mixer", "lora_bias", "trainable_bias", "trainable_modules"),
    *("dora", "use_dora", "enable_lora_list"),
)
_LAYER = re.compile(r"\blayers\.\d+\.")


@dataclass(frozen=True)
class Pair:
    """An adapter's two tensors for one weight: A (in, r) and B (r, out), and the factor on their product."""

    a: StoredTensor
    b: StoredTensor
    scaling: float


@dataclass(frozen=True)
class Output:
    """A tensor to write.

    Attributes:
        name: its name.
        shape: its sizes.
        size_bytes: how long its data is.
        columns: which columns of the source become its rows, in order; None where it is the source as it lies.
    """

    name: str
    shape: tuple[int, ...]
    size_bytes: int
    columns: tuple[slice, ...] | None


def pair_up(
    base: Mapping[str, StoredTensor], adapter: Mapping[str, StoredTensor], lora_config: Mapping[str, Any]
) -> dict[str, Pair]:
    """Find the weight of each of an adapter's tensors; the name of a weight gives its pair.

    Raises:
        AdapterError: the adapter is no plain LoRA, a tensor has no counterpart, another shape or a type that numbers
            cannot be added in, or a layer is without what the other layers have; all problems at once.
    """
    if problems := list(_config_problems(lora_config)):
        raise AdapterError(problems)
    stems = {name.rpartition(".")[0] for name in adapter}
    problems = [*_stray(base, adapter), *_forgotten(base, stems)]
    for stem in sorted(stems):
        found = [tensor for kind in ("lora_A", "lora_B") if (tensor := adapter.get(f"{stem}.{kind}"))]
        weight = base.get(f"{stem}.weight")
        if weight and len(found) == 1:
            problems.append(Problem(found[0].name, "is without its counterpart", "copy the adapter again"))
        elif weight and found:
            problems += _unfit(weight, found[0], found[1], lora_config["r"])
    if not adapter:
        problems.append(Problem("adapter", "has no tensors"))
    if problems:
        raise AdapterError(problems)
    scaling = lora_scaling(lora_config)
    return {f"{stem}.weight": Pair(adapter[f"{stem}.lora_A"], adapter[f"{stem}.lora_B"], scaling) for stem in stems}


def _config_problems(lora_config: Mapping[str, Any]) -> Iterator[Problem]:
    rank, alpha, rslora = (lora_config.get(key) for key in ("r", "lora_alpha", "rslora"))
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        yield Problem("lora_config.json r", f"{rank!r} is not a positive whole number")
    if not isinstance(alpha, (int, float)) or isinstance(alpha, bool) or not math.isfinite(alpha):
        yield Problem("lora_config.json lora_alpha", f"{alpha!r} is not a number")
    if not isinstance(rslora, bool):
        yield Problem("lora_config.json rslora", f"{rslora!r} is not true or false")
    for key in _NOT_PLAIN_LORA:
        if lora_config.get(key) not in (None, False, "none", []):
            what = f"{lora_config[key]!r}: such an adapter is not base + scaling · A·B"
            yield Problem(f"lora_config.json {key}", what, "train without it")
    degree = lora_config.get("tensor_parallel_degree")
    if isinstance(degree, int) and degree > 1:
        what = f"{degree}: the columns of fused projections are ordered by rank, and cannot be told apart for certain"
        yield Problem("lora_config.json tensor_parallel_degree", what, "train with tensor_parallel_degree 1")


def _stray(base: Mapping[str, StoredTensor], adapter: Mapping[str, StoredTensor]) -> Iterator[Problem]:
    other = sorted(name for name in adapter if not name.endswith((".lora_A", ".lora_B")))
    if other:
        yield Problem(listed(other), "neither lora_A nor lora_B: the merge has no place for it")
    strange = sorted(set(adapter) - set(other))
    strange = [name for name in strange if f"{name.rpartition('.')[0]}.weight" not in base]
    if strange:
        remedy = "merge into the model that was trained on, in ERNIEKit's layout (-Paddle)"
        yield Problem(listed(strange), "belongs to no weight of the base model", remedy)


def _forgotten(base: Mapping[str, StoredTensor], stems: set[str]) -> Iterator[Problem]:
    """Weights whose like is adapted in another layer: training adapts a kind of module everywhere or nowhere."""
    kinds = {_LAYER.sub("layers.#.", stem) for stem in stems}
    weights = (name.removesuffix(".weight") for name in base if name.endswith(".weight"))
    lost = sorted(stem for stem in weights if stem not in stems and _LAYER.sub("layers.#.", stem) in kinds)
    if lost:
        yield Problem(listed(lost), "is without an adapter, which other layers have", "copy the adapter again")


def _unfit(weight: StoredTensor, a: StoredTensor, b: StoredTensor, rank: int) -> Iterator[Problem]:
    if len(weight.shape) != 2 or 0 in weight.shape:
        yield Problem(weight.name, f"has shape {weight.shape}; adapters are merged into matrices")
        return
    for tensor, expected in ((a, (weight.shape[0], rank)), (b, (rank, weight.shape[1]))):
        if tensor.shape != expected:
            yield Problem(tensor.name, f"has shape {tensor.shape}, expected {expected}")
        if tensor.dtype not in (*MERGED_DTYPES, "F64"):
            yield Problem(tensor.name, f"is of type {tensor.dtype}, expected a float")
    if weight.dtype not in MERGED_DTYPES:
        what = f"is of type {weight.dtype}; adapters are merged into {', '.join(MERGED_DTYPES)}"
        yield Problem(weight.name, what, "merge into the model before it was quantised")


def planned_outputs(base: Mapping[str, StoredTensor], layout: Layout, base_dir: Path) -> dict[str, list[Output]]:
    """What each of the base's tensors becomes: itself, or the one to three tensors that Hugging Face makes of it.

    Raises:
        AdapterError: the Hugging Face layout was asked for, and a tensor has no place in it; all problems at once.
    """
    if layout == "paddle":
        return {name: [Output(name, tensor.shape, tensor.size_bytes, None)] for name, tensor in base.items()}
    config = read_json(base_dir / "config.json")
    if not isinstance(config, dict):
        raise fail(base_dir / "config.json", "is not an object")
    shape = ModelShape.from_config(config)
    if problems := list(_misplaced(base, shape)):
        raise AdapterError(problems)
    return {name: list(_hugging_face(tensor, shape)) for name, tensor in base.items()}


def _misplaced(base: Mapping[str, StoredTensor], shape: ModelShape) -> Iterator[Problem]:
    expected = base_shapes(shape)
    if shape.tied and _HEAD in base and _EMBEDDING in base:
        expected[_HEAD] = base[_EMBEDDING].shape
        if not _same_data(base[_HEAD], base[_EMBEDDING]):
            yield Problem(_HEAD, "differs from the embedding, and config.json says that the two are tied")
    if extra := sorted(set(base) - set(expected)):
        yield Problem(listed(extra), "has no place in the Hugging Face layout", "merge in the Paddle layout")
    if missing := sorted(set(expected) - set(base)):
        yield Problem(listed(missing), "missing", "download the model again")
    for name in sorted(set(expected) & set(base)):
        if base[name].shape != expected[name]:
            yield Problem(name, f"has shape {base[name].shape}, expected {expected[name]}")
        if base[name].dtype not in MERGED_DTYPES:
            yield Problem(name, f"is of type {base[name].dtype}, expected {', '.join(MERGED_DTYPES)}")


def _same_data(one: StoredTensor, other: StoredTensor, block_bytes: int = 1 << 20) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    with one.path.open("rb") as first, other.path.open("rb") as second:
        first.seek(one.start)
        second.seek(other.start)
        lengths = (min(block_bytes, one.size_bytes - start) for start in range(0, one.size_bytes, block_bytes))
        return all(first.read(length) == second.read(length) for length in lengths)


def _hugging_face(tensor: StoredTensor, shape: ModelShape) -> Iterator[Output]:
    name = "model." + tensor.name.removeprefix("ernie.") if tensor.name.startswith("ernie.") else tensor.name
    module = re.sub(r"^model\.layers\.\d+\.", "", name).removesuffix(".weight")
    if tensor.name == _HEAD and shape.tied:
        return
    if tensor.name != _HEAD and module not in PARTS:
        yield Output(name, tensor.shape, tensor.size_bytes, None)
        return
    rows, width = tensor.shape
    # Where each column goes is found by cutting the columns' numbers as the weight itself would be cut.
    numbers = np.arange(width)[None, :]
    parts = split_columns(module, numbers, shape) if module in PARTS else {module: numbers}
    for part, columns in parts.items():
        size_bytes = columns.size * rows * ITEM_BYTES[tensor.dtype]
        yield Output(name.replace(module, part), (columns.size, rows), size_bytes, tuple(_runs(columns[0])))


def _runs(columns: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[slice]:
    """The stretches of numbers that follow one another."""
    ends = np.flatnonzero(np.diff(columns) != 1) + 1
    for stretch in np.split(columns, ends):
        yield slice(int(stretch[0]), int(stretch[-1]) + 1)
