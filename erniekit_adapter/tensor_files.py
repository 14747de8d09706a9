"""Reading and writing safetensors files with numpy, bfloat16 included.

numpy has no bfloat16, and safetensors' numpy side refuses it. Converting layouts moves numbers and never computes with
them, so a two-byte element that carries the name of its type through every cut and transposition is all it takes.
A pickle (`.pdparams`) is never opened: unpickling runs whatever the file says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.files import read_json, writing
from erniekit_adapter.strict_json import parse_strict

Array = npt.NDArray[Any]

# A structured type: arithmetic on it raises instead of computing with bits.
BFLOAT16 = np.dtype([("bfloat16", "<u2")])
DTYPES: dict[str, np.dtype[Any]] = {
    "BF16": BFLOAT16,
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
# Every type of the format whose elements are whole bytes.
ITEM_BYTES = (
    dict.fromkeys(("F64", "I64", "U64"), 8)
    | dict.fromkeys(("F32", "I32", "U32"), 4)
    | dict.fromkeys(("BF16", "F16", "I16", "U16"), 2)
    | dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1)
)
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000  # as in safetensors itself


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies, and as what.

    Attributes:
        name: its name.
        path: the safetensors file that holds it.
        dtype: its type by safetensors' name, a key of `ITEM_BYTES`.
        shape: its sizes.
        start: where its data begins, in bytes from the beginning of the file.
        size_bytes: how long its data is.
    """

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int

    @property
    def end(self) -> int:
        """Where its data ends, in bytes from the beginning of the file."""
        return self.start + self.size_bytes

    def map(self, dtype: npt.DTypeLike, rows: slice | None = None) -> Array:
        """Map its data, or some rows of it, into memory, read-only; gone from memory when the array is gone.

        Args:
            dtype: numpy's type for `self.dtype`.
            rows: which rows, both ends said; None for all.
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
    """Where each tensor of a safetensors file lies, in the order of their data; the data itself is not read.

    Raises:
        AdapterError: the file is missing or damaged, or holds a type that is not among `ITEM_BYTES`.
    """
    header, size_bytes = _read_header(path)
    return tensors_of_header(path, header, size_bytes)


def tensors_of_header(path: Path, header: bytes, size_bytes: int) -> dict[str, StoredTensor]:
    """Return where each tensor of a safetensors file lies, in the order of their data.

    Args:
        path: the file, for messages and to map tensors from.
        header: its JSON header, without the length before it.
        size_bytes: the size of the whole file.

    Raises:
        AdapterError: the header is not valid, repeats a key, or names a type that is not among `ITEM_BYTES`.
    """
    entries = _parsed(path, header)
    entries.pop("__metadata__", None)
    start = _LENGTH_BYTES + len(header)
    tensors = [_stored(path, name, entry, start, size_bytes) for name, entry in entries.items()]
    # An empty tensor lies before the one that begins at the same place.
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end, tensor.name))
    return {tensor.name: tensor for tensor in tensors}


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says about itself, `format` for one.

    Raises:
        AdapterError: the file is missing or damaged.
    """
    return dict(_parsed(path, _read_header(path)[0]).get("__metadata__", {}))


def _read_header(path: Path) -> tuple[bytes, int]:
    """The header and the file's size."""
    try:
        if not path.is_file():
            raise fail(path, "no such file" if not path.exists() else "not a regular file")
        with path.open("rb") as stream:
            size_bytes = path.stat().st_size
            return read_header(path, stream, size_bytes), size_bytes
    except OSError as error:
        raise fail(path, f"cannot be read: {error.strerror or error}") from error


def read_header(path: Path, stream: IO[bytes] | RawIOBase, size_bytes: int) -> bytes:
    """Read a safetensors file from its beginning up to its data, and return the JSON header.

    Raises:
        AdapterError: the file does not begin with a header's length and a header.
    """
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    if not 2 <= length <= min(_MAX_HEADER_BYTES, size_bytes - _LENGTH_BYTES):
        raise fail(path, "not a safetensors file, or cut short", "copy it again")
    header = stream.read(length)
    if len(header) != length:
        raise fail(path, "not a safetensors file, or cut short", "copy it again")
    return header


