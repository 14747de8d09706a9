"""Safetensors files: places of tensors, memory maps and a writer for tensors that are not contiguous.

The library's functions read and write whole files: `load_file` copies every tensor, and accepts headers with repeated
and unknown keys. The code here reads headers itself, because callers need bounded memory, a file that is filled block
by block, and strict checks of files from others. Pickles (`.pdparams`) are never opened: unpickling runs code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt
import orjson

from erniekit_adapter.errors import AdapterError, Problem, failure
from erniekit_adapter.files import read_json, writing
from erniekit_adapter.strict_json import parse_strict

Array = npt.NDArray[Any]
TorchDtype = Literal["float32", "float16", "bfloat16"]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES: dict[str, np.dtype[Any]] = {
    "BF16": BFLOAT16,
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
# Bytes per element of every type of the format whose elements are whole bytes.
ITEM_BYTES = (
    dict.fromkeys(("F64", "I64", "U64"), 8)
    | dict.fromkeys(("F32", "I32", "U32"), 4)
    | dict.fromkeys(("BF16", "F16", "I16", "U16"), 2)
    | dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1)
)
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # the limit of safetensors


@dataclass(frozen=True)
class StoredTensor:
    """Place and type of a tensor in a safetensors file.

    Attributes:
        name: the tensor's name.
        path: the file.
        dtype: the type's name in safetensors, a key of `ITEM_BYTES`.
        shape: the tensor's shape.
        start: offset of its data from the beginning of the file, in bytes.
        size_bytes: length of its data.
    """

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int

    @property
    def end(self) -> int:
        """Offset of the end of its data from the beginning of the file, in bytes."""
        return self.start + self.size_bytes

    def map(self, dtype: npt.DTypeLike, rows: slice | None = None) -> Array:
        """Map the tensor or some of its rows into memory, read-only. Deleting the array frees the memory.

        Args:
            dtype: numpy's type for `self.dtype`.
            rows: the rows, with start and stop; None for all.
        """
        if rows is None or not self.shape:
            return np.memmap(self.path, dtype, "r", self.start, self.shape) if self.size_bytes else self._empty(dtype)
        shape = (rows.stop - rows.start, *self.shape[1:])
        row_bytes = self.size_bytes // max(self.shape[0], 1)
        if not row_bytes * shape[0]:
            return self._empty(dtype)
        return np.memmap(self.path, dtype, "r", self.start + rows.start * row_bytes, shape)

    def _empty(self, dtype: npt.DTypeLike) -> Array:
        return np.empty(self.shape, dtype)


def list_tensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name, in the order of their data. Only the header is read.

    Raises:
        AdapterError: the file is missing or damaged, or has a type that is not in `ITEM_BYTES`.
    """
    header, size_bytes = _read_header(path)
    return tensors_of_header(path, header, size_bytes)


def tensors_of_header(path: Path, header: bytes, size_bytes: int) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors header by name, in the order of their data.

    Args:
        path: the file, for messages and for maps of the tensors.
        header: the JSON header, without the length before it.
        size_bytes: size of the whole file.

    Raises:
        AdapterError: the header is not valid, repeats a key, or has a type that is not in `ITEM_BYTES`.
    """
    entries = _parsed(path, header)
    entries.pop("__metadata__", None)
    start = _LENGTH_BYTES + len(header)
    tensors = [_stored(path, name, entry, start, size_bytes) for name, entry in entries.items()]
    # An empty tensor comes before the tensor that starts at the same offset.
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end, tensor.name))
    return {tensor.name: tensor for tensor in tensors}


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file, such as `format`.

    Raises:
        AdapterError: the file is missing or damaged.
    """
    return dict(_parsed(path, _read_header(path)[0]).get("__metadata__", {}))


def _read_header(path: Path) -> tuple[bytes, int]:
    """Return the header and the size of the file."""
    try:
        if not path.is_file():
            raise failure(path, "no such file" if not path.exists() else "not a regular file")
        with path.open("rb") as stream:
            size_bytes = path.stat().st_size
            return read_header(path, stream, size_bytes), size_bytes
    except OSError as error:
        raise failure(path, f"cannot be read: {error.strerror or error}") from error


def read_header(path: Path, stream: IO[bytes] | RawIOBase, size_bytes: int) -> bytes:
    """Read a safetensors file from its beginning up to the data, and return the JSON header.

    Raises:
        AdapterError: the file does not begin with the length of a header and a header.
    """
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    if not 2 <= length <= min(_MAX_HEADER_BYTES, size_bytes - _LENGTH_BYTES):
        raise failure(path, "not a safetensors file, or truncated", "copy it again")
    header = stream.read(length)
    if len(header) != length:
        raise failure(path, "not a safetensors file, or truncated", "copy it again")
    return header


def _parsed(path: Path, header: bytes) -> dict[str, Any]:
    entries = parse_strict(f"{path} header", header)
    if not isinstance(entries, dict):
        raise failure(path, "its header is not an object", "copy it again")
    metadata = entries.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise failure(f"{path} __metadata__", "is not an object of texts", "copy it again")
    return entries


