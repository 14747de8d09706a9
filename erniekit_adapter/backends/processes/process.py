"""Running a command: log its output, follow each line, and end all its processes however the run ends."""

from __future__ import annotations

import codecs
import io
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from erniekit_adapter.backends.processes.ended import ending_on_signals
from erniekit_adapter.backends.processes.leftovers import VARIABLE, end_leftovers, end_marked, new_mark
from erniekit_adapter.backends.processes.oom_kills import NO_OOM_KILLS, OomKills, count_oom_kills
from erniekit_adapter.errors import failure

KEPT_LINES = 200
# Between SIGTERM and SIGKILL.
GRACE_S = 2.0
_POLL_S = 0.25
_CHUNK_BYTES = 64 * 1024
# Longer lines are split, as output without line ends would fill the memory.
_MAX_LINE_CHARACTERS = 1024 * 1024
# Time that a supervisor may need after the grace period.
_END_LIMIT_S = 40.0
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True)
class Outcome:
    """The end of a command.

    Attributes:
        exit_code: of the command; negative if a signal ended it.
        seconds: wall-clock time.
        last_lines: the end of its output.
        stalled: whether it was ended because it printed nothing for too long.
        out_of_time: whether it was ended because its time limit was reached.
        oom_kills: processes that the kernel killed for lack of memory during the run.
    """

    exit_code: int
    seconds: float
    last_lines: tuple[str, ...]
    stalled: bool
    out_of_time: bool = False
    oom_kills: OomKills = NO_OOM_KILLS


def supervised(command: Sequence[str], grace_s: float) -> list[str]:
    """Return the command line that runs a command under a supervisor of this process; see `supervisor`.

    Start it with `start_new_session=True`. To end the command and all that it started, send the supervisor SIGTERM.

    Args:
        command: the command line.
        grace_s: time between SIGTERM and SIGKILL.
    """
    return [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), str(grace_s), *command]


def run_logged(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None] = lambda line: None,
    stall_s: float | None = None,
    limit_s: float | None = None,
) -> Outcome:
    """Run a command in `folder`, appending its output to `log`.

    All processes that the command starts end with it, and with this process: on an error, on Ctrl-C, SIGTERM and
    SIGHUP, and when this process is killed. Processes left behind by an earlier run with the same log are ended first.

    Args:
        on_line: called with each line as it comes.
        stall_s: end the command if it prints nothing for this time. ERNIEKit waits forever on data without a valid
            row and on a node that died.
        limit_s: end the command after this time.

    Raises:
        AdapterError: the command cannot be started.
    """
    started, last_lines = time.monotonic(), deque[str](maxlen=KEPT_LINES)
    oom_kills = count_oom_kills()
    end_leftovers(log)
    with log.open("a", encoding="utf-8") as stream, _started(command, folder, environment, new_mark(log)) as process:
        ending = _Ending(process, stall_s, limit_s)
        for line in _lines(process, ending):
            stream.write(line)
            stream.flush()
            last_lines.append(line)
            on_line(line)
        exit_code = process.wait()
    seconds = time.monotonic() - started
    risen = count_oom_kills().since(oom_kills)
    return Outcome(exit_code, seconds, tuple(last_lines), ending.stalled, ending.out_of_time, risen)


def run_attached(command: Sequence[str]) -> int:
    """Run a command on our own terminal or files, and return its exit code, negative if a signal ended it.

    All processes that it starts end with it, and with this process.
    """
    mark = new_mark(Path(os.devnull))
    process = subprocess.Popen(supervised(command, GRACE_S), env={**os.environ, VARIABLE: mark}, start_new_session=True)
    with ending_on_signals():
        try:
            return process.wait()
        finally:
            _end(process, mark)


@contextmanager
def _started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], mark: str
) -> Iterator[subprocess.Popen[bytes]]:
    variables = {**environment, VARIABLE: mark}
    try:
        if not which(command[0], path=environment.get("PATH", os.defpath)) and not os.access(
            folder / command[0], os.X_OK
        ):
            raise FileNotFoundError(2, os.strerror(2))
        process = subprocess.Popen(
            supervised(command, GRACE_S),
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise failure(command[0], f"cannot be started: {error.strerror or error}") from error
    with ending_on_signals():
        try:
            yield process
        finally:
            _end(process, mark)
            if process.stdout:
                process.stdout.close()


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End a supervisor and all processes below it, also if the supervisor was killed from outside."""
    if process.poll() is None:
        process.terminate()
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(GRACE_S + _END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    end_marked(mark)


@dataclass
class _Ending:
    """End a command that prints nothing for too long or reaches its time limit."""

    process: subprocess.Popen[bytes]
    stall_s: float | None
    limit_s: float | None
    stalled: bool = False
    out_of_time: bool = False

    def __post_init__(self) -> None:
        self._started = self._heard = time.monotonic()

    def heard(self) -> None:
        """Record that the command has printed something."""
        self._heard = time.monotonic()

    def check(self) -> None:
        """End the command through the supervisor if it is time, once."""
        now = time.monotonic()
        if self.stalled or self.out_of_time:
            return
        self.stalled = self.stall_s is not None and now - self._heard > self.stall_s
        self.out_of_time = self.limit_s is not None and now - self._started > self.limit_s
        if self.stalled or self.out_of_time:
            self.process.terminate()


def _lines(process: subprocess.Popen[bytes], ending: _Ending) -> Iterator[str]:
    """Yield the lines of a command's output, until all of it has ended.

    The supervisor ends last. When it was killed, processes that it left may keep the pipe open for ever: then the
    content of the pipe is read without waiting for more.
    """
    stream = process.stdout
    if stream is None:
        return
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
    rest = ""
    while True:
        has_ended = process.poll() is not None
        if not select.select([stream], [], [], 0 if has_ended else _POLL_S)[0]:
            if has_ended:
                break
            ending.check()
            continue
        chunk = os.read(stream.fileno(), _CHUNK_BYTES)
        if not chunk:
            break
        ending.heard()
        *whole, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in whole:
            yield f"{line}\n"
        if len(rest) > _MAX_LINE_CHARACTERS:
            yield f"{rest}\n"
            rest = ""
        ending.check()
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest
