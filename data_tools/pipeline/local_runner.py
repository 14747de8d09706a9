"""Filter shards on this machine: in this process, or in several processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from threading import active_count, current_thread, main_thread
from typing import TYPE_CHECKING, Any

from data_tools.parent_death import end_with_parent
from data_tools.pipeline.filtering import ShardContext, filter_shard
from data_tools.pipeline.ordering import FilteredShards, in_order
from data_tools.pipeline.shards import Shard
from data_tools.pipeline.spool import FilteredShard
from erniekit_adapter import locks
from erniekit_adapter.errors import AdapterError, failure

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

# Starting processes takes longer than filtering this number of shards.
_SHARDS_WITHOUT_PROCESSES = 2
# Shards in progress for each worker: one is filtered, the others wait. Enough to keep it busy in bounded memory.
_SHARDS_FOR_EACH_WORKER = 3


@contextmanager
def run_locally(shards: Iterable[Shard], context: ShardContext, workers: int | None) -> Iterator[FilteredShards]:
    """Filter shards and yield their results in order.

    Args:
        shards: the shards to filter.
        context: context shared by the shards.
        workers: number of processes; None for one on each core.

    Raises:
        AdapterError: a source cannot be read, or a worker process died.
    """
    workers = workers or len(os.sched_getaffinity(0))
    stream = iter(shards)
    first = list(islice(stream, _SHARDS_WITHOUT_PROCESSES + 1))
    if workers == 1 or len(first) <= _SHARDS_WITHOUT_PROCESSES:
        yield ((shard, filter_shard(shard, context)) for shard in chain(first, stream))
        return
    with _in_processes(chain(first, stream), context, workers) as filtered:
        yield filtered


@contextmanager
def _in_processes(shards: Iterable[Shard], context: ShardContext, workers: int) -> Iterator[FilteredShards]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # A fork starts at once. A fork of a process with threads can inherit locks that are never released.
    start = "fork" if active_count() == 1 + locks.threads() else "spawn"
    # The main thread lives as long as its process.
    prepare = partial(_prepare_worker, of_main_thread=current_thread() is main_thread())
    pool = ProcessPoolExecutor(workers, mp_context=get_context(start), initializer=prepare)

    def submit(shard: Shard) -> Any:
        try:
            return pool.submit(filter_shard, shard, context)
        except BrokenProcessPool as error:
            raise _ended(shard) from error

    def result(shard: Shard, future: Any) -> FilteredShard:
        try:
            filtered: FilteredShard = future.result()
        except BrokenProcessPool as error:
            raise _ended(shard) from error
        return filtered

    try:
        yield in_order(shards, submit, result, workers * _SHARDS_FOR_EACH_WORKER)
    except BaseException:
        # After an error or Ctrl-C, do not wait for shards in progress: with OCR one can take minutes.
        _end_workers(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_workers(pool: ProcessPoolExecutor) -> None:
    """End the workers of a pool at once, so that `shutdown` does not wait for their shards."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
    # A worker that ends while it sends a result leaves a part of it in the pipe. The pool's thread would wait for the
    # rest for ever, because this process holds the writing end as well. Without that end it reads an end of file.
    results: Any = pool._result_queue
    with suppress(AttributeError, OSError):
        results._writer.close()


def _ended(shard: Shard) -> AdapterError:
    hint = "if memory was short, set data.workers: 1"
    return failure(shard.source.path, "a worker process ended while it read this source", hint)


def _prepare_worker(*, of_main_thread: bool) -> None:
    """Leave Ctrl-C to the parent process, and end together with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(of_main_thread=of_main_thread)
