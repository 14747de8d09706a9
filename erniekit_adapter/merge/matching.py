"""Match the tensors of a native adapter with the weights of its base model, from headers only.

ERNIEKit's base models and adapters use the same names, so names match. PaddleFormers' base models are in Hugging Face's
layout, and its adapters fuse some of their layers: there, the layout's table of linear layers has the matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from erniekit_adapter.errors import AdapterError, Problem, failure
from erniekit_adapter.layouts.detection import PADDLEFORMERS, layout_of, linears_of, stored_weights
from erniekit_adapter.layouts.lora_tensors import Linear, check_lora, degree_problems, listed
from erniekit_adapter.lora.config import lora_config_problems, lora_scaling
from erniekit_adapter.tensor_files import StoredTensor

MERGED_DTYPES = ("BF16", "F16", "F32")
_NUMBER = re.compile(r"\b(layers|experts)\.\d+\.")


@dataclass(frozen=True)
class LoraPair:
    """A and B that an adapter adds to one weight.

    Attributes:
        a: A (in, r).
        b: B (r, out).
        scaling: the factor on A·B.
        columns: for a weight (out, in), the columns of B that are its rows, in order; None for a weight (in, out).
    """

    a: StoredTensor
    b: StoredTensor
    scaling: float
    columns: tuple[slice, ...] | None = None


def match_erniekit(
    base: Mapping[str, StoredTensor], adapter: Mapping[str, StoredTensor], lora_config: Mapping[str, Any]
) -> dict[str, LoraPair]:
    """Match the tensors of an adapter with a base model in ERNIEKit's layout, by name.

    Returns:
        A and B by the name of the weight.

    Raises:
        AdapterError: the adapter is not plain LoRA; a tensor has no counterpart, another shape or a type that is not a
            float; or a layer has no adapter although its counterparts in other layers have one. All problems at once.
    """
    if problems := list(_config_problems(lora_config)):
        raise AdapterError(problems)
    if adapter and all(name.startswith(PADDLEFORMERS) for name in adapter):
        finding = "is PaddleFormers', and the base model is in ERNIEKit's layout"
        raise failure(
            "adapter", finding, "merge into the model that was trained on, in the layout of transformers (-PT)"
        )
    stems = {name.rpartition(".")[0] for name in adapter}
    problems = [*_unmatched(base, adapter), *_missing(base, stems)]
    for stem in sorted(stems):
        found = [tensor for kind in ("lora_A", "lora_B") if (tensor := adapter.get(f"{stem}.{kind}"))]
        weight = base.get(f"{stem}.weight")
        if weight and len(found) == 1:
            problems.append(Problem(found[0].name, "has no counterpart (lora_A or lora_B)", "copy the adapter again"))
        elif weight and found:
            problems += _shape_mismatches(weight, found[0], found[1], lora_config["r"])
    if not adapter:
        problems.append(Problem("adapter", "has no tensors"))
    if problems:
        raise AdapterError(problems)
    scaling = lora_scaling(lora_config)
    return {f"{stem}.weight": LoraPair(adapter[f"{stem}.lora_A"], adapter[f"{stem}.lora_B"], scaling) for stem in stems}


def match_paddleformers(
    base: Mapping[str, StoredTensor],
    adapter: Mapping[str, StoredTensor],
    lora_config: Mapping[str, Any],
    base_config: Mapping[str, Any],
) -> dict[str, LoraPair]:
    """Match the tensors of PaddleFormers' adapter with a base model in Hugging Face's layout.

    Returns:
        A and B by the name of the weight.

    Raises:
        AdapterError: the adapter is not plain LoRA or not PaddleFormers', a tensor is unmatched or missing, or the base
            model lacks a weight or has it in another shape; all problems of a kind at once.
    """
    if problems := list(_config_problems(lora_config)):
        raise AdapterError(problems)
    sizes = {name: tensor.shape for name, tensor in adapter.items()}
    layout = layout_of(sizes, base_config)
    if layout == "erniekit" or layout == "erniekit-experts":
        finding = "is ERNIEKit's, and the base model is in the layout of transformers"
        raise failure("adapter", finding, "merge into the model that was trained on, in ERNIEKit's layout (-Paddle)")
    linears = linears_of(layout, base_config)
    check_lora(sizes, linears, lora_config)
    pairs: dict[str, LoraPair] = {}
    for stem, linear in linears.items():
        if a := adapter.get(f"{stem}.lora_A"):
            pair = LoraPair(a, adapter[f"{stem}.lora_B"], lora_scaling(lora_config))
            pairs |= _split_pair(pair, linear, stored_weights(stem, linear, layout))
    problems = [problem for name, pair in pairs.items() for problem in _hf_mismatches(name, base.get(name), pair)]
    if problems:
        raise AdapterError(problems)
    return pairs


def _split_pair(pair: LoraPair, linear: Linear, weights: tuple[str, ...]) -> dict[str, LoraPair]:
    """Return A and B for each weight of a fused layer. Splitting the column numbers of B gives the columns."""
    parts = linear.split(np.arange(linear.size[1])[None, :])
    return {
        weight: LoraPair(pair.a, pair.b, pair.scaling, tuple(runs(columns[0])))
        for weight, columns in zip(weights, parts, strict=True)
    }


def runs(columns: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[slice]:
    """Yield the runs of consecutive numbers."""
    ends = np.flatnonzero(np.diff(columns) != 1) + 1
    for run in np.split(columns, ends):
        yield slice(int(run[0]), int(run[-1]) + 1)


def _config_problems(lora_config: Mapping[str, Any]) -> Iterator[Problem]:
    yield from lora_config_problems(lora_config)
    yield from degree_problems(lora_config)


def _unmatched(base: Mapping[str, StoredTensor], adapter: Mapping[str, StoredTensor]) -> Iterator[Problem]:
    other = sorted(name for name in adapter if not name.endswith((".lora_A", ".lora_B")))
    if other:
        yield Problem(listed(other), "neither lora_A nor lora_B: the merge cannot use it")
    unmatched = sorted(set(adapter) - set(other))
    unmatched = [name for name in unmatched if f"{name.rpartition('.')[0]}.weight" not in base]
    if unmatched:
        hint = "merge into the model that was trained on, in ERNIEKit's layout (-Paddle)"
        yield Problem(listed(unmatched), "belongs to no weight of the base model", hint)


def _missing(base: Mapping[str, StoredTensor], stems: set[str]) -> Iterator[Problem]:
    """Find weights without an adapter. Training adapts a kind of module in all layers or in none."""
    kinds = {_kind(stem) for stem in stems}
    weights = (name.removesuffix(".weight") for name in base if name.endswith(".weight"))
    missing = sorted(stem for stem in weights if stem not in stems and _kind(stem) in kinds)
    if missing:
        finding = "has no adapter, but other layers or experts have one"
        yield Problem(listed(missing), finding, "copy the adapter again")


def _kind(stem: str) -> str:
    return _NUMBER.sub(r"\1.#.", stem)


def _shape_mismatches(weight: StoredTensor, a: StoredTensor, b: StoredTensor, rank: int) -> Iterator[Problem]:
    if len(weight.shape) != 2 or 0 in weight.shape:
        yield Problem(weight.name, f"has shape {weight.shape}; adapters are merged into matrices")
        return
    for tensor, expected in ((a, (weight.shape[0], rank)), (b, (rank, weight.shape[1]))):
        if tensor.shape != expected:
            yield Problem(tensor.name, f"has shape {tensor.shape}, expected {expected}")
    yield from _type_problems(weight, a, b)


def _hf_mismatches(name: str, weight: StoredTensor | None, pair: LoraPair) -> Iterator[Problem]:
    if weight is None:
        hint = "merge into the model that was trained on"
        yield Problem(name, "is missing in the base model, and the adapter changes it", hint)
        return
    expected = (sum(run.stop - run.start for run in pair.columns or ()), pair.a.shape[0])
    if weight.shape != expected:
        yield Problem(name, f"has shape {weight.shape} in the base model, expected {expected}")
    yield from _type_problems(weight, pair.a, pair.b)


def _type_problems(weight: StoredTensor, a: StoredTensor, b: StoredTensor) -> Iterator[Problem]:
    for tensor in (a, b):
        if tensor.dtype not in (*MERGED_DTYPES, "F64"):
            yield Problem(tensor.name, f"has type {tensor.dtype}, expected a float")
    if weight.dtype not in MERGED_DTYPES:
        finding = f"has type {weight.dtype}; adapters are merged into {', '.join(MERGED_DTYPES)}"
        yield Problem(weight.name, finding, "merge into the model before quantisation")
