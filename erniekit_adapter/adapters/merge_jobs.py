"""The work of a merge, cut into jobs that read a block, compute it and write it to its place, side by side.

Blocks are of a few MiB, whatever the tensor's size. The arithmetic is float32, rounded once to the base's own type.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import ml_dtypes
import numpy as np
import numpy.typing as npt

from erniekit_adapter.adapters.layouts import Array
from erniekit_adapter.adapters.merge_pairs import Pair
from erniekit_adapter.adapters.merge_plan import Output
from erniekit_adapter.errors import fail
from erniekit_adapter.tensor_files import StoredTensor

_DTYPES = {
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),  # of an adapter alone
}
# Elements that one job computes, and the largest tile within it, so that its float32 stays in a core's cache.
_JOB_ELEMENTS = 2 * 1024 * 1024
_TILE = (128, 1024)
_TRANSPOSED_TILE = (512, 128)
# A product of at most this many multiplications stays in the calling thread in OpenBLAS: jobs run side by side here,
# and threads inside each of them would fight for the same cores.
_MOST_MULTIPLICATIONS = 256 * 1024
_COPY_BYTES = 4 * 1024 * 1024

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Done:
    """What one job did.

    Attributes:
        name: the base's tensor that it worked on.
        size_bytes: how many bytes it wrote.
        greatest_change: the largest absolute change, before rounding; nan or infinite where the adapter is.
        differs: whether any stored number differs from the base's.
        finite: whether every sum fits the stored type.
    """

    name: str
    size_bytes: int
    greatest_change: float = 0.0
    differs: bool = False
    finite: bool = True


Job = Callable[[], Done]


def jobs(
    descriptor: int, start: int, source: StoredTensor, outputs: list[Output], pair: Pair | None
) -> Iterator[Job | None]:
    """The jobs that write what becomes of one tensor of the base; a None stands where those before it have to end.

    Args:
        descriptor: the open file.
        start: where in it the first output begins, in bytes.
        source: the tensor of the base.
        outputs: what it becomes, in the order of the file.
        pair: what the adapter adds to it, if it does.
    """
    for out in outputs:
        if out.columns is not None:
            yield from _transposing_jobs(descriptor, start, source, out.columns, pair)
            yield None  # a mapped tensor leaves memory when its last job has ended, and one at a time is enough
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
        raise fail(source.path, "became shorter while it was read", "leave the base model alone")
    _write(descriptor, target, memoryview(content))
    return Done(source.name, size)


def _merging_jobs(descriptor: int, start: int, source: StoredTensor, pair: Pair) -> Iterator[Job]:
    """Blocks of rows, each as it lies in the file."""
    rows, columns = source.shape
    a, b = _factors(pair)
    step = max(1, _JOB_ELEMENTS // columns)
    for top in range(0, rows, step):
        block = slice(top, min(top + step, rows))
        target = start + top * (source.size_bytes // rows)
        yield partial(_merge_rows, descriptor, target, source, block, a[block], b)


def _merge_rows(descriptor: int, target: int, source: StoredTensor, block: slice, a: Float32, b: Float32) -> Done:
    base = source.map(_DTYPES[source.dtype], block)
    merged = np.empty(base.shape, base.dtype)
    changes, differs = [], False
    for rows, columns in _tiles(base.shape, _TILE):
        before, after = base[rows, columns], merged[rows, columns]
        changes.append(_merge_tile(before, a[rows], b[:, columns], after))
        differs = differs or not np.array_equal(_bits(before), _bits(after))
    _write(descriptor, target, _bits(merged).data)
    return Done(source.name, merged.nbytes, float(np.max(changes)), differs, _all_finite(merged))


def _transposing_jobs(
    descriptor: int, start: int, source: StoredTensor, runs: tuple[slice, ...], pair: Pair | None
) -> Iterator[Job]:
    """Blocks of columns, each of which becomes rows of the Hugging Face tensor."""
    whole = source.map(_DTYPES[source.dtype])
    factors = _factors(pair) if pair else None
    step = _TRANSPOSED_TILE[1]
    for run in runs:
        for left in range(run.start, run.stop, step):
            block = slice(left, min(left + step, run.stop))
            added = (factors[0], factors[1][:, block]) if factors else None
            yield partial(_turn_columns, descriptor, start, source.name, whole[:, block], added)
            start += (block.stop - block.start) * len(whole) * whole.dtype.itemsize


def _turn_columns(descriptor: int, target: int, name: str, base: Array, added: tuple[Float32, Float32] | None) -> Done:
    turned = np.empty(base.shape[::-1], base.dtype)
    changes, differs = [0.0], False
    for rows, columns in _tiles(base.shape, _TRANSPOSED_TILE):
        before = base[rows, columns]
        # Cut from a wider array: transposing rows that lie a power of two apart throws out its own cache lines.
        straight = np.empty((before.shape[0], _TRANSPOSED_TILE[1] + 8), base.dtype)[:, : before.shape[1]]
        if added is None:
            straight[...] = before
        else:
            changes.append(_merge_tile(before, added[0][rows], added[1][:, columns], straight))
            differs = differs or not np.array_equal(_bits(before), _bits(straight))
        _bits(turned)[columns, rows] = _bits(straight).T
    _write(descriptor, target, _bits(turned).data)
    finite = added is None or _all_finite(turned)
    return Done(name, turned.nbytes, float(np.max(changes)), differs, finite)


def _tiles(shape: tuple[int, ...], largest: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape[0], largest[0]):
        for left in range(0, shape[1], largest[1]):
            yield slice(top, min(top + largest[0], shape[0])), slice(left, min(left + largest[1], shape[1]))


def _merge_tile(before: Array, a: Float32, b: Float32, after: Array) -> float:
    """Put before + a·b into `after`, and give the greatest absolute change."""
    change = product(a, b)
    # Not abs: it would need an array of its own. A nan in either gives nan.
    greatest = float(np.maximum(change.max(), -change.min()))
    np.add(change, before.astype(np.float32, copy=False), out=change)
    with np.errstate(over="ignore", invalid="ignore"):  # found afterwards, and told with the tensor's name
        after[...] = change.astype(after.dtype, copy=False)
    return greatest


def product(a: Float32, b: Float32) -> Float32:
    """The matrix product, in steps so small that OpenBLAS keeps each in this thread."""
    (rows, rank), columns = a.shape, b.shape[1]
    result = np.empty((rows, columns), np.float32)
    step = max(1, min(rows, _MOST_MULTIPLICATIONS // (rank * columns)))
    even = rows - rows % step
    np.matmul(a[:even].reshape(-1, step, rank), b, out=result[:even].reshape(-1, step, columns))
    if even < rows:
        np.matmul(a[even:], b, out=result[even:])
    return result


def _factors(pair: Pair) -> tuple[Float32, Float32]:
    """The two whose product is added to the weight, in float32: A and B times the scaling, or both turned."""
    a = np.array(pair.a.map(_DTYPES[pair.a.dtype]), np.float32)
    b = np.array(pair.b.map(_DTYPES[pair.b.dtype]), np.float32)
    b *= np.float32(pair.scaling)
    if pair.columns is None:
        return a, b
    own = np.concatenate([b[:, run] for run in pair.columns], axis=1)
    return np.ascontiguousarray(own.T), np.ascontiguousarray(a.T)


def _all_finite(array: Array) -> bool:
    """Whether no sum was too large; float16 is the one type whose end sound numbers can reach."""
    return array.dtype != _DTYPES["F16"] or bool(np.isfinite(array).all())


def _bits(array: Array) -> Array:
    return array.view(np.dtype(f"<u{array.dtype.itemsize}"))


def _write(descriptor: int, target: int, content: memoryview) -> None:
    content = content.cast("B")
    while content:
        written = os.pwrite(descriptor, content, target)
        content, target = content[written:], target + written
