"""Processes and folders of ours whose owner has ended: what killed runs left behind, and nothing else.

Every process of a run inherits a mark in its environment: who started the run, and which log it writes. Linux only;
without /proc nothing is found.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from erniekit_adapter.processes import place_of_processes, state_and_start

VARIABLE = "ERNIEKIT_ADAPTER_RUN"
_PROC = Path("/proc")
_END_LIMIT_S = 5.0
_POLL_S = 0.02
_numbers = itertools.count(1)


def this_process() -> str:
    """Return what identifies this process among all processes of all machines; empty without /proc."""
    return _identity_of(os.getpid())


def has_ended(identity: str) -> bool:
    """Whether the process with this identity ran where we run, in the same boot and container, and has ended."""
    here = this_process().split("/")
    named = identity.split("/")
    if len(here) != len(named) or named[:-2] != here[:-2] or not named[-2].isdigit():
        return False
    return _identity_of(int(named[-2])) != identity


def new_mark(log: Path) -> str:
    """Return a mark for a run: the identity of this process, a number, and the run's log."""
    return f"{this_process()} {next(_numbers)} {log.resolve()}"


def end_marked(mark: str) -> list[int]:
    """End every process of a run by SIGKILL and wait for it; returns their process ids."""
    return _end(lambda found: found == mark)


def end_leftovers(log: Path) -> list[int]:
    """End what an earlier run with the same log left behind: its owner has ended, and its processes go on.

    Processes of a run whose owner still runs, or of an owner in another container, are left alone.
    """
    path = str(log.resolve())

    def is_left(mark: str) -> bool:
        owner, _, rest = mark.partition(" ")
        return rest.partition(" ")[2] == path and has_ended(owner)

    return _end(is_left)


def _end(is_meant: Callable[[str], bool]) -> list[int]:
    ended: list[int] = []
    give_up = time.monotonic() + _END_LIMIT_S
    # Those that were started meanwhile are found in the next round.
    while (found := [process for process in _processes() if is_meant(_mark_of(process))]) and (
        time.monotonic() < give_up
    ):
        for process in found:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
            # Where we are process 1, as in a container, orphans are our children.
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
    """The mark in a process's environment; empty without one, for a process that has ended, and for another user's."""
    with suppress(OSError):
        for variable in (_PROC / str(process) / "environ").read_bytes().split(b"\0"):
            name, _, value = variable.partition(b"=")
            if name == VARIABLE.encode():
                return os.fsdecode(value)
    return ""


def _identity_of(process: int) -> str:
    """Boot, namespaces, process id and start time; empty for a process that has ended."""
    found, place = state_and_start(process), place_of_processes()
    if found is None or found[0] in "ZX" or not place:
        return ""
    return "/".join((*place.split(), str(process), str(found[1])))
