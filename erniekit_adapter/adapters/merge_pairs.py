"""Where each tensor of a native adapter goes in its base model, found from headers alone.

ERNIEKit's base models and adapters call the same layers alike, so names pair up. PaddleFormers' base models are in
Hugging Face's layout, and its adapters fuse what lies apart there: a table of the layout says what belongs where.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from erniekit_adapter.adapters.layouts import lora_scaling
from erniekit_adapter.adapters.layouts_detection import PADDLEFORMERS, layout_of, linears_of, stored_weights
from erniekit_adapter.adapters.layouts_lora import Linear, check_lora, degree_problems, listed
from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.tensor_files import StoredTensor

MERGED_DTYPES = ("BF16", "F16", "F32")
# Settings with which the trained weights are not base + scaling · A·B.
_NOT_PLAIN_LORA = (
    *("pissa", "loraga", "use_mora", "lora_use_mixer", "lora_bias", "trainable_bias", "trainable_modules"),
    *("dora", "use_dora", "enable_lora_list"),
)
_NUMBER = re.compile(r"\b(layers|experts)\.\d+\.")


@dataclass(frozen=True)
class Pair:
    """What an adapter adds to one weight.

    Attributes:
        a: A (in, r).
        b: B (r, out).
        scaling: the factor on their product.
        columns: where the weight is (out, in), which columns of B its rows are, in order; None where it is (in, out),
            as A·B is.
    """

    a: StoredTensor
    b: StoredTensor
    scaling: float
    columns: tuple[slice, ...] | None = None


def pair_up(
    base: Mapping[str, StoredTensor], adapter: Mapping[str, StoredTensor], lora_config: Mapping[str, Any]
) -> dict[str, Pair]:
    """Find the weight of each of an adapter's tensors in a base model of ERNIEKit's layout, by its name.

    Raises:
        AdapterError: the adapter is no plain LoRA, a tensor has no counterpart, another shape or a type that numbers
            cannot be added in, or a layer is without what the other layers have; all problems at once.
    """
    if problems := list(_config_problems(lora_config)):
        raise AdapterError(problems)
    if adapter and all(name.startswith(PADDLEFORMERS) for name in adapter):
        what = "is PaddleFormers', and the base model is in ERNIEKit's layout"
        raise fail("adapter", what, "merge into the model that was trained on, in the layout of transformers (-PT)")
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


def pair_up_turned(
    base: Mapping[str, StoredTensor],
    adapter: Mapping[str, StoredTensor],
    lora_config: Mapping[str, Any],
    base_config: Mapping[str, Any],
) -> dict[str, Pair]:
    """Find what PaddleFormers' adapter adds to each weight of a base model in Hugging Face's layout.

    Raises:
        AdapterError: the adapter is no plain LoRA or not PaddleFormers', not every tensor has its place and every place
            its tensor, or the base model lacks a weight or has it in another shape; all problems of a kind at once.
    """
    if problems := list(_config_problems(lora_config)):
        raise AdapterError(problems)
    sizes = {name: tensor.shape for name, tensor in adapter.items()}
    layout = layout_of(sizes, base_config)
    if layout == "erniekit" or layout == "erniekit-experts":
        what = "is ERNIEKit's, and the base model is in the layout of transformers"
        raise fail("adapter", what, "merge into the model that was trained on, in ERNIEKit's layout (-Paddle)")
    linears = linears_of(layout, base_config)
    check_lora(sizes, linears, lora_config)
    pairs: dict[str, Pair] = {}
    for stem, linear in linears.items():
        if a := adapter.get(f"{stem}.lora_A"):
            pair = Pair(a, adapter[f"{stem}.lora_B"], lora_scaling(lora_config))
            pairs |= _parts(pair, linear, stored_weights(stem, linear, layout))
    problems = [problem for name, pair in pairs.items() for problem in _unfit_turned(name, base.get(name), pair)]
    if problems:
        raise AdapterError(problems)
    return pairs


def _parts(pair: Pair, linear: Linear, weights: tuple[str, ...]) -> dict[str, Pair]:
    """What a fused layer's pair adds to each of its weights, found by cutting the numbers of B's columns."""
    cut = linear.split(np.arange(linear.size[1])[None, :])
    return {
        weight: Pair(pair.a, pair.b, pair.scaling, tuple(runs(columns[0])))
        for weight, columns in zip(weights, cut, strict=True)
    }


def runs(columns: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[slice]:
    """The stretches of numbers that follow one another."""
    ends = np.flatnonzero(np.diff(columns) != 1) + 1
    for stretch in np.split(columns, ends):
        yield slice(int(stretch[0]), int(stretch[-1]) + 1)


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
    yield from degree_problems(lora_config)


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
    yield from _untyped(weight, a, b)


def _unfit_turned(name: str, weight: StoredTensor | None, pair: Pair) -> Iterator[Problem]:
    if weight is None:
        remedy = "merge into the model that was trained on"
        yield Problem(name, "is missing in the base model, and the adapter changes it", remedy)
        return
    expected = (sum(run.stop - run.start for run in pair.columns or ()), pair.a.shape[0])
    if weight.shape != expected:
        yield Problem(name, f"has shape {weight.shape} in the base model, expected {expected}")
    yield from _untyped(weight, pair.a, pair.b)


def _untyped(weight: StoredTensor, a: StoredTensor, b: StoredTensor) -> Iterator[Problem]:
    for tensor in (a, b):
        if tensor.dtype not in (*MERGED_DTYPES, "F64"):
            yield Problem(tensor.name, f"is of type {tensor.dtype}, expected a float")
    if weight.dtype not in MERGED_DTYPES:
        what = f"is of type {weight.dtype}; adapters are merged into {', '.join(MERGED_DTYPES)}"
        yield Problem(weight.name, what, "merge into the model before it was quantised")
