"""Group rows by document, and find rows with equal content, by shared keys and in bounded memory.

Keys are on disk. They are compared in buckets, by one byte of their hash, so that only a part of them is in memory at a
time; a few numbers per row stay in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from data_tools.pipeline.spool import KEY

# Kinds of keys, as their first byte. The smallest key of a document names its group, so the most stable kind comes
# first.
VENDOR, NUMBER, NAME, REQUEST = b"0", b"1", b"2", b"3"
CONTENT, ANSWER = b"c", b"d"

_KEYS_IN_A_BUCKET = 1_000_000
_KEYS_IN_A_READ = 500_000
_NOTHING = np.iinfo(np.uint64).max
_BYTE_SHIFT = np.uint64(56)
_SECOND_BYTE_SHIFT = np.uint64(48)

Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class DocumentGroups:
    """Groups of rows; arrays as memory views, which are fast to read number by number.

    Attributes:
        group: number of the row's group, by row.
        first: first row with the same content, by row; the row itself if no earlier one has it.
        contradicts: whether the row's request occurred before, by row.
        same_answer: rows with equal answers, in order, for each answer that occurs more than once.
        groups: number of groups.
        names: the two halves of the smallest key of each group, in sequence.
    """

    group: memoryview[int]
    first: memoryview[int]
    contradicts: memoryview[int]
    same_answer: list[Numbers]
    groups: int
    names: memoryview[int]

    def name(self, row: int) -> str:
        """Return the name of a row's group, in hexadecimal."""
        place = 2 * self.group[row]
        return f"{self.names[place]:016x}{self.names[place + 1]:016x}"


def group_documents(keys: IO[bytes], rows: int) -> DocumentGroups:
    """Group rows by their keys.

    Args:
        keys: records of KEY, in the order of their rows.
        rows: number of rows; each row without a key is its own group.
    """
    first = np.arange(rows, dtype=np.int32)
    contradicts = np.zeros(rows, dtype=np.bool_)
    same_answer: list[Numbers] = []
    edges: list[NDArray[np.int32]] = []
    for kind, run_starts, members in _equal_keys(keys):
        heads = members[run_starts]
        sizes = np.diff(np.append(run_starts, len(members)))
        head_of = np.repeat(heads, sizes)
        if kind == CONTENT[0]:
            np.minimum.at(first, members, head_of)
        elif kind == ANSWER[0]:
            same_answer += np.split(members, run_starts[1:])
        else:
            edges.append(np.stack([head_of, members])[:, head_of != members])
        if kind == REQUEST[0]:
            contradicts[members[head_of != members]] = True
    group = _components(edges, rows)
    names = _names(keys, group)
    return DocumentGroups(group.data, first.data, contradicts.data, same_answer, len(names), names.ravel().data)


def _equal_keys(keys: IO[bytes]) -> Iterator[tuple[int, NDArray[np.int64], Numbers]]:
    """Yield runs of rows with equal keys: kind of key, start of each run, rows; single rows are left out."""
    count = keys.seek(0, 2) // KEY.itemsize
    buckets = 1
    while buckets * _KEYS_IN_A_BUCKET < count and buckets < 256:
        buckets *= 2
    for bucket in range(buckets):
        parts = [part[_hash_byte(part) % buckets == bucket] for part in _parts(keys)]
        if parts:
            yield from _runs(np.concatenate(parts))


def _parts(keys: IO[bytes]) -> Iterator[NDArray[Any]]:
    keys.seek(0)
    while raw := keys.read(_KEYS_IN_A_READ * KEY.itemsize):
        yield np.frombuffer(raw, KEY)


def _hash_byte(keys: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the first byte of the hash, which follows the kind."""
    high = keys["high"].astype(np.uint64)
    return np.asarray((high >> _SECOND_BYTE_SHIFT) & np.uint64(255), dtype=np.uint64)


def _runs(keys: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.int64], Numbers]]:
    high, low = keys["high"].astype(np.uint64), keys["low"].astype(np.uint64)
    order = np.lexsort((keys["row"], low, high))
    high, low, row = high[order], low[order], keys["row"][order].astype(np.int32)
    begins = np.ones(len(row), dtype=np.bool_)
    begins[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    alone = begins & np.append(begins[1:], True)
    high, row, begins = high[~alone], row[~alone], begins[~alone]
    kinds = high >> _BYTE_SHIFT
    for kind in np.unique(kinds):
        chosen = kinds == kind
        yield int(kind), np.flatnonzero(begins[chosen]), row[chosen]


def _components(edges: list[NDArray[np.int32]], rows: int) -> Numbers:
    """Return the number of each row's connected component."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = np.concatenate([np.empty((2, 0), np.int32), *edges], axis=1)
    graph = coo_array((np.ones(len(left), np.bool_), (left, right)), shape=(rows, rows))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int32)


def _names(keys: IO[bytes], group: Numbers) -> NDArray[np.uint64]:
    """Return the smallest key of each group."""
    groups = int(group.max(initial=-1)) + 1
    names = np.full((groups, 2), _NOTHING, dtype=np.uint64)
    for part in _parts(keys):
        np.minimum.at(names[:, 0], group[part["row"]], part["high"].astype(np.uint64))
    for part in _parts(keys):
        own = group[part["row"]]
        smallest = part["high"] == names[own, 0]
        np.minimum.at(names[:, 1], own[smallest], part["low"][smallest].astype(np.uint64))
    return names
