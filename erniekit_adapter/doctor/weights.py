"""The headers of safetensors files: are the files whole, how many weights do they hold. No weight is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json

# The format's own limit.
_MAX_HEADER_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True)
class WeightFile:
    """A safetensors file.

    Attributes:
        path: where it is.
        size_bytes: what there is of it.
        shapes: every tensor's shape by its name; empty where the file cannot be read.
        problem: what is wrong with it; empty when it is whole.
    """

    path: Path
    size_bytes: int
    shapes: Mapping[str, tuple[int, ...]]
    problem: str = ""


def weight_files(folder: Path) -> list[WeightFile]:
    """Every safetensors file of a folder, by name."""
    return [read_header(path) for path in sorted(folder.glob("*.safetensors"))]


def read_header(path: Path) -> WeightFile:
    """A file's tensors, and whether the file is as long as its header says."""
    size = path.stat().st_size if path.exists() else 0
    if size == 0:
        return WeightFile(path, 0, {}, "is empty" if path.exists() else "is a link to nothing")
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > min(_MAX_HEADER_BYTES, size - 8):
                return WeightFile(path, size, {}, "is no safetensors file, or the beginning of one")
            header = json.loads(stream.read(length))
        tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, tensor["shape"])) for name, tensor in tensors.items()}
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
    except OSError as error:
        return WeightFile(path, size, {}, f"cannot be read: {error.strerror or error}")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return WeightFile(path, size, {}, "is no safetensors file")
    if size < 8 + length + end:
        return WeightFile(path, size, shapes, f"is cut off: {size:,} of {8 + length + end:,} bytes")
    return WeightFile(path, size, shapes)


def named_and_missing(folder: Path) -> list[str]:
    """Files that model.safetensors.index.json names and that are not there."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        named = set(read_json(index)["weight_map"].values())
    except (AdapterError, KeyError, TypeError, AttributeError):
        return [f"{index.name} itself, which cannot be read"]
    return sorted(str(name) for name in named if not (folder / str(name)).is_file())


def count_parameters(files: list[WeightFile]) -> int:
    """All weights of these files."""
    return sum(math.prod(shape) for file in files for shape in file.shapes.values())


# A fused matrix, by its name in the file, and the projections it holds; others hold their own.
_FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "up_gate_proj": ("gate_proj", "up_proj")}


def count_lora_parameters(files: list[WeightFile], modules: frozenset[str], rank: int) -> int:
    """Weights of an adapter on these modules: A (in, r) and B (r, out) for each matrix, stacked experts one by one."""
    total = 0
    for file in files:
        for name, shape in file.shapes.items():
            projection = name.removesuffix(".weight").rpartition(".")[2]
            if len(shape) >= 2 and modules & set(_FUSED.get(projection, (projection,))):
                total += math.prod(shape[:-2]) * rank * (shape[-2] + shape[-1])
    return total
