"""One run a folder: a stage holds the folders that it writes and reads, and a second run is told who holds them.

A lock is a file beside the folder, as the folder itself may be replaced as a whole: `.NAME.lock` if the folder is
written, `.NAME.TOKEN.reading` if it is read. It is made with link(2) or O_EXCL, which are atomic on shared file systems
too, and says which process holds it. A lock that was left behind is taken over:

- at once if its process can be looked up from here and has ended;
- otherwise, as on another machine, in another container or after a reboot, once its holder has given no sign for
  STALE_S. A holder refreshes the time of its lock file each BEAT_S. Ages are measured by the file system's clock, and a
  lock that seems old is watched for WATCH_S first, so clocks that differ do no harm.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.errors import AdapterError, fail
from erniekit_adapter.files import cannot_write, real_folder
from erniekit_adapter.processes import MAX_RECORD_BYTES, Process, read_process, this_process
from erniekit_adapter.temporary import name_file, open_unnamed, short_name

BEAT_S = 10.0
STALE_S = 120.0
WATCH_S = 2.5 * BEAT_S
_WRITING, _READING, _TAKING = ".lock", ".reading", ".taking"
# How the content of a lock file begins; what begins otherwise is a file of somebody else.
_BEGIN = b'{"made_by": "erniekit_adapter"'
# Attempts while other processes come and go; after them the folder counts as in use.
_ATTEMPTS = 100
# Errors of a file system without hard links.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.ENOENT}
# Errors where a folder can be read and nothing can be written beside it.
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class _Found:
    """A lock file as it was read.

    Attributes:
        key: identifies this lock among all that ever have its name.
        process: who holds it; None if the file is damaged.
        changed: its modification time in seconds.
    """

    key: str
    process: Process | None
    changed: float


class _InUseError(Exception):
    def __init__(self, found: _Found) -> None:
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
            raise cannot_write(folder, error) from error
        yield


@contextmanager
def _read(folder: Path, command: str, on_note: Callable[[str], None]) -> Iterator[None]:
    lock, process, notes = lock_of(folder), this_process(command), _Notes(folder, on_note)
    mine = lock.with_name(f"{lock.name.removesuffix(_WRITING)}.{process.token}{_READING}")
    with ExitStack() as stack:
        try:
            if lock.parent.is_dir() and _create(mine, process):
                stack.enter_context(_kept(mine, process))
                _remove_ended_readers(lock)
            if found := _holder(lock, notes):
                raise _refusal(folder, lock, found)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise cannot_write(folder, error) from error
            # Nothing can be written there by this user: reading goes on without a lock.
        yield


def lock_of(folder: Path) -> Path:
    """The lock file of a folder: beside it, or beside the folder that it links to.

    Raises:
        UsageError: a link in it leads nowhere, or the path is too long.
    """
    target = real_folder(folder)
    return target.with_name(f".{short_name(target.name)}{_WRITING}")


def _holder(lock: Path, notes: _Notes) -> _Found | None:
    """Who holds a lock; None if it is free or was left behind."""
    while found := _look(lock):
        if not _is_left_behind(lock, found, notes):
            return found
        if (again := _look(lock)) and again.key == found.key:
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
        if _create(lock, process):
            return
        found = _look(lock)
        if found is None:
            continue
        if not _is_left_behind(lock, found, notes):
            raise _InUseError(found)
        claim = lock.with_name(f".{found.key}{_TAKING}")
        _claim(claim, process, notes)
        again = _look(lock)
        if again is None or again.key != found.key:
            claim.unlink(missing_ok=True)
            continue
        with suppress(FileNotFoundError):  # NFS: done already, and the answer was lost
            claim.replace(lock)
        notes.taken_over(lock, found)
        return
    raise _InUseError(_Found("", None, 0.0))


def _create(path: Path, process: Process) -> bool:
    """Create a file with its content in one step; whether that was possible, as the name was free."""
    if (unnamed := open_unnamed(path.parent)) is not None:
        with unnamed:
            unnamed.write(process.content())
            unnamed.flush()
            try:
                name_file(unnamed, path)
            except FileExistsError:
                return False
            return True
    between = path.with_name(f".{process.token}.new-lock")
    try:
        between.write_bytes(process.content())
        try:
            os.link(between, path)
        except FileExistsError:
            # NFS may report this when the first answer was lost; the number of names tells.
            return between.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_exclusively(path, process)
        return True
    finally:
        between.unlink(missing_ok=True)


def _create_exclusively(path: Path, process: Process) -> bool:
    """The same in two steps, for file systems without hard links: for a moment the file is empty."""
    try:
        with path.open("xb") as stream:
            stream.write(process.content())
    except FileExistsError:
        return False
    return True


def _look(path: Path) -> _Found | None:
    """Read a lock file; None if there is none.

    Raises:
        AdapterError: there is something else.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ESTALE:  # NFS: replaced meanwhile
            return None
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _foreign(path) from None
        return _Found(_key_of(path.lstat(), b""), None, path.lstat().st_mtime)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _foreign(path)
        content = os.read(descriptor, MAX_RECORD_BYTES + 1)
    finally:
        os.close(descriptor)
    # One that was cut off, or lost its content in a crash, is still a lock.
    if content.strip(b"\0") and content[: len(_BEGIN)] != _BEGIN[: len(content)]:
        raise _foreign(path)
    process = read_process(content)
    return _Found(process.token if process else _key_of(status, content), process, status.st_mtime)