def _stored(path: Path, name: str, entry: Any, start: int, size: int) -> StoredTensor:
    if not _is_entry(entry):
        raise failure(f"{path} {name}", "has a damaged header entry", "copy the file again")
    dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    item_bytes = ITEM_BYTES.get(dtype)
    if item_bytes is None:
        raise failure(f"{path} {name}", f"has type {dtype}; supported types: {', '.join(ITEM_BYTES)}")
    expected = math.prod(shape) * item_bytes
    if not 0 <= begin <= end <= size - start or end - begin != expected:
        raise failure(f"{path} {name}", "its offsets in the header do not fit the file", "copy the file again")
    return StoredTensor(name, path, dtype, shape, start + begin, expected)


def _is_entry(entry: Any) -> bool:
    """Return whether a header's entry has exactly the three keys of the format, with values of the right types."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        return False
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(entry["dtype"], str) or not isinstance(shape, list) or not isinstance(offsets, list):
        return False
    numbers = [*shape, *offsets]
    return len(offsets) == 2 and len(shape) <= 16 and all(type(number) is int and number >= 0 for number in numbers)


def read_tensors(path: Path) -> dict[str, Array]:
    """Map a safetensors file into memory.

    Returns:
        Name and read-only array of each tensor.

    Raises:
        AdapterError: the file is missing or damaged, or has a type that is not in `DTYPES`.
    """
    return _mapped(list_tensors(path))


def _mapped(tensors: Mapping[str, StoredTensor]) -> dict[str, Array]:
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise failure(f"{tensor.path} {name}", f"has type {tensor.dtype}; supported types: {', '.join(DTYPES)}")
    files: dict[Path, npt.NDArray[np.uint8]] = {}
    for path in {tensor.path for tensor in tensors.values()}:
        try:
            files[path] = np.memmap(path, dtype=np.uint8, mode="r")
        except OSError as error:
            raise failure(path, f"cannot be read: {error.strerror or error}") from error
    return {
        name: files[tensor.path][tensor.start : tensor.end].view(DTYPES[tensor.dtype]).reshape(tensor.shape)
        for name, tensor in tensors.items()
    }


def read_indexed(index: Path) -> dict[str, Array]:
    """Map all files of a safetensors index into memory, see `list_indexed`.

    Raises:
        AdapterError: a file is missing or damaged, or is outside the index's folder, or index and files disagree.
    """
    return _mapped(list_indexed(index))


def list_indexed(index: Path) -> dict[str, StoredTensor]:
    """Return the tensors of all files of a safetensors index, by name. Only the headers are read.

    Raises:
        AdapterError: a file is missing or damaged, or is outside the index's folder, or index and files disagree.
    """
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise failure(index, "has no weight_map")
    files = sorted({str(name) for name in places.values()})
    if outside := [name for name in files if Path(name).name != name]:
        raise failure(index, f"names files outside its folder: {', '.join(outside)}")
    tensors: dict[str, StoredTensor] = {}
    problems = []
    for name in files:
        content_of_file = list_tensors(index.parent / name)
        listed = {tensor for tensor, place in places.items() if place == name}
        for tensor in sorted(listed ^ set(content_of_file)):
            finding = "is not in the index" if tensor in content_of_file else "is in the index but not in the file"
            problems.append(Problem(f"{index.parent / name} {tensor}", finding, "copy the folder again"))
        tensors |= content_of_file
    if problems:
        raise AdapterError(problems)
    return tensors


def file_header(tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Return the beginning of a safetensors file, up to the data of its first tensor.

    Args:
        tensors: name, type (as in safetensors) and shape of each tensor, in the order of the data, without gaps.
        metadata: the file's metadata.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, dtype, shape in tensors:
        end = offset + math.prod(shape) * ITEM_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    encoded = orjson.dumps(header)
    encoded += b" " * (-len(encoded) % _LENGTH_BYTES)
    return len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded


def write_tensors(path: Path, tensors: Mapping[str, Array], framework: Literal["pt", "np"] = "pt") -> None:
    """Write a safetensors file atomically. Equal tensors give equal bytes.

    The library's `save_file` writes the memory of a transposed view in the wrong order, and needs contiguous copies of
    all tensors at once. Here, one tensor is copied at a time.

    Args:
        path: the file.
        tensors: name and array of each tensor, of a type in `DTYPES`; views need not be contiguous.
        framework: metadata that loaders check: `pt` for torch, `np` for Paddle.
    """
    # Large element types first, so that every tensor is aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    listed = ((name, _NAMES[tensors[name].dtype], tensors[name].shape) for name in names)
    with writing(path) as stream:
        stream.write(file_header(listed, {"format": framework}))
        for name in names:
            stream.write(np.ascontiguousarray(tensors[name]).view(np.uint8).data)
