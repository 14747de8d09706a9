"""Benchmark of merges into a random dense ERNIE of 4 GB: this project, `erniekit export`, PEFT's `merge_and_unload`.

Each merge is a separate process, one after another, after a sync of the disk. The output has medians of the seconds and
of the peak memory of all its processes: resident memory, and its anonymous part, which the system cannot drop. A copy
of the base model is the lower limit of the duration.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from erniekit_adapter.backends.environments.installed import find_erniekit
from erniekit_adapter.backends.erniekit.settings import export_settings
from erniekit_adapter.backends.settings import values
from erniekit_adapter.files import read_json, write_json
from erniekit_adapter.layouts.adapter_files import write_peft
from erniekit_adapter.layouts.base_files import list_weights
from erniekit_adapter.layouts.dense import DenseShape, base_shapes, linear_shapes
from erniekit_adapter.merge.merging import write_hf_base
from erniekit_adapter.tensor_files import BFLOAT16, file_header
from erniekit_adapter.workers.erniekit_tiny_model import model_config, tokenizer_config

ROOT = Path(__file__).resolve().parents[1]

SHAPE = DenseShape(layers=20, hidden=2560, heads=20, kv_heads=4, head_dim=128, ffn=9728, vocab=103424, tied=True)
SHARD_BYTES, RANK = 1_000_000_000, 16
# On a CPU, `erniekit export` writes bfloat16 with the type U16.
STORED = {"BF16": BFLOAT16, "U16": BFLOAT16, "F32": np.dtype("<f4")}

MERGE = """
import sys
from pathlib import Path
from erniekit_adapter.merge.merging import merge
print(merge(Path("base"), Path("native"), Path("merged"), sys.argv[1]))
"""
PEFT_MERGE = """
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("hf", torch_dtype=torch.bfloat16, low_cpu_mem_usage=True)
model = PeftModel.from_pretrained(model, "peft").merge_and_unload()
model.save_pretrained("merged", max_shard_size="1GB")
"""


@dataclass(frozen=True)
class Measured:
    """Seconds, and peak memory in MiB."""

    seconds: float
    resident_mib: float
    anonymous_mib: float


def make_base(folder: Path, shape: DenseShape) -> None:
    """Write a random base model in ERNIEKit's layout, in shards of about a gigabyte."""
    folder.mkdir()
    numbers = np.random.default_rng(0).normal(0, 0.02, 1 << 23).astype(BFLOAT16)
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    for name, size in base_shapes(shape).items():
        if sum(2 * int(np.prod(each)) for each in shards[-1].values()) > SHARD_BYTES:
            shards.append({})
        shards[-1][name] = size
    places: dict[str, str] = {}
    for number, sizes in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        with (folder / file).open("wb") as stream:
            stream.write(file_header([(name, "BF16", size) for name, size in sizes.items()], {"format": "np"}))
            for start, size in enumerate(sizes.values()):
                # Rotations of the same numbers: drawing billions of numbers would take longer than the merge.
                drawn = np.resize(np.roll(numbers, 4099 * start), int(np.prod(size)))
                stream.write(drawn.view(np.uint8).data)
        places |= dict.fromkeys(sizes, file)
    total = sum(2 * int(np.prod(size)) for size in base_shapes(shape).values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    write_json(folder / "config.json", {**model_config(shape, 0), "dtype": "bfloat16"})
    write_json(folder / "tokenizer_config.json", tokenizer_config())
    (folder / "tokenizer.model").write_bytes(b"\n\x06pieces")  # a SentencePiece model of one piece


def make_adapter(folder: Path, shape: DenseShape) -> None:
    """Write a random adapter of every linear layer, as ERNIEKit does."""
    folder.mkdir()
    numbers = np.random.default_rng(1)
    sizes = {}
    for layer in range(shape.layers):
        for module, (width_in, width_out) in linear_shapes(shape).items():
            sizes[f"ernie.layers.{layer}.{module}.lora_A"] = (width_in, RANK)
            sizes[f"ernie.layers.{layer}.{module}.lora_B"] = (RANK, width_out)
    file = "peft_model-00001-of-00001.safetensors"
    with (folder / file).open("wb") as stream:
        stream.write(file_header([(name, "BF16", size) for name, size in sizes.items()], {"format": "np"}))
        for size in sizes.values():
            stream.write(numbers.normal(0, 0.02, size).astype(BFLOAT16).view(np.uint8).data)
    write_json(folder / "peft_model.safetensors.index.json", {"metadata": {}, "weight_map": dict.fromkeys(sizes, file)})
    config = {"r": RANK, "lora_alpha": 32, "rslora": False, "lora_dropout": 0.0, "dtype": "bfloat16"}
    targets = [".*qkv_proj.*", ".*o_proj.*", ".*up_gate_proj.*", ".*down_proj.*"]
    write_json(folder / "lora_config.json", {**config, "target_modules": targets, "tensor_parallel_degree": -1})


def measure(command: list[str], folder: Path, environment: dict[str, str]) -> Measured:
    """Run a command, and measure the memory of all its processes. Exit if the command fails."""
    os.sync()
    log, peaks = folder / "log.txt", [0.0, 0.0]
    started = time.perf_counter()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=stream, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            peaks = [max(pair) for pair in zip(peaks, memory_mib(process.pid), strict=True)]
            time.sleep(0.02)
    seconds = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{log.read_text()[-3000:]}")
    return Measured(seconds, *peaks)


def memory_mib(process_id: int) -> list[float]:
    """Return resident and anonymous memory of a process and its descendants, in MiB."""
    totals = [0.0, 0.0]
    for each in [process_id, *descendants(process_id)]:
        try:
            lines = Path("/proc", str(each), "status").read_text().splitlines()
        except OSError:
            continue  # the process has ended
        found = dict(line.split(":", 1) for line in lines if ":" in line)
        for place, key in enumerate(("VmRSS", "RssAnon")):
            totals[place] += int(found.get(key, "0 kB").split()[0]) / 1024
    return totals


def descendants(process_id: int) -> list[int]:
    """Return the descendants of a process."""
    try:
        tasks = list(Path("/proc", str(process_id), "task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *descendants(child))]


def largest_difference(one_dir: Path, other_dir: Path) -> float:
    """Return the largest absolute difference between two merged models of the same layout."""
    one, other = list_weights(one_dir), list_weights(other_dir)
    if set(one) != set(other):
        sys.exit(f"different tensors: {sorted(set(one) ^ set(other))[:4]}")
    differences = []
    for name in one:
        left, right = (np.asarray(each[name].map(STORED[each[name].dtype]), np.float32) for each in (one, other))
        differences.append(float(np.abs(left - right).max()))
    return max(differences)


def contestants(folder: Path) -> dict[str, tuple[list[str], Path, dict[str, str]]]:
    """Return command, folder and environment of each contestant."""
    toolkit = find_erniekit()
    work = folder / "erniekit"
    shutil.copytree(folder / "native", work)
    write_json(work / "export.json", values(export_settings(str(folder / "base"), ".", "cpu", toolkit.version)))
    transformers = ROOT / ".venvs" / "transformers" / "bin" / "python"
    path = {"PYTHONPATH": str(ROOT)}
    return {
        "copy of the base": (["cp", "-r", "base", "merged"], folder, {}),
        "this project, Paddle layout": ([sys.executable, "-c", MERGE, "paddle"], folder, path),
        "erniekit export": (toolkit.command("export", "export.json"), work, toolkit.environment(on_cpu=True)),
        "this project, Hugging Face layout": ([sys.executable, "-c", MERGE, "hugging-face"], folder, path),
        "PEFT merge_and_unload": ([str(transformers), "-c", PEFT_MERGE], folder, {"HF_HUB_OFFLINE": "1"}),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--layers", type=int, default=SHAPE.layers, help="number of layers; fewer are faster")
    parser.add_argument("--folder", type=Path, help="folder for 30 GB of temporary files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        shape = DenseShape(**{**vars(SHAPE), "layers": options.layers})
        make_base(folder / "base", shape)
        make_adapter(folder / "native", shape)
        write_hf_base(folder / "base", folder / "hf")
        write_peft(folder / "native", read_json(folder / "base" / "config.json"), folder / "peft", "hf")
        base = list_weights(folder / "base").values()
        size, largest = sum(each.size_bytes for each in base), max(each.size_bytes for each in base)
        print(f"base model {size / 2**20:,.0f} MiB, largest tensor {largest / 2**20:,.0f} MiB, rank {RANK}", flush=True)
        runs: dict[str, list[Measured]] = {}
        for number in range(options.runs):
            for name, (command, place, environment) in contestants_in_turn(folder, number):
                runs.setdefault(name, []).append(measure(command, place, environment))
                print(f"run {number + 1}: {name}: {runs[name][-1].seconds:.1f} s", flush=True)
                keep_for_comparison(folder, name)
        report(runs, 2 * largest / 2**20 + 300)
        for kept, layout in (("erniekit export", "paddle"), ("PEFT merge_and_unload", "hugging-face")):
            merged = "this project, Paddle layout" if layout == "paddle" else "this project, Hugging Face layout"
            difference = largest_difference(folder / "kept" / merged, folder / "kept" / kept)
            print(f"largest difference between {merged} and {kept}: {difference:.3g}")


def contestants_in_turn(folder: Path, number: int) -> list[tuple[str, tuple[list[str], Path, dict[str, str]]]]:
    """Return the contestants in an order that depends on the number of the run."""
    shutil.rmtree(folder / "erniekit", ignore_errors=True)
    listed = list(contestants(folder).items())
    return listed[number % len(listed) :] + listed[: number % len(listed)]


def keep_for_comparison(folder: Path, name: str) -> None:
    """Move a result to a folder for the comparison, and replace the result of the run before."""
    kept = folder / "kept" / name
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(exist_ok=True)
    (folder / "erniekit" / "export" if name == "erniekit export" else folder / "merged").rename(kept)
    if name.startswith("copy"):
        shutil.rmtree(kept)


def report(runs: dict[str, list[Measured]], limit_mib: float) -> None:
    """Print medians, relative to the copy, and the memory limit."""
    print(f"\n{'':28}{'seconds':>9}{'of copy':>9}{'peak MiB':>10}{'anonymous MiB':>15}")
    floor = statistics.median(each.seconds for each in runs["copy of the base"])
    for name, measured in runs.items():
        seconds = statistics.median(each.seconds for each in measured)
        resident = statistics.median(each.resident_mib for each in measured)
        anonymous = statistics.median(each.anonymous_mib for each in measured)
        print(f"{name:28}{seconds:9.1f}{seconds / floor:8.1f}×{resident:10,.0f}{anonymous:15,.0f}")
    print(f"memory limit: 2 × the largest tensor + 300 MiB = {limit_mib:,.0f} MiB")


if __name__ == "__main__":
    main()
