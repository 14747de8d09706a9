"""Benchmark of the verification of a bundle, compared with hashing it: seconds, processor time and memory.

Usage: python -m benchmarks.verify FOLDER [GIB]. The benchmark writes random merged weights of this size in bfloat16, in
two files, and deletes them at the end. Each variant runs three times in turn, in a separate process; the output has
medians.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from erniekit_adapter.bundle.listed_files import read_listed
from erniekit_adapter.tensor_files import file_header

_TENSOR_BYTES = 64 * 1024 * 1024
_RUNS = 3


def write_weights(folder: Path, size_bytes: int) -> None:
    """Write two files of tensors of 64 MiB each."""
    tensor = np.random.default_rng(0).standard_normal(_TENSOR_BYTES // 2, np.float32)
    data = (tensor.view("<u4") >> 16).astype("<u2").tobytes()
    for number in (1, 2):
        names = [f"model.layers.{index}.weight" for index in range(size_bytes // 2 // _TENSOR_BYTES)]
        with (folder / f"model-0000{number}-of-00002.safetensors").open("wb") as stream:
            stream.write(file_header([(name, "BF16", (len(data) // 2,)) for name in names], {"format": "pt"}))
            for _ in names:
                stream.write(data)


def measure(variant: str, folder: Path) -> None:
    """Read the files with one variant, two at a time, and print seconds, processor time and peak memory."""
    files = sorted(folder.glob("*.safetensors"))
    entries = {path: {"size_bytes": path.stat().st_size, "sha256": ""} for path in files}

    def read(path: Path) -> None:
        if variant == "verify":
            found = read_listed(folder.parent, f"merged/{path.name}", entries[path])
            assert "SHA-256" in found.problems[0].finding  # the only problem: the content is finite
        else:
            with path.open("rb", buffering=0) as stream:
                hashlib.file_digest(stream, "sha256")

    started = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(read, files))
    seconds = time.perf_counter() - started
    # A new process inherits ru_maxrss from its parent, so the peak is read here.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps([seconds, time.process_time(), int(peak.split()[1]) / 1024]))


def main(folder: Path, gib: float) -> None:
    """Write the model, measure both variants, and delete the model."""
    merged = folder / "merged"
    merged.mkdir(parents=True)
    try:
        write_weights(merged, int(gib * 2**30))
        found: dict[str, list[list[float]]] = {"hash": [], "verify": []}
        for _ in range(_RUNS):
            for variant, results in found.items():
                command = [sys.executable, "-m", "benchmarks.verify", "--measure", variant, str(merged)]
                results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        for variant, results in found.items():
            seconds, processor_s, memory = (statistics.median(each) for each in zip(*results, strict=True))
            print(f"{variant}: {seconds:.2f} s, {processor_s:.2f} s of processor time, {memory:.0f} MiB")
    finally:
        for path in merged.glob("*.safetensors"):
            path.unlink()
        merged.rmdir()


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 4)
