"""A killed and resumed run of ERNIEKit leaves no process and ends with the adapter of an undisturbed run.

A short run of benchmarks/train_kills.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("erniekit_python")
def test_killed_and_resumed_run_equals_an_undisturbed_one() -> None:
    kills = ("--kills", "1", "--kinds", "stopped")  # the kind that is hardest to end
    late = ("--earliest", "0.5")  # usually after the worker has started
    command = [sys.executable, "benchmarks/train_kills.py", *kills, "--steps", "8", "--save-steps", "2", *late]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n1 kills, 0 checks failed" in done.stdout
