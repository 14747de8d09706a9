"""One read of a safetensors file: its SHA-256, its header, and whether every number in it is finite."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import RawIOBase
from itertools import groupby, pairwise
from pathlib import Path
from typing import Protocol

from erniekit_adapter.adapters.layouts_lora import listed
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.finite import count_not_finite
from erniekit_adapter.tensor_files import ITEM_BYTES, StoredTensor, read_header, tensors_of_header

_HINT = "export the bundle again"
_CHUNK_BYTES = 1024 * 1024  # stays in the cache of a core between hashing and the maxima
_MAX_HEADER_BYTES = 32 * 1024 * 1024
_LENGTH_BYTES = 8
_MOST_NAMES = 5


class Digest(Protocol):
    """A hash that is being computed."""

    def update(self, data: memoryview, /) -> None:
        """Add bytes."""


@dataclass(frozen=True)
class Weights:
    """Result of one read of a safetensors file.

    Attributes:
        sha256: of the whole file.
        tensors: name and place of each tensor, in the order of their data; empty if the header is wrong.
        problems: what is wrong with header or numbers.
    """

    sha256: str
    tensors: dict[str, StoredTensor]
    problems: list[Problem]


def read_weights(path: Path, stream: RawIOBase, size_bytes: int) -> Weights:
    """Read a safetensors file once, from its beginning to its end; memory does not grow with its size.

    Args:
        path: the file, for messages.
        stream: the open file, unbuffered.
        size_bytes: its size.
    """
    digest, tensors, problems = hashlib.sha256(), {}, []
    try:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if _MAX_HEADER_BYTES < length < size_bytes:
            what = f"its header has more than {_MAX_HEADER_BYTES:,} bytes"
            raise AdapterError(Problem(str(path), what, _HINT))
        stream.seek(0)
        header = read_header(path, stream, size_bytes)
        digest.update(len(header).to_bytes(_LENGTH_BYTES, "little") + header)
        tensors = tensors_of_header(path, header, size_bytes)
        problems += _gaps(path, list(tensors.values()), _LENGTH_BYTES + len(header), size_bytes)
    except AdapterError as error:
        problems += error.problems
    if problems:
        stream.seek(0)
        digest = hashlib.sha256()
        for block in _blocks(stream, size_bytes):
            digest.update(block)
        return Weights(digest.hexdigest(), {}, problems)
    wrong: set[str] = set()
    for _, group in groupby(tensors.values(), key=lambda tensor: tensor.dtype):
        wrong |= _hash_tensors(stream, digest, list(group))
    if wrong:
        problems.append(Problem(f"{path} {listed(sorted(wrong))}", "holds NaN or an infinity", "train again"))
    return Weights(digest.hexdigest(), tensors, problems)


def _hash_tensors(stream: RawIOBase, digest: Digest, tensors: Sequence[StoredTensor]) -> set[str]:
    """Hash tensors of one type that follow on one another, and return the names of those that are not finite."""
    wrong: set[str] = set()
    place, dtype = tensors[0].start, tensors[0].dtype
    ends = [tensor.end for tensor in tensors]
    for block in _blocks(stream, ends[-1] - place):
        digest.update(block)
        whole = len(block) // ITEM_BYTES[dtype] * ITEM_BYTES[dtype]
        if len(wrong) < _MOST_NAMES and count_not_finite(block[:whole], dtype):
            for tensor in tensors[bisect_right(ends, place) :]:
                if tensor.start >= place + whole or len(wrong) == _MOST_NAMES:
                    break
                if count_not_finite(block[max(tensor.start - place, 0) : min(tensor.end - place, whole)], dtype):
                    wrong.add(tensor.name)
        place += len(block)
    return wrong


def _blocks(stream: RawIOBase, size_bytes: int) -> Iterator[memoryview]:
    """The next bytes of a file, or fewer if it ends before; each block is overwritten by the next one."""
    view, done = memoryview(bytearray(min(_CHUNK_BYTES, size_bytes))), 0
    while done < size_bytes:
        filled, wanted = 0, min(len(view), size_bytes - done)
        # A read may end early; a number that is cut in two could not be checked.
        while filled < wanted and (count := stream.readinto(view[filled:wanted])):
            filled += count
        if not filled:
            return
        yield view[:filled]
        done += filled


def _gaps(path: Path, tensors: list[StoredTensor], start: int, size_bytes: int) -> list[Problem]:
    if not tensors:
        return [Problem(str(path), "holds no tensor", _HINT)]
    if tensors[0].start != start:
        return [Problem(f"{path} {tensors[0].name}", "its data does not begin where the header ends", _HINT)]
    gaps = [after.name for before, after in pairwise(tensors) if before.start + before.size_bytes != after.start]
    if gaps:
        return [Problem(f"{path} {gaps[0]}", "its data does not follow on the tensor before it", _HINT)]
    if tensors[-1].start + tensors[-1].size_bytes != size_bytes:
        return [Problem(str(path), "holds data that belongs to no tensor", _HINT)]
    return []
