"""How many weights training changes."""

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
def test_lora_parameters_are_counted_as_erniekit_fuses_them(targets: Any, count: int) -> None:
    assert trainable_parameters(project(lora={"target_modules": targets}), shape()) == count


def test_the_issue_s_lora_trains_1_916_928_parameters() -> None:
    assert trainable_parameters(project(lora={"r": 16, "target_modules": ATTENTION}), shape()) == 1_916_928


@pytest.mark.parametrize(("targets", "million"), [("all-linear", 562), (ATTENTION, 10)])
def test_lora_of_rank_32_on_21b_trains_what_is_published(targets: Any, million: int) -> None:
    found = trainable_parameters(project(MIDDLE, lora={"r": 32, "target_modules": targets}), shape(MIDDLE))
    assert found / 1e6 == pytest.approx(million, rel=0.01)


def test_paddleformers_keeps_the_projections_of_a_model_with_images_apart() -> None:
    fused = trainable_parameters(project(OCR), shape(OCR))
    apart = trainable_parameters(project(OCR, backend="paddleformers"), shape(OCR))
    # Two more A of (1024, 16) for k and v, one more for up, in 18 layers.
    assert apart - fused == 18 * 3 * 1024 * 16


def test_the_resampler_of_ernie_vl_gets_lora_where_targets_are_left_to_erniekit() -> None:
    every, some = (project(PAGES, lora={"target_modules": targets}) for targets in ("all-linear", ATTENTION))
    joint = sum(16 * (rows + columns) for rows, columns in shape(PAGES).projector_sizes())
    layers = trainable_parameters(every, shape(PAGES)) - joint
    assert layers > trainable_parameters(some, shape(PAGES))


def test_without_lora_every_weight_is_trained() -> None:
    assert trainable_parameters(project(lora={"enabled": False}), shape()) == 360_748_032


def test_a_frozen_vision_tower_leaves_what_joins_it_to_the_text() -> None:
    frozen = trainable_parameters(project(OCR, lora={"enabled": False}), shape(OCR))
    all_of_it = project(OCR, lora={"enabled": False}, training={"freeze_vision": False})
    assert trainable_parameters(all_of_it, shape(OCR)) == shape(OCR).parameters
    assert frozen == shape(OCR).text_parameters + shape(OCR).projector_parameters
    assert shape(SMALL).projector_parameters == 0
