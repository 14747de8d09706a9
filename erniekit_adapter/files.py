"""Atomic writes, hashes, paths that cannot leave their folder, and limits on the size of inputs."""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson

from erniekit_adapter.errors import AdapterError, failure, usage_error
from erniekit_adapter.temporary import folder_beside, is_temporary, replacing_file, temporary_folder

MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
# Errors of a disk that is full, over its quota, read-only or broken.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
# Name of the replaced folder inside a temporary folder.
_RETIRED = "retired"
_SHOWN_CHARACTERS = 120
# Maximum number of files that are compared with a wrong name.
_MAX_SIMILAR = 1000


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing without its name; the file gets its name only when the block succeeds.

    Raises:
        AdapterError: the disk is full or the folder cannot be written; the error names the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as stream:
            yield stream
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError, finding: str = "cannot be written") -> AdapterError:
    """Return the error for a file or folder that cannot be written, with a hint for its cause."""
    return failure(path, f"{finding}: {error.strerror or error}", _hint(error))


@contextmanager
def explaining_full_disk(folder: Path) -> Iterator[None]:
    """Convert the error of a full or failing disk, from any code in the block, to one that names the folder.

    Raises:
        AdapterError: the disk is full, over its quota, read-only or broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        # If there are two files, the first is the source of a copy, and the second is written.
        name = error.filename2 or error.filename
        raise cannot_write(Path(os.fsdecode(name)) if name else folder, error) from error


def _hint(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space on this disk (or raise the quota), or set another output_dir, and run again"
    if error.errno == errno.ENAMETOOLONG:
        return "set a shorter output_dir: a name may have 255 bytes, a path 4,095"
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return "a disk is mounted there, so the folder cannot be replaced: set an output_dir above or below it"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make the folder writable, or set another output_dir"
    return "free space or choose another folder"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with writing(path) as stream:
        stream.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: object, default: Callable[[Any], Any] = str) -> None:
    """Write indented JSON with sorted keys atomically; `default` converts values that JSON has no type for."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    write_bytes(path, orjson.dumps(value, default=default, option=options))


@contextmanager
def writing_folder(folder: Path, *, alone: bool = False) -> Iterator[Path]:
    """Yield a temporary folder to fill; it replaces `folder` only when the block succeeds.

    If `folder` is a link, the link stays, and its target is replaced. A process that was killed after it moved the old
    folder away, and before it moved the new one in, left the old one in its temporary folder; the next call restores it
    first.

    Args:
        folder: the folder to write or replace.
        alone: the caller holds the folder's lock, so that leftovers of processes that cannot be looked up from here are
            removed too.

    Raises:
        UsageError: `folder` is a dangling link.
        AdapterError: the disk is full or the folder cannot be written.
    """
    target = real_folder(folder)

    def restore(work: Path) -> None:
        if (work / _RETIRED).is_dir() and not target.exists():
            (work / _RETIRED).rename(target)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(target.parent, target.name, alone=alone, rescue=restore) as work:
            partial = folder_beside(work)
            partial.mkdir()
            yield partial
            try:
                if target.exists():
                    target.rename(work / _RETIRED)
                partial.rename(target)
            finally:
                restore(work)
    except OSError as error:
        if error.filename and target.name not in str(error.filename) and error.errno not in _FULL:
            raise failure(error.filename, error.strerror or str(error)) from error  # a file that the block reads
        raise cannot_write(folder, error) from error


def real_folder(folder: Path) -> Path:
    """Return the absolute path of a folder with every link resolved; the folder need not exist.

    Raises:
        UsageError: a link in it is dangling or circular, or the path is too long.
    """
    try:
        for part in (folder, *folder.parents):
            if part.is_symlink() and not part.exists():
                finding = f"is a link to {part.readlink()}, which does not exist or links back to itself"
                raise usage_error(part, finding, "mount the disk or create that folder, or remove the link")
        folder.exists()
        return folder.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a circular link, in Python before 3.13
        is_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
        finding = os.strerror(errno.ENAMETOOLONG if is_long else errno.ELOOP) if is_long else str(error)
        hint = "set a shorter output_dir: a name may have 255 bytes, a path 4,095" if is_long else "remove the link"
        shown = str(folder) if len(str(folder)) <= _SHOWN_CHARACTERS else f"{str(folder)[:_SHOWN_CHARACTERS]}…"
        raise usage_error(shown, f"is not a usable folder: {finding}", hint) from error


