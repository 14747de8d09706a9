"""Search for NaN and infinite values in safetensors files, a block at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from erniekit_adapter.errors import failure
from erniekit_adapter.tensor_files import ITEM_BYTES, StoredTensor, list_tensors

_BLOCK_BYTES = 16 * 1024 * 1024
_THREADS = 8


@dataclass(frozen=True)
class _Bits:
    """Bit pattern of values that are NaN or infinite.

    Attributes:
        dtype: numpy's unsigned integer type with the size of an element.
        mask: the bits to compare.
        least: the smallest masked number that is NaN or infinite.
    """

    dtype: str
    mask: int
    least: int


# IEEE 754: a value is finite unless all bits of its exponent are set. F8_E4M3 has no infinity, and in its NaN all bits
# except the sign are set. Paddle writes bfloat16 as U16 on a CPU.
_BITS = {
    "F64": _Bits("<u8", 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0000),
    "F32": _Bits("<u4", 0x7F80_0000, 0x7F80_0000),
    "F16": _Bits("<u2", 0x7C00, 0x7C00),
    "BF16": _Bits("<u2", 0x7F80, 0x7F80),
    "U16": _Bits("<u2", 0x7F80, 0x7F80),
    "F8_E4M3": _Bits("u1", 0x7F, 0x7F),
    "F8_E5M2": _Bits("u1", 0x7C, 0x7C),
}


@dataclass(frozen=True)
class NotFinite:
    """A tensor with values that are NaN or infinite.

    Attributes:
        tensor: place and type of the tensor.
        count: number of values that are not finite.
    """

    tensor: StoredTensor
    count: int

    @property
    def values(self) -> int:
        """Number of all its values."""
        return self.tensor.size_bytes // ITEM_BYTES[self.tensor.dtype]


def not_finite(
    files: Iterable[Path], on_progress: Callable[[int, int], None] = lambda done_bytes, total_bytes: None
) -> list[NotFinite]:
    """Return the tensors of safetensors files that contain NaN or infinite values.

    Memory stays at one block of 16 MiB for each of up to eight threads.

    Args:
        files: safetensors files.
        on_progress: called with the bytes read and the bytes in total.

    Raises:
        AdapterError: a file is missing, damaged or unreadable.
    """
    tensors = [tensor for file in files for tensor in list_tensors(file).values() if tensor.dtype in _BITS]
    blocks = [(tensor, block) for tensor in tensors for block in _blocks(tensor)]
    counts = dict.fromkeys(range(len(tensors)), 0)
    number = {id(tensor): index for index, tensor in enumerate(tensors)}
    total_bytes, done_bytes = sum(tensor.size_bytes for tensor in tensors), 0
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        for (tensor, block), count in zip(blocks, threads.map(_count_of, blocks), strict=True):
            counts[number[id(tensor)]] += count
            done_bytes += block[1]
            on_progress(done_bytes, total_bytes)
    return [NotFinite(tensor, counts[index]) for index, tensor in enumerate(tensors) if counts[index]]


def _blocks(tensor: StoredTensor) -> Iterator[tuple[int, int]]:
    """Yield offset and length in bytes of each block of a tensor's data."""
    for offset in range(0, tensor.size_bytes, _BLOCK_BYTES):
        yield offset, min(_BLOCK_BYTES, tensor.size_bytes - offset)


def _count_of(part: tuple[StoredTensor, tuple[int, int]]) -> int:
    tensor, (offset, size_bytes) = part
    try:
        with tensor.path.open("rb") as stream:
            stream.seek(tensor.start + offset)
            return count_not_finite(stream.read(size_bytes), tensor.dtype)
    except OSError as error:
        raise failure(tensor.path, f"cannot be read: {error.strerror or error}") from error


def count_not_finite(data: bytes | bytearray | memoryview, dtype: str) -> int:
    """Count the elements of raw tensor data that are NaN or infinite.

    Args:
        data: whole elements, little-endian.
        dtype: the type's name in safetensors; the result is 0 for integers, which are always finite.
    """
    bits = _BITS.get(dtype)
    if bits is None:
        return 0
    values = np.frombuffer(data, bits.dtype)
    sign = 1 << (8 * values.itemsize - 1)
    # Nearly every block is finite, and two maxima are faster than a mask: NaN and infinity are the largest signed
    # integers if positive, and the largest unsigned integers if negative.
    signed = values.view(f"<i{values.itemsize}")
    if not values.size or (values.max() < sign + bits.least and signed.max() < bits.least):
        return 0
    return int(np.count_nonzero((values & values.dtype.type(bits.mask)) >= bits.least))


def describe(found: Sequence[NotFinite]) -> str:
    """Describe tensors with NaN or infinity: `1 of 36,864 values of model.safetensors ernie.norm.weight`."""
    first, total = found[0], sum(each.count for each in found)
    place = f"{first.tensor.path.name} {first.tensor.name}"
    if len(found) == 1:
        return f"{first.count:,} of {first.values:,} values of {place}"
    return f"{total:,} values of {len(found):,} tensors, the first of them {place}"
