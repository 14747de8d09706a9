"""The merge of a native LoRA adapter into its base model: W + scaling · A·B, streamed from file to file.

Memory has a few blocks of some MiB, independent of the model's size. Each block is read from the base model, computed
in float32, rounded to the type of the base model and written to its place. Other tensors are copied unchanged.
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

from erniekit_adapter.errors import AdapterError, Problem, failure, usage_error
from erniekit_adapter.files import is_inside, write_bytes, write_json, writing_folder
from erniekit_adapter.layouts.adapter_files import NATIVE_INDEX, read_native
from erniekit_adapter.layouts.base_files import INDEX, list_weights, main_dtype, read_config
from erniekit_adapter.layouts.base_model import Layout, base_layout, layout_of_base
from erniekit_adapter.merge.jobs import Done, Job, jobs
from erniekit_adapter.merge.matching import LoraPair, match_erniekit, match_paddleformers
from erniekit_adapter.merge.plan import Output, planned_outputs
from erniekit_adapter.merge.server_files import ServerFiles, server_files
from erniekit_adapter.tensor_files import StoredTensor, file_header, list_indexed, read_metadata

_MAX_WORKERS = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MergeReport:
    """Result of a merge.

    Attributes:
        tensors: number of tensors written.
        adapted: number of the base model's tensors that the adapter changed.
        size_bytes: size of all weights.
        seconds: duration.
        largest_tensor_bytes: size of the base model's largest tensor.
        greatest_change: the largest absolute change of a weight, before rounding to the stored type.
        without_effect: adapted tensors in which rounding removed every change.
        files: the files beside the weights.
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
    """Everything that is known before the first byte is written.

    Attributes:
        base_dir: the base model's folder.
        base: its tensors.
        pairs: the adapter's A and B, by the name of the base model's tensor.
        layout: the layout to write.
        outputs: the tensors to write for each tensor of the base model.
        files: the files beside the weights.
    """

    base_dir: Path
    base: Mapping[str, StoredTensor]
    pairs: Mapping[str, LoraPair]
    layout: Layout
    outputs: Mapping[str, list[Output]]
    files: ServerFiles

    @property
    def size_bytes(self) -> int:
        """Size of all weights."""
        return sum(out.size_bytes for out in chain.from_iterable(self.outputs.values()))


def merge(
    base_dir: Path,
    adapter_dir: Path,
    output: Path,
    layout: Layout,
    on_progress: Progress = lambda written, total: None,
) -> MergeReport:
    """Merge a native adapter into its base model, and write a folder with all files that a server needs, atomically.

    The weight files have the names of the base model's. Each tensor is written once and keeps its type.

    Args:
        base_dir: the base model that was trained on: in ERNIEKit's layout, or for PaddleFormers in Hugging Face's.
        adapter_dir: the adapter as the toolkit wrote it.
        output: the folder to write; an existing one is replaced at the end.
        layout: `paddle` is ERNIEKit's layout, `hugging-face` that of transformers, PaddleFormers and vLLM.
        on_progress: called with the bytes written and the bytes in total.

    Raises:
        AdapterError: base model or adapter is damaged, a tensor of the adapter has no counterpart, the adapter is not
            plain LoRA or contains NaN, a result does not fit its type, a needed file is missing, or the disk is full.
        UsageError: the output would replace the base model or the adapter.
    """
    started = time.perf_counter()
    _refuse_overwriting(output, base_dir, adapter_dir)
    base, config = list_weights(base_dir), read_config(base_dir)
    adapter, lora_config = list_indexed(adapter_dir / NATIVE_INDEX), read_native(adapter_dir)[1]
    if layout_of_base(base) == "paddle":
        pairs = match_erniekit(base, adapter, lora_config)
    else:
        pairs = match_paddleformers(base, adapter, lora_config, config)
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
    """Convert a base model from ERNIEKit's layout to that of transformers and PaddleFormers, atomically.

    Memory is bounded as in `merge`.

    Raises:
        AdapterError: the model cannot be represented exactly, a file is missing, or the disk is full.
        UsageError: the output would replace the model.
    """
    _refuse_overwriting(output, model)
    base = list_weights(model)
    if layout_of_base(base) == "hugging-face":
        raise failure(model, "is already in the layout of transformers", "use it as it is")
    plan = _planned(model, base, read_config(model), {}, "hugging-face")
    _write_model(output, plan, lambda written, total: None)


