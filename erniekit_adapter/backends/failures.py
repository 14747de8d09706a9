"""Why the toolkit failed, in one line, from how it ended and the end of what it printed. Pure functions."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence

from erniekit_adapter.backends.oom_kills import NO_OOM_KILLS, OomKills
from erniekit_adapter.backends.process import Outcome

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt)): ?(.*)")

# The first that matches wins: the text to look for, and what it means to the user.
_CAUSES: tuple[tuple[str, str], ...] = (
    (r"out of memory|ResourceExhausted|Cannot allocate|MemoryError|std::bad_alloc",
     "out of memory: lower training.per_device_train_batch_size or training.max_seq_length"),
    (r"argument --devices/--gpus.*expected one argument|is not compiled with CUDA|no CUDA-capable device",
     "no GPU card: set CUDA_VISIBLE_DEVICES and install paddlepaddle-gpu, or train with training.device: cpu"),
    (r"No module named '([\w.]+)'", "the toolkit's environment lacks the package {0}"),
    (r"(\w+) requires (\w+) to be installed", "the toolkit's environment lacks the package {1} ({0} needs it)"),
    (r"No space left on device", "the disk is full: free space and run again"),
    (r"Address already in use", "the port is taken: set MASTER_PORT to another"),
    (r"Torch weights are not compatible", "the model folder holds torch weights: use the repository ending in -Paddle"),
    (r"Invalid max_steps: 0", "bad data: no line is usable by the toolkit"),
    (r"learning rate must be float", "the settings hold a number written as text"),
)  # fmt: skip

# Paddle's launcher about the worker that failed first, and about itself at its end.
_FAILED_WORKER = re.compile(r"^Container rank \d+ status failed .* code (-?\d+) log ")
_LAUNCHER_END = re.compile(r"^LAUNCH INFO .* Exit code (-?\d+)$")
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)


def description_of_failure(outcome: Outcome) -> str:
    """Describe how and why a command failed: `killed by SIGKILL: out of memory: …`, or `exit code 1: KeyError: 'x'`."""
    if outcome.stalled:
        return "printed nothing for too long and was ended"
    if outcome.out_of_time:
        return "its time was over and it was ended"
    number = ending_signal(outcome.exit_code, outcome.last_lines)
    if number is None:
        return f"exit code {outcome.exit_code}: {cause_of_failure(outcome.last_lines)}"
    return describe_signal(number, outcome.last_lines, outcome.oom_kills)


def ending_signal(exit_code: int, lines: Sequence[str]) -> int | None:
    """Return the signal that ended a toolkit's process, or None.

    The signal that ended a worker becomes the exit code of Paddle's launcher and of ERNIEKit, -9 as 247; shells add 128
    instead.
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
    """Say which signal ended a process, and why as far as that is known.

    Args:
        number: of the signal.
        lines: the end of the process's output, in which a crash may have printed its cause.
        oom_kills: how often the kernel has killed a process for lack of memory meanwhile.
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
        return "probably out of memory: the kernel killed a process of this machine for lack of memory meanwhile"
    return "by a person or a batch system, or by the kernel for lack of memory (dmesg shows it)"


def known_cause(lines: Iterable[str]) -> str:
    """Return what is known about a message in a log; empty when none is recognised."""
    joined = "\n".join(plain(line).strip() for line in lines)
    for pattern, meaning in _CAUSES:
        if match := re.search(pattern, joined, re.IGNORECASE):
            return meaning.format(*match.groups())
    return ""


def cause_of_failure(lines: Iterable[str]) -> str:
    """Why a run failed, in one line, from the end of its log."""
    texts = [plain(line).strip() for line in lines]
    if cause := known_cause(texts):
        return cause
    exceptions = [match for text in texts if (match := _EXCEPTION.match(text))]
    if exceptions:
        return f"{exceptions[-1][1]}: {exceptions[-1][2]}"[:300]
    said = [text for text in texts if text and not text.startswith("LAUNCH INFO")]
    return said[-1][:300] if said else "it ended without a word"


def plain(line: str) -> str:
    """The line without colour codes and the logger's prefix."""
    text = _COLOUR.sub("", line).rstrip()
    return text.partition("] - ")[2] if text.startswith("[2") and "] - " in text else text
