"""Identity of the process that made a lock file or a temporary folder, and whether it still runs.

A process id is not enough: ids are reused, and in containers every run may have the same one. A process is therefore
identified by the boot of its machine, its namespaces, its id and its start time. Only the standard library is used,
because workers in a toolkit's environment import this module too.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MAX_RECORD_BYTES = 16 * 1024
_MADE_BY = "erniekit_adapter"
_TOKEN = re.compile(r"[0-9a-f]{16}")
_MAX_NAME_CHARACTERS = 80
_MAX_PID = 2**31


@dataclass(frozen=True)
class Process:
    """Description of a process, written by that process.

    Attributes:
        token: 16 random hexadecimal digits; different for each description.
        command: the stage that it runs, such as `train`.
        host: name of its machine.
        pid: its id.
        since: time of the description, in seconds since 1970 by its machine's clock.
        place: the boot and the namespaces in which the id is valid; empty if unknown.
        started: its start time in the system's ticks since the boot; -1 if unknown.
    """

    token: str
    command: str
    host: str
    pid: int
    since: float
    place: str
    started: int

    def content(self) -> bytes:
        """Return the description as a JSON object for `read_process`."""
        return json.dumps({"made_by": _MADE_BY, **asdict(self)}).encode() + b"\n"

    def is_running(self) -> bool | None:
        """Return whether it still runs; None if it belongs to another machine, boot or container."""
        return is_running(self.place, self.pid, self.started)

    def __str__(self) -> str:
        begun = time.localtime(self.since)
        today = begun[:3] == time.localtime()[:3]
        when = time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", begun)
        return f"`{self.command}`, pid {self.pid} on host {self.host}, since {when}"


def this_process(command: str) -> Process:
    """Return a description of the calling process."""
    found = state_and_start(os.getpid())
    started = found[1] if found else -1
    host = _printable(socket.gethostname())
    return Process(
        secrets.token_hex(8), _printable(command), host, os.getpid(), time.time(), place_of_processes(), started
    )


def read_process(content: bytes) -> Process | None:
    """Parse a description; None if it is damaged or something else."""
    if len(content) > MAX_RECORD_BYTES:
        return None
    try:
        value: Any = json.loads(content)
        if not isinstance(value, dict) or value.pop("made_by") != _MADE_BY:
            return None
        found = Process(**{**value, "command": _printable(value["command"]), "host": _printable(value["host"])})
        time.localtime(found.since)
        is_valid = (
            bool(_TOKEN.fullmatch(found.token))
            and type(found.pid) is int
            and 0 < found.pid < _MAX_PID
            and type(found.started) is int
            and isinstance(found.place, str)
        )
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return None
    return found if is_valid else None


def is_running(place: str, pid: int, started: int) -> bool | None:
    """Return whether a process still runs; None if it belongs to another machine, boot or container.

    Args:
        place: result of `place_of_processes` in that process.
        pid: its id.
        started: its start time from `state_and_start`.
    """
    if not place or place != place_of_processes() or started < 0:
        return None
    found = state_and_start(pid)
    if found is not None:
        return found[0] not in "ZX" and found[1] == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return None  # /proc may hide a process of another user


def _printable(text: str) -> str:
    """Replace control characters, which could act on a terminal, and limit the length."""
    return "".join(each if each.isprintable() else "?" for each in text[:_MAX_NAME_CHARACTERS])


def state_and_start(pid: int) -> tuple[str, int] | None:
    """Return the state and the start time of a process; None if it cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def place_of_processes() -> str:
    """Return the boot and the namespaces of this process; empty if unknown.

    The start time of a process is relative to the time namespace, its id to the process namespace.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        process_namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return ""
    try:
        time_namespace = Path("/proc/self/ns/time").stat().st_ino
    except OSError:  # Linux before 5.6
        time_namespace = 0
    return f"{boot} {process_namespace} {time_namespace}"
