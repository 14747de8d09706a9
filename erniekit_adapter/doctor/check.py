"""What the doctor says of one thing, and how it reads versions and names places."""

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
    """One thing that was looked at.

    Attributes:
        state: ok; wrong, so that a stage would fail or do something else than asked; or skipped: not to be judged here
            or now, or no fault but worth knowing.
        what: what was found.
        remedy: what to type or to change; every wrong one has it.
    """

    state: State
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{_MARKS[self.state]} {self.what}" + (f"\n    → {self.remedy}" if self.remedy else "")


def ok(what: str) -> Check:
    """A thing that is as it has to be."""
    return Check("ok", what)


def wrong(what: str, remedy: str) -> Check:
    """A thing that has to be put right, and how."""
    return Check("wrong", what, remedy)


def skipped(what: str, remedy: str = "") -> Check:
    """A thing that cannot be judged, or that is only worth knowing."""
    return Check("skipped", what, remedy)


def release(version: str) -> tuple[int, ...]:
    """`1.26.4` as (1, 26, 4) and `3.0.0b4` as (3, 0, 0), to compare; what follows the numbers is left out."""
    matched = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in matched[0].split(".")) if matched else ()


def shown(path: Path) -> str:
    """A path as short as it can be typed: relative where it lies below the folder the command runs in."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def gib(size_bytes: float) -> str:
    """A size for reading: `512 MiB`, `1.5 GiB`, `64 GiB`."""
    if size_bytes < 2**30:
        return f"{size_bytes / 2**20:.0f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 2**10:.0f} KiB"
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes < 10 * 2**30 else f"{size_bytes / 2**30:.0f} GiB"
