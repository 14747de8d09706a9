"""A build that is killed, interrupted or runs out of disk space: the next build is complete."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from data_examples import correction, numbered, write_lines

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = 6
# This number of lines with a long unused value makes several shards for two worker processes.
LINES = 2000
TRACE = "x" * 6000
PROJECT = """
model: {model_name_or_path: baidu/ERNIE-4.5-0.3B-Paddle}
data:
  sources: [{kind: active_learning, path: log.jsonl}]
  preference: true
  workers: 2
output_dir: run
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    write_lines(folder / "log.jsonl", [numbered(correction(trace=TRACE), number) for number in range(LINES)])
    (folder / "project.yaml").write_text(PROJECT)
    return folder


@dataclass(frozen=True)
class Build:
    """Files and duration of an undisturbed build."""

    contents: dict[str, bytes]
    duration_s: float


@pytest.fixture(scope="module")
def undisturbed(project: Path) -> Build:
    before = time.monotonic()
    return Build(built(project), time.monotonic() - before)


def started(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "data_tools", "build", "project.yaml"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def built(folder: Path) -> dict[str, bytes]:
    """Run a build and return the content of its files."""
    process = started(folder)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    data = folder / "run" / "data"
    return {path.name: path.read_bytes() for path in data.iterdir()} if data.exists() else {}


def test_a_build_after_a_killed_one_is_complete(project: Path, undisturbed: Build) -> None:
    rng = random.Random(4)  # noqa: S311
    killed = 0
    for part in range(MOMENTS):
        process = started(project)
        try:
            # One random moment in each part of the duration, so that the moments are spread.
            process.communicate(timeout=undisturbed.duration_s * (part + rng.random()) / MOMENTS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
        assert contents(project) in ({}, undisturbed.contents)
        assert built(project) == undisturbed.contents
        assert [path.name for path in (project / "run").iterdir()] == ["data"]
    assert killed > MOMENTS / 2


INTERRUPTED_BUILD = """
from pathlib import Path
from data_tools.build_settings import BuildSettings, RunnerSettings
from data_tools.pipeline.build import build
from erniekit_adapter.project.schema import ActiveLearningSource

def report(read):
    print(read, flush=True)

source = ActiveLearningSource(kind="active_learning", path=Path("log.jsonl"))
try:
    build([source], Path("interrupted"), BuildSettings(), report, runner=RunnerSettings(workers=2))
except KeyboardInterrupt:
    raise SystemExit(130)
"""


def test_an_interrupt_ends_workers_without_tracebacks(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED_BUILD],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline()
    # A terminal sends the signal to every process of the group.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == b""
    assert not (project / "interrupted").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.parametrize("stopped", [False, True])
def test_workers_end_with_a_killed_parent(project: Path, stopped: bool) -> None:
    process = started(project)
    children: list[int] = []
    while len(children) < 2 and process.poll() is None:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        children = [int(child) for child in listed]
    if stopped:
        time.sleep(0.5)  # until it has started
        os.kill(children[-1], signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(children) == 2
    give_up = time.monotonic() + 5
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children):
        assert time.monotonic() < give_up, "workers outlive their parent"
        time.sleep(0.05)


def test_a_full_disk_leaves_the_earlier_build(project: Path, undisturbed: Build) -> None:
    command = [sys.executable, "-m", "data_tools", "build", "project.yaml", "--set", "data.seed=7"]
    done = subprocess.run(
        command,
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        # A limit on file sizes simulates a full disk: writing fails in the middle of the spool.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert done.returncode == 1
    assert "run/data: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(project) == undisturbed.contents
