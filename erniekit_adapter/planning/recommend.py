"""The degrees and the batch with which a project fits given GPUs, held against ERNIEKit's own table. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.planning.memory import GIB, MemoryUse, memory_use
from erniekit_adapter.planning.shape import ModelShape
from erniekit_adapter.project.catalogue import CatalogueModel, Method, MinimumGpus, minimum_gpus
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import LINEAR_MODULES, ParallelSection, Quantization

# ERNIEKit's table is of cards of 80 GB; tensor parallelism stays within a machine of 8.
TABLE_GIB, _MACHINE_GPUS = 80, 8
# The methods of ERNIEKit's table, by quantization.
_OF_EVERY_WEIGHT: dict[Quantization | None, Method] = {None: "SFT", "fp8": "SFT fp8"}
_WITH_LORA: dict[Quantization | None, Method] = {None: "LoRA", "wint4/8": "LoRA wint4/8"}
_DPO: tuple[Method, Method] = ("DPO", "DPO LoRA")
# Of a GPU's memory a tenth is left free: drivers take some, and estimates are estimates.
HEADROOM = 0.1
_COUNTS = (1, 2, 4, *range(8, 257, 8))


@dataclass(frozen=True)
class Recommendation:
    """Degrees and batch that fit.

    Attributes:
        project: the project with them.
        memory: what its fullest GPU holds.
        remarks: where this differs from the project or from ERNIEKit's table, in words.
    """

    project: Project
    memory: MemoryUse
    remarks: tuple[str, ...]

    def settings(self) -> dict[str, Any]:
        """The keys of the project file that say it."""
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
    """Nothing fits.

    Attributes:
        nearest: what needs the least on those GPUs; None where no degrees that are allowed make up their number.
        memory: what its fullest GPU would hold, or the project's own.
        gpus_needed: how many GPUs of that size would do; None where no number up to 256 does.
        remarks: as in a recommendation.
    """

    nearest: Project | None
    memory: MemoryUse
    gpus_needed: int | None
    remarks: tuple[str, ...]


def _gives_sharding_stage(parallel: ParallelSection) -> bool:
    return "sharding_stage" in parallel.model_fields_set


def room_bytes(memory_gib: float) -> float:
    """What a plan may take of a GPU with so much memory: all but the headroom."""
    return memory_gib * GIB * (1 - HEADROOM)


def changed(project: Project, **sections: Mapping[str, Any]) -> Project:
    """A project with some keys of its sections replaced: `changed(project, training={"max_seq_length": 512})`."""
    return project.model_copy(
        update={name: getattr(project, name).model_copy(update=dict(keys)) for name, keys in sections.items()}
    )


def method_of(project: Project) -> Method | None:
    """The column of ERNIEKit's table that a project falls under; None where its table has none such."""
    preference, quantization = project.training.stage == "DPO", project.training.quantization
    if preference:
        return _DPO[project.lora.enabled] if quantization is None else None
    return (_WITH_LORA if project.lora.enabled else _OF_EVERY_WEIGHT).get(quantization)


