"""The published ERNIE 4.5 models, and how a project's `model_name_or_path` is read.

Shapes are from the models' config.json files, parameters in billions as published, minimum GPUs from ERNIEKit's table.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from erniekit_adapter.architectures.families import Kind, family_of
from erniekit_adapter.architectures.families import has_experts as has_experts
from erniekit_adapter.architectures.families import kind_of_config as kind_of_config
from erniekit_adapter.errors import Problem

Weights = Literal["paddle", "torch"]
MeasuredMethod = Literal["SFT", "SFT fp8", "LoRA", "LoRA wint4/8", "DPO", "DPO LoRA"]
OWNERS = ("baidu", "PaddlePaddle")
HEAD_DIM, VOCABULARY, CONTEXT = 128, 103_424, 131_072


@dataclass(frozen=True)
class Experts:
    """The experts of a layer.

    Attributes:
        count: experts for text; a model that takes images has the same number for images.
        chosen: experts that process a token.
        ffn, vision_ffn: inner width of an expert for text and for images; 0 without image experts.
        shared: experts that process every token, kept as one expert of that multiple of the width.
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
    """The vision transformer and the projector from it to the text model.

    Attributes:
        layers, hidden, heads, ffn: its shape.
        positions: rows of its learned position embeddings.
        projector: two linear layers, or ERNIE-VL's resampler over space and time.
        assumed: whether the shape is the toolkit's default and no published figure confirms it.
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
    """A published model; each has head_dim 128 and a vocabulary of 103,424 tokens.

    Attributes:
        id: repository with weights in Paddle's layout.
        torch_id: repository with weights in Hugging Face's layout; the same if one repository serves both.
        size: its row in ERNIEKit's table of minimum GPUs; empty without one.
        kind: its family, see `families.FAMILIES`.
        parameters_billion, active_billion: all parameters, and those that process a token; None if not published.
        layers, hidden, heads, kv_heads, ffn: shape of the text model.
        tied: whether the output head is the embedding.
        experts, vision: None if it has none.
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
    """Return the models of a size; -Thinking has one repository, the other variants have two."""
    stem = f"baidu/ERNIE-4.5-{first.size}"
    pairs = [
        (f"{stem}{variant}", f"{stem}{variant}")
        if variant == "-Thinking"
        else (f"{stem}{variant}-Paddle", f"{stem}{variant}-PT")
        for variant in variants
    ]
    return [replace(first, id=paddle, torch_id=torch) for paddle, torch in pairs]


# ERNIE-VL's tower has the toolkits' default size; the size of PaddleOCR-VL's is in its config.json.
_ERNIE_VISION = VisionTower(32, 1280, 16, 5120, positions=0, projector="resampler", assumed=True)
_OCR_VISION = VisionTower(27, 1152, 16, 4304, positions=729 + 32_768, projector="linear")
_SMALL = (18, 1024, 16, 2, 3072)
_MIDDLE = (28, 2560, 20, 4, 12_288)
_LARGE = (54, 8192, 64, 8, 28_672)
_MIDDLE_EXPERTS = Experts(64, 6, 1536, shared=2, dense_layers=1)
_LARGE_EXPERTS = Experts(64, 8, 3584, shared=0, dense_layers=3)
_WITH_VISION = replace(_MIDDLE_EXPERTS, vision_ffn=512)
# Not published: the width that gives the published 423 billion parameters.
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


def one_of_each_size() -> dict[str, CatalogueModel]:
    """Return the first model of each size, by the size; models without one count by the name of their family."""
    found: dict[str, CatalogueModel] = {}
    for model in MODELS:
        found.setdefault(model.size or family_of(model.kind).name, model)
    return found


@dataclass(frozen=True)
class MinimumGpus:
    """A row of ERNIEKit's table: the minimum number of 80 GB GPUs for packs of `max_seq_length` tokens."""

    size: str
    method: MeasuredMethod
    max_seq_length: int
    gpus: int


def _rows(size: str, method: MeasuredMethod, *gpus: int) -> list[MinimumGpus]:
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


def minimum_gpus(model: CatalogueModel, method: MeasuredMethod, max_seq_length: int) -> MinimumGpus | None:
    """Return ERNIEKit's row with the shortest length that holds the packs; None if its table has no such row."""
    rows = [row for row in MINIMUM_GPUS if (row.size, row.method) == (model.size, method)]
    return min(
        (row for row in rows if row.max_seq_length >= max_seq_length),
        key=lambda row: row.max_seq_length,
        default=None,
    )


def find_model(name: str) -> CatalogueModel | None:
    """Return the published model of an id, in either weight layout and under either owner; None if unknown."""
    owner, _, bare = name.rpartition("/")
    if owner not in ("", *OWNERS):
        return None
    return next((model for model in MODELS if bare in (_bare(model.id), _bare(model.torch_id))), None)


def published(name: str) -> CatalogueModel:
    """Return the model of an id that has to be published.

    Raises:
        KeyError: it is not published.
    """
    if found := find_model(name):
        return found
    raise KeyError(name)


def repository_of(name: str) -> str | None:
    """Return the repository to download a published model from, with its owner; None for a folder of the user's own."""
    known = find_model(name)
    return next((each for each in (known.id, known.torch_id) if _bare(each) == _bare(name)), None) if known else None


def _bare(name: str) -> str:
    return name.rpartition("/")[2]


def is_local(name: str) -> bool:
    """Return whether a name means a local folder: an existing one, or one written as a path."""
    return name.startswith((".", "/", "~")) or Path(name).is_dir()


def model_problems(name: str, location: str, weights: Weights = "paddle") -> list[Problem]:
    """Return the problems of a `model_name_or_path` that show before anything is loaded.

    Args:
        name: a folder or a published id.
        location: the key, for messages.
        weights: the layout that the toolkit loads: Paddle's for ERNIEKit, Hugging Face's (torch) for PaddleFormers.
    """
    if is_local(name):
        return []
    if known := find_model(name):
        repository = known.id if weights == "paddle" else known.torch_id
        if _bare(name) == _bare(repository):
            return []
        owner = name.rpartition("/")[0] or "baidu"
        hint = f"use {owner}/{_bare(repository)}"
        if weights == "paddle":
            return [Problem(location, f"{name} has torch weights; ERNIEKit trains Paddle weights", hint)]
        return [Problem(location, f"{name} has Paddle weights; PaddleFormers loads torch weights", hint)]
    ids = [model.id if weights == "paddle" else model.torch_id for model in MODELS]
    near = difflib.get_close_matches(name, ids, n=3, cutoff=0.5)
    hint = f"the nearest models: {', '.join(near)}" if near else "see docs/models.md"
    return [Problem(location, f"no published model {name}", f"{hint}; write a folder as a path: ./models/name")]
