"""Ray clusters on the loopback address give the bytes of one process, even if a node is lost."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from data_tools.build_settings import BuildSettings, RunnerSettings, settings_of
from data_tools.pipeline.build import build
from data_tools.synthesize.writing import write_corpus
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.files import sha256
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import ActiveLearningSource, AnySource

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
# About 14 MB of log: four shards, in addition to those of the manifest.
COPIES_OF_THE_LOG = 70
PROJECT = """
model: {model_name_or_path: ROOT/tiny_base/model}
output_dir: ./run
data:
  sources:
    - {kind: active_learning, path: ./documents/log.jsonl}
    - {kind: manifest, path: ./documents/training_manifest.json}
"""
BUILD_IN_TWO = """
import sys, time
from pathlib import Path
from data_tools.build_settings import BuildSettings, RunnerSettings
from data_tools.pipeline.build import build
from erniekit_adapter.project.loading import load_project

sources = load_project(Path("project.yaml")).sources
def report(read):
    print("read", read, flush=True)
    time.sleep(60)  # in the middle of the build, until it is interrupted

build(sources, Path(sys.argv[1]), BuildSettings(), report, runner=RunnerSettings("ray", workers=2))
"""


@pytest.fixture(scope="module", autouse=True)
def marked() -> Iterator[str]:
    """Set the environment of every process of the test clusters; kill the remaining ones at the end."""
    if find_spec("ray") is None:
        pytest.fail("ray is missing: run make setup-ray", pytrace=False)
    # Paths of sockets must be short, so pytest's own folder cannot be used.
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    environment = {
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the only switch for the loopback address, on Linux too
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    mark = f"RAY_TMPDIR={folder}"
    with patch.dict(os.environ, environment):
        yield mark
    kill(mark)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a project file, its documents, and `local`, the output of one process."""
    folder = tmp_path_factory.mktemp("desk")
    documents = folder / "documents"
    write_corpus(documents, count=120, seed=3, fault_share=0.1, correction_share=0.5)
    lines = (documents / "active_learning.jsonl").read_text().splitlines()
    copies = (renumbered(line, copy) for copy in range(COPIES_OF_THE_LOG) for line in lines)
    (documents / "log.jsonl").write_text("\n".join(copies) + "\n")
    (folder / "project.yaml").write_text(PROJECT.replace("ROOT", str(ROOT)))
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        loaded = load_project(Path("project.yaml"))
        build(loaded.sources, Path("local"), settings_of(loaded), runner=RunnerSettings("local", workers=1))
    return folder


@pytest.fixture
def at_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(desk)
    return desk


@pytest.fixture
def cluster(marked: str) -> Iterator[Any]:
    """Start a cluster whose head has no CPU, so that shards are filtered on the nodes that a test adds."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False)
        yield cluster
    finally:
        cluster.shutdown()
        kill(marked)


def renumbered(line: str, copy: int) -> str:
    """Return the line of another document: another ID and invoice number, and no page."""
    if found := re.search(r'"images/([^"]+)\.png"', line):
        line = line.replace(found[0], "null").replace(found[1], f"{found[1]}-{copy}")
    return re.sub(r'"doc-\w+', rf"\g<0>-{copy}", line)


def sources() -> list[AnySource]:
    return load_project(Path("project.yaml")).sources


def processes(mark: str) -> set[int]:
    """Return the processes whose environment contains this text."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark.encode() in place.read_bytes().split(b"\0"):
                found.add(int(place.parent.name))
    return found


def kill(mark: str) -> None:
    for process in processes(mark):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def wait_until(happens: Callable[[], object]) -> None:
    end = time.monotonic() + 100
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.05)


def a_cpu_is_idle() -> bool:
    import ray

    return bool(ray.available_resources().get("CPU"))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in folder.iterdir()}


