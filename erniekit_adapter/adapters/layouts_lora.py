"""From a toolkit's LoRA tensors to PEFT's, whatever the layout: a layout is a table of the model's linear layers.

A table says what each linear layer is called in the toolkit, how large it is, and which of Hugging Face's layers lie
side by side in its columns. Checking and converting are the same for every table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from erniekit_adapter.errors import AdapterError, Problem, fail

Array = npt.NDArray[Any]
Sizes = Mapping[str, tuple[int, ...]]

PEFT_PREFIX = "base_model.model."
# Settings of a LoRA run whose result PEFT's plain LoRA cannot say.
_NOT_PLAIN_LORA = (
    *("pissa", "loraga", "lorapro", "use_mora", "lora_use_mixer", "lora_bias"),
    *("trainable_bias", "trainable_modules", "enable_lora_list", "do_qat"),
)
# What ERNIEKit and what PaddleFormers call it.
DEGREES = ("tensor_parallel_degree", "tensor_model_parallel_size")


@dataclass(frozen=True)
class Linear:
    """A linear layer as a toolkit keeps it.

    Attributes:
        kind: layers of one kind have an adapter all together or not at all, as a toolkit's target patterns have it.
        size: (in, out).
        parts: the names in Hugging Face's model of the layers that lie in its columns.
        split: cuts (rows, out) into the columns of each part, in the order of `parts`.
    """

    kind: str
    size: tuple[int, int]
    parts: tuple[str, ...]
    split: Callable[[Array], list[Array]]


def whole(array: Array) -> list[Array]:
    """The `split` of a layer that is one in Hugging Face's model as well."""
    return [array]


def convert_lora(tensors: Mapping[str, Array], linears: Mapping[str, Linear]) -> dict[str, Array]:
    """Turn a toolkit's LoRA tensors into PEFT's; `lora_problems` has to have found none.

    Args:
        tensors: the toolkit's names with `lora_A` (in, r) and `lora_B` (r, out), of any dtype.
        linears: the layout.

    Returns:
        PEFT's names with `lora_A` (r, in) and `lora_B` (out, r). Layers that are fused in the toolkit share one A, so
        each of them gets that A and its own columns of B. Arrays may be views that are not contiguous.
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
    """Refuse an adapter of which not every tensor has its place, and not every place its tensor.

    Args:
        sizes: name and shape of every tensor.
        linears: the layout.
        lora_config: the content of lora_config.json.

    Raises:
        AdapterError: the adapter is not plain LoRA, or a tensor is missing, has another shape or has no place in the
            result; all problems at once.
    """
    if problems := list(lora_config_problems(lora_config)):
        raise AdapterError(problems)
    if not sizes:
        raise fail("adapter", "has no tensors")
    present = {stem for stem in (name.rpartition(".")[0] for name in sizes) if stem in linears}
    kinds = {linears[stem].kind for stem in present}
    # The toolkit's own targets say it exactly; without them, a kind that is there at all has to be there throughout.
    targets = _targets(linears, lora_config) or {stem for stem, linear in linears.items() if linear.kind in kinds}
    expected: dict[str, tuple[int, ...]] = {}
    for stem in (stem for stem in linears if stem in targets | present):
        rows, columns = linears[stem].size
        expected[f"{stem}.lora_A"], expected[f"{stem}.lora_B"] = (rows, lora_config["r"]), (lora_config["r"], columns)
    if problems := mismatches(sizes, expected):
        raise AdapterError(problems)


def _targets(linears: Mapping[str, Linear], lora_config: Mapping[str, Any]) -> set[str]:
    """The layers that lora_config.json names, by patterns of which one has to match the whole name."""
    patterns = lora_config.get("target_modules")
    patterns = [patterns] if isinstance(patterns, str) else patterns or []
    try:
        compiled = [re.compile(pattern) for pattern in patterns]
    except (re.error, TypeError) as error:
        raise fail("lora_config.json target_modules", f"{patterns!r} are no patterns: {error}") from error
    return {stem for stem in linears if any(pattern.fullmatch(stem) for pattern in compiled)}


def shapes_of(tensors: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor."""
    return {name: array.shape for name, array in tensors.items()}