def _refuse_overwriting(output: Path, *sources: Path) -> None:
    for source in sources:
        if is_inside(output, source):
            raise usage_error(output, f"contains {source}, which the merge would replace", "choose another folder")


def _planned(
    base_dir: Path,
    base: Mapping[str, StoredTensor],
    config: Mapping[str, Any],
    pairs: Mapping[str, LoraPair],
    layout: Layout,
) -> _Plan:
    base_model_layout = layout_of_base(base)
    if base_model_layout == "hugging-face" and layout == "paddle":
        finding = "is in the layout of transformers, and cannot be merged in ERNIEKit's layout"
        raise failure(base_dir, finding, "use the Hugging Face layout: merged-hf")
    target = base_layout(config) if base_model_layout != layout else None
    outputs = planned_outputs(base, target)
    files = server_files(base_dir, main_dtype(base) if target else None)
    return _Plan(base_dir, base, pairs, layout, outputs, files)


def _check_space(output: Path, needed_bytes: int) -> None:
    folder = next(parent for parent in output.resolve().parents if parent.is_dir())
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        finding = f"the merged weights need {needed_bytes:,} bytes and {free_bytes:,} are free"
        raise failure(folder, finding, "free space or choose another folder")


def _check_numbers(done: Iterable[Done]) -> None:
    broken: set[str] = set()
    overflown: set[str] = set()
    for job in done:
        if not np.isfinite(job.greatest_change):
            broken.add(job.name)
        elif not job.finite:
            overflown.add(job.name)
    problems = [Problem(name, "the adapter contains NaN or infinity", "train again") for name in sorted(broken)]
    for name in sorted(overflown):
        problems.append(Problem(name, "merged numbers are too large for the base's type", "use a base in bfloat16"))
    if problems:
        raise AdapterError(problems)


def _write_model(output: Path, plan: _Plan, on_progress: Progress) -> tuple[list[Done], int]:
    """Write the weights, their index if the base model has one, and the other files.

    Returns:
        Results of the jobs, and the number of tensors.
    """
    total = plan.size_bytes
    _check_space(output, total)
    with writing_folder(output) as folder:
        done, places = _write_weights(folder, plan, lambda size: on_progress(size, total))
        _check_numbers(done)
        if (plan.base_dir / INDEX).is_file():
            write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
        for name, content in plan.files.contents.items():
            write_bytes(folder / name, content)
    return done, len(places)


def _write_weights(folder: Path, plan: _Plan, on_progress: Callable[[int], None]) -> tuple[list[Done], dict[str, str]]:
    """Write a file for each weight file of the base model: the header, then the data in order.

    Returns:
        Results of the jobs, and the file's name for each tensor.
    """
    done: list[Done] = []
    places: dict[str, str] = {}
    written, workers, outputs = 0, min(os.cpu_count() or 1, _MAX_WORKERS), plan.outputs
    in_order = sorted(plan.base.values(), key=lambda tensor: (str(tensor.path), tensor.start))
    with ThreadPoolExecutor(workers) as pool:
        for path, group in groupby(in_order, key=lambda tensor: tensor.path):
            sources = [tensor for tensor in group if outputs[tensor.name]]
            listed = [(out.name, source.dtype, out.shape) for source in sources for out in outputs[source.name]]
            if not listed:
                continue  # the file has a tied head only
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
    pairs: Mapping[str, LoraPair],
) -> Iterator[Job | None]:
    for source in sources:
        yield from jobs(descriptor, start, source, outputs[source.name], pairs.get(source.name))
        start += sum(out.size_bytes for out in outputs[source.name])


def _run(pool: ThreadPoolExecutor, limit: int, work: Iterable[Job | None]) -> Iterator[Done]:
    """Run jobs in parallel, at most `limit` at a time. At None, wait for all jobs before it."""
    running: deque[Future[Done]] = deque()
    try:
        for job in work:
            if job is not None:
                running.append(pool.submit(job))
            while len(running) >= (1 if job is None else limit):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
