"""Worker processes of a build that fails while they send results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Results larger than the buffer of a pipe: a worker that is ended has almost always sent a part of one.
FAILING_BUILDS = """
from data_tools.pipeline import local_runner

def large(shard, context):
    return b"x" * 3_000_000

local_runner.filter_shard = large
for attempt in range(15):
    try:
        with local_runner.run_locally(iter(range(50)), None, 2) as results:
            for number, _ in enumerate(results):
                if number == attempt % 4:
                    raise OSError("no space left")
    except OSError:
        print("failed", attempt)
"""


def test_ends_workers_that_send_a_result() -> None:
    command = [sys.executable, "-c", FAILING_BUILDS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=True)
    assert done.stdout.splitlines() == [f"failed {attempt}" for attempt in range(15)]
    assert done.stderr == ""
