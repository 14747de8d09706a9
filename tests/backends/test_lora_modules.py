"""Which matrices LoRA adapts in each toolkit, and when training has to start from an adapter made beforehand."""

from __future__ import annotations

from typing import Any

import pytest
from settings_examples import OCR_VL, paddleformers_project, project

from erniekit_adapter.backends.lora_modules import needs_initial_adapter, target_matrices
from erniekit_adapter.project.toolkit_sections import LoraSection

FUSED = ("qkv_proj", "o_proj", "up_gate_proj", "down_proj")
APART = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.mark.parametrize(
    ("lora", "fused", "needed"),
    [
        ({}, FUSED, False),
        ({"lora_dropout": 0.1}, FUSED, True),
        ({"target_modules": ["o_proj"]}, ("o_proj",), True),
        ({"target_modules": ["o_proj", "v_proj", "q_proj", "k_proj"]}, ("qkv_proj", "o_proj"), True),
        ({"enabled": False, "lora_dropout": 0.1}, FUSED, False),
        ({"r": 8, "lora_alpha": 4}, FUSED, False),
    ],
)
def test_dropout_or_fewer_targets_need_an_adapter_to_start_from(
    lora: dict[str, Any], fused: tuple[str, ...], needed: bool
) -> None:
    assert target_matrices(LoraSection.model_validate(lora)) == fused
    assert needs_initial_adapter(project(lora=lora), "dense") is needed


def test_an_alpha_of_its_own_needs_one_in_paddleformers() -> None:
    assert needs_initial_adapter(paddleformers_project(lora={"r": 8, "lora_alpha": 4}), "dense")
    assert not needs_initial_adapter(paddleformers_project(lora={"r": 8, "lora_alpha": 16}), "dense")


def test_paddleocr_vl_keeps_its_projections_apart_in_paddleformers() -> None:
    assert target_matrices(LoraSection(), "paddleformers", "ocr-vl") == APART
    assert target_matrices(LoraSection(target_modules=["v_proj"]), "paddleformers", "ocr-vl") == ("v_proj",)


def test_a_frozen_vision_tower_needs_one_there_since_freezing_alone_would_adapt_a_part_of_it() -> None:
    for frozen in (True, False):
        asked = paddleformers_project(OCR_VL, training={"freeze_vision": frozen}, data={"format": "paddleformers"})
        assert needs_initial_adapter(asked, "ocr-vl") is frozen
