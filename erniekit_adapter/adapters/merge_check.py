"""Whether a merged model is the base model plus the adapter, tensor by tensor: an exit code of 0 does not say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.adapters.layouts import Array, lora_scaling, merged_weight
from erniekit_adapter.adapters.layouts_base import BaseLayout, base_layout, layout_of_base, to_hugging_face
from erniekit_adapter.adapters.layouts_detection import layout_of, linears_of, stored_weights
from erniekit_adapter.adapters.layouts_lora import Linear, shapes_of
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.tensor_files import BFLOAT16

Float32 = npt.NDArray[np.float32]

_IN_ONE = "is in only one of base and merged model"
# Rounding of the stored type, relative to the largest number of a tensor: 8 bits of bfloat16, 11 of float16.
_TOLERANCE = {BFLOAT16: 2.0**-7, np.dtype("<f2"): 2.0**-10, np.dtype("<f4"): 1e-5, np.dtype("<f8"): 1e-5}


@dataclass(frozen=True)
class MergeCheck:
    """What a check of a merge found.

    Attributes:
        changed: tensors that the adapter changes.
        same: tensors that are the base model's, bit for bit.
        largest_difference: the largest absolute difference from base + scaling · A·B, in the weights' unit.
        largest_change: the largest absolute change that the adapter makes to a weight.
    """

    changed: int
    same: int
    largest_difference: float
    largest_change: float


def check_adapter_changes_something(adapter: Mapping[str, Array]) -> None:
    """Refuse an adapter whose every product A·B is zero: it would load everywhere and do nothing.

    Raises:
        AdapterError: all `lora_B` are zero, or a number is nan or infinite.
    """
    broken = [name for name, array in adapter.items() if not np.isfinite(as_float32(array)).all()]
    if broken:
        raise AdapterError(Problem("adapter", f"nan or infinite in {', '.join(broken[:4])}", "train with a lower rate"))
    if not any(as_float32(array).any() for name, array in adapter.items() if name.endswith(".lora_B")):
        raise AdapterError(Problem("adapter", "every lora_B is zero: it changes nothing", "train more steps"))


def check_merge(
    base: Mapping[str, Array], adapter: Mapping[str, Array], lora_config: Mapping[str, Any], merged: Mapping[str, Array]
) -> MergeCheck:
    """Hold a model merged in the base's own names and shapes against base + scaling · A·B, one tensor at a time.

    Args:
        base: the base model's tensors in ERNIEKit's layout.
        adapter: `lora_A` (in, r) and `lora_B` (r, out) of the changed weights.
        lora_config: rank, alpha and rslora.
        merged: the merged model's tensors.

    Raises:
        AdapterError: tensors missing, extra, of another shape or with other numbers; all of them at once.
    """
    scaling = lora_scaling(lora_config)
    expected = (_Expected(name, base[name], _after(base, adapter, name, scaling)) for name in sorted(base))
    return _held(expected, merged, list(_stray(base, adapter)))


def check_hf_merge(
    base: Mapping[str, Array],
    adapter: Mapping[str, Array],
    lora_config: Mapping[str, Any],
    base_config: Mapping[str, Any],
    merged: Mapping[str, Array],
) -> MergeCheck:
    """Hold a model merged into Hugging Face's layout against base + scaling · A·B, one tensor at a time.

    Whole products are cut, where the merge cuts B first.

    Args:
        base: the base model's tensors, of ERNIEKit's layout or, as PaddleFormers trains on, of Hugging Face's.
        adapter: the toolkit's `lora_A` (in, r) and `lora_B` (r, out).
        lora_config: rank, alpha and rslora.
        base_config: the content of the base model's config.json.
        merged: the merged model's tensors.

    Raises:
        AdapterError: tensors missing, extra, of another shape or with other numbers; all of them at once.
    """
    scaling = lora_scaling(lora_config)
    if layout_of_base(base) == "paddle":
        expected = _turned(base, adapter, scaling, base_layout(base_config))
        return _held(expected, merged, list(_stray(base, adapter)))
    places = _places(adapter, base_config)
    known = {place.stem for name, place in places.items() if name in base}
    stray = [name for name in sorted(adapter) if name.rpartition(".")[0] not in known]
    problems = [Problem(name, "belongs to no weight of the base model") for name in stray]
    return _held(_added(base, adapter, scaling, places), merged, problems)


@dataclass(frozen=True)
class _Expected:
    """A tensor that the merged model has to have: as it was before, and after where the adapter changes it."""

    name: str
    before: Array
    after: Float32 | None


def _stray(base: Mapping[str, Array], adapter: Mapping[str, Array]) -> Iterator[Problem]:
    for name in sorted(adapter):
        if f"{name.rpartition('.')[0]}.weight" not in base:
            yield Problem(name, "belongs to no weight of the base model")


def _after(base: Mapping[str, Array], adapter: Mapping[str, Array], name: str, scaling: float) -> Float32 | None:
    stem = name.removesuffix(".weight")
    if f"{stem}.lora_A" not in adapter:
        return None
    a, b = as_float32(adapter[f"{stem}.lora_A"]), as_float32(adapter[f"{stem}.lora_B"])
    return merged_weight(as_float32(base[name]), a, b, scaling)


def _turned(
    base: Mapping[str, Array], adapter: Mapping[str, Array], scaling: float, layout: BaseLayout
) -> Iterator[_Expected]:
    for name in sorted(base):
        added = _after(base, adapter, name, scaling)
        after = {} if added is None else to_hugging_face({name: added}, layout)
        for part, before in to_hugging_face({name: base[name]}, layout).items():
            yield _Expected(part, before, after.get(part))


@dataclass(frozen=True)
class _Place:
    """Where a weight of Hugging Face's layout lies in PaddleFormers' adapter: which part of which layer."""

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


def _added(
    base: Mapping[str, Array], adapter: Mapping[str, Array], scaling: float, places: Mapping[str, _Place]
) -> Iterator[_Expected]:
    for name in sorted(base):
        if (place := places.get(name)) is None:
            yield _Expected(name, base[name], None)
            continue
        a, b = (as_float32(adapter[f"{place.stem}.{matrix}"]) for matrix in ("lora_A", "lora_B"))
        change = np.float32(scaling) * place.linear.split(a @ b)[place.part].T
        yield _Expected(name, base[name], as_float32(base[name]) + change)


def _held(expected: Iterable[_Expected], merged: Mapping[str, Array], problems: list[Problem]) -> MergeCheck:
    """Compare tensor by tensor, of which only one is in memory, and tell all problems, those given among them."""
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
                problems.append(Problem(name, "differs from the base model, and the adapter does not touch it"))
        else:
            difference = float(np.abs(as_float32(found) - tensor.after).max())
            differences.append(difference)
            changes.append(float(np.abs(tensor.after - as_float32(before)).max()))
            if not difference <= _TOLERANCE[before.dtype] * float(np.abs(tensor.after).max()):
                problems.append(Problem(name, f"is {difference:.3g} off from base + scaling · A·B"))
    problems += [Problem(name, _IN_ONE) for name in sorted(set(merged) - seen)]
    if problems:
        raise AdapterError(problems)
    return MergeCheck(len(differences) - 1, same, max(differences), max(changes))


def as_float32(array: Array) -> Float32:
    """The numbers as float32; a bfloat16 is the upper half of one."""
    if array.dtype == BFLOAT16:
        return (array["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8)
