"""Running the toolkit: its output kept in a file, each line followed, a stall or an interrupt ends all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.errors import fail

KEPT_LINES = 200
GRACE_S = 10.0
POLL_S = 0.05


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        exit_code: its own; negative when a signal ended it.
        seconds: wall-clock time.
        last_lines: the end of its output.
        stalled: whether it was ended because it said nothing for too long.
    """

    exit_code: int
    seconds: float
    last_lines: tuple[str, ...]
    stalled: bool


def run_logged(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None] = lambda line: None,
    stall_s: float | None = None,
) -> Outcome:
    """Run a command in `folder`, appending its output to `log`.

    Args:
        on_line: called with each line as it comes.
        stall_s: end the command when it prints nothing for so long. ERNIEKit hangs for ever on data without a valid
            row and on a node that died; a time limit of our own is the only way out.

    Raises:
        AdapterError: the command cannot be started.
    """
    started, last_lines = time.monotonic(), deque[str](maxlen=KEPT_LINES)
    with (
        log.open("a", encoding="utf-8") as stream,
        _started(command, folder, environment) as process,
        _Watch(process, stall_s) as watch,
    ):
        for line in process.stdout or ():
            watch.said_something()
            stream.write(line)
            stream.flush()
            last_lines.append(line)
            on_line(line)
        exit_code = process.wait()
    return Outcome(exit_code, time.monotonic() - started, tuple(last_lines), watch.stalled)


@contextmanager
def _started(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise fail(command[0], f"cannot be started: {error.strerror or error}") from error
    with _passing_on_termination():
        try:
            yield process
        finally:
            end_group(process)


@contextmanager
def _passing_on_termination() -> Iterator[None]:
    """Let SIGTERM, which Slurm and Kubernetes send, end the block as Ctrl-C does, the toolkit's processes with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_group(process: subprocess.Popen[str]) -> None:
    """End a process and all it started: politely first, by force after ten seconds. Does nothing when all are gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline:
            process.poll()  # or it stays in its group as a zombie
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(POLL_S)


class _Watch:
    """A thread that ends a silent process; a blocked read cannot do it itself."""

    def __init__(self, process: subprocess.Popen[str], stall_s: float | None) -> None:
        self.stalled = False
        self._process, self._stall_s = process, stall_s
        self._heard, self._done = time.monotonic(), threading.Event()
        self._thread: threading.Thread | None = None
        if stall_s is not None:
            self._thread = threading.Thread(target=self._watch, args=(stall_s,), daemon=True)
            self._thread.start()

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()

    def said_something(self) -> None:
        self._heard = time.monotonic()

    def _watch(self, stall_s: float) -> None:
        while not self._done.wait(min(1.0, stall_s / 4)):
            if time.monotonic() - self._heard > stall_s:
                self.stalled = True
                end_group(self._process)
                return
