"""Headers of safetensors files: completeness and number of weights. No weight is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.architectures.linear_layers import FUSED_LAYERS
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json

# The format's own limit.
_MAX_HEADER_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True)
class WeightFile:
    """A safetensors file.

    Attributes:
        path: its path.
        size_bytes: its size on disk.
        shapes: shape of each tensor by name; empty if the file cannot be read.
        problem: why it cannot be used; empty if it is complete.
    """

    path: Path
    size_bytes: int
    shapes: Mapping[str, tuple[int, ...]]
    problem: str = ""


def weight_files(folder: Path) -> list[WeightFile]:
    """Return the safetensors files of a folder, sorted by name."""
    return [read_header(path) for path in sorted(folder.glob("*.safetensors"))]


def read_header(path: Path) -> WeightFile:
    """Return the tensors of a file, and a problem if the file is shorter than its header requires."""
    size = path.stat().st_size if path.exists() else 0
    if size == 0:
        return WeightFile(path, 0, {}, "is empty" if path.exists() else "is a link to nothing")
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > min(_MAX_HEADER_BYTES, size - 8):
                return WeightFile(path, size, {}, "is not a safetensors file, or is cut off in its header")
            header = json.loads(stream.read(length))
        tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, tensor["shape"])) for name, tensor in tensors.items()}
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
    except OSError as error:
        return WeightFile(path, size, {}, f"cannot be read: {error.strerror or error}")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return WeightFile(path, size, {}, "is not a safetensors file")
    if size < 8 + length + end:
        return WeightFile(path, size, shapes, f"is cut off: {size:,} of {8 + length + end:,} bytes")
    return WeightFile(path, size, shapes)


def named_and_missing(folder: Path) -> list[str]:
    """Return the files that model.safetensors.index.json names and that do not exist."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        named = set(read_json(index)["weight_map"].values())
    except (AdapterError, KeyError, TypeError, AttributeError):
        return [f"{index.name} itself, which cannot be read"]
    return sorted(str(name) for name in named if not (folder / str(name)).is_file())


def count_parameters(files: list[WeightFile]) -> int:
    """Return the number of weights in these files."""
    return sum(math.prod(shape) for file in files for shape in file.shapes.values())


# Fused matrices by their name in the file, with the projections that they contain; other matrices contain one.
_PARTS = {fused.name: fused.parts for fused in FUSED_LAYERS}


def count_lora_parameters(files: list[WeightFile], modules: frozenset[str], rank: int) -> int:
    """Return the number of weights of an adapter: A (in, r) and B (r, out) for each matrix and each stacked expert."""
    total = 0
    for file in files:
        for name, shape in file.shapes.items():
            projection = name.removesuffix(".weight").rpartition(".")[2]
            if len(shape) >= 2 and modules & set(_PARTS.get(projection, (projection,))):
                total += math.prod(shape[:-2]) * rank * (shape[-2] + shape[-1])
    return total
