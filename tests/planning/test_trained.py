"""Number of trained weights."""

from __future__ import annotations

from typing import Any

import pytest
from plan_examples import MIDDLE, OCR, PAGES, SMALL, project, shape

from erniekit_adapter.planning.trained import trainable_parameters

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        # 18 layers of rank 16: A is (in, r) and B (r, out) of each fused matrix.
        ("all-linear", 18 * 16 * ((1024 + 2560) + (2048 + 1024) + (1024 + 6144) + (3072 + 1024))),
        (ATTENTION, 18 * 16 * ((1024 + 2560) + (2048 + 1024))),
        (["down_proj"], 18 * 16 * (3072 + 1024)),
    ],
)
def test_lora_parameters_of_fused_layers(targets: Any, count: int) -> None:
    assert trainable_parameters(project(lora={"target_modules": targets}), shape()) == count


def test_lora_parameters_of_an_example() -> None:
    assert trainable_parameters(project(lora={"r": 16, "target_modules": ATTENTION}), shape()) == 1_916_928


@pytest.mark.parametrize(("targets", "million"), [("all-linear", 562), (ATTENTION, 10)])
def test_lora_parameters_equal_the_published(targets: Any, million: int) -> None:
    found = trainable_parameters(project(MIDDLE, lora={"r": 32, "target_modules": targets}), shape(MIDDLE))
    assert found / 1e6 == pytest.approx(million, rel=0.01)


def test_lora_parameters_of_separate_layers() -> None:
    fused = trainable_parameters(project(OCR), shape(OCR))
    apart = trainable_parameters(project(OCR, backend="paddleformers"), shape(OCR))
    # Two more A of (1024, 16) for k and v, one more for up, in 18 layers.
    assert apart - fused == 18 * 3 * 1024 * 16


def test_lora_parameters_of_the_resampler() -> None:
    every, some = (project(PAGES, lora={"target_modules": targets}) for targets in ("all-linear", ATTENTION))
    joint = sum(16 * (rows + columns) for rows, columns in shape(PAGES).projector_sizes())
    layers = trainable_parameters(every, shape(PAGES)) - joint
    assert layers > trainable_parameters(some, shape(PAGES))


def test_trains_every_weight_without_lora() -> None:
    assert trainable_parameters(project(lora={"enabled": False}), shape()) == 360_748_032


def test_frozen_vision_tower_leaves_the_projector() -> None:
    frozen = trainable_parameters(project(OCR, lora={"enabled": False}), shape(OCR))
    all_of_it = project(OCR, lora={"enabled": False}, training={"freeze_vision": False})
    assert trainable_parameters(all_of_it, shape(OCR)) == shape(OCR).parameters
    assert frozen == shape(OCR).text_parameters + shape(OCR).projector_parameters
    assert shape(SMALL).projector_parameters == 0