def _foreign(path: Path) -> AdapterError:
    return fail(path, "is not a lock file of erniekit-adapter, and has its name", "rename or remove it")


def _key_of(status: os.stat_result, content: bytes) -> str:
    return hashlib.sha256(f"{status.st_ino} {status.st_mtime_ns}".encode() + content).hexdigest()[:16]


def _is_left_behind(path: Path, found: _Found, notes: _Notes) -> bool:
    """Whether the holder of a lock has ended; it is watched for a while if only its signs of life can decide."""
    running = found.process.is_running() if found.process else None
    if running is not None:
        return not running
    age_s = _now_there(path.parent) - found.changed
    if abs(age_s) < STALE_S:
        return False
    notes.watching(found)
    until = time.monotonic() + WATCH_S
    while time.monotonic() < until:
        time.sleep(min(1.0, WATCH_S / 10))
        again = _look(path)
        if again is None or again.key != found.key:
            return True  # gone, or taken over by another process: the caller looks again
        if again.changed != found.changed:
            return False
    return True


def _now_there(folder: Path) -> float:
    """The present time by the clock that gives files in a folder their times."""
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            return os.fstat(stream.fileno()).st_mtime
    except OSError:
        return time.time()


def _readers(lock: Path) -> Iterator[tuple[Path, _Found]]:
    prefix = lock.name.removesuffix(_WRITING) + "."
    for path in list(lock.parent.iterdir()):
        if path.name.startswith(prefix) and path.name.endswith(_READING):
            found = _look(path)
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


def _refusal(folder: Path, lock: Path, found: _Found) -> AdapterError:
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
    """What to tell the user about the locks of a folder."""

    folder: Path
    on_note: Callable[[str], None]

    def watching(self, found: _Found) -> None:
        by = str(found.process) if found.process else "an unknown process"
        self.on_note(f"{self.folder}: held by {by}; watching for {WATCH_S:g} s whether it still runs")

    def taken_over(self, lock: Path, found: _Found) -> None:
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
    _beats.add(path, process.token)
    try:
        yield
    except KeyboardInterrupt:
        if path in _beats.lost:
            raise _taken(path) from None
        raise
    finally:
        _beats.remove(path)
        with suppress(OSError, AdapterError):
            found = _look(path)
            if found and found.key == process.token:
                path.unlink(missing_ok=True)


def _taken(path: Path) -> AdapterError:
    what = f"this run gave no sign for {STALE_S / 60:g} minutes, and another process has taken the folder over"
    return fail(path, what, "was this machine suspended, or the disk away? see which run goes on, and start again")


class _Beats:
    """A thread that refreshes the lock files of this process; it pauses while the process forks.

    Attributes:
        lost: lock files that another process has taken over.
    """

    def __init__(self) -> None:
        self.lost: set[Path] = set()
        self._held: dict[Path, str] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, path: Path, token: str) -> None:
        self._held[path] = token
        self._resume()

    def remove(self, path: Path) -> None:
        self._held.pop(path, None)
        if not self._held:
            self._pause()

    def is_running(self) -> bool:
        return self._thread is not None

    def _resume(self) -> None:
        if self._held and self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stop,), name="lock beats", daemon=True)
            self._thread.start()

    def _pause(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._stop.set()
            thread.join()

    def forget(self) -> None:
        """In a process that was forked from this one: the locks are not its own."""
        self._held, self._thread = {}, None

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT_S):
            for path, token in list(self._held.items()):
                self._refresh(path, token)

    def _refresh(self, path: Path, token: str) -> None:
        try:
            found = _look(path)
            if found is None or found.key == token:
                if found is not None:
                    os.utime(path, follow_symlinks=False)
                return
        except (OSError, AdapterError):
            return  # the disk may come back
        if path not in self.lost and path in self._held:
            self.lost.add(path)
            _interrupt()


def _interrupt() -> None:
    """End the work of the main thread as Ctrl-C does; by SIGTERM if interrupts are ignored, as in the background."""
    number = signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT
    if (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, number)


_beats = _Beats()
os.register_at_fork(before=_beats._pause, after_in_parent=_beats._resume, after_in_child=_beats.forget)


def threads() -> int:
    """How many threads of this process refresh locks; they pause while it forks, so they do not hinder that."""
    return int(_beats.is_running())
