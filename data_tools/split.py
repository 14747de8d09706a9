"""Train, eval and test by document: decided by a seeded hash of the group, so that new documents move no old one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

SplitName = Literal["train", "eval", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "eval", "test")


def split_name(group: str, *, seed: int, eval_ratio: float, test_ratio: float) -> SplitName:
    """The split that a group belongs to, whatever other groups there are."""
    share = int.from_bytes(_digest(f"{seed}:{group}")[:8], "big") / 2**64
    if share < test_ratio:
        return "test"
    return "eval" if share < test_ratio + eval_ratio else "train"


def choose_groups(groups: Iterable[str], *, seed: int, count: int) -> frozenset[str]:
    """Choose `count` groups by another seeded hash, so that the choice leaves the shares of the splits alone."""
    return frozenset(heapq.nsmallest(count, groups, key=lambda group: (_digest(f"{seed}:choice:{group}"), group)))


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


class Groups:
    """Which records are of one document, found by the keys that they share.

    A group's name is the smallest of its keys, whichever record came first.
    """

    def __init__(self) -> None:
        self._place: dict[bytes, int] = {}
        self._parent: list[int] = []
        self._name: list[bytes] = []

    def add(self, keys: Iterable[bytes]) -> int:
        """Note a record with these keys, at least one; give its place, to ask for its group when all are noted."""
        places = [self._root(self._place_of(key)) for key in keys]
        first = min(places)
        for place in places:
            self._parent[place] = first
            self._name[first] = min(self._name[first], self._name[place])
        return first

    def name(self, place: int) -> str:
        """The name of the group that the record at `place` belongs to, in hexadecimal."""
        return self._name[self._root(place)].hex()

    def names(self) -> list[str]:
        """The names of all groups."""
        return [name.hex() for place, name in enumerate(self._name) if self._parent[place] == place]

    def __contains__(self, key: bytes) -> bool:
        return key in self._place

    def _place_of(self, key: bytes) -> int:
        place = self._place.setdefault(key, len(self._parent))
        if place == len(self._parent):
            self._parent.append(place)
            self._name.append(key)
        return place

    def _root(self, place: int) -> int:
        while self._parent[place] != place:
            self._parent[place] = place = self._parent[self._parent[place]]
        return place
