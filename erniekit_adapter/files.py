"""Whole-or-nothing writes, hashes, paths that cannot leave their folder, and limits on what is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import orjson

from erniekit_adapter.errors import AdapterError, fail, misuse

MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing under a temporary name; it gets its own name only when the block ends well.

    Raises:
        AdapterError: the disk is full or the folder cannot be written; the error names the file.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise fail(
            path, f"cannot be written: {error.strerror or error}", "free space or choose another folder"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> AdapterError:
    if error.filename and path.name not in str(error.filename):
        return fail(error.filename, error.strerror or str(error))  # something read meanwhile, not the file itself
    return fail(path, f"cannot be written: {error.strerror or error}", "free space or choose another folder")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with writing(path) as stream:
        stream.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: object, default: Callable[[Any], Any] = str) -> None:
    """Write indented JSON with sorted keys, whole or not at all; what JSON has no type for goes through `default`."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    write_bytes(path, orjson.dumps(value, default=default, option=options))


@contextmanager
def writing_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary sibling of `folder` to fill; it takes the place of `folder` only when the block ends well.

    A process that was killed between putting the old folder away and the new one in place left the old one under
    another name; the next call puts it back first.
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    retired = folder.with_name(f".{folder.name}.retired")
    try:
        if retired.exists() and not folder.exists():
            retired.rename(folder)
        for abandoned in folder.parent.glob(f".{folder.name}.*.partial"):
            # In a container every run may have the same process id: what has ours is left over as well.
            if abandoned == partial or not _is_running(abandoned.name.split(".")[-2]):
                shutil.rmtree(abandoned)
        shutil.rmtree(retired, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            folder.rename(retired)
        partial.rename(folder)
        shutil.rmtree(retired, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_running(process_id: str) -> bool:
    return process_id.isdigit() and Path("/proc", process_id).exists()


def read_bytes(path: Path, limit_bytes: int = MAX_JSON_BYTES) -> bytes:
    """Read a file whose size stays within a limit.

    Raises:
        AdapterError: the file is missing, no regular file, unreadable, or larger than `limit_bytes`.
    """
    try:
        if not path.is_file():
            raise fail(path, "no such file" if not path.exists() else "not a regular file")
        size_bytes = path.stat().st_size
        if size_bytes > limit_bytes:
            raise fail(path, f"{size_bytes:,} bytes, more than the limit of {limit_bytes:,}")
        return path.read_bytes()
    except OSError as error:
        raise fail(path, f"cannot be read: {error.strerror or error}") from error


def read_json(path: Path, limit_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file within a size limit; floats come as floats, so not for amounts (see invoice.jsontext)."""
    try:
        return orjson.loads(read_bytes(path, limit_bytes))
    except orjson.JSONDecodeError as error:
        raise fail(path, f"not JSON: {error}") from error


def read_lines(
    path: Path, limit_bytes: int = MAX_LINE_BYTES, *, first: int = 1, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, bytes | None]]:
    """Give (line number, line without its end) for each line that is not blank.

    A line longer than `limit_bytes` comes as None, and memory stays bounded while it is skipped. A byte-order mark at
    the start of the file is dropped.

    Args:
        path: the file.
        limit_bytes: how long a line may be.
        first: number of the first line that is read.
        start: where that line begins, in bytes.
        end: where to stop, in bytes; None for the end of the file.

    Raises:
        AdapterError: the file is missing, no regular file, or unreadable.
    """
    if not path.is_file():
        raise fail(path, "no such file" if not path.exists() else "not a regular file")
    try:
        with path.open("rb") as stream:
            place = stream.seek(start)
            number = first - 1
            while (end is None or place < end) and (line := stream.readline(limit_bytes + 1)):
                number += 1
                place += len(line)
                if len(line) > limit_bytes and not line.endswith(b"\n"):
                    rest = b""
                    while not rest.endswith(b"\n") and (rest := stream.readline(_CHUNK_BYTES)):
                        place += len(rest)
                    yield number, None
                    continue
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if stripped := line.strip():
                    yield number, stripped
    except OSError as error:
        raise fail(path, f"cannot be read: {error.strerror or error}") from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, as lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(value: object) -> str:
    """The SHA-256 of a JSON value with its keys sorted: equal values, equal fingerprints."""
    return hashlib.sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()


def refuse_foreign_folder(folder: Path, sign: str) -> None:
    """Refuse to write into or replace a folder that holds something and is not a stage's own.

    Args:
        folder: what is about to be written or replaced.
        sign: the file that the stage's own folders hold.

    Raises:
        UsageError: the folder is a file, or holds something without that sign.
    """
    # What a killed write left under a temporary name is ours as well.
    held = [path for path in folder.iterdir() if not path.name.endswith(".partial")] if folder.is_dir() else []
    if held and not (folder / sign).is_file():
        raise misuse(folder, f"holds files, and is not of our making (it has no {sign})", "set another output_dir")
    if folder.exists() and not folder.is_dir():
        raise misuse(folder, "is a file, expected a folder", "set another output_dir")


def is_inside(folder: Path, path: Path) -> bool:
    """Whether `path`, with every link and `..` resolved, lies in `folder` or is it; a loop of links is nowhere."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False
