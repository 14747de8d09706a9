"""The published ERNIE 4.5 models, as data, and what kind of thing a project's `model_name_or_path` is.

Shapes from the models' own config.json files; parameters in billions as published.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from erniekit_adapter.errors import Problem

Kind = Literal["dense", "moe", "vl-moe", "ocr-vl"]
OWNERS = ("baidu", "PaddlePaddle")


@dataclass(frozen=True)
class CatalogueModel:
    """One published model.

    Attributes:
        id: repository id with Paddle weights.
        kind: dense or mixture of experts, text or with images.
        parameters_billion: all parameters.
        layers, hidden, heads, kv_heads, ffn: the text tower's shape; every model has head_dim 128 and 103,424 pieces.
    """

    id: str
    kind: Kind
    parameters_billion: float
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int


def _family(
    size: str,
    variants: tuple[str, ...],
    kind: Kind,
    parameters_billion: float,
    sizes: tuple[int, int, int, int, int],
) -> list[CatalogueModel]:
    """The variants of one size; `sizes` are layers, hidden, heads, kv_heads and ffn."""
    ids = [f"baidu/ERNIE-4.5-{size}{variant}" for variant in variants]
    return [CatalogueModel(name, kind, parameters_billion, *sizes) for name in ids]


_PADDLE = ("-Paddle", "-Base-Paddle")
MODELS: tuple[CatalogueModel, ...] = (
    *_family("0.3B", _PADDLE, "dense", 0.361, (18, 1024, 16, 2, 3072)),
    *_family("21B-A3B", (*_PADDLE, "-Thinking"), "moe", 21.8, (28, 2560, 20, 4, 12288)),
    *_family("300B-A47B", _PADDLE, "moe", 299.5, (54, 8192, 64, 8, 28672)),
    *_family("VL-28B-A3B", (*_PADDLE, "-Thinking"), "vl-moe", 28.6, (28, 2560, 20, 4, 12288)),
    *_family("VL-424B-A47B", _PADDLE, "vl-moe", 423, (54, 8192, 64, 8, 28672)),
    CatalogueModel("PaddlePaddle/PaddleOCR-VL", "ocr-vl", 0.9, 18, 1024, 16, 2, 3072),
    CatalogueModel("PaddlePaddle/PaddleOCR-VL-1.5", "ocr-vl", 0.9, 18, 1024, 16, 2, 3072),
)


def find_model(name: str) -> CatalogueModel | None:
    """The published model of that id, whichever of the two owners it is given under."""
    bare = name.rpartition("/")[2]
    owner = name.rpartition("/")[0]
    if owner not in ("", *OWNERS):
        return None
    return next((model for model in MODELS if model.id.rpartition("/")[2] == bare), None)


def is_local(name: str) -> bool:
    """Whether the name means a folder on this machine: one that is there, or one written as a path."""
    return name.startswith((".", "/", "~")) or Path(name).is_dir()


def model_problems(name: str, where: str) -> list[Problem]:
    """What is wrong with a `model_name_or_path`, before anything is loaded; empty when nothing is."""
    if is_local(name):
        return []
    if name.endswith("-PT"):
        paddle = f"{name.removesuffix('-PT')}-Paddle"
        return [Problem(where, f"{name} has torch weights; ERNIEKit trains Paddle weights", f"use {paddle}")]
    if find_model(name):
        return []
    near = difflib.get_close_matches(name, [model.id for model in MODELS], n=3, cutoff=0.5)
    remedy = f"the nearest that exist: {', '.join(near)}" if near else "see docs/configuration.md for the models"
    return [Problem(where, f"there is no model {name}", f"{remedy}; a folder is written as a path, ./models/name")]
