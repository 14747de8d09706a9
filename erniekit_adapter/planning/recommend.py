"""Parallel degrees and batch with which a project fits given GPUs, compared with ERNIEKit's table of minimum GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.architectures.models import CatalogueModel, MeasuredMethod, MinimumGpus, minimum_gpus
from erniekit_adapter.architectures.toolkits import Quantization
from erniekit_adapter.planning.acceptance import Acceptance, accept_all, acceptance, separate_gpus_only
from erniekit_adapter.planning.memory import GIB, MemoryUse, memory_use
from erniekit_adapter.planning.shape import ModelSizes
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import ParallelSection

# ERNIEKit's table is for GPUs of 80 GB; tensor parallelism stays within a machine of 8.
TABLE_GIB, _MACHINE_GPUS = 80, 8
# The methods of ERNIEKit's table, by quantization.
_OF_EVERY_WEIGHT: dict[Quantization | None, MeasuredMethod] = {None: "SFT", "fp8": "SFT fp8"}
_WITH_LORA: dict[Quantization | None, MeasuredMethod] = {None: "LoRA", "wint4/8": "LoRA wint4/8"}
_DPO: tuple[MeasuredMethod, MeasuredMethod] = ("DPO", "DPO LoRA")
# Share of a GPU's memory that a plan leaves free, for drivers and the error of the estimate.
HEADROOM = 0.1
_COUNTS = (1, 2, 4, *range(8, 257, 8))


@dataclass(frozen=True)
class Recommendation:
    """Parallel degrees and batch that fit.

    Attributes:
        project: the project with them.
        memory: of its fullest GPU.
        remarks: differences from the project and from ERNIEKit's table.
    """

    project: Project
    memory: MemoryUse
    remarks: tuple[str, ...]

    def settings(self) -> dict[str, Any]:
        """Return the recommended keys of the project file."""
        parallel, training = self.project.parallel, self.project.training
        return {
            "parallel.gpus": parallel.world_size,
            "parallel.tensor": parallel.tensor,
            "parallel.pipeline": parallel.pipeline,
            "parallel.sharding": parallel.sharding,
            "parallel.sequence": parallel.sequence,
            "training.per_device_train_batch_size": training.per_device_train_batch_size,
            "training.gradient_accumulation_steps": training.gradient_accumulation_steps,
            **({"parallel.sharding_stage": parallel.sharding_stage} if _gives_sharding_stage(parallel) else {}),
        }


@dataclass(frozen=True)
class Shortfall:
    """The result if nothing fits.

    Attributes:
        nearest: the project with the least memory on those GPUs; None if no allowed degrees give their number.
        memory: of the fullest GPU of `nearest`, or of the project itself.
        gpus_needed: number of such GPUs that suffices; None if more than 256 are needed.
        remarks: as for a recommendation.
    """

    nearest: Project | None
    memory: MemoryUse
    gpus_needed: int | None
    remarks: tuple[str, ...]


def _gives_sharding_stage(parallel: ParallelSection) -> bool:
    return "sharding_stage" in parallel.model_fields_set


def room_bytes(memory_gib: float) -> float:
    """Return the bytes of a GPU that a plan uses: its memory without the headroom."""
    return memory_gib * GIB * (1 - HEADROOM)


def changed(project: Project, **sections: Mapping[str, Any]) -> Project:
    """Return a project with other values for some keys: `changed(project, training={"max_seq_length": 512})`."""
    return project.model_copy(
        update={name: getattr(project, name).model_copy(update=dict(keys)) for name, keys in sections.items()}
    )


def method_of(project: Project) -> MeasuredMethod | None:
    """Return the method of a project in ERNIEKit's table; None if the table does not have it."""
    preference, quantization = project.training.method == "DPO", project.training.quantization
    if preference:
        return _DPO[project.lora.enabled] if quantization is None else None
    return (_WITH_LORA if project.lora.enabled else _OF_EVERY_WEIGHT).get(quantization)


