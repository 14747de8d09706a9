"""Reading and writing safetensors files with numpy, bfloat16 included.

numpy has no bfloat16, and safetensors' numpy side refuses it. Converting layouts moves numbers and never computes with
them, so a two-byte element that carries the name of its type through every cut and transposition is all it takes.
A pickle (`.pdparams`) is never opened: unpickling runs whatever the file says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.files import read_json, writing

Array = npt.NDArray[Any]

# A structured type: arithmetic on it raises instead of computing with bits.
BFLOAT16 = np.dtype([("bfloat16", "<u2")])
DTYPES: dict[str, np.dtype[Any]] = {
    "BF16": BFLOAT16,
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # as in safetensors itself


def read_tensors(path: Path) -> dict[str, Array]:
    """Map a safetensors file into memory.

    Returns:
        name and read-only array of each tensor; bfloat16 comes as `BFLOAT16`.

    Raises:
        AdapterError: the file is missing, damaged, or holds a type that is no float of 2 to 8 bytes.
    """
    try:
        if not path.is_file():
            raise fail(path, "no such file" if not path.exists() else "not a regular file")
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - _LENGTH_BYTES):
                raise fail(path, "not a safetensors file, or cut short", "copy it again")
            header = orjson.loads(stream.read(length))
        start = _LENGTH_BYTES + length
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=start) if size > start else np.empty(0, np.uint8)
    except orjson.JSONDecodeError as error:
        raise fail(path, f"its header is not JSON: {error}", "copy it again") from error
    except OSError as error:
        raise fail(path, f"cannot be read: {error.strerror or error}") from error
    if not isinstance(header, dict):
        raise fail(path, "its header is not an object", "copy it again")
    header.pop("__metadata__", None)
    return {name: _tensor(path, name, entry, data) for name, entry in header.items()}


def _tensor(path: Path, name: str, entry: Any, data: npt.NDArray[np.uint8]) -> Array:
    try:
        dtype, shape = DTYPES.get(entry["dtype"]), [int(size) for size in entry["shape"]]
        begin, end = (int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise fail(f"{path} {name}", "has a damaged header entry", "copy the file again") from error
    if dtype is None:
        raise fail(f"{path} {name}", f"is of type {entry['dtype']}; read are {', '.join(DTYPES)}")
    expected = math.prod(shape) * dtype.itemsize
    if min([0, *shape]) < 0 or not 0 <= begin <= end <= len(data) or end - begin != expected:
        raise fail(f"{path} {name}", "its data is not where the header says", "copy the file again")
    return data[begin:end].view(dtype).reshape(shape)


def read_indexed(index: Path) -> dict[str, Array]:
    """Map all files that a safetensors index names, and check that both agree on the tensors.

    Raises:
        AdapterError: a file is missing or damaged, lies outside the index's folder, or holds other tensors.
    """
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise fail(index, "has no weight_map")
    files = sorted({str(name) for name in places.values()})
    if strange := [name for name in files if Path(name).name != name]:
        raise fail(index, f"names files outside its folder: {', '.join(strange)}")
    tensors: dict[str, Array] = {}
    problems = []
    for name in files:
        content_of_file = read_tensors(index.parent / name)
        listed = {tensor for tensor, place in places.items() if place == name}
        for tensor in sorted(listed ^ set(content_of_file)):
            what = "is not in the index" if tensor in content_of_file else "is in the index and not in the file"
            problems.append(Problem(f"{index.parent / name} {tensor}", what, "copy the folder again"))
        tensors |= content_of_file
    if problems:
        raise AdapterError(problems)
    return tensors


def write_tensors(path: Path, tensors: Mapping[str, Array], form: Literal["pt", "np"] = "pt") -> None:
    """Write a safetensors file, whole or not at all; equal tensors give equal bytes.

    Args:
        path: the file.
        tensors: name and array of each tensor, of a type in `DTYPES`; views are written in their own order.
        form: who shall load it, since both loaders ask: `pt` for torch, `np` for Paddle.
    """
    # Wide types first keeps every tensor aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"format": form}}
    offset = 0
    for name in names:
        array = tensors[name]
        end = offset + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    encoded = orjson.dumps(header)
    encoded += b" " * (-len(encoded) % _LENGTH_BYTES)
    with writing(path) as stream:
        stream.write(len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded)
        for name in names:
            stream.write(np.ascontiguousarray(tensors[name]).view(np.uint8).data)