def run_build(output_dir: Path, address: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Build the project of the working folder through the command line."""
    chosen = [f"output_dir={output_dir}", "data.runner=ray", f"data.ray_address={address}"]
    command = [sys.executable, "-m", "data_tools", "build", "project.yaml"]
    command += [word for setting in chosen for word in ("--set", setting)]
    environment = {name: value for name, value in os.environ.items() if name not in without}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_two_nodes_write_the_bytes_of_one_process(at_desk: Path, cluster: Any, tmp_path: Path) -> None:
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ended = run_build(tmp_path, "auto")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert digests(tmp_path / "data") == digests(at_desk / "local")


@pytest.mark.parametrize("when", ["at once", "when all that was begun is judged"])
def test_a_lost_node_loses_no_example(at_desk: Path, cluster: Any, tmp_path: Path, when: str) -> None:
    lost = cluster.add_node(num_cpus=1, env_vars={"LOST": str(tmp_path)})
    loaded = load_project(Path("project.yaml"))

    def lose(_: int) -> None:
        if lost in cluster.worker_nodes:
            if when == "when all that was begun is judged":
                wait_until(a_cpu_is_idle)
            kill(f"LOST={tmp_path}")
            cluster.remove_node(lost)
            cluster.add_node(num_cpus=1)

    runner = RunnerSettings("ray", ray_address=cluster.address)
    build(loaded.sources, tmp_path / "out", settings_of(loaded), lose, runner=runner)
    assert lost not in cluster.worker_nodes
    assert digests(tmp_path / "out") == digests(at_desk / "local")


def test_a_local_cluster_ends_with_the_build(at_desk: Path, tmp_path: Path, marked: str) -> None:
    loaded = load_project(Path("project.yaml"))
    seen = set()
    runner = RunnerSettings("ray", workers=2)
    build(
        loaded.sources, tmp_path / "out", settings_of(loaded), lambda _: seen.update(processes(marked)), runner=runner
    )
    assert digests(tmp_path / "out") == digests(at_desk / "local")
    assert seen
    wait_until(lambda: not processes(marked))


def test_an_interrupt_leaves_no_process_and_no_build(at_desk: Path, tmp_path: Path, marked: str) -> None:
    command = [sys.executable, "-c", BUILD_IN_TWO, tmp_path / "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # A terminal sends the signal to every process of the group.
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as started:
        assert started.stdout
        assert started.stdout.readline().startswith(b"read")
        os.killpg(started.pid, signal.SIGINT)
        started.communicate(timeout=60)
    assert started.returncode == -signal.SIGINT
    wait_until(lambda: not processes(marked))  # workers without a node end by themselves
    assert not list(tmp_path.iterdir())


def test_an_error_on_a_node_keeps_its_type(at_desk: Path, cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    (tmp_path / "tokenizer.model").write_text("no model")
    settings = BuildSettings(tokenizer=tmp_path / "tokenizer.model")
    with pytest.raises(AdapterError) as local:
        build(sources(), tmp_path / "local", settings, runner=RunnerSettings("local", workers=1))
    with pytest.raises(AdapterError) as ray:
        build(sources(), tmp_path / "ray", settings, runner=RunnerSettings("ray", ray_address=cluster.address))
    assert ray.value.problems == local.value.problems
    assert (type(ray.value), ray.value.exit_code) == (AdapterError, 1)


def test_names_a_source_that_a_node_does_not_see(at_desk: Path, cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    documents = os.open("documents", os.O_RDONLY)
    seen_here_alone = fcntl.fcntl(documents, fcntl.F_DUPFD, 500)  # more than a worker has open
    path = Path("/proc/self/fd", str(seen_here_alone), "log.jsonl")
    try:
        with pytest.raises(AdapterError, match=rf"{path}: the node \S+ does not see it\n.*every node"):
            build(
                [ActiveLearningSource(kind="active_learning", path=path)],
                tmp_path / "out",
                BuildSettings(),
                runner=RunnerSettings("ray", ray_address=cluster.address),
            )
    finally:
        os.close(seen_here_alone)
        os.close(documents)


def test_names_a_cluster_without_a_cpu(at_desk: Path, cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=f"the cluster at {cluster.address} has no CPU"):
        build(sources(), tmp_path / "out", BuildSettings(), runner=RunnerSettings("ray", ray_address=cluster.address))


def test_names_a_cluster_that_requires_a_token(at_desk: Path, cluster: Any, tmp_path: Path) -> None:
    ended = run_build(tmp_path, cluster.address, without=("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"))
    assert ended.returncode == 1
    assert f"the cluster at {cluster.address} requires a token" in ended.stderr


def test_names_an_address_that_does_not_respond(at_desk: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(AdapterError, match=f"cannot connect to {address}.*\n.*ray start --head"):
        build(sources(), tmp_path / "out", BuildSettings(), runner=RunnerSettings("ray", ray_address=address))


@pytest.mark.parametrize(
    "address", ["ray://127.0.0.1:10001", "127.0.0.1", ":6379", "127.0.0.1:65536", "http://127.0.0.1:80"]
)
def test_rejects_an_invalid_address(at_desk: Path, tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="is not host:port"):
        build(sources(), tmp_path / "out", BuildSettings(), runner=RunnerSettings("ray", ray_address=address))


def test_names_the_setup_if_ray_is_missing(at_desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"run pip install 'ray>=2\.50'"):
        build(sources(), tmp_path / "out", BuildSettings(), runner=RunnerSettings("ray"))
