"""The published ERNIE 4.5 models, as data, and what kind of thing a project's `model_name_or_path` is.

Shapes from the models' own config.json files; parameters in billions as published; least GPUs from ERNIEKit's table.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.errors import Problem

Kind = Literal["dense", "moe", "vl-moe", "ocr-vl"]
Weights = Literal["paddle", "torch"]
Method = Literal["SFT", "SFT fp8", "LoRA", "LoRA wint4/8", "DPO", "DPO LoRA"]
OWNERS = ("baidu", "PaddlePaddle")
HEAD_DIM, VOCABULARY, CONTEXT = 128, 103_424, 131_072


@dataclass(frozen=True)
class Experts:
    """The experts of a layer.

    Attributes:
        count: experts for text; a model that takes images has as many again for them.
        chosen: how many of them see a token.
        ffn, vision_ffn: inner width of an expert for text, for images (0: there are none).
        shared: experts that see every token, kept as one of so many times the width.
        dense_layers: leading layers without experts.
    """

    count: int
    chosen: int
    ffn: int
    shared: int
    dense_layers: int
    vision_ffn: int = 0


@dataclass(frozen=True)
class VisionTower:
    """The transformer that reads pages, and what joins it to the text.

    Attributes:
        layers, hidden, heads, ffn: its shape.
        positions: rows of its learned position embeddings.
        projector: two linear layers, or ERNIE-VL's resampler over space and time.
        assumed: whether the shape is the toolkit's default, since no published figure confirms it.
    """

    layers: int
    hidden: int
    heads: int
    ffn: int
    positions: int
    projector: Literal["linear", "resampler"]
    assumed: bool = False


@dataclass(frozen=True)
class CatalogueModel:
    """One published model; every one has head_dim 128 and 103,424 pieces.

    Attributes:
        id: repository id with weights in Paddle's layout.
        torch_id: repository id with weights in Hugging Face's layout; the same where one repository is both.
        size: its row in ERNIEKit's table of least GPUs; empty where it has none.
        kind: dense or mixture of experts, text or with images.
        parameters_billion, active_billion: all parameters, and those that see a token (None: not published).
        layers, hidden, heads, kv_heads, ffn: the text tower's shape.
        tied: whether the output head is the embedding.
        experts, vision: None where it has none.
    """

    id: str
    torch_id: str
    size: str
    kind: Kind
    parameters_billion: float
    active_billion: float | None
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    tied: bool = True
    experts: Experts | None = None
    vision: VisionTower | None = None


def _family(first: CatalogueModel, variants: tuple[str, ...]) -> list[CatalogueModel]:
    """The models of a size: those with two repositories, and one without a suffix where that is a variant."""
    stem = f"baidu/ERNIE-4.5-{first.size}"
    pairs = [
        (f"{stem}{variant}", f"{stem}{variant}")
        if variant == "-Thinking"
        else (f"{stem}{variant}-Paddle", f"{stem}{variant}-PT")
        for variant in variants
    ]
    return [replace(first, id=paddle, torch_id=torch) for paddle, torch in pairs]


# ERNIE-VL's tower has the size of the toolkits' default configuration; PaddleOCR-VL's is in its config.json.
_ERNIE_VISION = VisionTower(32, 1280, 16, 5120, positions=0, projector="resampler", assumed=True)
_OCR_VISION = VisionTower(27, 1152, 16, 4304, positions=729 + 32_768, projector="linear")
_SMALL = (18, 1024, 16, 2, 3072)
_MIDDLE = (28, 2560, 20, 4, 12_288)
_LARGE = (54, 8192, 64, 8, 28_672)
_MIDDLE_EXPERTS = Experts(64, 6, 1536, shared=2, dense_layers=1)
_LARGE_EXPERTS = Experts(64, 8, 3584, shared=0, dense_layers=3)
_WITH_VISION = replace(_MIDDLE_EXPERTS, vision_ffn=512)
# Not in any published table: the width that makes up the published 423 billion.
_LARGE_WITH_VISION = replace(_LARGE_EXPERTS, vision_ffn=1536)

_TWO, _THREE = ("", "-Base"), ("", "-Base", "-Thinking")
_TEXT_MIDDLE = CatalogueModel("", "", "21B-A3B", "moe", 21.8, 3.3, *_MIDDLE, True, _MIDDLE_EXPERTS)
_TEXT_LARGE = CatalogueModel("", "", "300B-A47B", "moe", 299.5, 47.9, *_LARGE, False, _LARGE_EXPERTS)
_PAGES_MIDDLE = CatalogueModel("", "", "VL-28B-A3B", "vl-moe", 28.6, None, *_MIDDLE, True, _WITH_VISION, _ERNIE_VISION)
_PAGES_LARGE = CatalogueModel(
    "", "", "VL-424B-A47B", "vl-moe", 423, None, *_LARGE, False, _LARGE_WITH_VISION, _ERNIE_VISION
)
_OCR_IDS = ("PaddlePaddle/PaddleOCR-VL", "PaddlePaddle/PaddleOCR-VL-1.5")

MODELS: tuple[CatalogueModel, ...] = (
    *_family(CatalogueModel("", "", "0.3B", "dense", 0.361, 0.361, *_SMALL), _TWO),
    *_family(_TEXT_MIDDLE, _THREE),
    *_family(_TEXT_LARGE, _TWO),
    *_family(_PAGES_MIDDLE, _THREE),
    *_family(_PAGES_LARGE, _TWO),
    *(
        CatalogueModel(name, name, "", "ocr-vl", 0.9, None, *_SMALL, tied=False, vision=_OCR_VISION)
        for name in _OCR_IDS
    ),
)


@dataclass(frozen=True)
class MinimumGpus:
    """A row of ERNIEKit's own table: with packs of so many tokens, so many GPUs of 80 GB are the least."""

    size: str
    method: Method
    max_seq_length: int
    gpus: int


