"""Jobs of a merge: each reads a block, computes it and writes it to its place. Jobs run in parallel.

Blocks have a few MiB, independent of the tensor's size. The arithmetic is float32, rounded once to the base's type.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from erniekit_adapter.errors import failure
from erniekit_adapter.layouts.lora_tensors import Array
from erniekit_adapter.merge.matching import LoraPair
from erniekit_adapter.merge.plan import Output
from erniekit_adapter.tensor_files import DTYPES, StoredTensor

# Elements of one job, and its largest tile: the float32 numbers of a tile fit into a core's cache.
_JOB_ELEMENTS = 2 * 1024 * 1024
_TILE = (128, 1024)
_TRANSPOSED_TILE = (512, 128)
# OpenBLAS computes a product of at most this many multiplications in the calling thread. The jobs already use all
# cores, so threads inside a job would only compete for them.
_MOST_MULTIPLICATIONS = 256 * 1024
_COPY_BYTES = 4 * 1024 * 1024

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Done:
    """Result of one job.

    Attributes:
        name: the base model's tensor.
        size_bytes: number of bytes written.
        greatest_change: the largest absolute change, before rounding; NaN or infinity if the adapter contains it.
        differs: whether any stored number differs from the base model's.
        finite: whether every sum fits the stored type.
    """

    name: str
    size_bytes: int
    greatest_change: float = 0.0
    differs: bool = False
    finite: bool = True


Job = Callable[[], Done]


def jobs(
    descriptor: int, start: int, source: StoredTensor, outputs: list[Output], pair: LoraPair | None
) -> Iterator[Job | None]:
    """Yield the jobs that write the outputs of one tensor of the base model. None: wait for all jobs before it.

    Args:
        descriptor: the open file.
        start: offset of the first output in the file, in bytes.
        source: the base model's tensor.
        outputs: the tensors to write, in the order of the file.
        pair: A and B of the adapter; None if the adapter does not change this tensor.
    """
    for out in outputs:
        if out.columns is not None:
            yield from _transposing_jobs(descriptor, start, source, out.columns, pair)
            yield None  # only one mapped tensor at a time: its memory is freed after its last job
        elif pair is not None:
            yield from _merging_jobs(descriptor, start, source, pair)
        else:
            for offset in range(0, source.size_bytes, _COPY_BYTES):
                size = min(_COPY_BYTES, source.size_bytes - offset)
                yield partial(_copy, descriptor, start + offset, source, offset, size)
        start += out.size_bytes


def _copy(descriptor: int, target: int, source: StoredTensor, offset: int, size: int) -> Done:
    with source.path.open("rb") as stream:
        stream.seek(source.start + offset)
        content = stream.read(size)
    if len(content) < size:
        raise failure(source.path, "was truncated while it was read", "do not change the base model during a merge")
    _write(descriptor, target, memoryview(content))
    return Done(source.name, size)


def _merging_jobs(descriptor: int, start: int, source: StoredTensor, pair: LoraPair) -> Iterator[Job]:
    """Yield jobs for blocks of rows, in the order of the file."""
    rows, columns = source.shape
    a, b = _factors(pair)
    step = max(1, _JOB_ELEMENTS // columns)
    for top in range(0, rows, step):
        block = slice(top, min(top + step, rows))
        target = start + top * (source.size_bytes // rows)
        yield partial(_merge_rows, descriptor, target, source, block, a[block], b)


def _merge_rows(descriptor: int, target: int, source: StoredTensor, block: slice, a: Float32, b: Float32) -> Done:
    base = source.map(DTYPES[source.dtype], block)
    merged = np.empty(base.shape, base.dtype)
    changes, differs = [], False
    for rows, columns in _tiles(base.shape, _TILE):
        before, after = base[rows, columns], merged[rows, columns]
        changes.append(_merge_tile(before, a[rows], b[:, columns], after))
        differs = differs or not np.array_equal(_bits(before), _bits(after))
    _write(descriptor, target, _bits(merged).data)
    return Done(source.name, merged.nbytes, float(np.max(changes)), differs, _all_finite(merged))


def _transposing_jobs(
    descriptor: int, start: int, source: StoredTensor, runs: tuple[slice, ...], pair: LoraPair | None
) -> Iterator[Job]:
    """Yield jobs for blocks of columns, which become rows of the Hugging Face tensor."""
    whole = source.map(DTYPES[source.dtype])
    factors = _factors(pair) if pair else None
    step = _TRANSPOSED_TILE[1]
    for run in runs:
        for left in range(run.start, run.stop, step):
            block = slice(left, min(left + step, run.stop))
            added = (factors[0], factors[1][:, block]) if factors else None
            yield partial(_transpose_columns, descriptor, start, source.name, whole[:, block], added)
            start += (block.stop - block.start) * len(whole) * whole.dtype.itemsize


def _transpose_columns(
    descriptor: int, target: int, name: str, base: Array, added: tuple[Float32, Float32] | None
) -> Done:
    transposed = np.empty(base.shape[::-1], base.dtype)
    changes, differs = [0.0], False
    for rows, columns in _tiles(base.shape, _TRANSPOSED_TILE):
        before = base[rows, columns]
        # Part of a wider array: rows with a distance of a power of two would evict each other's cache lines.
        tile = np.empty((before.shape[0], _TRANSPOSED_TILE[1] + 8), base.dtype)[:, : before.shape[1]]
        if added is None:
            tile[...] = before
        else:
            changes.append(_merge_tile(before, added[0][rows], added[1][:, columns], tile))
            differs = differs or not np.array_equal(_bits(before), _bits(tile))
        _bits(transposed)[columns, rows] = _bits(tile).T
    _write(descriptor, target, _bits(transposed).data)
    finite = added is None or _all_finite(transposed)
    return Done(name, transposed.nbytes, float(np.max(changes)), differs, finite)


def _tiles(shape: tuple[int, ...], largest: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape[0], largest[0]):
        for left in range(0, shape[1], largest[1]):
            yield slice(top, min(top + largest[0], shape[0])), slice(left, min(left + largest[1], shape[1]))


def _merge_tile(before: Array, a: Float32, b: Float32, after: Array) -> float:
    """Store before + a·b in `after`, and return the greatest absolute change."""
    change = product(a, b)
    # `abs` would need another array. NaN in either gives NaN.
    greatest = float(np.maximum(change.max(), -change.min()))
    np.add(change, before.astype(np.float32, copy=False), out=change)
    with np.errstate(over="ignore", invalid="ignore"):  # reported later with the tensor's name
        after[...] = change.astype(after.dtype, copy=False)
    return greatest


def product(a: Float32, b: Float32) -> Float32:
    """Return the matrix product, in steps that OpenBLAS computes in this thread."""
    (rows, rank), columns = a.shape, b.shape[1]
    result = np.empty((rows, columns), np.float32)
    step = max(1, min(rows, _MOST_MULTIPLICATIONS // (rank * columns)))
    even = rows - rows % step
    np.matmul(a[:even].reshape(-1, step, rank), b, out=result[:even].reshape(-1, step, columns))
    if even < rows:
        np.matmul(a[even:], b, out=result[even:])
    return result


def _factors(pair: LoraPair) -> tuple[Float32, Float32]:
    """Return the two factors of the change in float32: A and scaling · B, or both transposed and swapped."""
    a = np.array(pair.a.map(DTYPES[pair.a.dtype]), np.float32)
    b = np.array(pair.b.map(DTYPES[pair.b.dtype]), np.float32)
    b *= np.float32(pair.scaling)
    if pair.columns is None:
        return a, b
    selected = np.concatenate([b[:, run] for run in pair.columns], axis=1)
    return np.ascontiguousarray(selected.T), np.ascontiguousarray(a.T)


def _all_finite(array: Array) -> bool:
    """Return whether no sum overflowed. Only float16 is small enough for that with valid weights."""
    return array.dtype != DTYPES["F16"] or bool(np.isfinite(array).all())


def _bits(array: Array) -> Array:
    return array.view(np.dtype(f"<u{array.dtype.itemsize}"))


def _write(descriptor: int, target: int, content: memoryview) -> None:
    content = content.cast("B")
    while content:
        written = os.pwrite(descriptor, content, target)
        content, target = content[written:], target + written
