"""One read of a safetensors file: its SHA-256, its header, and whether every number in it is finite.

A float is an infinity or NaN if all bits of its exponent are set (in float8_e4m3fn: all bits but the sign). Read as a
signed integer the positive ones of these are the largest numbers, read as an unsigned integer the negative ones are.
So two maxima decide for a whole block, without a temporary array; both together take a thirtieth of the time of
SHA-256. Sources: IEEE 754-2019, section 3.4; "FP8 Formats for Deep Learning" (arXiv 2209.05433), table 1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import RawIOBase
from itertools import groupby, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from erniekit_adapter.adapters.layouts_lora import listed
from erniekit_adapter.adapters.tensor_files import StoredTensor, read_header, tensors_of_header
from erniekit_adapter.errors import AdapterError, Problem

# Type: size in bytes, and the smallest number without sign that is not finite.
_NOT_FINITE: dict[str, tuple[int, int]] = {
    "F64": (8, 0x7FF0_0000_0000_0000),
    "F32": (4, 0x7F80_0000),
    "F16": (2, 0x7C00),
    "BF16": (2, 0x7F80),
    "F8_E5M2": (1, 0x7C),
    "F8_E4M3": (1, 0x7F),
}
_HINT = "export the bundle again"
_CHUNK_BYTES = 1024 * 1024  # stays in the cache of a core between hashing and the maxima
_MAX_HEADER_BYTES = 32 * 1024 * 1024
_LENGTH_BYTES = 8


class Digest(Protocol):
    """A hash that is being computed."""

    def update(self, data: memoryview, /) -> None:
        """Add bytes."""


@dataclass(frozen=True)
class Weights:
    """What one read of a safetensors file found.

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
        _hash(stream, digest, size_bytes)
        return Weights(digest.hexdigest(), {}, problems)
    wrong: set[str] = set()
    for dtype, group in groupby(tensors.values(), key=lambda tensor: tensor.dtype):
        run = list(group)
        size = sum(tensor.size_bytes for tensor in run)
        for start, end in _hash(stream, digest, size, _NOT_FINITE.get(dtype)):
            first = run[0].start
            wrong |= {each.name for each in run if each.start < first + end and first + start < each.end}
    if wrong:
        problems.append(Problem(f"{path} {listed(sorted(wrong))}", "holds NaN or an infinity", "train again"))
    return Weights(digest.hexdigest(), tensors, problems)


def _hash(
    stream: RawIOBase, digest: Digest, size_bytes: int, limit: tuple[int, int] | None = None
) -> list[tuple[int, int]]:
    """Hash the next bytes of a file, and return where numbers are not finite: offsets from the first of these bytes.

    Args:
        stream: the file.
        digest: what to update.
        size_bytes: how many bytes to read; fewer if the file ends before.
        limit: an entry of `_NOT_FINITE`, or None to check no numbers.
    """
    buffer, done, found = bytearray(min(_CHUNK_BYTES, size_bytes)), 0, []
    view = memoryview(buffer)
    while done < size_bytes:
        count = _fill(stream, view[: size_bytes - done])
        if not count:
            break
        digest.update(view[:count])
        if limit and (bad := _not_finite(view[:count], *limit)):
            found.append((done + bad[0], done + bad[1]))
        done += count
    return found


def _fill(stream: RawIOBase, view: memoryview) -> int:
    """Read until the buffer is full, so that no number is cut in two; 0 at the end of the file."""
    filled = 0
    while filled < len(view) and (count := stream.readinto(view[filled:])):
        filled += count
    return filled


def _not_finite(block: memoryview, item_bytes: int, least: int) -> tuple[int, int] | None:
    """Where the first and the last number that is not finite lie in a block, in bytes; None if all are finite."""
    numbers = np.frombuffer(block[: len(block) // item_bytes * item_bytes], f"<u{item_bytes}")
    sign = 1 << (8 * item_bytes - 1)
    if not len(numbers) or (numbers.max() < sign + least and numbers.view(f"<i{item_bytes}").max() < least):
        return None
    places = np.flatnonzero((numbers & (sign - 1)) >= least)
    return int(places[0]) * item_bytes, (int(places[-1]) + 1) * item_bytes


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
