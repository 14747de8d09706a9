"""What a merge will write, found from headers alone: where each adapter tensor goes, what each base tensor becomes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from erniekit_adapter.adapters.layouts import EMBEDDING, HEAD, lora_scaling
from erniekit_adapter.adapters.layouts_base import BaseLayout, hugging_face_name
from erniekit_adapter.adapters.layouts_lora import listed
from erniekit_adapter.adapters.tensor_files import ITEM_BYTES, StoredTensor
from erniekit_adapter.errors import AdapterError, Problem

Layout = Literal["paddle", "hugging-face"]

MERGED_DTYPES = ("BF16", "F16", "F32")
# Settings with which the trained weights are not base + scaling · A·B.
_NOT_PLAIN_LORA = (
    *("pissa", "loraga", "use_mora", "lora_use_mixer", "lora_bias", "trainable_bias", "trainable_modules"),
    *("dora", "use_dora", "enable_lora_list"),
)
_NUMBER = re.compile(r"\b(layers|experts)\.\d+\.")


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
    """Weights whose like is adapted elsewhere: training adapts a kind of module everywhere or nowhere."""
    kinds = {_kind(stem) for stem in stems}
    weights = (name.removesuffix(".weight") for name in base if name.endswith(".weight"))
    lost = sorted(stem for stem in weights if stem not in stems and _kind(stem) in kinds)
    if lost:
        what = "is without an adapter, which other layers or experts have"
        yield Problem(listed(lost), what, "copy the adapter again")


def _kind(stem: str) -> str:
    return _NUMBER.sub(r"\1.#.", stem)


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


def planned_outputs(base: Mapping[str, StoredTensor], target: BaseLayout | None) -> dict[str, list[Output]]:
    """What each of the base's tensors becomes: itself, or the tensors that Hugging Face makes of it.

    Args:
        base: the base's tensors.
        target: how ERNIEKit's layout becomes Hugging Face's, where it shall; None to keep the base's own layout.

    Raises:
        AdapterError: a tensor has no place in the Hugging Face layout, or is missing; all problems at once.
    """
    if target is None:
        return {name: [Output(name, tensor.shape, tensor.size_bytes, None)] for name, tensor in base.items()}
    if problems := list(_misplaced(base, target)):
        raise AdapterError(problems)
    return {name: list(_hugging_face(tensor, target)) for name, tensor in base.items()}


def _misplaced(base: Mapping[str, StoredTensor], target: BaseLayout) -> Iterator[Problem]:
    expected = target.sizes
    if target.tied and HEAD in base and EMBEDDING in base:
        expected[HEAD] = base[EMBEDDING].shape
        if not _same_data(base[HEAD], base[EMBEDDING]):
            yield Problem(HEAD, "differs from the embedding, and config.json says that the two are tied")
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


def _hugging_face(tensor: StoredTensor, target: BaseLayout) -> Iterator[Output]:
    if target.tied and tensor.name == HEAD:
        return
    linear = target.linears.get(tensor.name.removesuffix(".weight"))
    if linear is None:
        yield Output(hugging_face_name(tensor.name), tensor.shape, tensor.size_bytes, None)
        return
    rows, width = tensor.shape
    # Where each column goes is found by cutting the columns' numbers as the weight itself would be cut.
    for part, columns in zip(linear.parts, linear.split(np.arange(width)[None, :]), strict=True):
        size_bytes = columns.size * rows * ITEM_BYTES[tensor.dtype]
        yield Output(f"{part}.weight", (columns.size, rows), size_bytes, tuple(_runs(columns[0])))


def _runs(columns: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[slice]:
    """The stretches of numbers that follow one another."""
    ends = np.flatnonzero(np.diff(columns) != 1) + 1
    for stretch in np.split(columns, ends):
        yield slice(int(stretch[0]), int(stretch[-1]) + 1)
