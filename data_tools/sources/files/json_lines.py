"""JSON Lines files cut at line ends into parts that can be read independently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.errors import failure
from erniekit_adapter.files import MAX_LINE_BYTES, read_lines

SHARD_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class LineRange:
    """Consecutive lines of a file.

    Attributes:
        first: number of the first line, from 1.
        start: offset of the first line in the file, in bytes.
        end: offset behind the last line, in bytes.
    """

    first: int
    start: int
    end: int

    def read(self, path: Path) -> Iterator[tuple[int, bytes | None]]:
        """Yield the lines with their numbers; None for a line that is too long.

        Raises:
            AdapterError: the file is missing, not a regular file, or unreadable.
        """
        return read_lines(path, first=self.first, start=self.start, end=self.end)


def cut_lines(path: Path, shard_bytes: int = SHARD_BYTES) -> Iterator[LineRange]:
    """Cut a file after line ends into parts of about `shard_bytes`; lines are not parsed.

    Raises:
        AdapterError: the file is missing, not a regular file, or unreadable.
    """
    if not path.is_file():
        raise failure(path, "no such file" if not path.exists() else "not a regular file")
    try:
        with path.open("rb") as stream:
            first, start = 1, 0
            while chunk := stream.read(shard_bytes):
                count, end = chunk.count(b"\n"), start + len(chunk)
                while not chunk.endswith(b"\n") and (chunk := stream.readline(MAX_LINE_BYTES)):
                    end += len(chunk)
                    count += chunk.endswith(b"\n")
                yield LineRange(first, start, end)
                first, start = first + count, end
    except OSError as error:
        raise failure(path, f"cannot be read: {error.strerror or error}") from error
