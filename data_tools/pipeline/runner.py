"""Choose the runner that filters shards: processes on this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from data_tools.build_settings import RunnerSettings
from data_tools.pipeline.filtering import ShardContext
from data_tools.pipeline.local_runner import run_locally
from data_tools.pipeline.ordering import FilteredShards
from data_tools.pipeline.shards import Shard


@contextmanager
def run_shards(shards: Iterable[Shard], context: ShardContext, runner: RunnerSettings) -> Iterator[FilteredShards]:
    """Filter shards with the chosen runner and yield their results in the order of the shards.

    Raises:
        UsageError: Ray is chosen but not installed.
        AdapterError: a source cannot be read, a worker process died, or the cluster failed.
    """
    if runner.runner == "ray":
        from data_tools.pipeline.ray_runner import run_on_ray

        with run_on_ray(shards, context, runner) as filtered:
            yield filtered
    else:
        with run_locally(shards, context, runner.workers) as filtered:
            yield filtered
