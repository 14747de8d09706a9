"""Temporary files and folders that are cleaned up after a kill.

A temporary folder is named `.NAME.TOKEN.partial` and holds a file that names the process that made it, with the same
token. The folder that will become NAME is written beside it as `.NAME.TOKEN.new`, so that relative paths in it are the
final ones. The next process that uses the same name removes leftovers; a folder without that file is not ours and is
kept. Temporary files have no name if the file system allows it, so they end with the process. Only the standard library
is used, because workers in a toolkit's environment import this module too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from erniekit_adapter.processes import MAX_RECORD_BYTES, Process, read_process, this_process

MARK = "made-by-erniekit-adapter.json"
SUFFIX = ".partial"
_NEW = ".new"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.(partial|new)", re.DOTALL)
# File systems allow 255 bytes for a name.
_MAX_NAME_BYTES = 180
# Errors of a file system without unnamed files.
_NO_UNNAMED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOSYS}


@contextmanager
def temporary_folder(
    parent: Path, name: str, *, alone: bool = False, rescue: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Create a folder that is removed when the block ends; first remove leftovers of killed processes with this name.

    Args:
        parent: an existing folder to create it in.
        name: name of the file or folder that it is for.
        alone: the caller holds a lock, so that no other process uses this name now; leftovers of processes that cannot
            be looked up from here (another machine or container) are removed too.
        rescue: called with an abandoned folder before it is removed.

    Raises:
        OSError: it cannot be created.
    """
    folder = make_temporary_folder(parent, name, alone=alone, rescue=rescue)
    try:
        yield folder
    finally:
        remove_temporary_folder(folder)


def make_temporary_folder(
    parent: Path, name: str, *, alone: bool = False, rescue: Callable[[Path], None] | None = None
) -> Path:
    """Create a folder that `remove_temporary_folder` removes; for the arguments see `temporary_folder`."""
    remove_abandoned(parent, name, alone=alone, rescue=rescue)
    process = this_process("")
    folder = parent / f".{short_name(name)}.{process.token}{SUFFIX}"
    folder.mkdir(mode=0o700)
    try:
        (folder / MARK).write_bytes(process.content())
    except BaseException:
        remove_temporary_folder(folder)
        raise
    return folder


def remove_abandoned(
    parent: Path, name: str, *, alone: bool = False, rescue: Callable[[Path], None] | None = None
) -> None:
    """Remove temporary folders of killed processes; for the arguments see `temporary_folder`."""
    prefix = f".{short_name(name)}."
    try:
        names = [each.name for each in parent.iterdir() if each.name.startswith(prefix) and each.name.endswith(SUFFIX)]
    except OSError:
        return
    for each in names:
        folder = parent / each
        process = _maker(folder)
        if process is None or each != f"{prefix}{process.token}{SUFFIX}":
            continue
        running = process.is_running()
        if running is False or (running is None and alone):
            if rescue:
                rescue(folder)
            remove_temporary_folder(folder)


def short_name(name: str) -> str:
    """Return a base for derived names: the name itself, or its hash if an addition would make it too long."""
    raw = os.fsencode(name)
    return name if len(raw) <= _MAX_NAME_BYTES else hashlib.sha256(raw).hexdigest()[:32]


def folder_beside(temporary: Path) -> Path:
    """Return the path beside a temporary folder that is removed together with it."""
    return temporary.with_suffix(_NEW)


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a temporary file or folder; it may still not be ours."""
    return bool(_TEMPORARY.fullmatch(name))


def _maker(folder: Path) -> Process | None:
    """Return the process that made a temporary folder; None if it is not ours, or another user's."""
    try:
        mark = folder / MARK
        for path, kind in ((folder, stat.S_ISDIR), (mark, stat.S_ISREG)):
            found = path.lstat()
            if not kind(found.st_mode) or found.st_uid != os.geteuid():
                return None
        return read_process(mark.read_bytes()) if mark.stat().st_size <= MAX_RECORD_BYTES else None
    except OSError:
        return None


def remove_temporary_folder(folder: Path) -> None:
    """Remove a temporary folder, its mark last, so that after a kill the folder is still known as ours."""
    with suppress(OSError):
        for path in [folder_beside(folder), *folder.iterdir()]:
            if path.name == MARK or not os.path.lexists(path):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        # The mark stays if something could not be removed.
        if not folder_beside(folder).exists() and all(path.name == MARK for path in folder.iterdir()):
            (folder / MARK).unlink(missing_ok=True)
            folder.rmdir()


@contextmanager
def replacing_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing without its name; it gets the name only when the block succeeds.

    Raises:
        OSError: it cannot be written.
    """
    unnamed = open_unnamed(path.parent)
    if unnamed is None:
        with temporary_folder(path.parent, path.name) as folder:
            with (folder / "content").open("wb") as stream:
                yield stream
                _flush(stream)
            (folder / "content").replace(path)
        return
    with unnamed as stream:
        yield stream
        _flush(stream)
        try:
            name_file(stream, path)
        except FileExistsError:
            named = path.with_name(f".{short_name(path.name)}.{this_process('').token}{SUFFIX}")
            name_file(stream, named)
            try:
                named.replace(path)
            except BaseException:
                named.unlink(missing_ok=True)
                raise


def _flush(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def open_unnamed(folder: Path) -> IO[bytes] | None:
    """Open a new file without a name, which ends with the process; None if the system has no such files."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.fdopen(os.open(folder, flag | os.O_RDWR | os.O_CLOEXEC, 0o666), "w+b")
    except OSError as error:
        if error.errno in _NO_UNNAMED and folder.is_dir():
            return None
        raise


def name_file(stream: IO[bytes], path: Path) -> None:
    """Give an unnamed file a name.

    Raises:
        FileExistsError: the name is taken.
        OSError: the folder cannot be written.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Python follows the link in /proc to the file only if a folder's descriptor is given.
        os.link(f"/proc/self/fd/{stream.fileno()}", path.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
