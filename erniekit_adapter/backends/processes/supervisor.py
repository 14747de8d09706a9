"""Supervisor between our process and a command: it ends all processes of the command, however either of them ends.

Run by its path, as `python -I -S supervisor.py OWNER GRACE_S COMMAND…`, with the standard library only. OWNER is the
process id of the process that starts it. The supervisor leads its own session, so a closed terminal and
Ctrl-C reach only the owner. As a subreaper (Linux) it becomes the parent of each descendant whose parent has ended, in
any process group or session; on other systems it ends the command's process group.

When the command ends, the owner ends, or SIGTERM, SIGINT or SIGHUP arrives, it ends all descendants: SIGTERM and
SIGCONT, and after the grace period SIGKILL. Then it ends as the command did: with its exit code, or by the same signal.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time

# As in linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Sent by the kernel when the thread that started the supervisor ends; the supervisor then looks for its owner.
_PARENT_SIGNAL = signal.SIGUSR1
_CHECK_EVERY_S = 0.5
_POLL_S = 0.02
# A process in an uninterruptible wait (a GPU driver, a network file system) may outlast SIGKILL.
_GIVE_UP_S = 30.0
# Exit code of shells for a command that exists and cannot be executed.
_CANNOT_EXECUTE = 126


def main() -> None:
    """Run the command given on the command line under supervision; does not return."""
    owner, grace_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    _open_standard_files()
    wakeups = _listen()
    is_subreaper = _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, _PARENT_SIGNAL)
    leader = _start(command)
    # Close stdin, which the command may read; stdout stays open, so it ends when the last process has ended.
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    status = None
    while status is None and os.getppid() == owner:
        if any(number in _ENDING for number in _read_signals(wakeups)):
            break
        status = _reap().get(leader)
    ended = _end_all(leader, grace_s, is_subreaper=is_subreaper)
    _end_as(ended if status is None else status)


def _open_standard_files() -> None:
    """Open stdin, stdout and stderr if they are closed: otherwise other files would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (AttributeError, OSError):
        return False


def _listen() -> int:
    """Turn signals into bytes of a pipe and return its reading end; signals that are ignored (nohup) stay ignored."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    numbers = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    for number in (*numbers, signal.SIGCHLD, _PARENT_SIGNAL):
        signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return reading


def _read_signals(wakeups: int) -> bytes:
    """Wait for signals, for half a second at most, and return their numbers."""
    if not select.select([wakeups], [], [], _CHECK_EVERY_S)[0]:
        return b""
    return os.read(wakeups, 4096)


def _start(command: list[str]) -> int:
    """Start the command in its own process group and return its process id; it ends with the supervisor."""
    supervisor = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(_CANNOT_EXECUTE)
        # Python ignores these two, and the command would inherit that.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        os.write(2, f"{command[0]}: cannot be started: {error.strerror}\n".encode(errors="replace"))
    finally:
        os._exit(_CANNOT_EXECUTE)


def _reap() -> dict[int, int]:
    """Collect children that have ended, as process id → wait status.

    Raises:
        ChildProcessError: this process has no children.
    """
    ended: dict[int, int] = {}
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            if ended:
                return ended
            raise
        if process == 0:
            return ended
        ended[process] = status


def _end_all(leader: int, grace_s: float, *, is_subreaper: bool) -> int | None:
    """End all descendants, and return the command's wait status if it ends meanwhile.

    Descendants whose parent ends become children of the supervisor, so without children all have ended.
    """
    status, start = None, time.monotonic()
    terminated: set[int] = set()
    while time.monotonic() - start < grace_s + _GIVE_UP_S:
        try:
            status = _reap().get(leader, status)
        except ChildProcessError:
            break
        by_force = time.monotonic() - start >= grace_s
        for process in descendants(os.getpid()) if is_subreaper else [-leader]:
            if by_force:
                _send(process, signal.SIGKILL)
            elif process not in terminated:
                _send(process, signal.SIGTERM)
                _send(process, signal.SIGCONT)
                terminated.add(process)
        time.sleep(_POLL_S)
    if not is_subreaper:
        _send(-leader, signal.SIGKILL)
    return status


def _send(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except OSError:  # it has ended, or is another user's
        return


def descendants(root: int) -> list[int]:
    """Return the processes below `root` that have not ended, from /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stream:  # noqa: PTH123
                fields = stream.read().rpartition(b")")[2].split()
        except OSError:
            continue
        # If only the first thread has ended, a process looks like one that has ended, but it has other threads.
        if fields[0] not in (b"Z", b"X") or int(fields[17]) > 1:
            children.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _end_as(status: int | None) -> None:
    """End like the command: with its exit code or by its signal."""
    if status is None:
        os._exit(1)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(_CHECK_EVERY_S)
        os._exit(128 + number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
