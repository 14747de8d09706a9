"""Counters of processes that the kernel killed for lack of memory, if this process may read them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class OomKills:
    """Processes killed for lack of memory.

    Attributes:
        in_cgroup: in this process's control group: a container, a Slurm job, a systemd unit.
        on_machine: on the whole machine, other users' processes included.
    """

    in_cgroup: int = 0
    on_machine: int = 0

    def since(self, before: OomKills) -> OomKills:
        """Return the increase of the counters."""
        return OomKills(max(0, self.in_cgroup - before.in_cgroup), max(0, self.on_machine - before.on_machine))


NO_OOM_KILLS = OomKills()


def count_oom_kills(proc: Path = Path("/proc"), cgroups: Path = _CGROUPS) -> OomKills:
    """Read the counters; one that cannot be read counts as 0."""
    groups = _text(proc / "self" / "cgroup").splitlines()
    in_cgroup = sum(_count(path) for path in _counters(groups, cgroups))
    return OomKills(in_cgroup, _count(proc / "vmstat"))


def _counters(groups: list[str], cgroups: Path) -> list[Path]:
    """Return the files with this process's counters: `0::/path` belongs to cgroup v2, `4:memory:/path` to v1.

    Inside a container the path may be that of the host, and the container's group is mounted at the root.
    """
    found: list[Path] = []
    for group in groups:
        _, _, kind_and_path = group.partition(":")
        kinds, _, path = kind_and_path.partition(":")
        below = path.lstrip("/")
        if not kinds:
            places = [root / below / "memory.events" for root in (cgroups, cgroups / "unified")]
            places += [cgroups / "memory.events"]
        elif "memory" in kinds.split(","):
            places = [cgroups / "memory" / below / "memory.oom_control", cgroups / "memory" / "memory.oom_control"]
        else:
            continue
        found += [place for place in places if place.is_file()][:1]
    return found


def _count(path: Path) -> int:
    match = _COUNT.search(_text(path))
    return int(match[1]) if match else 0


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""
