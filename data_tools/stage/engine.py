"""Where shards are judged: in this process, in several on this machine, or on a Ray cluster; always in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from threading import active_count, current_thread, main_thread
from typing import Any

from data_tools.build_settings import EngineSettings
from data_tools.parent_death import end_with_parent
from data_tools.stage.judging import Bench, judge_shard
from data_tools.stage.rows import JudgedShard
from data_tools.stage.shards import Shard
from erniekit_adapter import locks
from erniekit_adapter.errors import fail

# Shards, each with what became of it.
Judged = Iterator[tuple[Shard, JudgedShard]]
# Starting processes takes longer than judging so few shards.
_SHARDS_WITHOUT_PROCESSES = 2
# Shards under way for each worker, one judged and others waiting: enough to keep it busy, few enough to bound memory.
_SHARDS_FOR_EACH_WORKER = 3


@contextmanager
def judging(shards: Iterable[Shard], bench: Bench, engine: EngineSettings) -> Iterator[Judged]:
    """Give each shard with what became of it, in the order of the shards.

    Raises:
        UsageError: Ray is asked for and not installed.
        AdapterError: a source cannot be read, or a worker died.
    """
    if engine.engine == "ray":
        from data_tools.stage.ray_engine import on_ray

        with on_ray(shards, bench, engine) as judged:
            yield judged
        return
    workers = engine.workers or _cores()
    stream = iter(shards)
    first = list(islice(stream, _SHARDS_WITHOUT_PROCESSES + 1))
    if workers == 1 or len(first) <= _SHARDS_WITHOUT_PROCESSES:
        yield ((shard, judge_shard(shard, bench)) for shard in chain(first, stream))
        return
    with _in_processes(chain(first, stream), bench, workers) as judged:
        yield judged


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@contextmanager
def _in_processes(shards: Iterable[Shard], bench: Bench, workers: int) -> Iterator[Judged]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # A fork is ready at once; of a process that has threads it can leave locks held for ever.
    start = "fork" if active_count() == 1 + locks.threads() else "spawn"
    # The main thread does not end before the process does.
    end = partial(end_with_parent, of_main_thread=current_thread() is main_thread())
    pool = ProcessPoolExecutor(workers, mp_context=get_context(start), initializer=end)

    def result(shard: Shard, future: Any) -> JudgedShard:
        try:
            judged: JudgedShard = future.result()
        except BrokenProcessPool as error:
            raise fail(
                shard.source.path, "a worker process ended while reading it", "was memory short? set data.workers: 1"
            ) from error
        return judged

    try:
        yield in_order(
            shards, lambda shard: pool.submit(judge_shard, shard, bench), result, workers * _SHARDS_FOR_EACH_WORKER
        )
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    shards: Iterable[Shard],
    start: Callable[[Shard], Any],
    result: Callable[[Shard, Any], JudgedShard],
    under_way: int,
) -> Judged:
    """Keep so many shards under way, and give what became of them in the order in which they were begun."""
    begun: deque[tuple[Shard, Any]] = deque()
    for shard in shards:
        begun.append((shard, start(shard)))
        if len(begun) == under_way:
            yield _first(begun, result)
    while begun:
        yield _first(begun, result)


def _first(begun: deque[tuple[Shard, Any]], result: Callable[[Shard, Any], JudgedShard]) -> tuple[Shard, JudgedShard]:
    """The first shard with its result; what it was waited for by is forgotten, and with it what holds the result."""
    shard, future = begun.popleft()
    return shard, result(shard, future)
