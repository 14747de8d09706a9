"""Which stage a project trains in, and which lines that stage reads. Pure functions."""

from __future__ import annotations

from erniekit_adapter.project.catalogue import Kind
from erniekit_adapter.project.schema import DataFormat, Project
from erniekit_adapter.project.toolkit_sections import Backend, Stage


def stage_of(project: Project, kind: Kind) -> Stage:
    """The stage that the project asks for, or the one its model wants."""
    if project.training.stage:
        return project.training.stage
    if kind == "ocr-vl":
        return "OCR-VL-SFT" if project.backend == "erniekit" else "VL-SFT"
    return "VL-SFT" if kind == "vl-moe" else "SFT"


def line_format(backend: Backend, stage: Stage) -> DataFormat:
    """The `data.format` of the lines that a stage reads; DPO has lines of its own beside those."""
    if stage in ("SFT", "DPO"):
        return "erniekit"
    return "erniekit-vl" if backend == "erniekit" else "paddleformers"


def line_files(stage: Stage) -> tuple[str, str]:
    """The names of the data stage's files to train on and to follow the loss on."""
    return ("dpo-train.jsonl", "dpo-eval.jsonl") if stage == "DPO" else ("train.jsonl", "eval.jsonl")
