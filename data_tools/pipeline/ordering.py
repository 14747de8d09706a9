"""Keep several shards in progress and return their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from data_tools.pipeline.shards import Shard
from data_tools.pipeline.spool import FilteredShard

FilteredShards = Iterator[tuple[Shard, FilteredShard]]


def in_order(
    shards: Iterable[Shard],
    start: Callable[[Shard], Any],
    result: Callable[[Shard, Any], FilteredShard],
    limit: int,
) -> FilteredShards:
    """Yield shards with their results in the order of the shards.

    Args:
        shards: the shards to filter.
        start: starts a shard and returns a reference to its result.
        result: waits for the result of a reference.
        limit: the number of shards in progress at a time.
    """
    started: deque[tuple[Shard, Any]] = deque()
    for shard in shards:
        started.append((shard, start(shard)))
        if len(started) == limit:
            yield _oldest(started, result)
    while started:
        yield _oldest(started, result)


def _oldest(
    started: deque[tuple[Shard, Any]], result: Callable[[Shard, Any], FilteredShard]
) -> tuple[Shard, FilteredShard]:
    """Return the oldest shard and its result; dropping the reference frees the result's memory."""
    shard, reference = started.popleft()
    return shard, result(shard, reference)
