"""The merge of a native LoRA adapter into its base model, W + scaling · A·B, streamed from file to file.

Only blocks of a few MiB are ever held, whatever the model's size: each is read from the base, computed in float32,
rounded to the base's own type and written to its place. What the adapter does not touch is copied as it lies.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.adapters.layouts_base import Layout, base_layout, layout_of_base
from erniekit_adapter.adapters.merge_jobs import Done, Job, jobs
from erniekit_adapter.adapters.merge_pairs import Pair, pair_up, pair_up_turned
from erniekit_adapter.adapters.merge_plan import Output, planned_outputs
from erniekit_adapter.adapters.peft import NATIVE_INDEX, read_native
from erniekit_adapter.adapters.proof import Dtype
from erniekit_adapter.adapters.server_files import ServerFiles, server_files
from erniekit_adapter.errors import AdapterError, Problem, fail, misuse
from erniekit_adapter.files import is_inside, read_json, write_bytes, write_json, writing_folder
from erniekit_adapter.tensor_files import (
    StoredTensor,
    file_header,
    list_indexed,
    list_tensors,
    read_metadata,
)

SINGLE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
_TORCH_DTYPES: Mapping[str, Dtype] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_MOST_WORKERS = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MergeReport:
    """What a merge wrote.

    Attributes:
        tensors: tensors written.
        adapted: how many of the base's tensors the adapter changed.
        size_bytes: size of all weights together.
        seconds: how long it took.
        largest_tensor_bytes: size of the base's largest tensor.
        greatest_change: the largest absolute change to a weight, before rounding to the stored type.
        without_effect: adapted tensors in which every change was too small for the stored type, or zero.
        files: what stands beside the weights.
    """

    tensors: int
    adapted: int
    size_bytes: int
    seconds: float
    largest_tensor_bytes: int
    greatest_change: float
    without_effect: tuple[str, ...]
    files: ServerFiles


@dataclass(frozen=True)
class _Plan:
    """All that is known before anything is written.

    Attributes:
        base_dir: the base model's folder.
        base: its tensors.
        pairs: what the adapter adds, by the name of the base's tensor.
        layout: the layout to write.
        outputs: what each tensor of the base becomes.
        files: what stands beside the weights.
    """

    base_dir: Path
    base: Mapping[str, StoredTensor]
    pairs: Mapping[str, Pair]
    layout: Layout
    outputs: Mapping[str, list[Output]]
    files: ServerFiles

    @property
    def size_bytes(self) -> int:
        """Size of all weights together."""
        return sum(out.size_bytes for out in chain.from_iterable(self.outputs.values()))


def merge(
    base_dir: Path,
    adapter_dir: Path,
    output: Path,
    layout: Layout,
    on_progress: Progress = lambda written, total: None,
) -> MergeReport:
    """Merge a native adapter into its base model and write the result with all that a server needs, or nothing.

    Files are those of the base model: its shards under its names, each tensor once, of its own type.

    Args:
        base_dir: the base model that was trained on: ERNIEKit's is in its own layout, PaddleFormers' in Hugging Face's.
        adapter_dir: the adapter as the toolkit wrote it.
        output: the folder to write; one that is there already is replaced when all is done.
        layout: `paddle` is ERNIEKit's layout, `hugging-face` that of transformers, PaddleFormers and vLLM.
        on_progress: called with the bytes written so far and the bytes in all.

    Raises:
        AdapterError: base or adapter is damaged, a tensor of the adapter has no place, the adapter is no plain LoRA
            or holds nan, a result does not fit its type, a needed file is missing, or the disk is too small.
        UsageError: the output would replace the base or the adapter.
    """
    started = time.perf_counter()
    _check_places(output, base_dir, adapter_dir)
    base, config = list_model(base_dir), _config(base_dir)
    adapter, lora_config = list_indexed(adapter_dir / NATIVE_INDEX), read_native(adapter_dir)[1]
    if layout_of_base(base) == "paddle":
        pairs = pair_up(base, adapter, lora_config)
    else:
        pairs = pair_up_turned(base, adapter, lora_config, config)
    plan = _planned(base_dir, base, config, pairs, layout)
    done, tensors = _write_model(output, plan, on_progress)
    differing = {job.name for job in done if job.differs}
    return MergeReport(
        tensors=tensors,
        adapted=len(pairs),
        size_bytes=plan.size_bytes,
        seconds=time.perf_counter() - started,
        largest_tensor_bytes=max(source.size_bytes for source in base.values()),
        greatest_change=max((job.greatest_change for job in done), default=0.0),
        without_effect=tuple(sorted(set(pairs) - differing)),
        files=plan.files,
    )


def write_hf_base(model: Path, output: Path) -> None:
    """Write a base model of ERNIEKit's layout in that of transformers and PaddleFormers, without an adapter.

    It is the same machinery, so memory is bounded and the result is there whole or not at all.

    Raises:
        AdapterError: the model cannot be represented exactly, a file is missing, or the disk is too small.
        UsageError: the output would replace the model.
    """
    _check_places(output, model)
    base = list_model(model)
    if layout_of_base(base) == "hugging-face":
        raise fail(model, "is in the layout of transformers already", "use it as it is")
    plan = _planned(model, base, _config(model), {}, "hugging-face")
    _write_model(output, plan, lambda written, total: None)


def _check_places(output: Path, *sources: Path) -> None:
    for source in sources:
        if is_inside(output, source):
            raise misuse(output, f"holds {source}, and would be replaced by the merge", "choose another folder")


def _config(base_dir: Path) -> dict[str, Any]:
    config = read_json(base_dir / "config.json")
    if not isinstance(config, dict):
        raise fail(base_dir / "config.json", "is not an object", "download the model again")
    return config


def _planned(
    base_dir: Path,
    base: Mapping[str, StoredTensor],
    config: Mapping[str, Any],
    pairs: Mapping[str, Pair],
    layout: Layout,
) -> _Plan:
    own = layout_of_base(base)
    if own == "hugging-face" and layout == "paddle":
        what = "is in the layout of transformers, and a merge in ERNIEKit's was asked for"
        raise fail(base_dir, what, "take the Hugging Face layout: merged-hf")
    target = base_layout(config) if own != layout else None
    outputs = planned_outputs(base, target)
    return _Plan(base_dir, base, pairs, layout, outputs, server_files(base_dir, _torch_dtype(base) if target else None))


def list_model(folder: Path) -> dict[str, StoredTensor]:
    """Where each tensor of a model lies.

    Raises:
        AdapterError: a file is missing or damaged, or files and index do not agree.
    """
    if (folder / INDEX).is_file():
        return list_indexed(folder / INDEX)
    if not (folder / SINGLE_FILE).is_file():
        raise fail(folder, f"has neither {SINGLE_FILE} nor {INDEX}", "download the model again, as safetensors")
    return list_tensors(folder / SINGLE_FILE)


def stored_dtype(folder: Path) -> Dtype:
    """The type that most bytes of a model's weights have.

    Raises:
        AdapterError: as `list_model` does.
    """
    return _torch_dtype(list_model(folder))


def _torch_dtype(base: Mapping[str, StoredTensor]) -> Dtype:
    """The type that most bytes of the model have, as transformers names it."""
    sizes: dict[str, int] = {}
    for tensor in base.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size_bytes
    return _TORCH_DTYPES.get(max(sizes, key=lambda dtype: sizes[dtype], default=""), "float32")


def _check_space(output: Path, needed_bytes: int) -> None:
    folder = next(parent for parent in output.resolve().parents if parent.is_dir())
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        what = f"the merged weights take {needed_bytes:,} bytes and {free_bytes:,} are free"
        raise fail(folder, what, "free space or choose another folder")


def _check(done: Iterable[Done]) -> None:
    broken: set[str] = set()
    overflown: set[str] = set()
    for job in done:
        if not np.isfinite(job.greatest_change):
            broken.add(job.name)
        elif not job.finite:
            overflown.add(job.name)
    problems = [Problem(name, "the adapter's numbers are nan or infinite", "train anew") for name in sorted(broken)]
    for name in sorted(overflown):
        problems.append(Problem(name, "merged numbers are too large for the base's type", "use a base in bfloat16"))
    if problems:
        raise AdapterError(problems)


def _write_model(output: Path, plan: _Plan, on_progress: Progress) -> tuple[list[Done], int]:
    """Write weights, their index where the base has one, and the files beside them; what was done, how many tensors."""
    total = plan.size_bytes
    _check_space(output, total)
    with writing_folder(output) as folder:
        done, places = _write_weights(folder, plan, lambda size: on_progress(size, total))
        _check(done)
        if (plan.base_dir / INDEX).is_file():
            write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
        for name, content in plan.files.contents.items():
            write_bytes(folder / name, content)
    return done, len(places)


def _write_weights(folder: Path, plan: _Plan, on_progress: Callable[[int], None]) -> tuple[list[Done], dict[str, str]]:
    """Write the base's files anew, each its header first and then its data in order; which tensor is where."""
    done: list[Done] = []
    places: dict[str, str] = {}
    written, workers, outputs = 0, min(os.cpu_count() or 1, _MOST_WORKERS), plan.outputs
    in_order = sorted(plan.base.values(), key=lambda tensor: (str(tensor.path), tensor.start))
    with ThreadPoolExecutor(workers) as pool:
        for path, group in groupby(in_order, key=lambda tensor: tensor.path):
            sources = [tensor for tensor in group if outputs[tensor.name]]
            listed = [(out.name, source.dtype, out.shape) for source in sources for out in outputs[source.name]]
            if not listed:
                continue  # a file that held a tied head alone
            torch = {"format": "pt"} if plan.layout == "hugging-face" else {}
            header = file_header(listed, read_metadata(path) | torch)
            with (folder / path.name).open("wb") as stream:
                stream.write(header)
                stream.flush()
                work = _jobs_of_file(stream.fileno(), len(header), sources, outputs, plan.pairs)
                for job in _run(pool, 2 * workers, work):
                    done.append(job)
                    written += job.size_bytes
                    on_progress(written)
            places |= dict.fromkeys((name for name, _, _ in listed), path.name)
    return done, places


def _jobs_of_file(
    descriptor: int,
    start: int,
    sources: Iterable[StoredTensor],
    outputs: Mapping[str, list[Output]],
    pairs: Mapping[str, Pair],
) -> Iterator[Job | None]:
    for source in sources:
        yield from jobs(descriptor, start, source, outputs[source.name], pairs.get(source.name))
        start += sum(out.size_bytes for out in outputs[source.name])


def _run(pool: ThreadPoolExecutor, most: int, work: Iterable[Job | None]) -> Iterator[Done]:
    """Run jobs side by side, at most so many under way; a None waits for all before it."""
    under_way: deque[Future[Done]] = deque()
    try:
        for job in work:
            if job is not None:
                under_way.append(pool.submit(job))
            while len(under_way) >= (1 if job is None else most):
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()