def lora_config_problems(lora_config: Mapping[str, Any]) -> Iterator[Problem]:
    """What in a lora_config.json is missing, or cannot be said in PEFT's plain LoRA."""
    for key in ("r", "lora_alpha", "rslora", "lora_dropout"):
        if lora_config.get(key) is None:
            yield Problem(f"lora_config.json {key}", "missing")
    rank = lora_config.get("r")
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        yield Problem("lora_config.json r", f"{rank!r} is not a positive whole number")
    alpha = lora_config.get("lora_alpha")
    if alpha is not None and (isinstance(alpha, bool) or not isinstance(alpha, (int, float))):
        yield Problem("lora_config.json lora_alpha", f"{alpha!r} is not a number")
    for key in _NOT_PLAIN_LORA:
        if lora_config.get(key) not in (None, False, "none", []):
            remedy = "train without it, or export the merged model"
            yield Problem(f"lora_config.json {key}", f"{lora_config[key]!r} has no counterpart in PEFT's LoRA", remedy)


def degree_problems(lora_config: Mapping[str, Any]) -> Iterator[Problem]:
    """A tensor-parallel degree over 1: no shape tells [q0 k0 v0 | q1 k1 v1] from [q0 q1 | k0 k1 | v0 v1]."""
    for key in DEGREES:
        degree = lora_config.get(key)
        if isinstance(degree, int) and degree > 1:
            what = f"{degree}: fused projections may have their columns ordered by rank, and no shape tells"
            remedy = "say it in export.tensor_parallel_degree: the degree, or 1 where the columns are joined"
            yield Problem(f"lora_config.json {key}", what, remedy)


def peft_config(lora_config: Mapping[str, Any], tensors: Mapping[str, Array], base_model_name: str) -> dict[str, Any]:
    """PEFT's adapter_config.json for tensors of `convert_lora`.

    Layers are named by their last part where that says which are meant; a model with images has layers of the same
    names in its vision tower, so there each is named in full.
    """
    stems = sorted({name.removeprefix(PEFT_PREFIX).rsplit(".", 2)[0] for name in tensors})
    in_full = any(not stem.startswith("model.layers.") for stem in stems)
    return {
        "base_model_name_or_path": base_model_name,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": lora_config["lora_alpha"],
        "lora_dropout": lora_config["lora_dropout"],
        "peft_type": "LORA",
        "r": lora_config["r"],
        "target_modules": stems if in_full else sorted({stem.rpartition(".")[2] for stem in stems}),
        "task_type": "CAUSAL_LM",
        "use_rslora": lora_config["rslora"],
    }


def mismatches(found: Sizes, expected: Sizes) -> list[Problem]:
    """What is missing, has another shape or has no place."""
    problems = _refusals([name for name in found if name not in expected])
    for name, wanted in expected.items():
        if name not in found:
            problems.append(Problem(name, "missing", "the folder is incomplete, or its config.json is another model's"))
        elif tuple(found[name]) != wanted:
            problems.append(Problem(name, f"has shape {tuple(found[name])}, expected {wanted}"))
    return problems


def _refusals(names: list[str]) -> list[Problem]:
    """One problem per reason, since a wrong kind of model would otherwise fill pages; other tensors one by one."""
    experts = [name for name in names if "expert" in name or ".mlp.gate." in name]
    problems = []
    if experts:
        what = "this model's config.json does not have these mixture-of-experts tensors"
        problems.append(Problem(listed(experts), what, "give the base model that was trained"))
    for name in sorted(set(names) - set(experts)):
        bias = name.endswith(".bias")
        what = "a bias has no place in the Hugging Face layout" if bias else "is not a tensor of this model"
        problems.append(Problem(name, what))
    return problems


def listed(names: list[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
