"""Measure how fast commands start: the median time of whole processes, and the peak memory."""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = (
    "check configs/demo-cpu.yaml",
    "translate configs/demo-cpu.yaml",
    "doctor configs/demo-cpu.yaml",
    "data --help",
)


def seconds_of(command: str) -> float:
    """Run a command, and return its wall-clock time in seconds."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "erniekit_adapter", *command.split()], cwd=ROOT, capture_output=True, check=False
    )
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    print(f"{'command':<34} {'median s':>9} {'min':>7} {'max':>7}   over {runs} runs, after one that is not counted")
    for command in COMMANDS:
        seconds_of(command)
        taken = [seconds_of(command) for _ in range(runs)]
        print(f"{command:<34} {statistics.median(taken):>9.3f} {min(taken):>7.3f} {max(taken):>7.3f}")
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {peak_mib:.0f} MiB")


if __name__ == "__main__":
    main()
