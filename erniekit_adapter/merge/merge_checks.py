"""Check that a merged model is the base model plus the adapter, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.layouts.base_model import BaseLayout, base_layout, layout_of_base, to_hugging_face
from erniekit_adapter.layouts.dense import merged_weight
from erniekit_adapter.layouts.detection import layout_of, linears_of, stored_weights
from erniekit_adapter.layouts.lora_tensors import Array, Linear, shapes_of
from erniekit_adapter.lora.config import lora_scaling
from erniekit_adapter.tensor_files import BFLOAT16

Float32 = npt.NDArray[np.float32]

_IN_ONE = "is in only one of base and merged model"
# Rounding error of the stored type, relative to the largest number of a tensor: bfloat16 has 8 bits, float16 11.
_TOLERANCE = {BFLOAT16: 2.0**-7, np.dtype("<f2"): 2.0**-10, np.dtype("<f4"): 1e-5, np.dtype("<f8"): 1e-5}


@dataclass(frozen=True)
class MergeCheck:
    """Result of a check of a merge.

    Attributes:
        changed: number of tensors that the adapter changes.
        same: number of tensors that are bit for bit those of the base model.
        largest_difference: the largest absolute difference from base + scaling · A·B, in the weights' unit.
        largest_change: the largest absolute change that the adapter makes to a weight.
    """

    changed: int
    same: int
    largest_difference: float
    largest_change: float


def check_adapter_changes_something(adapter: Mapping[str, Array]) -> None:
    """Refuse an adapter whose products A·B are all zero: it loads without an error and has no effect.

    Raises:
        AdapterError: every `lora_B` is zero, or a number is NaN or infinite.
    """
    broken = [name for name, array in adapter.items() if not np.isfinite(array.astype(np.float32)).all()]
    if broken:
        finding = f"NaN or infinity in {', '.join(broken[:4])}"
        raise AdapterError(Problem("adapter", finding, "train with a lower learning rate"))
    if not any(array.any() for name, array in adapter.items() if name.endswith(".lora_B")):
        raise AdapterError(Problem("adapter", "every lora_B is zero: it changes nothing", "train more steps"))


def check_merge(
    base: Mapping[str, Array], adapter: Mapping[str, Array], lora_config: Mapping[str, Any], merged: Mapping[str, Array]
) -> MergeCheck:
    """Compare a model merged in the base model's layout with base + scaling · A·B, one tensor at a time.

    Args:
        base: the base model's tensors in ERNIEKit's layout.
        adapter: `lora_A` (in, r) and `lora_B` (r, out) of the changed weights.
        lora_config: rank, alpha and rslora.
        merged: the merged model's tensors.

    Raises:
        AdapterError: tensors are missing, additional, or have another shape or other numbers; all of them at once.
    """
    scaling = lora_scaling(lora_config)
    expected = (_Expected(name, base[name], _after(base, adapter, name, scaling)) for name in sorted(base))
    return _compared(expected, merged, list(_unmatched(base, adapter)))


def check_hf_merge(
    base: Mapping[str, Array],
    adapter: Mapping[str, Array],
    lora_config: Mapping[str, Any],
    base_config: Mapping[str, Any],
    merged: Mapping[str, Array],
) -> MergeCheck:
    """Compare a model merged into Hugging Face's layout with base + scaling · A·B, one tensor at a time.

    The check splits the product A·B. The merge splits B before it multiplies, so an error in one of them is found.

    Args:
        base: the base model's tensors, in ERNIEKit's layout or, for PaddleFormers, in Hugging Face's.
        adapter: the toolkit's `lora_A` (in, r) and `lora_B` (r, out).
        lora_config: rank, alpha and rslora.
        base_config: content of the base model's config.json.
        merged: the merged model's tensors.

    Raises:
        AdapterError: tensors are missing, additional, or have another shape or other numbers; all of them at once.
    """
    scaling = lora_scaling(lora_config)
    if layout_of_base(base) == "paddle":
        expected = _expected_from_paddle(base, adapter, scaling, base_layout(base_config))
        return _compared(expected, merged, list(_unmatched(base, adapter)))
    places = _places(adapter, base_config)
    known = {place.stem for name, place in places.items() if name in base}
    unmatched = [name for name in sorted(adapter) if name.rpartition(".")[0] not in known]
    problems = [Problem(name, "belongs to no weight of the base model") for name in unmatched]
    return _compared(_expected_from_hf(base, adapter, scaling, places), merged, problems)


@dataclass(frozen=True)
class _Expected:
    """A tensor of the merged model: before the merge, and after it if the adapter changes it."""

    name: str
    before: Array
    after: Float32 | None


def _unmatched(base: Mapping[str, Array], adapter: Mapping[str, Array]) -> Iterator[Problem]:
    for name in sorted(adapter):
        if f"{name.rpartition('.')[0]}.weight" not in base:
            yield Problem(name, "belongs to no weight of the base model")


def _after(base: Mapping[str, Array], adapter: Mapping[str, Array], name: str, scaling: float) -> Float32 | None:
    stem = name.removesuffix(".weight")
    if f"{stem}.lora_A" not in adapter:
        return None
    return merged_weight(base[name], adapter[f"{stem}.lora_A"], adapter[f"{stem}.lora_B"], scaling)


def _expected_from_paddle(
    base: Mapping[str, Array], adapter: Mapping[str, Array], scaling: float, layout: BaseLayout
) -> Iterator[_Expected]:
    for name in sorted(base):
        added = _after(base, adapter, name, scaling)
        after = {} if added is None else to_hugging_face({name: added}, layout)
        for part, before in to_hugging_face({name: base[name]}, layout).items():
            yield _Expected(part, before, after.get(part))


@dataclass(frozen=True)
class _Place:
    """Source of a weight of Hugging Face's layout in PaddleFormers' adapter: a part of a layer."""

    stem: str
    linear: Linear
    part: int


def _places(adapter: Mapping[str, Array], base_config: Mapping[str, Any]) -> dict[str, _Place]:
    layout = layout_of(shapes_of(adapter), base_config)
    return {
        weight: _Place(stem, linear, part)
        for stem, linear in linears_of(layout, base_config).items()
        if f"{stem}.lora_A" in adapter
        for part, weight in enumerate(stored_weights(stem, linear, layout))
    }


def _expected_from_hf(
    base: Mapping[str, Array], adapter: Mapping[str, Array], scaling: float, places: Mapping[str, _Place]
) -> Iterator[_Expected]:
    for name in sorted(base):
        if (place := places.get(name)) is None:
            yield _Expected(name, base[name], None)
            continue
        a, b = (adapter[f"{place.stem}.{matrix}"].astype(np.float32) for matrix in ("lora_A", "lora_B"))
        change = np.float32(scaling) * place.linear.split(a @ b)[place.part].T
        yield _Expected(name, base[name], base[name].astype(np.float32) + change)


def _compared(expected: Iterable[_Expected], merged: Mapping[str, Array], problems: list[Problem]) -> MergeCheck:
    """Compare tensor by tensor, with one tensor in memory. Raise all problems, including the given ones."""
    differences, changes, same, seen = [0.0], [0.0], 0, set()
    for tensor in expected:
        name, before, found = tensor.name, tensor.before, merged.get(tensor.name)
        seen.add(name)
        if found is None:
            problems.append(Problem(name, _IN_ONE))
        elif found.shape != before.shape or found.dtype != before.dtype:
            problems.append(Problem(name, f"is {found.dtype} {found.shape}, expected {before.dtype} {before.shape}"))
        elif tensor.after is None:
            same += 1
            if not np.array_equal(_bits(found), _bits(before)):
                problems.append(Problem(name, "differs from the base model, but the adapter does not change it"))
        else:
            difference = float(np.abs(found.astype(np.float32) - tensor.after).max())
            differences.append(difference)
            changes.append(float(np.abs(tensor.after - before.astype(np.float32)).max()))
            if not difference <= _TOLERANCE[before.dtype] * float(np.abs(tensor.after).max()):
                problems.append(Problem(name, f"is {difference:.3g} off from base + scaling · A·B"))
    problems += [Problem(name, _IN_ONE) for name in sorted(set(merged) - seen)]
    if problems:
        raise AdapterError(problems)
    return MergeCheck(len(differences) - 1, same, max(differences), max(changes))


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8)
