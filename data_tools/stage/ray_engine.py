"""Shards judged on a Ray cluster: the same functions as on one machine, hence the same bytes."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data_tools.build_settings import EngineSettings
from data_tools.stage.engine import Judged, in_order
from data_tools.stage.judging import Bench, judge_shard
from data_tools.stage.rows import JudgedShard
from data_tools.stage.shards import Shard
from erniekit_adapter.errors import AdapterError, fail, misuse
from erniekit_adapter.project.schema import ManifestSource

# Enough to keep every CPU busy; what is judged and not yet read lies in the cluster's memory.
_SHARDS_FOR_EACH_CPU = 2
# A shard whose node is lost is judged again on another.
_RETRIES = 5
_ANSWER_WITHIN_S = 5
# Where no node with a CPU is left, shards wait for a new one, but not for ever.
_CPU_WITHIN_S = 120
_ADDRESS = "data.ray_address"
_START_ONE = "start one with ray start --head, or leave data.ray_address out to start one on this machine"


@contextmanager
def on_ray(shards: Iterable[Shard], bench: Bench, engine: EngineSettings) -> Iterator[Judged]:
    """Give each shard with what became of it, in the order of the shards.

    Raises:
        UsageError: Ray is not installed, or the address is none.
        AdapterError: no cluster answers, a node does not see the files, a source cannot be read, or a shard was lost
            too often.
    """
    ray = _import_ray(starts_here=engine.ray_address is None)
    try:
        _connect(ray, engine)
        judge = ray.remote(max_retries=_RETRIES)(_judge_on_node)
        yield in_order(
            shards,
            lambda shard: judge.remote(shard, bench, Path.cwd(), _seen_here(shard, bench)),
            lambda shard, reference: _result(ray, shard, reference),
            _shards_at_a_time(ray, engine),
        )
    finally:
        ray.shutdown()


def _import_ray(*, starts_here: bool) -> Any:
    """Ray, told by its environment to report nothing to its makers, and to keep a cluster of ours to this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A shard that needs more memory than there is would be begun again for ever.
    os.environ.setdefault("RAY_task_oom_retries", str(_RETRIES))
    if starts_here:
        # The only switch that has every part listen on the loopback address alone, on Linux too.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Without a token of its own, Ray leaves one in the home folder.
        if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    else:
        # Without these it looks for a cluster that is not there for more than three minutes; so for twenty seconds.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
        os.environ.setdefault("RAY_py_gcs_connect_timeout_s", "10")
    try:
        import ray
    except ImportError as error:
        raise misuse("data.engine", "ray is not installed", "run make setup-ray, or set data.engine: local") from error
    if ray.is_initialized():
        raise misuse("data.engine", "this process already uses a Ray cluster", "call ray.shutdown() before the build")
    return ray


def _connect(ray: Any, engine: EngineSettings) -> None:
    import data_tools
    import erniekit_adapter

    # Nodes have the packages that ours need; our own travel with the work.
    options: dict[str, Any] = {"runtime_env": {"py_modules": [data_tools, erniekit_adapter]}}
    if engine.ray_address is None:
        cpus = engine.workers or len(os.sched_getaffinity(0))
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    else:
        _check_address(engine.ray_address)
        options["address"] = engine.ray_address
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # Ray has no type of its own for what goes wrong at a start
        raise _no_cluster(engine, error) from error


def _no_cluster(engine: EngineSettings, error: Exception) -> AdapterError:
    if engine.ray_address is None:
        return fail("data.engine", f"Ray does not start: {error}"[:500], "set data.engine: local")
    if "AuthenticationError" in f"{error!r} {error.__cause__!r}":
        remedy = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        return fail(_ADDRESS, f"the cluster at {engine.ray_address} asks for its token", remedy)
    return fail(_ADDRESS, f"no Ray cluster at {engine.ray_address}: {error}"[:500], _START_ONE)


def _check_address(address: str) -> None:
    """Refuse at once where nothing listens; Ray itself would go on looking for it."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal() or int(port) >= 2**16:
        raise misuse(
            _ADDRESS, f"{address!r} is no address of a cluster", "give host:port as ray start --head prints it"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_WITHIN_S).close()
    except OSError as error:
        raise fail(_ADDRESS, f"nothing answers at {address}: {error.strerror or error}", _START_ONE) from error


def _shards_at_a_time(ray: Any, engine: EngineSettings) -> int:
    """Twice the cluster's CPUs; on a cluster that others use too, no more than are asked for."""
    cpus = _cpus(ray)
    if not cpus:
        raise fail(_ADDRESS, f"the cluster at {engine.ray_address} has no CPU", "add a node: ray start --address=…")
    if engine.ray_address and engine.workers:
        return min(engine.workers, _SHARDS_FOR_EACH_CPU * cpus)
    return _SHARDS_FOR_EACH_CPU * cpus


def _cpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _result(ray: Any, shard: Shard, reference: Any) -> JudgedShard:
    while True:
        try:
            judged: JudgedShard = ray.get(reference, timeout=_CPU_WITHIN_S)
            return judged
        except ray.exceptions.GetTimeoutError as error:
            if not _cpus(ray):
                raise fail(
                    _ADDRESS, "the cluster has lost every node with a CPU", "add nodes and run it again"
                ) from error
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AdapterError):
                raise error.cause from error
            if isinstance(error.cause, (ImportError, ray.exceptions.RaySystemError)):
                what = f"a node of the cluster cannot do the work: {error.cause}".splitlines()[0]
                raise fail("data.engine", what, "every node needs the same environment: make setup-ray") from error
            raise
        except ray.exceptions.RayError as error:
            what = f"Ray could not judge a part of it: {error}"
            raise fail(shard.source.path, what[:500], "run it again, or set data.engine: local") from error


def _seen_here(shard: Shard, bench: Bench) -> tuple[Path, ...]:
    """What a node has to see as this process does: without the images, it would take every page for a missing one."""
    source, settings = shard.source, bench.settings
    paths = [source.path, settings.tokenizer]
    if isinstance(source, ManifestSource):
        paths += [source.images_dir, source.ground_truth_dir]
    if settings.form != "erniekit" or settings.ocr != "none":
        paths.append(bench.folder)  # pages are written there
    return tuple(path.absolute() for path in paths if path and path.exists())


def _judge_on_node(shard: Shard, bench: Bench, folder: Path, seen: tuple[Path, ...]) -> JudgedShard:
    """Judge a shard.

    Args:
        shard, bench: as for judge_shard.
        folder: where the build was started; paths are relative to it.
        seen: what the node has to see.

    Raises:
        AdapterError: the node does not see something; or one of judge_shard's.
    """
    with suppress(OSError):
        os.chdir(folder)
    for path in seen:
        if not path.exists():
            remedy = "put it where every node of the cluster sees it under the same path"
            raise fail(path, f"the node {socket.gethostname()} does not see it", remedy)
    return judge_shard(shard, bench)
