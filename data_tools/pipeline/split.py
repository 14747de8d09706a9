"""Assign documents to train, eval and test by a seeded hash, so that new documents do not move old ones."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

SplitName = Literal["train", "eval", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "eval", "test")


def split_name(group: str, *, seed: int, eval_ratio: float, test_ratio: float) -> SplitName:
    """Return the split of a group; it does not depend on other groups."""
    share = int.from_bytes(_digest(f"{seed}:{group}")[:8], "big") / 2**64
    if share < test_ratio:
        return "test"
    return "eval" if share < test_ratio + eval_ratio else "train"


def choose_groups(groups: Iterable[str], *, seed: int, count: int) -> frozenset[str]:
    """Choose `count` groups by a different seeded hash, so that the choice does not change the shares of the splits."""
    return frozenset(heapq.nsmallest(count, groups, key=lambda group: (_digest(f"{seed}:choice:{group}"), group)))


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
