"""Merging a LoRA adapter into a made-up dense ERNIE of 4 GB: ours, `erniekit export` and PEFT's `merge_and_unload`.

Each runs in a process of its own, one after another, with the disk's queue emptied before. Printed are the medians of
the seconds and of the peak memory of all its processes: resident, and the anonymous part, which cannot be given back.
A plain copy of the base model is the floor: no merge that writes whole weights is faster than the disk.
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

import ml_dtypes
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from erniekit_adapter.adapters.layouts import ModelShape, base_shapes, linear_shapes  # noqa: E402 - runs from anywhere
from erniekit_adapter.adapters.merge import list_model, write_hf_base  # noqa: E402
from erniekit_adapter.adapters.merge_check import as_float32  # noqa: E402
from erniekit_adapter.adapters.peft import write_peft  # noqa: E402
from erniekit_adapter.backends.erniekit import export_settings  # noqa: E402
from erniekit_adapter.backends.installed import find_erniekit  # noqa: E402
from erniekit_adapter.backends.settings import values  # noqa: E402
from erniekit_adapter.files import read_json, write_json  # noqa: E402
from erniekit_adapter.tensor_files import BFLOAT16, file_header  # noqa: E402
from erniekit_adapter.workers.erniekit_tiny_model import model_config, tokenizer_config  # noqa: E402

SHAPE = ModelShape(layers=20, hidden=2560, heads=20, kv_heads=4, head_dim=128, ffn=9728, vocab=103424, tied=True)
SHARD_BYTES, RANK = 1_000_000_000, 16
BFLOAT = np.dtype(ml_dtypes.bfloat16)
# On a CPU erniekit export writes what it merges as U16, though the bits are those of bfloat16.
STORED = {"BF16": BFLOAT16, "U16": BFLOAT16, "F32": np.dtype("<f4")}

OURS = """
import sys
from pathlib import Path
from erniekit_adapter.adapters.merge import merge
print(merge(Path("base"), Path("native"), Path("merged"), sys.argv[1]))
"""
PEFTS = """
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("hf", torch_dtype=torch.bfloat16, low_cpu_mem_usage=True)
model = PeftModel.from_pretrained(model, "peft").merge_and_unload()
model.save_pretrained("merged", max_shard_size="1GB")
"""


@dataclass(frozen=True)
class Measured:
    """Seconds, and the peak memory in MiB."""

    seconds: float
    resident_mib: float
    anonymous_mib: float


def make_base(folder: Path, shape: ModelShape) -> None:
    """A made-up base model in ERNIEKit's layout, in shards of about a gigabyte."""
    folder.mkdir()
    numbers = np.random.default_rng(0).normal(0, 0.02, 1 << 23).astype(BFLOAT)
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
                # The same numbers from another place each time: drawing billions would take longer than merging them.
                drawn = np.resize(np.roll(numbers, 4099 * start), int(np.prod(size)))
                stream.write(drawn.view(np.uint8).data)
        places |= dict.fromkeys(sizes, file)
    total = sum(2 * int(np.prod(size)) for size in base_shapes(shape).values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    write_json(folder / "config.json", {**model_config(shape, 0), "dtype": "bfloat16"})
    write_json(folder / "tokenizer_config.json", tokenizer_config())
    (folder / "tokenizer.model").write_bytes(b"no merge reads it")


def make_adapter(folder: Path, shape: ModelShape) -> None:
    """A made-up adapter of every linear layer, as ERNIEKit saves one."""
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
            stream.write(numbers.normal(0, 0.02, size).astype(BFLOAT).view(np.uint8).data)
    write_json(folder / "peft_model.safetensors.index.json", {"metadata": {}, "weight_map": dict.fromkeys(sizes, file)})
    config = {"r": RANK, "lora_alpha": 32, "rslora": False, "lora_dropout": 0.0, "dtype": "bfloat16"}
    targets = [".*qkv_proj.*", ".*o_proj.*", ".*up_gate_proj.*", ".*down_proj.*"]
    write_json(folder / "lora_config.json", {**config, "target_modules": targets, "tensor_parallel_degree": -1})


def measure(command: list[str], folder: Path, environment: dict[str, str]) -> Measured:
    """Run a command that has to end well, and watch its memory and that of all it starts."""
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
    """Resident and anonymous memory of a process and all below it."""
    totals = [0.0, 0.0]
    for each in [process_id, *descendants(process_id)]:
        try:
            lines = Path("/proc", str(each), "status").read_text().splitlines()
        except OSError:
            continue  # it ended meanwhile
        found = dict(line.split(":", 1) for line in lines if ":" in line)
        for place, key in enumerate(("VmRSS", "RssAnon")):
            totals[place] += int(found.get(key, "0 kB").split()[0]) / 1024
    return totals


def descendants(process_id: int) -> list[int]:
    """The processes that a process started, and those that they did."""
    try:
        tasks = list(Path("/proc", str(process_id), "task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *descendants(child))]


def largest_difference(ours: Path, theirs: Path) -> float:
    """The largest absolute difference between two merged models of the same layout."""
    one, other = list_model(ours), list_model(theirs)
    if set(one) != set(other):
        sys.exit(f"other tensors: {sorted(set(one) ^ set(other))[:4]}")
    differences = []
    for name in one:
        left, right = (as_float32(np.asarray(each[name].map(STORED[each[name].dtype]))) for each in (one, other))
        differences.append(float(np.abs(left - right).max()))
    return max(differences)


def sides(folder: Path) -> dict[str, tuple[list[str], Path, dict[str, str]]]:
    """Command, folder and environment of each contestant; each writes into a folder that is removed before."""
    toolkit = find_erniekit()
    work = folder / "erniekit"
    shutil.copytree(folder / "native", work)
    write_json(work / "export.json", values(export_settings(str(folder / "base"), ".", "cpu", toolkit.version)))
    transformers = ROOT / ".venvs" / "transformers" / "bin" / "python"
    path = {"PYTHONPATH": str(ROOT)}
    return {
        "copy of the base": (["cp", "-r", "base", "merged"], folder, {}),
        "ours, Paddle layout": ([sys.executable, "-c", OURS, "paddle"], folder, path),
        "erniekit export": (toolkit.command("export", "export.json"), work, toolkit.environment(on_cpu=True)),
        "ours, Hugging Face layout": ([sys.executable, "-c", OURS, "hugging-face"], folder, path),
        "PEFT merge_and_unload": ([str(transformers), "-c", PEFTS], folder, {"HF_HUB_OFFLINE": "1"}),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--layers", type=int, default=SHAPE.layers, help="fewer for a quick look")
    parser.add_argument("--folder", type=Path, help="where to work; needs 30 GB, default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        shape = ModelShape(**{**vars(SHAPE), "layers": options.layers})
        make_base(folder / "base", shape)
        make_adapter(folder / "native", shape)
        write_hf_base(folder / "base", folder / "hf")
        write_peft(folder / "native", read_json(folder / "base" / "config.json"), folder / "peft", "hf")
        base = list_model(folder / "base").values()
        size, largest = sum(each.size_bytes for each in base), max(each.size_bytes for each in base)
        print(f"base model {size / 2**20:,.0f} MiB, largest tensor {largest / 2**20:,.0f} MiB, rank {RANK}", flush=True)
        runs: dict[str, list[Measured]] = {}
        for number in range(options.runs):
            for side, (command, place, environment) in sides_in_turn(folder, number):
                runs.setdefault(side, []).append(measure(command, place, environment))
                print(f"run {number + 1}: {side}: {runs[side][-1].seconds:.1f} s", flush=True)
                keep_for_comparison(folder, side)
        report(runs, 2 * largest / 2**20 + 300)
        for kept, layout in (("erniekit export", "paddle"), ("PEFT merge_and_unload", "hugging-face")):
            ours = "ours, Paddle layout" if layout == "paddle" else "ours, Hugging Face layout"
            difference = largest_difference(folder / "kept" / ours, folder / "kept" / kept)
            print(f"largest difference between {ours} and {kept}: {difference:.3g}")


def sides_in_turn(folder: Path, number: int) -> list[tuple[str, tuple[list[str], Path, dict[str, str]]]]:
    """The contestants, each run beginning with another one."""
    shutil.rmtree(folder / "erniekit", ignore_errors=True)
    listed = list(sides(folder).items())
    return listed[number % len(listed) :] + listed[: number % len(listed)]


def keep_for_comparison(folder: Path, side: str) -> None:
    """Put a result away under its side's name, in place of that of the run before."""
    kept = folder / "kept" / side
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(exist_ok=True)
    (folder / "erniekit" / "export" if side == "erniekit export" else folder / "merged").rename(kept)
    if side.startswith("copy"):
        shutil.rmtree(kept)


def report(runs: dict[str, list[Measured]], limit_mib: float) -> None:
    """Medians, and each side against the plain copy and the memory limit."""
    print(f"\n{'':28}{'seconds':>9}{'of copy':>9}{'peak MiB':>10}{'anonymous MiB':>15}")
    floor = statistics.median(each.seconds for each in runs["copy of the base"])
    for side, measured in runs.items():
        seconds = statistics.median(each.seconds for each in measured)
        resident = statistics.median(each.resident_mib for each in measured)
        anonymous = statistics.median(each.anonymous_mib for each in measured)
        print(f"{side:28}{seconds:9.1f}{seconds / floor:8.1f}×{resident:10,.0f}{anonymous:15,.0f}")
    print(f"our limit: twice the largest tensor and 300 MiB, {limit_mib:,.0f} MiB")


if __name__ == "__main__":
    main()
