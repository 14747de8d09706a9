"""The kernel's counters of processes killed for lack of memory, in cgroup v1, v2 and a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.backends.processes.oom_kills import NO_OOM_KILLS, OomKills, count_oom_kills

EVENTS = "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"


@pytest.mark.parametrize(
    ("groups", "counter", "text"),
    [
        ("0::/job/step\n", "job/step/memory.events", EVENTS),
        ("0::/\n", "memory.events", EVENTS),
        ("0::/of/the/host\n", "memory.events", EVENTS),
        ("5:cpu:/x\n4:memory:/job\n0::/\n", "memory/job/memory.oom_control", CONTROL),
        ("4:memory:/of/the/host\n", "memory/memory.oom_control", CONTROL),
        ("4:cpu,memory:/job\n", "memory/job/memory.oom_control", CONTROL),
        ("0::/job\n", "unified/job/memory.events", EVENTS),
    ],
)
def test_counter_of_the_own_control_group(tmp_path: Path, groups: str, counter: str, text: str) -> None:
    write(tmp_path / "proc" / "self" / "cgroup", groups)
    write(tmp_path / "cgroup" / counter, text)
    assert count_oom_kills(tmp_path / "proc", tmp_path / "cgroup") == OomKills(2, 0)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_counter_of_the_machine(tmp_path: Path) -> None:
    write(tmp_path / "vmstat", "pgfault 12\noom_kill 5\n")
    assert count_oom_kills(tmp_path, tmp_path) == OomKills(0, 5)


def test_missing_counters_are_zero(tmp_path: Path) -> None:
    assert count_oom_kills(tmp_path, tmp_path) == NO_OOM_KILLS


def test_increase_is_never_negative() -> None:
    assert OomKills(3, 1).since(OomKills(1, 4)) == OomKills(2, 0)
