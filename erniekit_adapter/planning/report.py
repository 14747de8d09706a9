"""Print the plan of a project with its assumptions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from erniekit_adapter.architectures.models import CatalogueModel, Weights, find_model, is_local, model_problems
from erniekit_adapter.errors import UsageError, failure, usage_error
from erniekit_adapter.files import read_json
from erniekit_adapter.planning.epoch import (
    GPU,
    GPU_FLOPS,
    UTILIZATION,
    Epoch,
    ExampleStatistics,
    epoch,
    example_statistics,
)
from erniekit_adapter.planning.gpus import GPU_SIZES_GIB, trainable_on
from erniekit_adapter.planning.memory import (
    FRAGMENTED_SHARE,
    GIB,
    LABELLED_SHARE,
    PAGE_SHARE,
    MemoryUse,
    memory_use,
    precision,
    recomputes,
)
from erniekit_adapter.planning.out_of_memory import reliefs
from erniekit_adapter.planning.recommend import HEADROOM, TABLE_GIB, Recommendation, Shortfall, recommend, room_bytes
from erniekit_adapter.planning.shape import ModelSizes, shape_of_catalogue, shape_of_config
from erniekit_adapter.planning.trained import trainable_parameters
from erniekit_adapter.project.schema import Project

_NAMES = {
    "weights": "weights of the text model",
    "lora": "LoRA weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "reference": "reference model",
    "activations": "activations (estimate)",
    "logits": "logits (estimate)",
    "vision": "vision tower (estimate)",
    "buffers": "buffers (estimate)",
    "reserve": "reserve (assumed)",
}


def print_plan(
    project: Project,
    console: Console,
    *,
    gpus: int | None = None,
    memory_gib: float | None = None,
    version: str | None = None,
) -> None:
    """Print the memory and steps of a run, recommended settings, ways to save memory, and the assumptions.

    Args:
        project: the project file.
        console: output.
        gpus: number of GPUs, for which to recommend degrees and batch.
        memory_gib: of each GPU; default 80 with `gpus`. Without `gpus`, recommend for the fewest.
        version: of the toolkit; default: the project's own, or the one that the setup command installs.

    Raises:
        UsageError: the model is unknown, or a number is not positive.
        AdapterError: a size is missing in the folder's config.json.
    """
    if (gpus is not None and gpus < 1) or (memory_gib is not None and memory_gib <= 0):
        raise usage_error("--gpus, --memory-gib", f"found {gpus}, {memory_gib}", "set them to numbers over 0")
    on_gpu = project.training.device == "gpu"
    if gpus is not None and not on_gpu:
        raise usage_error("--gpus", "the project trains on a cpu", "remove --gpus, or add --set training.device=gpu")
    shape, read = model_shape(project), _statistics(project)
    used, found = memory_use(project, shape), epoch(project, shape, read)
    console.print(_needs(project, shape, used, found, read))
    if on_gpu:
        _print_fit(project, shape, console, used, read, (gpus, memory_gib), version)
        _print_reliefs(project, shape, console, read, version)
    elif memory_gib is not None:
        console.print(f"It {_fit(used, memory_gib)} {memory_gib:g} GiB of memory.", highlight=False)
    console.print("Assumed:")
    for assumption in _assumptions(project, shape, found, read):
        console.print(f"- {assumption}", highlight=False)


def model_shape(project: Project) -> ModelSizes:
    """Return the shape of the base model, from its folder or the published models.

    Raises:
        UsageError: the model is neither a folder nor published.
        AdapterError: a size is missing in the folder's config.json.
    """
    name = project.model.model_name_or_path
    if is_local(name):
        config = read_json(Path(name).expanduser() / "config.json")
        return shape_of_config(config if isinstance(config, dict) else {})
    known = find_model(name)
    if known is None:
        weights: Weights = "paddle" if project.backend == "erniekit" else "torch"
        raise UsageError(model_problems(name, "model.model_name_or_path", weights))
    return shape_of_catalogue(known)


def _statistics(project: Project) -> ExampleStatistics | None:
    """Return the statistics of the training examples; None before the data stage."""
    path = project.data_dir / "manifest.json"
    if not path.is_file():
        return None
    try:
        return example_statistics(read_json(path), preference=project.training.method == "DPO")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise failure(
            path, "not a manifest of the data stage", "run erniekit-adapter data build PROJECT again"
        ) from error


def _needs(project: Project, shape: ModelSizes, used: MemoryUse, found: Epoch, read: ExampleStatistics | None) -> Table:
    count, trained = project.parallel.world_size, trainable_parameters(project, shape)
    place = "the CPU" if project.training.device == "cpu" else "one GPU" if count == 1 else f"each of {count} GPUs"
    table = Table(title=f"{project.run_name}: on {place}", title_justify="left", show_header=False)
    table.add_row("parameters", f"{shape.parameters:,}")
    if shape.experts:
        table.add_row("active per token", f"{shape.active_parameters:,}")
    table.add_row("trainable", f"{trained:,} ({trained / shape.parameters:.2%})", end_section=True)
    for key, name in _NAMES.items():
        if size := getattr(used, key):
            table.add_row(name, _size(size))
    table.add_row("total", _size(used.total), end_section=True)
    if used.host:
        table.add_row("optimizer in host memory, all GPUs", _size(used.host))
    for name, value in _epoch_rows(found, read):
        table.add_row(name, value)
    return table


def _epoch_rows(found: Epoch, read: ExampleStatistics | None) -> Iterator[tuple[str, str]]:
    yield "tokens per step, at most", f"{found.tokens_per_step:,}"
    yield "steps, at most", f"{found.steps:,}" if found.steps is not None else "known after data build"
    if read is not None and read.longest is not None:
        yield "longest training example", f"up to {read.longest:,} tokens"
    if found.tokens is None or found.packs is None:
        yield "tokens per epoch", "known after data build" if read is None else "not counted"
        return
    yield "tokens per epoch", f"about {found.tokens:,}"
    yield "packs per epoch", f"{found.packs[0]:,} to {found.packs[1]:,}"
    if found.hours is not None:
        yield f"hours per epoch on {GPU}s (assumed speed)", f"about {found.hours:,.2g}"


def _print_fit(
    project: Project,
    shape: ModelSizes,
    console: Console,
    used: MemoryUse,
    read: ExampleStatistics | None,
    available: tuple[int | None, float | None],
    version: str | None,
) -> None:
    gpus, memory_gib = available
    if gpus is None and memory_gib is None:
        sizes = [str(size) for size in GPU_SIZES_GIB if used.total <= room_bytes(size)]
        console.print(
            f"Fits GPUs of {', '.join(sizes)} GiB." if sizes else f"Does not fit a GPU of {GPU_SIZES_GIB[-1]} GiB."
        )
        console.print('ARGS="--gpus 8 --memory-gib 80" recommends degrees and batch for such GPUs.', highlight=False)
        memory_gib, gpus = TABLE_GIB, project.parallel.world_size
        remark = recommend(
            project, shape, gpus=gpus, memory_gib=memory_gib, model=_published(project), version=version
        ).remarks[0]
        console.print(f"{remark}.", highlight=False)
        return
    limit = memory_gib or TABLE_GIB
    assumed = "" if memory_gib else " (assumed)"
    console.print(
        f"With its settings the project {_fit(used, limit)} GPUs of {limit:g} GiB{assumed}.",
        highlight=False,
    )
    found = recommend(project, shape, gpus=gpus, memory_gib=limit, model=_published(project), version=version)
    hours = epoch(found.project, shape, read).hours if isinstance(found, Recommendation) else None
    _print_recommendation(found, hours, console)
    if limit < TABLE_GIB:
        _print_single_gpu(limit, console)


def _fit(used: MemoryUse, limit_gib: float) -> str:
    if used.total <= room_bytes(limit_gib):
        return "fits"
    return f"fits with less than {HEADROOM:.0%} to spare" if used.total <= limit_gib * GIB else "does not fit"


def _published(project: Project) -> CatalogueModel | None:
    return find_model(project.model.model_name_or_path)


def _print_recommendation(found: Recommendation | Shortfall, hours: float | None, console: Console) -> None:
    if isinstance(found, Recommendation):
        table = Table(title="Recommended: the cheapest settings that fit", title_justify="left", show_header=False)
        for key, value in found.settings().items():
            table.add_row(key, f"{value:,}" if type(value) is int else str(value).lower())
        table.add_row("memory per GPU", _size(found.memory.total))
        if hours is not None:
            table.add_row(f"hours per epoch on {GPU}s (assumed speed)", f"about {hours:,.2g}")
        console.print(table)
    else:
        console.print(_shortfall(found), highlight=False)
    for remark in found.remarks:
        console.print(f"- {remark}.", highlight=False)


def _shortfall(found: Shortfall) -> str:
    if found.nearest:
        degrees = found.nearest.parallel
        least = (
            f"Nothing fits: the minimum is {_size(found.memory.total)} on each of {degrees.world_size} GPUs, "
            f"with tensor {degrees.tensor}, pipeline {degrees.pipeline} and one pack at a time."
        )
    else:
        least = "The model and its toolkit allow no parallel degrees with that number of GPUs."
    count = found.gpus_needed
    return f"{least} {f'{count} such GPUs are enough' if count else '256 such GPUs are not enough'}."


def _print_single_gpu(memory_gib: float, console: Console) -> None:
    table = Table(title=f"Models that one GPU of {memory_gib:g} GiB can train, by this estimate", title_justify="left")
    for name in ("model", "method", "longest packs"):
        table.add_column(name)
    for way in trainable_on(memory_gib):
        longest = f"{way.max_seq_length:,} tokens" if way.max_seq_length else way.impossible or "does not fit"
        table.add_row(way.model, way.method, longest)
    console.print(table)
    console.print("ERNIEKit requires Ampere or Hopper GPUs of 80 GB; smaller ones are not supported by it.")


def _print_reliefs(
    project: Project, shape: ModelSizes, console: Console, read: ExampleStatistics | None, version: str | None
) -> None:
    found = reliefs(project, shape, longest=read.longest if read else None, model=_published(project), version=version)
    if not found:
        return
    table = Table(title="Settings that save memory, cheapest first", title_justify="left")
    for name in ("in the project file", "costs", "saves"):
        table.add_column(name, overflow="fold")
    for relief in found:
        table.add_row(relief.keys, relief.cost, _size(relief.saved_bytes))
    console.print(table)


def _assumptions(project: Project, shape: ModelSizes, found: Epoch, read: ExampleStatistics | None) -> Iterator[str]:
    training, used = project.training, precision(project)
    experts = f", in experts {used.expert:g}" if shape.experts else ""
    yield (
        f"a weight takes {used.other} bytes, in matrices {used.linear:g}{experts}; a trained one "
        f"{used.gradient} more for its gradient and {used.optimizer} for AdamW"
        + (", these in host memory" if used.on_host else "")
    )
    yield f"activations are computed {'again in the backward pass' if recomputes(project) else 'once and kept'}"
    share = f"{LABELLED_SHARE:.0%} of the tokens" if used.labelled_only else "every token"
    yield f"packs are full; logits are computed for {share}"
    if project.parallel.pipeline > 1:
        yield "the fullest pipeline rank has the most experts, the embedding, and all its packs in flight"
    if shape.vision:
        yield f"{PAGE_SHARE:.0%} of a pack's tokens are image tokens of 4 patches; the vision tower is not divided"
        if shape.vision.assumed:
            yield "the vision tower has the toolkit's default size, as its size is not published"
    fixed = "0.5 GiB" if training.device == "cpu" else "1.5 GiB, and 1 GiB more for communication between GPUs"
    yield f"the reserve is {fixed}, and {FRAGMENTED_SHARE:.0%} of the rest for fragmentation"
    if training.device == "gpu":
        yield f"{HEADROOM:.0%} of a GPU's memory stays free"
    if found.tokens is not None:
        counted = "all examples" if read and read.all_counted else "a part of the examples"
        yield f"training examples have the mean length of {counted}, including test examples"
    if found.hours is not None:
        yield f"an {GPU} reaches {UTILIZATION:.0%} of its {GPU_FLOPS / 1e12:g} · 10^12 operations per second"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.2f} GiB" if size_bytes >= GIB / 10 else f"{size_bytes / 2**20:.1f} MiB"
