"""Check of a safetensors file in one read: SHA-256, header, and NaN or infinity in the data."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import RawIOBase
from itertools import groupby, pairwise
from pathlib import Path
from typing import Protocol

from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.file_checks.configs import EXPORT_AGAIN
from erniekit_adapter.finite import count_not_finite
from erniekit_adapter.layouts.lora_tensors import listed
from erniekit_adapter.tensor_files import ITEM_BYTES, StoredTensor, read_header, tensors_of_header

_CHUNK_BYTES = 1024 * 1024  # fits into a core's cache, for the hash and for the check of the numbers
_MAX_HEADER_BYTES = 32 * 1024 * 1024
_LENGTH_BYTES = 8
_MAX_NAMES = 5


class Digest(Protocol):
    """Incremental hash."""

    def update(self, data: memoryview, /) -> None:
        """Add bytes."""


@dataclass(frozen=True)
class Weights:
    """Result of the check of a safetensors file.

    Attributes:
        sha256: the hash of the whole file.
        tensors: the tensors by name, in the order of their data; empty if the header is wrong.
        problems: problems of the header or the numbers.
    """

    sha256: str
    tensors: dict[str, StoredTensor]
    problems: list[Problem]


def read_weights(path: Path, stream: RawIOBase, size_bytes: int) -> Weights:
    """Read a safetensors file once, from the beginning to the end. Memory does not grow with its size.

    Args:
        path: the file, for messages.
        stream: the open file, unbuffered.
        size_bytes: its size.
    """
    digest, tensors, problems = hashlib.sha256(), {}, []
    try:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if _MAX_HEADER_BYTES < length < size_bytes:
            finding = f"the header has more than {_MAX_HEADER_BYTES:,} bytes"
            raise AdapterError(Problem(str(path), finding, EXPORT_AGAIN))
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
        problems.append(Problem(f"{path} {listed(sorted(wrong))}", "contains NaN or infinity", "train again"))
    return Weights(digest.hexdigest(), tensors, problems)


def _hash_tensors(stream: RawIOBase, digest: Digest, tensors: Sequence[StoredTensor]) -> set[str]:
    """Hash consecutive tensors of one type, and return the names of those with NaN or infinity."""
    wrong: set[str] = set()
    place, dtype = tensors[0].start, tensors[0].dtype
    ends = [tensor.end for tensor in tensors]
    for block in _blocks(stream, ends[-1] - place):
        digest.update(block)
        whole = len(block) // ITEM_BYTES[dtype] * ITEM_BYTES[dtype]
        if len(wrong) < _MAX_NAMES and count_not_finite(block[:whole], dtype):
            for tensor in tensors[bisect_right(ends, place) :]:
                if tensor.start >= place + whole or len(wrong) == _MAX_NAMES:
                    break
                if count_not_finite(block[max(tensor.start - place, 0) : min(tensor.end - place, whole)], dtype):
                    wrong.add(tensor.name)
        place += len(block)
    return wrong


def _blocks(stream: RawIOBase, size_bytes: int) -> Iterator[memoryview]:
    """Yield the next `size_bytes` of a file in blocks, or fewer if it ends before. Blocks share their memory."""
    view, done = memoryview(bytearray(min(_CHUNK_BYTES, size_bytes))), 0
    while done < size_bytes:
        filled, requested = 0, min(len(view), size_bytes - done)
        # A read may return fewer bytes. Blocks must end between two numbers, so it is repeated.
        while filled < requested and (count := stream.readinto(view[filled:requested])):
            filled += count
        if not filled:
            return
        yield view[:filled]
        done += filled


def _gaps(path: Path, tensors: list[StoredTensor], start: int, size_bytes: int) -> list[Problem]:
    if not tensors:
        return [Problem(str(path), "has no tensors", EXPORT_AGAIN)]
    if tensors[0].start != start:
        return [Problem(f"{path} {tensors[0].name}", "its data does not begin at the end of the header", EXPORT_AGAIN)]
    gaps = [after.name for before, after in pairwise(tensors) if before.end != after.start]
    if gaps:
        return [
            Problem(f"{path} {gaps[0]}", "its data does not begin at the end of the tensor before it", EXPORT_AGAIN)
        ]
    if tensors[-1].end != size_bytes:
        return [Problem(str(path), "has data that belongs to no tensor", EXPORT_AGAIN)]
    return []
