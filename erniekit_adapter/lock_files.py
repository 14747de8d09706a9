"""The files that locks consist of: made in one step, read with suspicion, refreshed as long as their process runs."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.errors import AdapterError, fail
from erniekit_adapter.processes import MAX_RECORD_BYTES, Process, read_process
from erniekit_adapter.temporary import name_file, open_unnamed

# How often the holder of a lock refreshes the time of its file.
BEAT_S = 10.0
# How the content of a lock file begins; what begins otherwise is not ours.
_BEGIN = b'{"made_by": "erniekit_adapter"'
# Errors of a file system without hard links.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.ENOENT}


@dataclass(frozen=True)
class Found:
    """A lock file as it was read.

    Attributes:
        key: identifies this lock among all that ever have its name.
        process: who holds it; None if the file is damaged.
        changed: its modification time in seconds.
    """

    key: str
    process: Process | None
    changed: float


def create(path: Path, process: Process) -> bool:
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
            # NFS may report this when the first answer was lost; the number of names decides.
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


def look(path: Path) -> Found | None:
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
        return Found(_key_of(path.lstat(), b""), None, path.lstat().st_mtime)
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
    return Found(process.token if process else _key_of(status, content), process, status.st_mtime)


def _foreign(path: Path) -> AdapterError:
    return fail(path, "is not a lock file of erniekit-adapter, and has its name", "rename or remove it")


def _key_of(status: os.stat_result, content: bytes) -> str:
    return hashlib.sha256(f"{status.st_ino} ".encode() + content).hexdigest()[:16]


def now_there(folder: Path) -> float:
    """The present time by the clock that gives files in a folder their times."""
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            return os.fstat(stream.fileno()).st_mtime
    except OSError:
        return time.time()


class Beats:
    """A thread that refreshes the lock files of this process; it pauses while the process forks.

    Attributes:
        lost: lock files that another process has taken over.
    """

    def __init__(self) -> None:
        self.lost: set[Path] = set()
        self._held: dict[Path, Process] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, path: Path, process: Process) -> None:
        """Refresh this file from now on, as long as it describes this process."""
        self._held[path] = process
        self.resume()

    def remove(self, path: Path) -> None:
        """Refresh this file no longer."""
        with self._guard:
            self._held.pop(path, None)
        if not self._held:
            self.pause()

    def is_running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    def resume(self) -> None:
        """Start the thread if it does not run and there are files."""
        if self._held and self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stop,), name="lock beats", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """End the thread."""
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._stop.set()
            thread.join()

    def forget(self) -> None:
        """In a process that was forked from this one: the locks are not its own."""
        self._held, self._thread = {}, None

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT_S):
            for path in list(self._held):
                with self._guard:
                    if path in self._held and path not in self.lost and not _refreshed(path, self._held[path]):
                        self.lost.add(path)
                        _interrupt()


def _refreshed(path: Path, process: Process) -> bool:
    """Refresh a lock file, or make it again if it was removed; False if it is another process's now."""
    try:
        found = look(path)
        if found is None:
            return create(path, process)
        if found.key != process.token:
            return False
        os.utime(path, follow_symlinks=False)
    except (OSError, AdapterError):
        pass  # the disk may come back
    return True


def _interrupt() -> None:
    """End the work of the main thread as Ctrl-C does; by SIGTERM if interrupts are ignored, as in the background."""
    number = signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT
    if (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, number)


beats = Beats()
os.register_at_fork(before=beats.pause, after_in_parent=beats.resume, after_in_child=beats.forget)
