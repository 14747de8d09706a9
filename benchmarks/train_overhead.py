"""What `erniekit_adapter train` adds to `erniekit train`: both in turn on the same settings, medians and differences.

The toolkit's own run gets the settings file that ours wrote, in a folder of its own beside the same lines.
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

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from erniekit_adapter.backends.installed import Toolkit, find_erniekit  # noqa: E402 - the script runs from anywhere

PROJECT = """
model: {model_name_or_path: ./tiny-ernie}
lora: {r: 8, target_modules: [q_proj, k_proj, v_proj, o_proj], lora_dropout: 0.1}
training: {device: cpu, max_seq_length: 1024, max_steps: 10, logging_steps: 1, save_steps: 10, eval_steps: 10}
data: {sources: [{kind: manifest, path: documents/training_manifest.json}]}
output_dir: run
"""


def prepare(folder: Path) -> None:
    """Documents, a tiny random model, lines and one training, whose settings both sides then run with."""
    (folder / "project.yaml").write_text(PROJECT)
    ours(folder, "data_tools", "synthesize", "--output", "documents", "--count", "60", "--seed", "1")
    ours(folder, "data_tools", "corpus", "--output", "corpus.txt", "--count", "100", "--seed", "2")
    ours(folder, "erniekit_adapter", "tiny-model", "--corpus", "corpus.txt", "--output", "tiny-ernie")
    ours(folder, "data_tools", "build", "--project", "project.yaml")
    ours(folder, "erniekit_adapter", "train", "project.yaml")


def ours(folder: Path, *arguments: str) -> float:
    """Seconds of one of our commands."""
    command = [sys.executable, "-m", *arguments]
    return seconds_of(command, folder, {"PYTHONPATH": str(ROOT)})


def erniekits(folder: Path, toolkit: Toolkit) -> float:
    """Seconds of `erniekit train` with the settings of our last run, started anew."""
    alone = folder / "run" / "alone"
    shutil.rmtree(alone, ignore_errors=True)
    alone.mkdir()
    shutil.copyfile(folder / "run" / "training" / "settings.yaml", alone / "settings.yaml")
    return seconds_of(toolkit.command("train", "settings.yaml"), alone, toolkit.environment(on_cpu=True))


def seconds_of(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Wall-clock seconds of a command that has to end well."""
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
        pairs = []
        for number in range(runs):
            alone = erniekits(folder, toolkit)
            through_us = ours(folder, "erniekit_adapter", "train", "project.yaml", "--restart")
            pairs.append((alone, through_us))
            print(f"pair {number + 1}: erniekit train {alone:.2f} s, erniekit_adapter train {through_us:.2f} s")
    alone, through_us = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(ours - toolkits for toolkits, ours in pairs)
    print(f"medians of {runs}: {alone:.2f} s and {through_us:.2f} s; added, median of the pairs: {added:+.2f} s")


if __name__ == "__main__":
    main()
