"""Lock files: created atomically, read defensively, and refreshed while their process runs."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.processes import MAX_RECORD_BYTES, Process, read_process
from erniekit_adapter.temporary import name_file, open_unnamed

# How often the holder of a lock refreshes the time of its file.
REFRESH_S = 10.0
# Time until a signal that arrived during a fork is delivered again.
_AFTER_FORK_S = 0.05
# First bytes of every lock file of this program.
_PREFIX = b'{"made_by": "erniekit_adapter"'
# Errors of a file system without hard links.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.ENOENT}


@dataclass(frozen=True)
class LockFile:
    """Content of a lock file.

    Attributes:
        key: identifies this lock among all locks that ever have its name.
        process: the process that holds it; None if the file is damaged.
        changed: its modification time in seconds.
    """

    key: str
    process: Process | None
    changed: float


def create_lock(path: Path, process: Process) -> bool:
    """Create a lock file with its content atomically; return False if the name is taken."""
    if (unnamed := open_unnamed(path.parent)) is not None:
        with unnamed:
            unnamed.write(process.content())
            unnamed.flush()
            try:
                name_file(unnamed, path)
            except FileExistsError:
                return False
            return True
    unlinked = path.with_name(f".{process.token}.new-lock")
    try:
        unlinked.write_bytes(process.content())
        try:
            os.link(unlinked, path)
        except FileExistsError:
            # NFS may report this after a lost reply; the number of links decides.
            return unlinked.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_exclusively(path, process)
        return True
    finally:
        unlinked.unlink(missing_ok=True)


def _create_exclusively(path: Path, process: Process) -> bool:
    """Create the file in two steps, for file systems without hard links: for a moment it is empty."""
    try:
        with path.open("xb") as stream:
            stream.write(process.content())
    except FileExistsError:
        return False
    return True


def read_lock(path: Path) -> LockFile | None:
    """Return the content of a lock file; None if it does not exist.

    Raises:
        AdapterError: the path is something other than a lock file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ESTALE:  # NFS: the file was replaced
            return None
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _foreign(path) from None
        return LockFile(_key_of(path.lstat(), b""), None, path.lstat().st_mtime)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _foreign(path)
        content = os.read(descriptor, MAX_RECORD_BYTES + 1)
    finally:
        os.close(descriptor)
    # A truncated file, or one that lost its content in a crash, is still a lock.
    if content.strip(b"\0") and content[: len(_PREFIX)] != _PREFIX[: len(content)]:
        raise _foreign(path)
    process = read_process(content)
    return LockFile(process.token if process else _key_of(status, content), process, status.st_mtime)


def _foreign(path: Path) -> AdapterError:
    return failure(path, "has the name of a lock file, but was not made by erniekit-adapter", "rename or remove it")


def _key_of(status: os.stat_result, content: bytes) -> str:
    return hashlib.sha256(f"{status.st_ino} ".encode() + content).hexdigest()[:16]


def file_system_time(folder: Path) -> float:
    """Return the current time of the clock that sets the modification times of files in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            return os.fstat(stream.fileno()).st_mtime
    except OSError:
        return time.time()


class LockRefresher:
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
        """Start to refresh a lock file that holds this process."""
        self._held[path] = process
        self.resume()

    def remove(self, path: Path) -> None:
        """Stop refreshing a lock file."""
        with self._guard:
            self._held.pop(path, None)
        if not self._held:
            self.pause()

    def is_running(self) -> bool:
        """Return whether the thread exists."""
        return self._thread is not None

    def resume(self) -> None:
        """Start the thread if there are lock files and no thread."""
        if self._held and self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stop,), name="lock refresher", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """End the thread."""
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._stop.set()
            thread.join()

    def forget(self) -> None:
        """Forget all lock files in a forked process, because they belong to its parent."""
        self._held, self._thread = {}, None

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(REFRESH_S):
            for path in list(self._held):
                with self._guard:
                    if path in self._held and path not in self.lost and not _refresh(path, self._held[path]):
                        self.lost.add(path)
                        _interrupt()


def _refresh(path: Path, process: Process) -> bool:
    """Refresh a lock file, or create it again if it was removed; return False if another process holds it."""
    try:
        found = read_lock(path)
        if found is None:
            return create_lock(path, process)
        if found.key != process.token:
            return False
        os.utime(path, follow_symlinks=False)
    except (OSError, AdapterError):
        pass  # the disk may be back later
    return True


def _interrupt() -> None:
    """Interrupt the main thread like Ctrl-C; with SIGTERM if SIGINT is ignored, as in the background."""
    number = signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT
    if (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, number)


def _keeping_signals(step: Callable[[], None]) -> Callable[[], None]:
    """Return a step of a fork that delivers a signal again: Python prints and drops an exception in such a step."""

    def run() -> None:
        try:
            step()
        except BaseException as error:
            number = getattr(error, "number", signal.SIGINT)
            main = threading.main_thread().ident
            if main is not None:
                threading.Timer(_AFTER_FORK_S, signal.pthread_kill, (main, number)).start()

    return run


refresher = LockRefresher()
os.register_at_fork(
    before=_keeping_signals(refresher.pause),
    after_in_parent=_keeping_signals(refresher.resume),
    after_in_child=refresher.forget,
)
