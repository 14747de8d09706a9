"""What one card of a given size can train: the honest answer, by this estimate. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from erniekit_adapter.planning.memory import memory_use
from erniekit_adapter.planning.recommend import changed, degrees, room_bytes
from erniekit_adapter.planning.shape import shape_of_catalogue
from erniekit_adapter.project.catalogue import published
from erniekit_adapter.project.schema import Project

LENGTHS = tuple(1024 << power for power in range(8))
CARDS_GIB = (16, 24, 40, 80)
# One of each size, with the quantization that spares most.
_SIZES = (
    ("baidu/ERNIE-4.5-0.3B-Paddle", "wint8"),
    ("PaddlePaddle/PaddleOCR-VL", None),
    ("baidu/ERNIE-4.5-21B-A3B-Paddle", "wint4/8"),
    ("baidu/ERNIE-4.5-VL-28B-A3B-Paddle", "wint4/8"),
    ("baidu/ERNIE-4.5-300B-A47B-Paddle", "wint4/8"),
    ("baidu/ERNIE-4.5-VL-424B-A47B-Paddle", "wint4/8"),
)


@dataclass(frozen=True)
class OnOneCard:
    """One way to train a model on one card.

    Attributes:
        model: its published id.
        method: `every weight`, `LoRA`, or LoRA over quantized weights.
        max_seq_length: the longest packs that fit, of 1,024, 2,048 … tokens; None where not even the shortest do.
        impossible: why the toolkit trains it on no single card at all; empty where it does.
    """

    model: str
    method: str
    max_seq_length: int | None
    impossible: str = ""


def trainable_on(memory_gib: float) -> list[OnOneCard]:
    """What one GPU of that size can train, a pack at a time: LoRA has rank 16 and all targets, the rest is default."""
    found = []
    for name, quantization in _SIZES:
        if not degrees(_project(name, {}), shape_of_catalogue(published(name)), 1):
            found.append(OnOneCard(name, "any", None, "is trained in two pipeline stages at least"))
            continue
        found.append(_longest(name, "every weight", {"lora": {"enabled": False}}, memory_gib))
        found.append(_longest(name, "LoRA", {}, memory_gib))
        if quantization:
            found.append(
                _longest(name, f"LoRA, {quantization}", {"training": {"quantization": quantization}}, memory_gib)
            )
    return found


def _longest(name: str, method: str, settings: Mapping[str, object], memory_gib: float) -> OnOneCard:
    shape = shape_of_catalogue(published(name))
    project = _project(name, settings)
    fits = None
    for length in LENGTHS:
        if memory_use(changed(project, training={"max_seq_length": length}), shape).total > room_bytes(memory_gib):
            break
        fits = length
    return OnOneCard(name, method, fits)


def _project(name: str, settings: Mapping[str, object]) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": name}, "output_dir": "./runs/card", **settings})


def card_rows() -> list[str]:
    """The rows of docs/planning.md: each model and method with the longest packs on each size of card."""
    columns = [trainable_on(size) for size in CARDS_GIB]
    rows = []
    for ways in zip(*columns, strict=True):
        if any(way.max_seq_length for way in ways):
            lengths = " | ".join(f"{way.max_seq_length:,}" if way.max_seq_length else "no" for way in ways)
            rows.append(f"| {ways[0].model} | {ways[0].method} | {lengths} |")
    return rows
