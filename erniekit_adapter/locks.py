"""One run a folder: a stage locks the folders that it writes and reads, and a second run is refused.

A lock is a file beside the folder, as the folder itself may be replaced as a whole: `.NAME.lock` if the folder is
written, `.NAME.TOKEN.reading` if it is read. It is made with link(2) or O_EXCL, which are atomic on shared file systems
too, and names the process that holds it. A lock that was left behind is taken over:

- at once if its process can be looked up from here and has ended;
- otherwise, as on another machine, in another container or after a reboot, once its holder has given no sign for
  STALE_S. A holder refreshes the time of its lock file each BEAT_S. Ages are measured by the file system's clock, and a
  lock that seems old is watched for WATCH_S first, so clocks that differ do no harm.
"""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.errors import AdapterError, fail
from erniekit_adapter.files import cannot_write, real_folder
from erniekit_adapter.lock_files import Found, beats, create, look, now_there
from erniekit_adapter.processes import Process, this_process
from erniekit_adapter.temporary import short_name

STALE_S = 120.0
WATCH_S = 25.0
_WRITING, _READING, _TAKING = ".lock", ".reading", ".taking"
# Attempts while other processes come and go; after them the folder counts as in use.
_ATTEMPTS = 100
# Errors where a folder can be read and nothing can be written beside it.
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


class _InUseError(Exception):
    def __init__(self, found: Found) -> None:
        self.found = found


def _print_note(note: str) -> None:
    print(note, file=sys.stderr)


@contextmanager
def using(
    command: str,
    *,
    writes: Sequence[Path] = (),
    reads: Sequence[Path] = (),
    on_note: Callable[[str], None] = _print_note,
) -> Iterator[None]:
    """Hold folders while the block runs, or refuse at once.

    Args:
        command: the stage, as users know it: `train`.
        writes: folders that no other stage may write or read meanwhile.
        reads: folders that no other stage may write meanwhile.
        on_note: called with a sentence when a lock that was left behind is taken over, or has to be watched first.

    Raises:
        AdapterError: a folder is in use, with who holds it; or no lock can be made beside a folder that is written.
        UsageError: a folder is a link that leads nowhere.
    """
    with ExitStack() as stack:
        for folder in writes:
            stack.enter_context(_held(folder, command, on_note))
        for folder in reads:
            stack.enter_context(_read(folder, command, on_note))
        yield


@contextmanager
def _held(folder: Path, command: str, on_note: Callable[[str], None]) -> Iterator[None]:
    lock, process, notes = lock_of(folder), this_process(command), _Notes(folder, on_note)
    with ExitStack() as stack:
        try:
            stack.callback(_remove_empty, _make_parents(lock.parent))
            _claim(lock, process, notes)
            stack.enter_context(_kept(lock, process))
            _refuse_readers(lock, notes)
        except _InUseError as error:
            raise _refusal(folder, lock, error.found) from None
        except OSError as error:
            raise cannot_write(folder, error, "no lock file can be written beside it") from error
        yield


@contextmanager
def _read(folder: Path, command: str, on_note: Callable[[str], None]) -> Iterator[None]:
    lock, process, notes = lock_of(folder), this_process(command), _Notes(folder, on_note)
    mine = lock.with_name(f"{lock.name.removesuffix(_WRITING)}.{process.token}{_READING}")
    with ExitStack() as stack:
        try:
            if lock.parent.is_dir() and create(mine, process):
                stack.enter_context(_kept(mine, process))
                _remove_ended_readers(lock)
            if found := _holder(lock, notes):
                raise _refusal(folder, lock, found)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise cannot_write(folder, error, "no lock file can be written beside it") from error
            # Nothing can be written there by this user: reading goes on without a lock.
        yield


def lock_of(folder: Path) -> Path:
    """The lock file of a folder: beside it, or beside the folder that it links to.

    Raises:
        UsageError: a link in it leads nowhere, or the path is too long.
    """
    target = real_folder(folder)
    return target.with_name(f".{short_name(target.name)}{_WRITING}")


def _holder(lock: Path, notes: _Notes) -> Found | None:
    """Return who holds a lock; None if it is free or was left behind."""
    while found := look(lock):
        if not _is_left_behind(lock, found, notes):
            return found
        if (again := look(lock)) and again.key == found.key:
            return None
    return None