def degrees(project: Project, shape: ModelSizes, gpus: int) -> list[tuple[int, int]]:
    """Return the (tensor, pipeline) that model and toolkit allow, with the fewest GPUs per copy of the model first.

    Tensor parallelism divides the heads and the key-value heads within one machine. Each pipeline rank has a layer;
    a quantized dense model and PaddleOCR-VL allow no pipeline. ERNIE-VL needs two ranks or more (from ERNIEKit 1.4,
    tensor parallelism is enough). In ERNIEKit it has one copy on all GPUs, as copies would read the same examples.
    """
    most = min(_MACHINE_GPUS, gpus)
    tensors = [t for t in (1, 2, 4, 8) if t <= most and shape.kv_heads % t == 0 and shape.heads % t == 0]
    dense, experts_and_images = shape.experts is None, shape.experts is not None and shape.vision is not None
    unpiped = dense and (shape.vision is not None or project.training.quantization is not None)
    stages = [1] if unpiped else range(2 if experts_and_images else 1, min(shape.layers // 2, gpus) + 1)
    found = [
        (tensor, pipeline)
        for tensor in tensors
        for pipeline in stages or [1]
        if gpus % (tensor * pipeline) == 0 and -(-shape.layers // pipeline) * (pipeline - 1) < shape.layers
    ]
    if experts_and_images:
        one_copy = project.backend == "erniekit"
        found = [each for each in found if each[1] > 1 and (not one_copy or each[0] * each[1] == gpus)]
    return sorted(found, key=lambda each: (each[0] * each[1], each[1]))


def _candidates(project: Project, shape: ModelSizes, gpus: int) -> Iterator[Project]:
    """Yield the project for a number of GPUs, cheapest first: fewest GPUs per copy, then the largest batch."""
    packs = packs_of_step(project)
    for tensor, pipeline in degrees(project, shape, gpus):
        groups = gpus // (tensor * pipeline)
        # A pipeline with fewer packs than ranks leaves GPUs idle; with images it divides the packs among its ranks.
        own = max(1, -(-packs // groups))
        own = -(-own // pipeline) * pipeline
        parallel = ParallelSection(
            gpus=gpus,
            tensor=tensor,
            pipeline=pipeline,
            sharding=groups,
            sequence=tensor > 1,
            **_sharding_stage(project, groups, pipeline),
        )
        batch = 1 << (own.bit_length() - 1)
        while batch:
            if own % batch == 0 and own // batch % pipeline == 0:
                steps = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": own // batch}
                yield changed(project, training=steps).model_copy(update={"parallel": parallel})
            batch //= 2


def _sharding_stage(project: Project, groups: int, pipeline: int) -> dict[str, Any]:
    """Return the project's sharding stage if it applies: one group has no sharding, and pipelines allow only stage1."""
    if groups == 1 or not _gives_sharding_stage(project.parallel):
        return {}
    return {"sharding_stage": "stage1" if pipeline > 1 else project.parallel.sharding_stage}


def fitting(
    project: Project, shape: ModelSizes, gpus: int, limit_bytes: float, accept: Acceptance = accept_all
) -> Project | None:
    """Return the cheapest variant of a project within a limit per GPU that is accepted; None without one."""
    candidates = _candidates(project, shape, gpus)
    within_limit = (each for each in candidates if memory_use(each, shape).total <= limit_bytes)
    return next((each for each in within_limit if accept(each)), None)


def fewest_gpus(project: Project, shape: ModelSizes, limit_bytes: float, accept: Acceptance = accept_all) -> int | None:
    """Return the fewest GPUs that a project fits: 1, 2, 4 or machines of 8; None over 256."""
    return next((count for count in _COUNTS if fitting(project, shape, count, limit_bytes, accept)), None)


def recommend(
    project: Project,
    shape: ModelSizes,
    *,
    gpus: int | None,
    memory_gib: float,
    model: CatalogueModel | None = None,
    version: str | None = None,
) -> Recommendation | Shortfall:
    """Return the cheapest degrees and batch that fit, with the packs per step of the project.

    Args:
        project: the project file.
        shape: of its base model.
        gpus: number of GPUs; None for the fewest, but at least those of ERNIEKit's table.
        memory_gib: of each GPU.
        model: the published model, for its row in ERNIEKit's table.
        version: of the toolkit; by default the project's own, or the one that the setup command installs.
    """
    method = method_of(project)
    row = minimum_gpus(model, method, project.training.max_seq_length) if model and method else None
    limit, accept = room_bytes(memory_gib), acceptance(project, version)
    needed = fewest_gpus(project, shape, limit, accept)
    count, remarks = _compared_with_table(row, needed, gpus, memory_gib)
    found = fitting(project, shape, count, limit, accept) if count else None
    if found is None:
        candidates = _candidates(project, shape, count or _COUNTS[-1])
        tried = [each for each in candidates if accept(each)]
        if reason := separate_gpus_only(project):
            remarks.append(reason)
        nearest = min(tried, key=lambda each: memory_use(each, shape).total, default=None)
        return Shortfall(nearest, memory_use(nearest or project, shape), needed, tuple(remarks))
    before, after = packs_of_step(project), packs_of_step(found)
    if before != after:
        remarks.append(
            f"a step has {after} packs instead of {before}, so that GPUs and pipeline ranks share them evenly"
        )
    if _gives_sharding_stage(project.parallel) and not _gives_sharding_stage(found.parallel):
        remarks.append("remove parallel.sharding_stage, which has no effect with parallel.sharding 1")
    if found.parallel.tensor > 1:
        remarks.append("tensor parallelism can change the order of columns in the adapter: see docs/export.md")
    return Recommendation(found, memory_use(found, shape), tuple(remarks))


def packs_of_step(project: Project) -> int:
    """Return the packs of one optimizer step on all GPUs."""
    training = project.training
    return training.per_device_train_batch_size * training.gradient_accumulation_steps * project.parallel.data


def _compared_with_table(
    row: MinimumGpus | None, needed: int | None, gpus: int | None, memory_gib: float
) -> tuple[int | None, list[str]]:
    """Return the number of GPUs to plan with, and remarks on ERNIEKit's table."""
    count = needed if gpus is None else gpus
    if row is None:
        return count, ["ERNIEKit's table of minimum GPUs has no row for this model, method and length"]
    entry = (
        f"ERNIEKit's table requires {row.gpus} × {TABLE_GIB} GB for {row.method} "
        f"with packs of {row.max_seq_length:,} tokens"
    )
    if memory_gib < TABLE_GIB:
        return count, [f"{entry}; it has no rows for smaller GPUs"]
    if gpus is not None:
        agreement = f"a plan for {gpus} CONTRADICTS it" if gpus < row.gpus else "this agrees with it"
        return gpus, [f"{entry}: {agreement}"]
    if needed is None or needed > row.gpus:
        more = f"{needed} are needed" if needed else f"{_COUNTS[-1]} are not enough"
        reason = "its examples keep the optimizer in host memory and compute logits only for labelled tokens"
        return count, [f"{entry}; by this estimate {more}, which CONTRADICTS it: {reason}"]
    if needed < row.gpus:
        return row.gpus, [f"{entry}; by this estimate {needed} are enough: the table is used"]
    return count, [f"{entry}: this agrees with it"]
