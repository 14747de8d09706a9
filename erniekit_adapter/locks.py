"""Locks that allow one run a folder: a stage locks the folders that it writes and reads.

A lock is a file beside the folder, because the folder itself may be replaced: `.NAME.lock` for a folder that is
written, `.NAME.TOKEN.reading` for one that is read. It is created with link(2) or O_EXCL, which are atomic on shared
file systems too, and names the process that holds it. An abandoned lock is taken over:

- at once if its process can be looked up from here and has ended;
- otherwise (another machine or container, or after a reboot) once its holder has not refreshed it for STALE_S. A holder
  refreshes the time of its lock file every REFRESH_S. Ages are measured with the file system's clock, and a lock that
  seems old is watched for WATCH_S first, so clocks that differ do no harm.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.files import cannot_write, real_folder
from erniekit_adapter.lock_files import LockFile, create_lock, file_system_time, read_lock, refresher
from erniekit_adapter.processes import Process, this_process
from erniekit_adapter.temporary import short_name
from erniekit_adapter.terminal import echo

STALE_S = 120.0
WATCH_S = 25.0
_WRITING, _READING, _TAKING = ".lock", ".reading", ".taking"
# Attempts to get a lock that other processes take and release; then the folder counts as in use.
_ATTEMPTS = 100
# Errors if a folder can be read but no file can be written beside it.
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


class _InUseError(Exception):
    def __init__(self, found: LockFile) -> None:
        self.found = found


def _print_note(note: str) -> None:
    echo(note, stderr=True)


@contextmanager
def using(
    command: str,
    *,
    writes: Sequence[Path] = (),
    reads: Sequence[Path] = (),
    on_note: Callable[[str], None] = _print_note,
) -> Iterator[None]:
    """Hold locks on folders while the block runs, or raise an error at once.

    Args:
        command: the stage, with its name on the command line: `train`.
        writes: folders that no other stage may write or read at the same time.
        reads: folders that no other stage may write at the same time.
        on_note: called with a sentence when an abandoned lock is taken over, or is watched first.

    Raises:
        AdapterError: a folder is in use, with the process that holds it; or no lock can be created beside a folder to
            write.
        UsageError: a folder is a dangling link.
    """
    with ExitStack() as stack:
        for folder in writes:
            stack.enter_context(_write_lock(folder, command, on_note))
        for folder in reads:
            stack.enter_context(_read_only_lock(folder, command, on_note))
        yield


@contextmanager
def _write_lock(folder: Path, command: str, on_note: Callable[[str], None]) -> Iterator[None]:
    lock, process, notes = lock_of(folder), this_process(command), _Notes(folder, on_note)
    with ExitStack() as stack:
        try:
            stack.callback(_remove_empty, _make_parents(lock.parent))
            _claim(lock, process, notes)
            stack.enter_context(_refreshing(lock, process))
            _refuse_readers(lock, notes)
        except _InUseError as error:
            raise _refusal(folder, lock, error.found) from None
        except OSError as error:
            raise cannot_write(folder, error, "no lock file can be written beside it") from error
        yield


@contextmanager
def _read_only_lock(folder: Path, command: str, on_note: Callable[[str], None]) -> Iterator[None]:
    lock, process, notes = lock_of(folder), this_process(command), _Notes(folder, on_note)
    own = lock.with_name(f"{lock.name.removesuffix(_WRITING)}.{process.token}{_READING}")
    with ExitStack() as stack:
        try:
            if lock.parent.is_dir() and create_lock(own, process):
                stack.enter_context(_refreshing(own, process))
                _remove_ended_readers(lock)
            if found := _holder(lock, notes):
                raise _refusal(folder, lock, found)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise cannot_write(folder, error, "no lock file can be written beside it") from error
            # This user cannot write there, so the folder is read without a lock.
        yield


def lock_of(folder: Path) -> Path:
    """Return the path of a folder's lock file: beside the folder, or beside the target of a link.

    Raises:
        UsageError: a link in the path is dangling, or the path is too long.
    """
    target = real_folder(folder)
    return target.with_name(f".{short_name(target.name)}{_WRITING}")


def _holder(lock: Path, notes: _Notes) -> LockFile | None:
    """Return the lock that a process holds; None if it is free or abandoned."""
    while found := read_lock(lock):
        if not _is_abandoned(lock, found, notes):
            return found
        if (again := read_lock(lock)) and again.key == found.key:
            return None
    return None


def _make_parents(folder: Path) -> list[Path]:
    """Create a folder with its parents; return those that were missing, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()  # fails if something was written there


