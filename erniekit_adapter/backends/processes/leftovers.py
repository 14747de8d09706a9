"""Ending processes that killed runs have left behind.

Each process of a run inherits a mark in its environment: the process that started the run, and the run's log.
This works on Linux; without /proc nothing is found.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from erniekit_adapter.processes import is_running, place_of_processes, state_and_start

VARIABLE = "ERNIEKIT_ADAPTER_RUN"
_PROC = Path("/proc")
_END_LIMIT_S = 5.0
_POLL_S = 0.02
_numbers = itertools.count(1)


def new_mark(log: Path) -> str:
    """Return a mark for a run: the identity of this process, a number, and the run's log."""
    return f"{owner()} {next(_numbers)} {log.resolve()}"


def owner() -> str:
    """Return the identity of this process for marks: boot, namespaces, process id and start time, without blanks.

    Empty without /proc.
    """
    found, place = state_and_start(os.getpid()), place_of_processes()
    return "/".join((*place.split(), str(os.getpid()), str(found[1]))) if found and place else ""


def _has_ended(identity: str) -> bool:
    """Return whether the process with this identity ran in the same boot and container as we do, and has ended."""
    *place, process, started = identity.split("/") if identity.count("/") > 1 else ("", "", "")
    if not process.isdigit() or not started.isdigit():
        return False
    return is_running(" ".join(place), int(process), int(started)) is False


def end_marked(mark: str) -> list[int]:
    """End all processes of a run with SIGKILL, wait for them, and return their process ids."""
    return _end(lambda found: found == mark)


def end_leftovers(log: Path) -> list[int]:
    """End processes of an earlier run with the same log whose owner has ended.

    Processes of a run whose owner still runs, or of an owner in another container, are kept.
    """
    path = str(log.resolve())

    def is_left(mark: str) -> bool:
        identity, _, rest = mark.partition(" ")
        return rest.partition(" ")[2] == path and _has_ended(identity)

    return _end(is_left)


def _end(is_selected: Callable[[str], bool]) -> list[int]:
    ended: list[int] = []
    give_up = time.monotonic() + _END_LIMIT_S
    # Processes that were started meanwhile are found in the next round.
    while (found := [process for process in _processes() if is_selected(_mark_of(process))]) and (
        time.monotonic() < give_up
    ):
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
            # If we are process 1, as in a container, orphans are our children.
            with suppress(OSError):
                os.waitpid(process, os.WNOHANG)
        ended += [process for process in found if process not in ended]
        time.sleep(_POLL_S)
    return ended


def _processes() -> Iterable[int]:
    with suppress(OSError):
        for entry in _PROC.iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                yield int(entry.name)


def _mark_of(process: int) -> str:
    """Return the mark of a process; empty if it has none, has ended, or belongs to another user."""
    with suppress(OSError):
        for variable in (_PROC / str(process) / "environ").read_bytes().split(b"\0"):
            name, _, value = variable.partition(b"=")
            if name == VARIABLE.encode():
                return os.fsdecode(value)
    return ""