def empty_folder(folder: Path, keep: Container[str] = ()) -> None:
    """Remove the content of a folder; the folder itself, or the link to it, stays. A missing folder is empty.

    Args:
        folder: the folder.
        keep: names in the folder that are kept.

    Raises:
        AdapterError: something cannot be removed.
    """
    try:
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            if path.name in keep:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise failure(folder, f"cannot be emptied: {error.strerror or error}", "remove it by hand") from error


def similar_path(path: Path, is_wanted: Callable[[Path], bool] = Path.is_file) -> Path | None:
    """Return a path in the same folder with a similar name, for a hint; None without one."""
    try:
        inner = [found for found in islice(path.parent.iterdir(), _MAX_SIMILAR) if is_wanted(found)]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, [found.name for found in inner], n=1)
    return path.with_name(near[0]) if near else None


def read_bytes(path: Path, limit_bytes: int = MAX_JSON_BYTES) -> bytes:
    """Read a file up to a size limit.

    Raises:
        AdapterError: the file is missing, not a regular file, unreadable, or larger than `limit_bytes`.
    """
    try:
        if not path.is_file():
            raise failure(path, "no such file" if not path.exists() else "not a regular file")
        size_bytes = path.stat().st_size
        if size_bytes > limit_bytes:
            raise failure(path, f"{size_bytes:,} bytes, more than the limit of {limit_bytes:,}")
        return path.read_bytes()
    except OSError as error:
        raise failure(path, f"cannot be read: {error.strerror or error}") from error


def read_json(path: Path, limit_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file up to a size limit. Numbers become floats: for amounts, see `documents.json_text`."""
    try:
        return orjson.loads(read_bytes(path, limit_bytes))
    except orjson.JSONDecodeError as error:
        raise failure(path, f"not JSON: {error}") from error


def read_lines(
    path: Path, limit_bytes: int = MAX_LINE_BYTES, *, first: int = 1, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, bytes | None]]:
    """Yield (line number, line without its end) for each line that is not blank.

    A line longer than `limit_bytes` is yielded as None, and memory stays bounded while it is skipped. A byte-order mark
    at the start of the file is removed.

    Args:
        path: the file.
        limit_bytes: maximum length of a line.
        first: number of the first line that is read.
        start: byte offset of that line.
        end: byte offset to stop at; None for the end of the file.

    Raises:
        AdapterError: the file is missing, not a regular file, or unreadable.
    """
    if not path.is_file():
        raise failure(path, "no such file" if not path.exists() else "not a regular file")
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
        raise failure(path, f"cannot be read: {error.strerror or error}") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(value: object) -> str:
    """Return the SHA-256 of a JSON value with sorted keys: equal values have equal fingerprints."""
    return hashlib.sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()


def refuse_foreign_folder(folder: Path, sign: str) -> None:
    """Refuse to write into or replace a folder with files that no stage has written.

    Args:
        folder: the folder to write or replace.
        sign: a file that every folder of the stage holds.

    Raises:
        UsageError: the folder is a file, or holds files but not `sign`.
    """
    # Temporary files of a killed write do not count.
    held = [path for path in folder.iterdir() if not is_temporary(path.name)] if folder.is_dir() else []
    if held and not (folder / sign).is_file():
        finding = f"holds files, but was not made by erniekit-adapter (it has no {sign})"
        raise usage_error(folder, finding, "set another output_dir")
    if folder.exists() and not folder.is_dir():
        raise usage_error(folder, "is a file, expected a folder", "set another output_dir")


def is_inside(folder: Path, path: Path) -> bool:
    """Return whether `path`, with every link and `..` resolved, is `folder` or in it; False for circular links."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False
