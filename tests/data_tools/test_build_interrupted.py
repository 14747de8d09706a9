"""A build with worker processes that Ctrl-C or a signal ends: one message, no process and no folder is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_examples import correction, numbered, write_lines

# Enough records for several worker processes and some seconds of work.
RECORDS = 20_000
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "erniekit_adapter"]


@pytest.fixture(scope="module")
def large_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    log = write_lines(folder / "log.jsonl", [numbered(correction(), number) for number in range(RECORDS)])
    project = folder / "project.yaml"
    project.write_text(
        f"model: {{model_name_or_path: baidu/ERNIE-4.5-0.3B-PT}}\noutput_dir: {folder / 'run'}\n"
        f"data: {{workers: 2, sources: [{{kind: active_learning, path: {log}}}]}}\n"
    )
    return project


def children(process: int) -> list[int]:
    """Return the ids of the child processes."""
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in found.read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "whole_group", "message"),
    [
        (signal.SIGINT, True, "interrupted\n"),
        (signal.SIGINT, False, "interrupted\n"),
        (signal.SIGTERM, False, "ended by SIGTERM\n"),
    ],
)
def test_build_with_worker_processes_ends_quietly(
    large_project: Path, number: signal.Signals, whole_group: bool, message: str
) -> None:
    command = [*PROGRAM, "data", "build", str(large_project)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT) as process:
        deadline = time.monotonic() + 60
        while process.poll() is None and len(children(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
        time.sleep(0.3)  # Python ignores an exception in a hook of fork, so no signal during a fork
        workers = children(process.pid)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, message)
    assert [worker for worker in workers if Path(f"/proc/{worker}").exists()] == []
    assert not (large_project.parent / "run" / "data").exists()