def _claim(lock: Path, process: Process, notes: _Notes) -> None:
    """Create the lock file, or take over an abandoned one; of several processes only one succeeds.

    A process that takes over first creates a claim that is named by the key of the old lock. Only one process can
    create it. If the lock is still the same, the process renames the claim to the lock. An abandoned claim is taken
    over in the same way.

    Raises:
        _InUseError: another process holds the lock.
    """
    for _ in range(_ATTEMPTS):
        if create_lock(lock, process):
            return
        found = read_lock(lock)
        if found is None:
            continue
        if not _is_abandoned(lock, found, notes):
            raise _InUseError(found)
        claim = lock.with_name(f".{found.key}{_TAKING}")
        _claim(claim, process, notes)
        again = read_lock(lock)
        if again is None or again.key != found.key:
            claim.unlink(missing_ok=True)
            continue
        with suppress(FileNotFoundError):  # NFS: renamed already, but the reply was lost
            claim.replace(lock)
        notes.taken_over(lock, found)
        return
    raise _InUseError(LockFile("", None, 0.0))


def _is_abandoned(path: Path, found: LockFile, notes: _Notes) -> bool:
    """Return whether the holder of a lock has ended; if it cannot be looked up, watch the lock for a while."""
    running = found.process.is_running() if found.process else None
    if running is not None:
        return not running
    age_s = file_system_time(path.parent) - found.changed
    if abs(age_s) < STALE_S:
        return False
    notes.watching(found)
    until = time.monotonic() + WATCH_S
    while time.monotonic() < until:
        time.sleep(min(1.0, WATCH_S / 10))
        again = read_lock(path)
        if again is None or again.key != found.key:
            return True  # gone, or taken over by another process: the caller reads it again
        if again.changed != found.changed:
            return False
    return True


def _readers(lock: Path) -> Iterator[tuple[Path, LockFile]]:
    prefix = lock.name.removesuffix(_WRITING) + "."
    for path in list(lock.parent.iterdir()):
        if path.name.startswith(prefix) and path.name.endswith(_READING):
            found = read_lock(path)
            # Other files with such a name are ignored.
            if found and found.process and path.name == f"{prefix}{found.process.token}{_READING}":
                yield path, found


def _refuse_readers(lock: Path, notes: _Notes) -> None:
    for path, found in _readers(lock):
        if not _is_abandoned(path, found, notes):
            raise _InUseError(found)
        path.unlink(missing_ok=True)


def _remove_ended_readers(lock: Path) -> None:
    for path, found in _readers(lock):
        if found.process and found.process.is_running() is False:
            path.unlink(missing_ok=True)


def _refusal(folder: Path, lock: Path, found: LockFile) -> AdapterError:
    if found.process is None:
        finding = f"is in use by an unknown process: {lock} is damaged"
        hint = f"run again in {STALE_S / 60:g} minutes, or remove that file if no stage is running"
        return failure(folder, finding, hint)
    hint = "wait until it ends, or set another output_dir"
    if found.process.is_running() is None:
        hint += f"; if it was killed, the folder is free after {STALE_S / 60:g} minutes"
    return failure(folder, f"is in use by {found.process}", hint)


@dataclass(frozen=True)
class _Notes:
    """Notes for the user about the locks of a folder."""

    folder: Path
    on_note: Callable[[str], None]

    def watching(self, found: LockFile) -> None:
        by = str(found.process) if found.process else "an unknown process"
        self.on_note(f"{self.folder}: locked by {by}; checking for {WATCH_S:g} s whether it still runs")

    def taken_over(self, lock: Path, found: LockFile) -> None:
        if lock.name.endswith(_TAKING):
            return
        by = str(found.process) if found.process else "an unknown process"
        self.on_note(f"{self.folder}: taken over from {by}, which no longer runs")


@contextmanager
def _refreshing(path: Path, process: Process) -> Iterator[None]:
    """Refresh a lock file while the block runs, and remove it afterwards.

    Raises:
        AdapterError: another process has taken over the lock.
    """
    refresher.add(path, process)
    try:
        yield
    except BaseException as error:
        # The refresher ended the block: with KeyboardInterrupt, or with EndedBySignal if SIGINT is ignored.
        if path in refresher.lost and not isinstance(error, Exception):
            raise _lost_lock(path) from None
        raise
    finally:
        refresher.remove(path)
        with suppress(OSError, AdapterError):
            found = read_lock(path)
            if found and found.key == process.token:
                path.unlink(missing_ok=True)


def _lost_lock(path: Path) -> AdapterError:
    finding = (
        f"another process has taken over the folder: this run did not refresh its lock for {STALE_S / 60:g} minutes"
    )
    hint = "the machine may have been suspended, or the disk offline; wait until the other run ends"
    return failure(path, finding, hint)


def threads() -> int:
    """Return the number of threads that refresh locks; they pause during a fork, so they do not prevent it."""
    return int(refresher.is_running())