def degrees(project: Project, shape: ModelShape, gpus: int) -> list[tuple[int, int]]:
    """(tensor, pipeline) that a model and its toolkit allow on so many GPUs, fewest GPUs for a copy of the model first.

    Tensor parallelism divides the heads and the key-value heads within one machine. A pipeline leaves no stage without
    a layer; a quantized dense model trains in none, nor does PaddleOCR-VL. ERNIE-VL needs two stages at least (from
    ERNIEKit 1.4 on tensor parallelism alone would do), and in ERNIEKit every GPU for one copy, for copies would read
    the same lines.
    """
    most = min(_MACHINE_GPUS, gpus)
    tensors = [t for t in (1, 2, 4, 8) if t <= most and shape.kv_heads % t == 0 and shape.heads % t == 0]
    dense, experts_and_pages = shape.experts is None, shape.experts is not None and shape.vision is not None
    unpiped = dense and (shape.vision is not None or project.training.quantization is not None)
    stages = [1] if unpiped else range(2 if experts_and_pages else 1, min(shape.layers // 2, gpus) + 1)
    found = [
        (tensor, pipeline)
        for tensor in tensors
        for pipeline in stages or [1]
        if gpus % (tensor * pipeline) == 0 and -(-shape.layers // pipeline) * (pipeline - 1) < shape.layers
    ]
    if experts_and_pages:
        alone = project.backend == "erniekit"
        found = [each for each in found if each[1] > 1 and (not alone or each[0] * each[1] == gpus)]
    return sorted(found, key=lambda each: (each[0] * each[1], each[1]))


def _candidates(project: Project, shape: ModelShape, gpus: int) -> Iterator[Project]:
    """The project on so many GPUs, cheapest first: fewest GPUs for a copy, then the largest batch."""
    packs = packs_of_step(project)
    for tensor, pipeline in degrees(project, shape, gpus):
        groups = gpus // (tensor * pipeline)
        # A pipeline with fewer packs than stages leaves GPUs idle, and with pages it divides them among its stages.
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
    """Return the stage that a project gives, as far as it can be used: nothing is sharded in one group, and pipelines
    go with stage1 alone."""
    if groups == 1 or not _gives_sharding_stage(project.parallel):
        return {}
    return {"sharding_stage": "stage1" if pipeline > 1 else project.parallel.sharding_stage}


def fitting(project: Project, shape: ModelShape, gpus: int, limit_bytes: float) -> Project | None:
    """The cheapest form of a project that takes no more than that of each GPU; None where there is none."""
    candidates = _candidates(project, shape, gpus)
    return next((each for each in candidates if memory_use(each, shape).total <= limit_bytes), None)


def fewest_gpus(project: Project, shape: ModelShape, limit_bytes: float) -> int | None:
    """The fewest GPUs that a project fits: 1, 2, 4, or whole machines of 8; None over 256."""
    return next((count for count in _COUNTS if fitting(project, shape, count, limit_bytes)), None)


def recommend(
    project: Project,
    shape: ModelShape,
    *,
    gpus: int | None,
    memory_gib: float,
    model: CatalogueModel | None = None,
) -> Recommendation | Shortfall:
    """The cheapest degrees and batch that fit, with the project's packs a step kept.

    Args:
        project: the project file.
        shape: its base model's.
        gpus: how many there are; None asks for the fewest, and never for fewer than ERNIEKit's table.
        memory_gib: of each.
        model: the published model, whose row in ERNIEKit's table is looked up.
    """
    method = method_of(project)
    row = minimum_gpus(model, method, project.training.max_seq_length) if model and method else None
    limit = room_bytes(memory_gib)
    needed = fewest_gpus(project, shape, limit)
    count, remarks = _held_against_table(row, needed, gpus, memory_gib)
    found = fitting(project, shape, count, limit) if count else None
    if found is None:
        tried = list(_candidates(project, shape, count or _COUNTS[-1]))
        nearest = min(tried, key=lambda each: memory_use(each, shape).total, default=None)
        return Shortfall(nearest, memory_use(nearest or project, shape), needed, tuple(remarks))
    before, after = packs_of_step(project), packs_of_step(found)
    if before != after:
        remarks.append(f"a step takes {after} packs instead of {before}, for GPUs and stages to share them evenly")
    if found.parallel.model_parallel > 1 and starts_from_adapter(found):
        remarks.append(
            "with tensor or pipeline over 1, LoRA has to target all-linear without dropout: make check refuses the rest"
        )
    if found.parallel.tensor > 1:
        remarks.append("a tensor-parallel run can leave another order of columns in the adapter: see docs/export.md")
    return Recommendation(found, memory_use(found, shape), tuple(remarks))


def starts_from_adapter(project: Project) -> bool:
    """Whether LoRA's targets or dropout are such that training starts from an adapter made for it."""
    lora = project.lora
    return lora.enabled and (lora.modules < set(LINEAR_MODULES) or lora.lora_dropout > 0)


def packs_of_step(project: Project) -> int:
    """Packs that one optimizer step sees, on all GPUs."""
    training = project.training
    return training.per_device_train_batch_size * training.gradient_accumulation_steps * project.parallel.data


def _held_against_table(
    row: MinimumGpus | None, needed: int | None, gpus: int | None, memory_gib: float
) -> tuple[int | None, list[str]]:
    """How many GPUs to plan with, and what ERNIEKit's table says to that."""
    count = needed if gpus is None else gpus
    if row is None:
        return count, ["ERNIEKit's table of least GPUs has no row for this model, method and length"]
    said = (
        f"ERNIEKit's table gives {row.gpus} × {TABLE_GIB} GB as the least for {row.method} "
        f"with packs of {row.max_seq_length:,} tokens"
    )
    if memory_gib < TABLE_GIB:
        return count, [f"{said}; of smaller cards it says nothing"]
    if gpus is not None:
        verdict = f"a plan for {gpus} CONTRADICTS it" if gpus < row.gpus else "this agrees with it"
        return gpus, [f"{said}: {verdict}"]
    if needed is None or needed > row.gpus:
        more = f"{needed} are needed" if needed else f"{_COUNTS[-1]} are not enough"
        hint = "its examples keep the optimizer in host memory and compute logits for labelled tokens alone"
        return count, [f"{said}; by this estimate {more}, which CONTRADICTS it: {hint}"]
    if needed < row.gpus:
        return row.gpus, [f"{said}; by this estimate {needed} would do: kept to the table"]
    return count, [f"{said}: this agrees with it"]
