"""Filter shards on a Ray cluster, with the same functions as on one machine and therefore the same bytes."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data_tools.build_settings import RunnerSettings
from data_tools.optional_packages import RAY
from data_tools.pipeline.filtering import ShardContext, filter_shard
from data_tools.pipeline.ordering import FilteredShards, in_order
from data_tools.pipeline.shards import Shard
from data_tools.pipeline.spool import FilteredShard
from erniekit_adapter.errors import AdapterError, failure, usage_error

# Enough to keep every CPU busy; results that are not yet read stay in the cluster's memory.
_SHARDS_FOR_EACH_CPU = 2
# A shard whose node is lost is filtered again on another node.
_RETRIES = 5
_CONNECT_TIMEOUT_S = 5
# If no node with a CPU is left, wait this long for a new one.
_CPU_TIMEOUT_S = 120
_ADDRESS = "data.ray_address"
_START_ONE = "start one with ray start --head, or remove data.ray_address to start one on this machine"


@contextmanager
def run_on_ray(shards: Iterable[Shard], context: ShardContext, runner: RunnerSettings) -> Iterator[FilteredShards]:
    """Filter shards on a cluster and yield their results in the order of the shards.

    Raises:
        UsageError: Ray is not installed, or the address is invalid.
        AdapterError: the cluster does not respond, a node does not see the files, a source cannot be read, or a shard
            was lost too often.
    """
    ray = _import_ray(starts_here=runner.ray_address is None)
    try:
        _connect(ray, runner)
        remote_filter = ray.remote(max_retries=_RETRIES)(_filter_on_node)
        yield in_order(
            shards,
            lambda shard: remote_filter.remote(shard, context, Path.cwd(), _required_paths(shard, context)),
            lambda shard, reference: _result(ray, shard, reference),
            _shards_at_a_time(ray, runner),
        )
    finally:
        ray.shutdown()


def _import_ray(*, starts_here: bool) -> Any:
    """Import Ray with usage reports off, and with a cluster that we start limited to this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without this limit, a shard that needs more memory than there is would be retried for ever.
    os.environ.setdefault("RAY_task_oom_retries", str(_RETRIES))
    if starts_here:
        # The only setting that makes every part listen only on the loopback address, on Linux too.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Without a token in the environment, Ray leaves one in the home folder.
        if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    else:
        # Without these settings Ray searches for a missing cluster for more than three minutes; with them, for twenty
        # seconds.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
        os.environ.setdefault("RAY_py_gcs_connect_timeout_s", "10")
    try:
        import ray
    except ImportError as error:
        raise usage_error("data.runner", "ray is not installed", f"run {RAY}, or set data.runner: local") from error
    if ray.is_initialized():
        raise usage_error(
            "data.runner", "this process already uses a Ray cluster", "call ray.shutdown() before the build"
        )
    return ray


def _connect(ray: Any, runner: RunnerSettings) -> None:
    import data_tools
    import erniekit_adapter

    # The nodes have the required packages installed; our own code is sent with the work.
    options: dict[str, Any] = {"runtime_env": {"py_modules": [data_tools, erniekit_adapter]}}
    if runner.ray_address is None:
        cpus = runner.workers or len(os.sched_getaffinity(0))
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    else:
        _check_address(runner.ray_address)
        options["address"] = runner.ray_address
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # Ray has no exception type for a failed start
        raise _no_cluster(runner, error) from error


def _no_cluster(runner: RunnerSettings, error: Exception) -> AdapterError:
    if runner.ray_address is None:
        return failure("data.runner", f"Ray does not start: {error}"[:500], "set data.runner: local")
    if "AuthenticationError" in f"{error!r} {error.__cause__!r}":
        hint = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        return failure(_ADDRESS, f"the cluster at {runner.ray_address} requires a token", hint)
    return failure(_ADDRESS, f"cannot connect to a Ray cluster at {runner.ray_address}: {error}"[:500], _START_ONE)


def _check_address(address: str) -> None:
    """Check the address before Ray does, because Ray itself would keep searching."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal() or int(port) >= 2**16:
        raise usage_error(
            _ADDRESS, f"{address!r} is not host:port", "copy host:port from the output of ray start --head"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise failure(_ADDRESS, f"cannot connect to {address}: {error.strerror or error}", _START_ONE) from error


def _shards_at_a_time(ray: Any, runner: RunnerSettings) -> int:
    """Return twice the number of CPUs of the cluster; on a shared cluster, `data.workers` limits it."""
    cpus = _cpus(ray)
    if not cpus:
        raise failure(_ADDRESS, f"the cluster at {runner.ray_address} has no CPU", "add a node: ray start --address=…")
    if runner.ray_address and runner.workers:
        return min(runner.workers, _SHARDS_FOR_EACH_CPU * cpus)
    return _SHARDS_FOR_EACH_CPU * cpus


def _cpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _result(ray: Any, shard: Shard, reference: Any) -> FilteredShard:
    while True:
        try:
            filtered: FilteredShard = ray.get(reference, timeout=_CPU_TIMEOUT_S)
            return filtered
        except ray.exceptions.GetTimeoutError as error:
            if not _cpus(ray):
                raise failure(
                    _ADDRESS, "the cluster has lost every node with a CPU", "add nodes and run it again"
                ) from error
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AdapterError):
                raise error.cause from error
            if isinstance(error.cause, (ImportError, ray.exceptions.RaySystemError)):
                finding = f"a node of the cluster cannot do the work: {error.cause}".splitlines()[0]
                raise failure("data.runner", finding, f"install the same packages on every node, with {RAY}") from error
            raise
        except ray.exceptions.RayError as error:
            finding = f"Ray could not filter a part of it: {error}"
            raise failure(shard.source.path, finding[:500], "run it again, or set data.runner: local") from error


def _required_paths(shard: Shard, context: ShardContext) -> tuple[Path, ...]:
    """Return the paths that a node must see too: without the images, it would report every page as missing."""
    settings = context.settings
    paths = [shard.source.path, *shard.source.settings.folders().values(), settings.tokenizer]
    if settings.format != "erniekit" or settings.ocr != "none":
        paths.append(context.folder)  # pages are written there
    return tuple(path.absolute() for path in paths if path and path.exists())


def _filter_on_node(shard: Shard, context: ShardContext, folder: Path, required: tuple[Path, ...]) -> FilteredShard:
    """Filter a shard on a node.

    Args:
        shard, context: as for `filter_shard`.
        folder: working folder of the build; paths are relative to it.
        required: paths that the node must see.

    Raises:
        AdapterError: the node does not see a path; or an error of `filter_shard`.
    """
    with suppress(OSError):
        os.chdir(folder)
    for path in required:
        if not path.exists():
            hint = "put it where every node of the cluster sees it under the same path"
            raise failure(path, f"the node {socket.gethostname()} does not see it", hint)
    return filter_shard(shard, context)
