"""The estimate held against every published figure. The tables of docs/planning.md are made here. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from erniekit_adapter.planning.memory import GIB, memory_use
from erniekit_adapter.planning.recommend import TABLE_GIB, fewest_gpus, fitting, room_bytes
from erniekit_adapter.planning.shape import shape_of_catalogue
from erniekit_adapter.planning.trained import trainable_parameters
from erniekit_adapter.project.catalogue import MINIMUM_GPUS, MODELS, Method, MinimumGpus, published
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import ATTENTION_MODULES

# Of ERNIEKit's own example configurations: the optimizer in host memory, gradients in float32, labelled logits alone.
_AS_IN_EXAMPLES = {"offload_optim": True, "amp_master_grad": True, "use_sparse_head_and_loss_fn": True}
_OCR, _OCR_15 = "PaddlePaddle/PaddleOCR-VL", "PaddlePaddle/PaddleOCR-VL-1.5"
_TEXT = "baidu/ERNIE-4.5-21B-A3B-Paddle"


@dataclass(frozen=True)
class Comparison:
    """One published figure beside ours.

    Attributes:
        what: which figure.
        published, estimate: in the same unit, `unit`.
        note: what the publisher did not say, and what was taken instead.
    """

    what: str
    published: float
    estimate: float
    unit: Literal["billion parameters", "million trained", "GB a GPU"]
    note: str = ""

    @property
    def ratio(self) -> float:
        """The estimate as a multiple of the published figure."""
        return self.estimate / self.published

    def row(self) -> str:
        """The figure as a row of a Markdown table."""
        digits = 3 if self.published < 1 else 1
        figures = f"{self.published:,.{digits}f} | {self.estimate:,.{digits}f}"
        return f"| {self.what} | {figures} | {self.ratio:.2f} | {self.note} |"


def _project(name: str, **sections: Mapping[str, Any]) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": name}, "output_dir": "./runs/plan", **sections})


def counted() -> list[Comparison]:
    """Parameters, all and active, and what LoRA trains."""
    found = []
    for size in dict.fromkeys(model.size or "PaddleOCR-VL" for model in MODELS):
        model = next(each for each in MODELS if (each.size or "PaddleOCR-VL") == size)
        shape = shape_of_catalogue(model)
        # The published totals of ERNIE-VL leave the vision tower out.
        without_tower = model.kind == "vl-moe"
        total = shape.text_parameters if without_tower else shape.parameters
        note = "without the vision tower, as published" if without_tower else ""
        found.append(Comparison(f"{size}: all", model.parameters_billion, total / 1e9, "billion parameters", note))
        if model.active_billion and model.experts:
            active = shape.active_parameters / 1e9
            found.append(Comparison(f"{size}: active", model.active_billion, active, "billion parameters"))
    shape = shape_of_catalogue(published(_TEXT))
    for what, targets, trained in (("every linear layer", "all-linear", 562), ("attention", [*ATTENTION_MODULES], 10)):
        project = _project(_TEXT, lora={"r": 32, "target_modules": targets})
        estimate = trainable_parameters(project, shape) / 1e6
        found.append(Comparison(f"21B-A3B: LoRA rank 32 on {what}", trained, estimate, "million trained"))
    return found


def measured() -> list[Comparison]:
    """Memory that others measured, with what they did not say taken as the notes tell; GB are read as GiB."""
    packs = {"max_seq_length": 16_384}
    every = {"enabled": False}
    whole = {**packs, "freeze_vision": False}
    eight = {"sharding": 8}
    short = {"max_seq_length": 2048}
    one_pack = "8 lines in one pack, taken as full"
    unsaid = "length not published: packs of 16,384, sharding 8"
    text = "another trainer; its sharding is not published"
    host = {"extra": {"offload_optim": True}}
    return [
        _memory("PaddleOCR-VL, 1 GPU, LoRA rank 8", 20, _project(_OCR, lora={"r": 8}, training=packs), one_pack),
        _memory("PaddleOCR-VL, 1 GPU, every weight", 30, _project(_OCR, lora=every, training=whole), one_pack),
        _memory(
            "PaddleOCR-VL-1.5, 8 GPUs, LoRA",
            33,
            _project(_OCR_15, lora={"r": 8}, training=packs, parallel=eight),
            unsaid,
        ),
        _memory(
            "PaddleOCR-VL-1.5, 8 GPUs, every weight",
            37,
            _project(_OCR_15, lora=every, training=whole, parallel=eight),
            unsaid,
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


def _memory(what: str, figure: float, project: Project, note: str) -> Comparison:
    shape = shape_of_catalogue(published(project.model.model_name_or_path))
    return Comparison(what, figure, memory_use(project, shape).total / GIB, "GB a GPU", note)


@dataclass(frozen=True)
class TableRow:
    """A row of ERNIEKit's table of least GPUs, and what this estimate says to it.

    Attributes:
        published: the row.
        fits: whether the run fits that many GPUs of 80 GB, at worst without the headroom of a plan.
        needed: the fewest that a plan asks for; None where 256 are not enough.
        gpu_gib: what the fullest of the published number holds; None where it does not fit.
    """

    published: MinimumGpus
    fits: bool
    needed: int | None
    gpu_gib: float | None

    def row(self) -> str:
        """The row in Markdown."""
        row = self.published
        used = f"{self.gpu_gib:.0f}" if self.gpu_gib is not None else "more than 80"
        verdict = "the same" if self.needed == row.gpus else f"{self.needed}"
        return f"| {row.size} | {row.method} | {row.max_seq_length:,} | {row.gpus} | {used} | {verdict} |"


_OF_METHOD: Mapping[Method, dict[str, Any]] = {
    "SFT": {"lora": {"enabled": False}},
    "SFT fp8": {"lora": {"enabled": False}, "training": {"quantization": "fp8"}},
    "LoRA": {"lora": {"r": 32}},
    "LoRA wint4/8": {"lora": {"r": 32}, "training": {"quantization": "wint4/8"}},
    "DPO": {"lora": {"enabled": False}, "training": {"stage": "DPO"}},
    "DPO LoRA": {"lora": {"r": 32}, "training": {"stage": "DPO"}},
}


def least_gpus() -> list[TableRow]:
    """Every row of ERNIEKit's table, trained as ERNIEKit's example configurations do, with LoRA of rank 32."""
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
        found.append(TableRow(row, fits is not None, fewest_gpus(project, shape, room), used))
    return found
