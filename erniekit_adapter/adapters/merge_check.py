"""Whether a merged model is the base model plus the adapter, tensor by tensor: an exit code of 0 does not say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.adapters.layouts import Array, lora_scaling, merged_weight
from erniekit_adapter.adapters.tensor_files import BFLOAT16
from erniekit_adapter.errors import AdapterError, Problem

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
    """Hold a merged model against base + scaling · A·B, one tensor at a time.

    Args:
        base: the base model's tensors in ERNIEKit's layout.
        adapter: `lora_A` (in, r) and `lora_B` (r, out) of the changed weights.
        lora_config: rank, alpha and rslora.
        merged: the merged model's tensors.

    Raises:
        AdapterError: tensors missing, extra, of another shape or with other numbers; all of them at once.
    """
    problems = [Problem(name, "is in only one of base and merged model") for name in sorted(set(base) ^ set(merged))]
    stray = sorted(name for name in adapter if f"{name.rpartition('.')[0]}.weight" not in base)
    problems += [Problem(name, "belongs to no weight of the base model") for name in stray]
    scaling, differences, changes, same = lora_scaling(lora_config), [0.0], [0.0], 0
    for name in sorted(set(base) & set(merged)):
        stem = name.removesuffix(".weight")
        found, original = merged[name], base[name]
        if found.shape != original.shape or found.dtype != original.dtype:
            problems.append(
                Problem(name, f"is {found.dtype} {found.shape}, expected {original.dtype} {original.shape}")
            )
        elif f"{stem}.lora_A" not in adapter:
            same += 1
            if not np.array_equal(_bits(found), _bits(original)):
                problems.append(Problem(name, "differs from the base model, and the adapter does not touch it"))
        else:
            a, b = as_float32(adapter[f"{stem}.lora_A"]), as_float32(adapter[f"{stem}.lora_B"])
            before = as_float32(original)
            expected = merged_weight(before, a, b, scaling)
            difference = float(np.abs(as_float32(found) - expected).max())
            differences.append(difference)
            changes.append(float(np.abs(expected - before).max()))
            if not difference <= _TOLERANCE[original.dtype] * float(np.abs(expected).max()):
                problems.append(Problem(name, f"is {difference:.3g} off from base + scaling · A·B"))
    if problems:
        raise AdapterError(problems)
    return MergeCheck(len(differences) - 1, same, max(differences), max(changes))


def as_float32(array: Array) -> npt.NDArray[np.float32]:
    """The numbers as float32; a bfloat16 is the upper half of one."""
    if array.dtype == BFLOAT16:
        return (array["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8)