def _rows(size: str, method: Method, *gpus: int) -> list[MinimumGpus]:
    lengths = (8192, 32_768, CONTEXT)
    return [MinimumGpus(size, method, length, count) for length, count in zip(lengths, gpus, strict=False)]


MINIMUM_GPUS: tuple[MinimumGpus, ...] = (
    *_rows("0.3B", "SFT", 1, 1, 1),
    *_rows("0.3B", "LoRA", 1, 1, 1),
    *_rows("0.3B", "LoRA wint4/8", 1, 1),
    *_rows("0.3B", "DPO", 1, 1, 1),
    *_rows("0.3B", "DPO LoRA", 1, 1),
    *_rows("21B-A3B", "SFT", 8, 8, 8),
    *_rows("21B-A3B", "LoRA wint4/8", 1, 1),
    *_rows("21B-A3B", "DPO", 8, 8, 8),
    *_rows("21B-A3B", "DPO LoRA", 1, 1),
    *_rows("VL-28B-A3B", "SFT", 8, 8, 8),
    *_rows("VL-28B-A3B", "LoRA", 4, 4, 4),
    *_rows("300B-A47B", "SFT", 96, 112),
    *_rows("300B-A47B", "SFT fp8", 16, 16),
    *_rows("300B-A47B", "LoRA wint4/8", 4, 8),
    *_rows("300B-A47B", "DPO", 112, 112),
    *_rows("300B-A47B", "DPO LoRA", 16, 16),
    *_rows("VL-424B-A47B", "LoRA", 16, 16),
    *_rows("VL-424B-A47B", "LoRA wint4/8", 8, 8, 16),
)


def minimum_gpus(model: CatalogueModel, method: Method, max_seq_length: int) -> MinimumGpus | None:
    """ERNIEKit's row for such a run: the shortest length that holds the packs; None where its table has no row."""
    rows = [row for row in MINIMUM_GPUS if (row.size, row.method) == (model.size, method)]
    return min(
        (row for row in rows if row.max_seq_length >= max_seq_length),
        key=lambda row: row.max_seq_length,
        default=None,
    )


def find_model(name: str) -> CatalogueModel | None:
    """The published model of that id, of either layout of weights, whichever of the two owners it is given under."""
    owner, _, bare = name.rpartition("/")
    if owner not in ("", *OWNERS):
        return None
    return next((model for model in MODELS if bare in (_bare(model.id), _bare(model.torch_id))), None)


def published(name: str) -> CatalogueModel:
    """The model of an id that is known to be published.

    Raises:
        KeyError: it is not.
    """
    if found := find_model(name):
        return found
    raise KeyError(name)


def _bare(name: str) -> str:
    return name.rpartition("/")[2]


def is_local(name: str) -> bool:
    """Whether the name means a folder on this machine: one that is there, or one written as a path."""
    return name.startswith((".", "/", "~")) or Path(name).is_dir()


def model_problems(name: str, where: str, weights: Weights = "paddle") -> list[Problem]:
    """What is wrong with a `model_name_or_path`, before anything is loaded; empty when nothing is.

    Args:
        name: a folder or a published id.
        where: the key, for the message.
        weights: the layout that the backend loads: ERNIEKit Paddle's, PaddleFormers Hugging Face's (torch).
    """
    if is_local(name):
        return []
    if known := find_model(name):
        wanted = known.id if weights == "paddle" else known.torch_id
        if _bare(name) == _bare(wanted):
            return []
        owner = name.rpartition("/")[0] or "baidu"
        remedy = f"use {owner}/{_bare(wanted)}"
        if weights == "paddle":
            return [Problem(where, f"{name} has torch weights; ERNIEKit trains Paddle weights", remedy)]
        return [Problem(where, f"{name} has Paddle weights; PaddleFormers loads torch weights", remedy)]
    ids = [model.id if weights == "paddle" else model.torch_id for model in MODELS]
    near = difflib.get_close_matches(name, ids, n=3, cutoff=0.5)
    remedy = f"the nearest that exist: {', '.join(near)}" if near else "see docs/configuration.md for the models"
    return [Problem(where, f"there is no model {name}", f"{remedy}; a folder is written as a path, ./models/name")]


_KINDS: Mapping[str, Kind] = {
    "ernie4_5": "dense",
    "ernie4_5_moe": "moe",
    "ernie4_5_moe_vl": "vl-moe",
    "ernie4_5_vl_moe": "vl-moe",
    "paddleocr_vl": "ocr-vl",
}


def kind_of_config(config: Mapping[str, Any]) -> Kind | None:
    """The kind of model that a folder's config.json describes; None where it is none of ERNIE 4.5's.

    Experts and a vision tower decide before `model_type`: ERNIEKit's own folders call dense and mixed models alike.
    """
    model_type, architectures = config.get("model_type"), config.get("architectures")
    names = [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    named = _KINDS.get(model_type) if isinstance(model_type, str) else None
    if named in ("ocr-vl", "vl-moe"):
        return named
    if any(name.startswith("PaddleOCRVL") for name in names):
        return "ocr-vl"
    counted = "moe_num_experts" in config
    if named is None and not counted and not any(name.startswith("Ernie4_5") for name in names):
        return None
    if config.get("vision_config"):
        return "vl-moe"
    if named and not counted:
        return named
    return "moe" if has_experts(config) else "dense"


def has_experts(config: Mapping[str, Any]) -> bool:
    """Whether a config.json describes a mixture of experts; of two kinds of experts it has a list of numbers."""
    count = config.get("moe_num_experts")
    return bool(any(count) if isinstance(count, list) else count)
