"""Supervisor between our process and a command: however either of them ends, nothing that the command started is left.

Run by its path, as `python -I -S supervisor.py OWNER GRACE_S COMMAND…`, with the standard library alone. OWNER is the
process id of the process that starts it. The supervisor leads a session of its own, so that a closed terminal and
Ctrl-C reach the owner only. As a subreaper (Linux) it becomes the parent of every descendant whose parent has ended,
whatever process group or session that descendant is in; elsewhere it ends the command's process group.

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
# Sent by the kernel when the thread that started the supervisor ends; whether the owner has ended is then looked up.
_PARENT_SIGNAL = signal.SIGUSR1
_LOOK_EVERY_S = 0.5
_POLL_S = 0.02
# A process in an uninterruptible wait (a GPU driver, a network file system) may outlast SIGKILL.
_GIVE_UP_S = 30.0
# As shells report a command that is found and cannot be executed.
_CANNOT_EXECUTE = 126


def main() -> None:
    """Run the command given on the command line under supervision; does not return."""
    owner, grace_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    _open_standard_files()
    wakeups = _listen()
    is_subreaper = _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, _PARENT_SIGNAL)
    leader = _start(command)
    # Its end of the pipe that a command may read from; output stays open, so that its end is the end of everything.
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    status = None
    while status is None and os.getppid() == owner:
        if any(number in _ENDING for number in _heard(wakeups)):
            break
        status = _reap().get(leader)
    ended = _end_all(leader, grace_s, is_subreaper=is_subreaper)
    _end_as(ended if status is None else status)


def _open_standard_files() -> None:
    """Open what is closed of input, output and errors: other files would take their numbers."""
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
    """Turn signals into bytes of a pipe, which is returned; what was ignored at the start (nohup) stays ignored."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    numbers = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    for number in (*numbers, signal.SIGCHLD, _PARENT_SIGNAL):
        signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return reading


def _heard(wakeups: int) -> bytes:
    """Wait for signals, for half a second at most, and return their numbers."""
    if not select.select([wakeups], [], [], _LOOK_EVERY_S)[0]:
        return b""
    return os.read(wakeups, 4096)


def _start(command: list[str]) -> int:
    """Start the command in a process group of its own; it ends with the supervisor. Returns its process id."""
    supervisor = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(_CANNOT_EXECUTE)
        # Python ignores these two, and what is ignored stays so in the command.
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
    """End all descendants; returns the command's wait status if it ends meanwhile.

    No child means no descendant: one whose parent ends becomes a child of the supervisor.
    """
    status, start = None, time.monotonic()
    asked: set[int] = set()
    while time.monotonic() - start < grace_s + _GIVE_UP_S:
        try:
            status = _reap().get(leader, status)
        except ChildProcessError:
            break
        by_force = time.monotonic() - start >= grace_s
        for process in descendants(os.getpid()) if is_subreaper else [-leader]:
            if by_force:
                _send(process, signal.SIGKILL)
            elif process not in asked:
                _send(process, signal.SIGTERM)
                _send(process, signal.SIGCONT)
                asked.add(process)
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
    """List the processes below `root` that have not ended, from /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stream:  # noqa: PTH123
                fields = stream.read().rpartition(b")")[2].split()
        except OSError:
            continue
        # A process whose first thread alone has ended looks like one that has ended: it has other threads.
        if fields[0] not in (b"Z", b"X") or int(fields[17]) > 1:
            children.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _end_as(status: int | None) -> None:
    """End as the command did."""
    if status is None:
        os._exit(1)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(_LOOK_EVERY_S)
        os._exit(128 + number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
