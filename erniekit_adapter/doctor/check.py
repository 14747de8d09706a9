"""Result of one check, and how versions, paths and sizes are read and shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "wrong", "skipped"]
_MARKS: Mapping[State, str] = {"ok": "✓", "wrong": "✗", "skipped": "⊘"}


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        state: ok; wrong if a stage would fail or ignore a setting; skipped if it cannot be checked here or now, or if
            it is only a note.
        finding: the result, in words.
        hint: the command or change that fixes it; never empty if the state is wrong.
    """

    state: State
    finding: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{_MARKS[self.state]} {self.finding}" + (f"\n    → {self.hint}" if self.hint else "")


def ok(finding: str) -> Check:
    """Return a passed check."""
    return Check("ok", finding)


def wrong(finding: str, hint: str) -> Check:
    """Return a failed check and how to fix it."""
    return Check("wrong", finding, hint)


def skipped(finding: str, hint: str = "") -> Check:
    """Return a check that could not be made, or a note."""
    return Check("skipped", finding, hint)


def release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version for comparison: `1.26.4` is (1, 26, 4), `3.0.0b4` is (3, 0, 0)."""
    matched = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in matched[0].split(".")) if matched else ()


def shown(path: Path) -> str:
    """Return a path for reading: relative if it is below the current folder."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def gib(size_bytes: float) -> str:
    """Return a size for reading: `512 MiB`, `1.5 GiB`, `64 GiB`."""
    if size_bytes < 2**30:
        return f"{size_bytes / 2**20:.0f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 2**10:.0f} KiB"
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes < 10 * 2**30 else f"{size_bytes / 2**30:.0f} GiB"