def _make_parents(folder: Path) -> list[Path]:
    """Make a folder with its parents; gives those that were missing, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()  # only if nothing was written there


def _claim(lock: Path, process: Process, notes: _Notes) -> None:
    """Create the lock file, or take over one that was left behind; of several takers only one succeeds.

    Who takes over first creates a claim that is named by the lock's key, which only one process can, and renames it to
    the lock if that is still the same. A claim that was left behind is taken over in the same way.

    Raises:
        _InUseError: another process holds it.
    """
    for _ in range(_ATTEMPTS):
        if create(lock, process):
            return
        found = look(lock)
        if found is None:
            continue
        if not _is_left_behind(lock, found, notes):
            raise _InUseError(found)
        claim = lock.with_name(f".{found.key}{_TAKING}")
        _claim(claim, process, notes)
        again = look(lock)
        if again is None or again.key != found.key:
            claim.unlink(missing_ok=True)
            continue
        with suppress(FileNotFoundError):  # NFS: done already, and the answer was lost
            claim.replace(lock)
        notes.taken_over(lock, found)
        return
    raise _InUseError(Found("", None, 0.0))


def _is_left_behind(path: Path, found: Found, notes: _Notes) -> bool:
    """Whether the holder of a lock has ended; it is watched for a while if only its signs of life can decide."""
    running = found.process.is_running() if found.process else None
    if running is not None:
        return not running
    age_s = now_there(path.parent) - found.changed
    if abs(age_s) < STALE_S:
        return False
    notes.watching(found)
    until = time.monotonic() + WATCH_S
    while time.monotonic() < until:
        time.sleep(min(1.0, WATCH_S / 10))
        again = look(path)
        if again is None or again.key != found.key:
            return True  # gone, or taken over by another process: the caller looks again
        if again.changed != found.changed:
            return False
    return True


def _readers(lock: Path) -> Iterator[tuple[Path, Found]]:
    prefix = lock.name.removesuffix(_WRITING) + "."
    for path in list(lock.parent.iterdir()):
        if path.name.startswith(prefix) and path.name.endswith(_READING):
            found = look(path)
            # A file that merely has such a name is left alone.
            if found and found.process and path.name == f"{prefix}{found.process.token}{_READING}":
                yield path, found


def _refuse_readers(lock: Path, notes: _Notes) -> None:
    for path, found in _readers(lock):
        if not _is_left_behind(path, found, notes):
            raise _InUseError(found)
        path.unlink(missing_ok=True)


def _remove_ended_readers(lock: Path) -> None:
    for path, found in _readers(lock):
        if found.process and found.process.is_running() is False:
            path.unlink(missing_ok=True)


def _refusal(folder: Path, lock: Path, found: Found) -> AdapterError:
    if found.process is None:
        what = f"is in use by a process that cannot be named, as {lock} is damaged"
        remedy = f"run again in {STALE_S / 60:g} minutes; if no stage runs here, remove that file"
        return fail(folder, what, remedy)
    remedy = "wait until it ends, or set another output_dir"
    if found.process.is_running() is None:
        remedy += f"; if it has ended, the folder is free {STALE_S / 60:g} minutes after that"
    return fail(folder, f"is in use by {found.process}", remedy)


@dataclass(frozen=True)
class _Notes:
    """Notes for the user about the locks of a folder."""

    folder: Path
    on_note: Callable[[str], None]

    def watching(self, found: Found) -> None:
        by = str(found.process) if found.process else "an unknown process"
        self.on_note(f"{self.folder}: held by {by}; watching for {WATCH_S:g} s whether it still runs")

    def taken_over(self, lock: Path, found: Found) -> None:
        if lock.name.endswith(_TAKING):
            return
        by = str(found.process) if found.process else "an unknown process"
        self.on_note(f"{self.folder}: taken over from {by}, which ended early")


@contextmanager
def _kept(path: Path, process: Process) -> Iterator[None]:
    """Refresh a lock file while the block runs, and remove it afterwards.

    Raises:
        AdapterError: another process has taken the lock over meanwhile.
    """
    beats.add(path, process)
    try:
        yield
    except BaseException as error:
        # The thread that refreshes locks ended the block: by KeyboardInterrupt, or EndedBySignal if that is ignored.
        if path in beats.lost and not isinstance(error, Exception):
            raise _taken(path) from None
        raise
    finally:
        beats.remove(path)
        with suppress(OSError, AdapterError):
            found = look(path)
            if found and found.key == process.token:
                path.unlink(missing_ok=True)


def _taken(path: Path) -> AdapterError:
    what = f"this run gave no sign for {STALE_S / 60:g} minutes, and another process has taken the folder over"
    return fail(path, what, "was this machine suspended, or the disk away? see which run goes on, and start again")


def threads() -> int:
    """Return how many threads of this process refresh locks; they pause while it forks, so they do not hinder that."""
    return int(beats.is_running())
