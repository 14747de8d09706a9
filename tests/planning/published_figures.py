"""Comparison of the estimate with published figures, and the tables of docs/planning.md. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from erniekit_adapter.architectures.linear_layers import ATTENTION_MODULES
from erniekit_adapter.architectures.models import (
    MINIMUM_GPUS,
    MODELS,
    MeasuredMethod,
    MinimumGpus,
    one_of_each_size,
    published,
)
from erniekit_adapter.planning.gpus import GPU_SIZES_GIB, trainable_on
from erniekit_adapter.planning.memory import GIB, memory_use
from erniekit_adapter.planning.recommend import TABLE_GIB, fewest_gpus, fitting, room_bytes
from erniekit_adapter.planning.shape import shape_of_catalogue
from erniekit_adapter.planning.trained import trainable_parameters
from erniekit_adapter.project.schema import Project

# As in ERNIEKit's examples: optimizer in host memory, gradients in float32, logits only of labelled tokens.
_AS_IN_EXAMPLES = {"offload_optim": True, "amp_master_grad": True, "use_sparse_head_and_loss_fn": True}
_OCR, _OCR_15 = "PaddlePaddle/PaddleOCR-VL", "PaddlePaddle/PaddleOCR-VL-1.5"
_TEXT = "baidu/ERNIE-4.5-21B-A3B-Paddle"


@dataclass(frozen=True)
class PublishedFigure:
    """A published figure and the estimate.

    Attributes:
        name: of the figure.
        published, estimate: in the same unit, `unit`.
        note: assumptions for unpublished settings.
    """

    name: str
    published: float
    estimate: float
    unit: Literal["billion parameters", "million trained", "GB a GPU"]
    note: str = ""

    @property
    def ratio(self) -> float:
        """Estimate divided by the published figure."""
        return self.estimate / self.published

    def row(self) -> str:
        """Return the figure as a row of a Markdown table."""
        digits = 3 if self.published < 1 else 1
        figures = f"{self.published:,.{digits}f} | {self.estimate:,.{digits}f}"
        return f"| {self.name} | {figures} | {self.ratio:.2f} | {self.note} |"


def _project(name: str, **sections: Mapping[str, Any]) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": name}, "output_dir": "./runs/plan", **sections})


def counted() -> list[PublishedFigure]:
    """Return the figures of parameters: all, active, and trained by LoRA."""
    found = []
    for size, model in one_of_each_size().items():
        shape = shape_of_catalogue(model)
        # The published totals of ERNIE-VL leave the vision tower out.
        without_tower = model.vision is not None and model.experts is not None
        total = shape.text_parameters if without_tower else shape.parameters
        note = "without the vision tower, as published" if without_tower else ""
        found.append(PublishedFigure(f"{size}: all", model.parameters_billion, total / 1e9, "billion parameters", note))
        if model.active_billion and model.experts:
            active = shape.active_parameters / 1e9
            found.append(PublishedFigure(f"{size}: active", model.active_billion, active, "billion parameters"))
    shape = shape_of_catalogue(published(_TEXT))
    for layers, targets, trained in (
        ("every linear layer", "all-linear", 562),
        ("attention", [*ATTENTION_MODULES], 10),
    ):
        project = _project(_TEXT, lora={"r": 32, "target_modules": targets})
        estimate = trainable_parameters(project, shape) / 1e6
        found.append(PublishedFigure(f"21B-A3B: LoRA rank 32 on {layers}", trained, estimate, "million trained"))
    return found


def measured() -> list[PublishedFigure]:
    """Return published measurements of memory, with the assumptions in their notes; GB are read as GiB."""
    packs = {"max_seq_length": 16_384}
    every = {"enabled": False}
    whole = {**packs, "freeze_vision": False}
    eight = {"sharding": 8}
    short = {"max_seq_length": 2048}
    one_pack = "8 examples in one pack, assumed full"
    unpublished = "length not published: packs of 16,384, sharding 8"
    text = "another trainer; its sharding is not published"
    host = {"extra": {"offload_optim": True}}
    return [
        _memory("PaddleOCR-VL, 1 GPU, LoRA rank 8", 20, _project(_OCR, lora={"r": 8}, training=packs), one_pack),
        _memory("PaddleOCR-VL, 1 GPU, every weight", 30, _project(_OCR, lora=every, training=whole), one_pack),
        _memory(
            "PaddleOCR-VL-1.5, 8 GPUs, LoRA",
            33,
            _project(_OCR_15, lora={"r": 8}, training=packs, parallel=eight),
            unpublished,
        ),
        _memory(
            "PaddleOCR-VL-1.5, 8 GPUs, every weight",
            37,
            _project(_OCR_15, lora=every, training=whole, parallel=eight),
            unpublished,
        ),
        *(
            _memory(
                f"21B-A3B, 4 GPUs, every weight, {stage}",
                51,
                _project(
                    _TEXT,
                    lora=every,
                    training=short,
                    parallel={"sharding": 4, "sharding_stage": stage},
                    erniekit=host,
                ),
                text,
            )
            for stage in ("stage2", "stage3")
        ),
    ]


def _memory(name: str, figure: float, project: Project, note: str) -> PublishedFigure:
    shape = shape_of_catalogue(published(project.model.model_name_or_path))
    return PublishedFigure(name, figure, memory_use(project, shape).total / GIB, "GB a GPU", note)


@dataclass(frozen=True)
class MinimumGpusRow:
    """A row of ERNIEKit's table of minimum GPUs, and the estimate for it.

    Attributes:
        published: the row.
        fits: whether the run fits that number of 80 GB GPUs, if need be without headroom.
        needed: GPUs that a plan recommends; None over 256.
        gpu_gib: memory of the fullest GPU; None if it does not fit.
    """

    published: MinimumGpus
    fits: bool
    needed: int | None
    gpu_gib: float | None

    def row(self) -> str:
        """Return the row in Markdown."""
        row = self.published
        used = f"{self.gpu_gib:.0f}" if self.gpu_gib is not None else "more than 80"
        estimate = "the same" if self.needed == row.gpus else f"{self.needed}"
        return f"| {row.size} | {row.method} | {row.max_seq_length:,} | {row.gpus} | {used} | {estimate} |"


_OF_METHOD: Mapping[MeasuredMethod, dict[str, Any]] = {
    "SFT": {"lora": {"enabled": False}},
    "SFT fp8": {"lora": {"enabled": False}, "training": {"quantization": "fp8"}},
    "LoRA": {"lora": {"r": 32}},
    "LoRA wint4/8": {"lora": {"r": 32}, "training": {"quantization": "wint4/8"}},
    "DPO": {"lora": {"enabled": False}, "training": {"method": "DPO"}},
    "DPO LoRA": {"lora": {"r": 32}, "training": {"method": "DPO"}},
}


def minimum_gpus_rows() -> list[MinimumGpusRow]:
    """Return every row of ERNIEKit's table, with the settings of its examples and LoRA of rank 32."""
    found = []
    for row in MINIMUM_GPUS:
        model = next(each for each in MODELS if each.size == row.size)
        sections = _OF_METHOD[row.method]
        training = {**sections.get("training", {}), "max_seq_length": row.max_seq_length}
        extra = {"amp_master_grad": False} if row.method == "SFT fp8" else {}
        keys = {"extra": {**_AS_IN_EXAMPLES, **extra}}
        project = _project(model.id, **{**sections, "training": training, "erniekit": keys})
        shape = shape_of_catalogue(model)
        room = room_bytes(TABLE_GIB)
        fits = fitting(project, shape, row.gpus, room) or fitting(project, shape, row.gpus, TABLE_GIB * GIB)
        used = memory_use(fits, shape).total / GIB if fits else None
        found.append(MinimumGpusRow(row, fits is not None, fewest_gpus(project, shape, room), used))
    return found


def single_gpu_rows() -> list[str]:
    """Return the rows of docs/planning.md: each model and method with the longest packs per GPU size."""
    columns = [trainable_on(size) for size in GPU_SIZES_GIB]
    rows = []
    for ways in zip(*columns, strict=True):
        if any(way.max_seq_length for way in ways):
            lengths = " | ".join(f"{way.max_seq_length:,}" if way.max_seq_length else "no" for way in ways)
            rows.append(f"| {ways[0].model} | {ways[0].method} | {lengths} |")
    return rows
