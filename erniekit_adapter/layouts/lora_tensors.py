"""Check and conversion of a toolkit's LoRA tensors to PEFT's, for every layout.

A layout is a table of the model's linear layers: their names in the toolkit, their sizes, and the Hugging Face layers
that are side by side in their columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from erniekit_adapter.errors import AdapterError, Problem, failure
from erniekit_adapter.lora.config import lora_config_problems

Array = npt.NDArray[Any]
Sizes = Mapping[str, tuple[int, ...]]

PEFT_PREFIX = "base_model.model."
# The tensor-parallel degree in ERNIEKit and in PaddleFormers.
DEGREES = ("tensor_parallel_degree", "tensor_model_parallel_size")


@dataclass(frozen=True)
class Linear:
    """A linear layer in a toolkit's layout.

    Attributes:
        kind: the toolkit's target patterns match all layers of a kind or none.
        size: (in, out).
        parts: names of the Hugging Face layers in its columns.
        split: splits (rows, out) into the columns of each part, in the order of `parts`.
    """

    kind: str
    size: tuple[int, int]
    parts: tuple[str, ...]
    split: Callable[[Array], list[Array]]


def whole(array: Array) -> list[Array]:
    """Return the array itself: the `split` of a layer that is not fused."""
    return [array]


def convert_lora(tensors: Mapping[str, Array], linears: Mapping[str, Linear]) -> dict[str, Array]:
    """Convert a toolkit's LoRA tensors to PEFT's. `check_lora` must have passed.

    Args:
        tensors: `lora_A` (in, r) and `lora_B` (r, out) of any dtype, by the toolkit's names.
        linears: the layout.

    Returns:
        `lora_A` (r, in) and `lora_B` (out, r) by PEFT's names. The parts of a fused layer share its A, and each part
        has its columns of B. Arrays may be views that are not contiguous.
    """
    converted: dict[str, Array] = {}
    for name, array in tensors.items():
        stem, _, matrix = name.rpartition(".")
        linear = linears[stem]
        arrays = [array] * len(linear.parts) if matrix == "lora_A" else linear.split(array)
        for part, value in zip(linear.parts, arrays, strict=True):
            converted[f"{PEFT_PREFIX}{part}.{matrix}.weight"] = value.T
    return converted


def check_lora(sizes: Sizes, linears: Mapping[str, Linear], lora_config: Mapping[str, Any]) -> None:
    """Check that the tensors of an adapter are exactly those of its layout.

    Args:
        sizes: shape of every tensor by name.
        linears: the layout.
        lora_config: content of lora_config.json.

    Raises:
        AdapterError: the adapter is not plain LoRA, or a tensor is missing, unmatched or has another shape; all
            problems at once.
    """
    if problems := list(lora_config_problems(lora_config)):
        raise AdapterError(problems)
    if not sizes:
        raise failure("adapter", "has no tensors")
    present = {stem for stem in (name.rpartition(".")[0] for name in sizes) if stem in linears}
    kinds = {linears[stem].kind for stem in present}
    # The toolkit's target patterns select the layers. Without patterns, each kind must have all layers or none.
    targets = _targets(linears, lora_config) or {stem for stem, linear in linears.items() if linear.kind in kinds}
    expected: dict[str, tuple[int, ...]] = {}
    for stem in (stem for stem in linears if stem in targets | present):
        rows, columns = linears[stem].size
        expected[f"{stem}.lora_A"], expected[f"{stem}.lora_B"] = (rows, lora_config["r"]), (lora_config["r"], columns)
    if problems := mismatches(sizes, expected):
        raise AdapterError(problems)


def _targets(linears: Mapping[str, Linear], lora_config: Mapping[str, Any]) -> set[str]:
    """Return the layers that the patterns in lora_config.json select. A pattern must match the whole name."""
    patterns = lora_config.get("target_modules")
    patterns = [patterns] if isinstance(patterns, str) else patterns or []
    try:
        compiled = [re.compile(pattern) for pattern in patterns]
    except (re.error, TypeError) as error:
        raise failure("lora_config.json target_modules", f"{patterns!r}: not valid patterns: {error}") from error
    return {stem for stem in linears if any(pattern.fullmatch(stem) for pattern in compiled)}


def shapes_of(tensors: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor by name."""
    return {name: array.shape for name, array in tensors.items()}


def degree_problems(lora_config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a tensor-parallel degree over 1: [q0 k0 v0 | q1 k1 v1] and [q0 q1 | k0 k1 | v0 v1] have the same shape."""
    for key in DEGREES:
        degree = lora_config.get(key)
        if isinstance(degree, int) and degree > 1:
            finding = f"{degree}: columns of fused projections may be ordered by rank, which shapes cannot show"
            hint = "set export.tensor_parallel_degree to the degree, or to 1 if the columns are already joined"
            yield Problem(f"lora_config.json {key}", finding, hint)


def peft_config(lora_config: Mapping[str, Any], tensors: Mapping[str, Array], base_model_name: str) -> dict[str, Any]:
    """Return PEFT's adapter_config.json for tensors of `convert_lora`.

    Target modules are the last parts of the layers' names. The vision tower of a model with images has layers with the
    same last parts, so there the full names are used.
    """
    stems = sorted({name.removeprefix(PEFT_PREFIX).rsplit(".", 2)[0] for name in tensors})
    needs_full_names = any(not stem.startswith("model.layers.") for stem in stems)
    return {
        "base_model_name_or_path": base_model_name,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": lora_config["lora_alpha"],
        "lora_dropout": lora_config["lora_dropout"],
        "peft_type": "LORA",
        "r": lora_config["r"],
        "target_modules": stems if needs_full_names else sorted({stem.rpartition(".")[2] for stem in stems}),
        "task_type": "CAUSAL_LM",
        "use_rslora": lora_config["rslora"],
    }


def mismatches(found: Sizes, expected: Sizes) -> list[Problem]:
    """Return missing tensors, shape mismatches and unmatched tensors."""
    problems = _unmatched([name for name in found if name not in expected])
    for name, shape in expected.items():
        if name not in found:
            hint = "copy the folder again, or give the config.json of its base model"
            problems.append(Problem(name, "missing", hint))
        elif tuple(found[name]) != shape:
            problems.append(Problem(name, f"has shape {tuple(found[name])}, expected {shape}"))
    return problems


def _unmatched(names: list[str]) -> list[Problem]:
    """Return one problem for all tensors of experts, because there can be thousands, and one for each other tensor."""
    experts = [name for name in names if "expert" in name or ".mlp.gate." in name]
    problems = []
    if experts:
        finding = "this model's config.json does not have these mixture-of-experts tensors"
        problems.append(Problem(listed(experts), finding, "give the base model of the training"))
    for name in sorted(set(names) - set(experts)):
        bias = name.endswith(".bias")
        finding = "a bias has no counterpart in the Hugging Face layout" if bias else "is not a tensor of this model"
        problems.append(Problem(name, finding))
    return problems


def listed(names: list[str], most: int = 4) -> str:
    """Format the first few names, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
