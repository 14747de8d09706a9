"""Measure the time that `erniekit-adapter train` adds to `erniekit train`, in alternating runs with equal settings.

The toolkit runs with the settings file that our command wrote, in its own folder beside the same training examples.
Prints medians and differences.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from erniekit_adapter.backends.environments.installed import Toolkit, find_erniekit

ROOT = Path(__file__).resolve().parents[1]

PROJECT = """
model: {model_name_or_path: ./tiny-ernie}
lora: {r: 8, target_modules: [q_proj, k_proj, v_proj, o_proj], lora_dropout: 0.1}
training: {device: cpu, max_seq_length: 1024, max_steps: 10, logging_steps: 1, save_steps: 10, eval_steps: 10}
data: {sources: [{kind: manifest, path: documents/training_manifest.json}]}
output_dir: run
"""


def prepare(folder: Path) -> None:
    """Create documents, a tiny random model and training examples, and train once to get the settings file."""
    (folder / "project.yaml").write_text(PROJECT)
    ours(folder, "data_tools", "synthesize", "--output", "documents", "--count", "60", "--seed", "1")
    ours(folder, "data_tools", "corpus", "--output", "corpus.txt", "--count", "100", "--seed", "2")
    ours(folder, "erniekit_adapter", "tiny-model", "--corpus", "corpus.txt", "--output", "tiny-ernie")
    ours(folder, "data_tools", "build", "project.yaml")
    ours(folder, "erniekit_adapter", "train", "project.yaml")


def ours(folder: Path, *arguments: str) -> float:
    """Return the seconds of one of our commands."""
    command = [sys.executable, "-m", *arguments]
    return seconds_of(command, folder, {"PYTHONPATH": str(ROOT)})


def erniekits(folder: Path, toolkit: Toolkit) -> float:
    """Return the seconds of a new `erniekit train` with the settings of our last run."""
    toolkit_only = folder / "run" / "toolkit-only"
    shutil.rmtree(toolkit_only, ignore_errors=True)
    toolkit_only.mkdir()
    shutil.copyfile(folder / "run" / "training" / "settings.yaml", toolkit_only / "settings.yaml")
    return seconds_of(toolkit.command("train", "settings.yaml"), toolkit_only, toolkit.environment(on_cpu=True))


def seconds_of(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Return the wall-clock seconds of a command, which must succeed."""
    import os

    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout.decode()[-2000:]}\n{done.stderr.decode()[-2000:]}")
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs, toolkit = parser.parse_args().runs, find_erniekit()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        timings = []
        for number in range(runs):
            toolkit_only = erniekits(folder, toolkit)
            with_adapter = ours(folder, "erniekit_adapter", "train", "project.yaml", "--restart")
            timings.append((toolkit_only, with_adapter))
            print(f"run {number + 1}: erniekit train {toolkit_only:.2f} s, erniekit-adapter train {with_adapter:.2f} s")
    toolkit_only, with_adapter = (statistics.median(column) for column in zip(*timings, strict=True))
    added = statistics.median(ours - toolkits for toolkits, ours in timings)
    print(
        f"medians of {runs}: {toolkit_only:.2f} s and {with_adapter:.2f} s; median of the differences: {added:+.2f} s"
    )


if __name__ == "__main__":
    main()
