"""Whole-or-nothing writes, hashes, paths that cannot leave their folder, and limits on what is read."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from erniekit_adapter.errors import AdapterError, fail, misuse
from erniekit_adapter.temporary import folder_beside, is_temporary, replacing_file, temporary_folder

MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
# Errors of a disk that is full, over its quota, read-only or broken.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
# Inside a temporary folder: what is replaced by what is written.
_RETIRED = "retired"
_SHOWN_CHARACTERS = 120


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for writing under a temporary name; it gets its own name only when the block ends well.

    Raises:
        AdapterError: the disk is full or the folder cannot be written; the error names the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as stream:
            yield stream
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError, what: str = "cannot be written") -> AdapterError:
    """The error for a file or folder that cannot be written, with what helps against the cause."""
    return fail(path, f"{what}: {error.strerror or error}", _remedy(error))


@contextmanager
def explaining_full_disk(folder: Path) -> Iterator[None]:
    """Turn the error of a full or failing disk, wherever it comes from in the block, into one that names the folder.

    Raises:
        AdapterError: the disk is full, over its quota, read-only or broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        # Of two files the second is written, the first is where it is copied from.
        name = error.filename2 or error.filename
        raise cannot_write(Path(os.fsdecode(name)) if name else folder, error) from error


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space on this disk (or raise the quota), or set another output_dir, and run again"
    if error.errno == errno.ENAMETOOLONG:
        return "set a shorter output_dir: a name may have 255 bytes, a path 4,095"
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return "it is where a disk is mounted, and cannot be replaced as a whole: set an output_dir above or below it"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make the folder writable, or set another output_dir"
    return "free space or choose another folder"


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
def writing_folder(folder: Path, *, alone: bool = False) -> Iterator[Path]:
    """Give a temporary folder to fill; it takes the place of `folder` only when the block ends well.

    If `folder` is a link, it stays one, and the folder that it leads to is replaced. A process that was killed between
    putting the old folder away and the new one in place left the old one in its temporary folder; the next call puts
    it back first.

    Args:
        folder: the folder to write or replace.
        alone: the caller holds the folder's lock: also what was left by a process that cannot be seen is removed.

    Raises:
        UsageError: `folder` is a link that leads nowhere.
        AdapterError: the disk is full or the folder cannot be written.
    """
    target = real_folder(folder)

    def put_back(work: Path) -> None:
        if (work / _RETIRED).is_dir() and not target.exists():
            (work / _RETIRED).rename(target)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(target.parent, target.name, alone=alone, rescue=put_back) as work:
            partial = folder_beside(work)
            partial.mkdir()
            yield partial
            try:
                if target.exists():
                    target.rename(work / _RETIRED)
                partial.rename(target)
            finally:
                put_back(work)
    except OSError as error:
        if error.filename and target.name not in str(error.filename) and error.errno not in _FULL:
            raise fail(error.filename, error.strerror or str(error)) from error  # something read meanwhile
        raise cannot_write(folder, error) from error


def real_folder(folder: Path) -> Path:
    """The absolute path of a folder, every link in it resolved; the folder need not exist.

    Raises:
        UsageError: a link in it leads nowhere or in a circle, or the path is too long.
    """
    try:
        for part in (folder, *folder.parents):
            if part.is_symlink() and not part.exists():
                what = f"is a link to {part.readlink()}, which does not exist or leads in a circle"
                raise misuse(part, what, "is a disk not mounted? make that folder, or remove the link")
        folder.exists()
        return folder.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle, in Python before 3.13
        is_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
        what = os.strerror(errno.ENAMETOOLONG if is_long else errno.ELOOP) if is_long else str(error)
        remedy = "set a shorter output_dir: a name may have 255 bytes, a path 4,095" if is_long else "remove the link"
        shown = str(folder) if len(str(folder)) <= _SHOWN_CHARACTERS else f"{str(folder)[:_SHOWN_CHARACTERS]}…"
        raise misuse(shown, f"is not a usable folder: {what}", remedy) from error


def empty_folder(folder: Path, keep: Container[str] = ()) -> None:
    """Remove what a folder holds; the folder itself, or the link to it, stays. A missing folder is empty.

    Args:
        folder: the folder.
        keep: names in it that stay.

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
        raise fail(folder, f"cannot be emptied: {error.strerror or error}", "remove it by hand") from error


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
    held = [path for path in folder.iterdir() if not is_temporary(path.name)] if folder.is_dir() else []
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