def _parsed(path: Path, header: bytes) -> dict[str, Any]:
    entries = parse_strict(f"{path} header", header)
    if not isinstance(entries, dict):
        raise fail(path, "its header is not an object", "copy it again")
    metadata = entries.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise fail(f"{path} __metadata__", "is not an object of texts", "copy it again")
    return entries


def _stored(path: Path, name: str, entry: Any, start: int, size: int) -> StoredTensor:
    if not _is_entry(entry):
        raise fail(f"{path} {name}", "has a damaged header entry", "copy the file again")
    dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    item_bytes = ITEM_BYTES.get(dtype)
    if item_bytes is None:
        raise fail(f"{path} {name}", f"is of type {dtype}; read are {', '.join(ITEM_BYTES)}")
    expected = math.prod(shape) * item_bytes
    if not 0 <= begin <= end <= size - start or end - begin != expected:
        raise fail(f"{path} {name}", "its data is not where the header says", "copy the file again")
    return StoredTensor(name, path, dtype, shape, start + begin, expected)


def _is_entry(entry: Any) -> bool:
    """Whether a header's entry has the three keys of the format and no other, each of its type."""
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
        name and read-only array of each tensor; bfloat16 comes as `BFLOAT16`.

    Raises:
        AdapterError: the file is missing, damaged, or holds a type that is no float of 2 to 8 bytes.
    """
    return _mapped(list_tensors(path))


def _mapped(tensors: Mapping[str, StoredTensor]) -> dict[str, Array]:
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise fail(f"{tensor.path} {name}", f"is of type {tensor.dtype}; read are {', '.join(DTYPES)}")
    files: dict[Path, npt.NDArray[np.uint8]] = {}
    for path in {tensor.path for tensor in tensors.values()}:
        try:
            files[path] = np.memmap(path, dtype=np.uint8, mode="r")
        except OSError as error:
            raise fail(path, f"cannot be read: {error.strerror or error}") from error
    return {
        name: files[tensor.path][tensor.start : tensor.start + tensor.size_bytes]
        .view(DTYPES[tensor.dtype])
        .reshape(tensor.shape)
        for name, tensor in tensors.items()
    }


def read_indexed(index: Path) -> dict[str, Array]:
    """Map all files that a safetensors index names, and check that both agree on the tensors.

    Raises:
        AdapterError: a file is missing or damaged, lies outside the index's folder, or holds other tensors.
    """
    return _mapped(list_indexed(index))


def list_indexed(index: Path) -> dict[str, StoredTensor]:
    """Where each tensor lies that a safetensors index names, after checking that index and files agree.

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
    tensors: dict[str, StoredTensor] = {}
    problems = []
    for name in files:
        content_of_file = list_tensors(index.parent / name)
        listed = {tensor for tensor, place in places.items() if place == name}
        for tensor in sorted(listed ^ set(content_of_file)):
            what = "is not in the index" if tensor in content_of_file else "is in the index and not in the file"
            problems.append(Problem(f"{index.parent / name} {tensor}", what, "copy the folder again"))
        tensors |= content_of_file
    if problems:
        raise AdapterError(problems)
    return tensors


def file_header(tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """The beginning of a safetensors file, up to where the data of its first tensor begins.

    Args:
        tensors: name, safetensors' name of the type, and shape, in the order of their data, which has no gaps.
        metadata: what the file says about itself.
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


def write_tensors(path: Path, tensors: Mapping[str, Array], form: Literal["pt", "np"] = "pt") -> None:
    """Write a safetensors file, whole or not at all; equal tensors give equal bytes.

    Args:
        path: the file.
        tensors: name and array of each tensor, of a type in `DTYPES`; views are written in their own order.
        form: who shall load it, since both loaders ask: `pt` for torch, `np` for Paddle.
    """
    # Wide types first keeps every tensor aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    listed = ((name, _NAMES[tensors[name].dtype], tensors[name].shape) for name in names)
    with writing(path) as stream:
        stream.write(file_header(listed, {"format": form}))
        for name in names:
            stream.write(np.ascontiguousarray(tensors[name]).view(np.uint8).data)
