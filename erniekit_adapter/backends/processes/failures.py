"""The cause of a toolkit's failure in one line, from its exit code and the end of its output. Pure functions."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence

from erniekit_adapter.backends.processes.oom_kills import NO_OOM_KILLS, OomKills
from erniekit_adapter.backends.processes.process import Outcome

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt)): ?(.*)")

# Patterns and their meaning for the user; the first that matches counts.
_CAUSES: tuple[tuple[str, str], ...] = (
    (r"out of memory|ResourceExhausted|Cannot allocate|MemoryError|std::bad_alloc",
     "out of memory: lower training.per_device_train_batch_size or training.max_seq_length"),
    (r"argument --devices/--gpus.*expected one argument|is not compiled with CUDA|no CUDA-capable device",
     "no GPU: set CUDA_VISIBLE_DEVICES and install paddlepaddle-gpu, or train with training.device: cpu"),
    (r"No module named '([\w.]+)'", "the toolkit's environment lacks the package {0}"),
    (r"(\w+) requires (\w+) to be installed", "the toolkit's environment lacks the package {1} ({0} needs it)"),
    (r"No space left on device", "the disk is full: free space and run again"),
    (r"Address already in use", "the port is in use: set MASTER_PORT to another"),
    (r"Torch weights are not compatible", "the model folder has torch weights: use the repository ending in -Paddle"),
    (r"Invalid max_steps: 0", "bad data: the toolkit can use none of the training examples"),
    (r"learning rate must be float", "the settings contain a number that is written as text"),
)  # fmt: skip

# Lines of Paddle's launcher about the worker that failed first, and about its own end.
_FAILED_WORKER = re.compile(r"^Container rank \d+ status failed .* code (-?\d+) log ")
_LAUNCHER_END = re.compile(r"^LAUNCH INFO .* Exit code (-?\d+)$")
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)


def description_of_failure(outcome: Outcome) -> str:
    """Describe how and why a command failed: `killed by SIGKILL: out of memory: …`, or `exit code 1: KeyError: 'x'`."""
    if outcome.stalled:
        return "printed nothing for too long and was ended"
    if outcome.out_of_time:
        return "reached its time limit and was ended"
    number = ending_signal(outcome.exit_code, outcome.last_lines)
    if number is None:
        return f"exit code {outcome.exit_code}: {cause_of_failure(outcome.last_lines)}"
    return describe_signal(number, outcome.last_lines, outcome.oom_kills)


def ending_signal(exit_code: int, lines: Sequence[str]) -> int | None:
    """Return the signal that ended a toolkit's process, or None.

    Paddle's launcher and ERNIEKit turn the signal of a worker into an exit code, -9 into 247; shells add 128 to it.
    """
    if exit_code < 0:
        return -exit_code
    if exit_code == 0:
        return None
    texts = [plain(line).strip() for line in lines]
    for pattern in (_FAILED_WORKER, _LAUNCHER_END):
        if codes := [int(match[1]) for text in texts if (match := pattern.match(text))]:
            return -codes[0] if codes[0] < 0 else None
    known = {int(each) for each in (*_CRASHES, signal.SIGKILL, signal.SIGTERM)}
    return next((number for number in (256 - exit_code, exit_code - 128) if number in known), None)


def describe_signal(number: int, lines: Sequence[str] = (), oom_kills: OomKills = NO_OOM_KILLS) -> str:
    """Return the name of the signal that ended a process, and the cause if it is known.

    Args:
        number: of the signal.
        lines: the end of the process's output, which may contain the cause of a crash.
        oom_kills: processes that the kernel killed for lack of memory during the run.
    """
    name = next((each.name for each in signal.Signals if each == number), f"signal {number}")
    if number == signal.SIGKILL:
        return f"killed by {name}: {_killed_because(oom_kills)}"
    if number in _CRASHES:
        cause = known_cause(lines)
        return f"crashed with {name}" + (f": {cause}" if cause else "")
    return f"ended by {name}, which another process sent (a batch system, kill)"


def _killed_because(oom_kills: OomKills) -> str:
    if oom_kills.in_cgroup:
        return "out of memory: the memory limit of its container or job (cgroup) was reached; raise that limit"
    if oom_kills.on_machine:
        return "probably out of memory: the kernel killed a process of this machine for lack of memory during the run"
    return "by a user, a batch system, or the kernel for lack of memory (see dmesg)"


def known_cause(lines: Iterable[str]) -> str:
    """Return the meaning of the first known message in a log; empty if none is known."""
    joined = "\n".join(plain(line).strip() for line in lines)
    for pattern, meaning in _CAUSES:
        if match := re.search(pattern, joined, re.IGNORECASE):
            return meaning.format(*match.groups())
    return ""


def cause_of_failure(lines: Iterable[str]) -> str:
    """Return the cause of a failure in one line, from the end of a log."""
    texts = [plain(line).strip() for line in lines]
    if cause := known_cause(texts):
        return cause
    exceptions = [match for text in texts if (match := _EXCEPTION.match(text))]
    if exceptions:
        return f"{exceptions[-1][1]}: {exceptions[-1][2]}"[:300]
    printed = [text for text in texts if text and not text.startswith("LAUNCH INFO")]
    return printed[-1][:300] if printed else "it printed no message"


def plain(line: str) -> str:
    """Return the line without colour codes and the logger's prefix."""
    text = _COLOUR.sub("", line).rstrip()
    return text.partition("] - ")[2] if text.startswith("[2") and "] - " in text else text
