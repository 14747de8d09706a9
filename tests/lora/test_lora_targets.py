"""The matrices that LoRA adapts in each toolkit, and when training starts from an initial adapter."""

from __future__ import annotations

from typing import Any

import pytest

from erniekit_adapter.architectures import linear_layers
from erniekit_adapter.architectures.families import Kind
from erniekit_adapter.lora.initial_adapter import (
    initial_adapter_problems,
    initial_adapter_reasons,
    needs_initial_adapter,
)
from erniekit_adapter.lora.modules import target_matrices, target_problems
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import LoraSection

FUSED, SEPARATE = tuple(linear_layers.FUSED), tuple(linear_layers.SEPARATE)


def project(**sections: Any) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": "./base"}, "output_dir": "./run", **sections})


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
def test_dropout_and_fewer_targets_need_one(lora: dict[str, Any], fused: tuple[str, ...], needed: bool) -> None:
    assert target_matrices(LoraSection.model_validate(lora)) == fused
    assert needs_initial_adapter(project(lora=lora), "dense") is needed


def test_paddleformers_needs_one_for_its_alpha() -> None:
    assert needs_initial_adapter(project(backend="paddleformers", lora={"r": 8, "lora_alpha": 4}), "dense")
    assert not needs_initial_adapter(project(backend="paddleformers", lora={"r": 8, "lora_alpha": 16}), "dense")


def test_paddleformers_keeps_paddleocr_vl_separate() -> None:
    assert target_matrices(LoraSection(), "paddleformers", "ocr-vl") == SEPARATE
    assert target_matrices(LoraSection(target_modules=["v_proj"]), "paddleformers", "ocr-vl") == ("v_proj",)


def test_frozen_vision_tower_needs_one() -> None:
    """PaddleFormers would adapt a part of a frozen vision tower."""
    for frozen in (True, False):
        example = project(backend="paddleformers", training={"freeze_vision": frozen})
        assert needs_initial_adapter(example, "ocr-vl") is frozen


@pytest.mark.parametrize(
    ("backend", "kind", "sections", "keys"),
    [
        ("erniekit", "dense", {"lora": {"lora_dropout": 0.1}, "parallel": {"tensor": 2}}, ["lora.lora_dropout"]),
        ("paddleformers", "dense", {"lora": {"lora_alpha": 8}, "parallel": {"tensor": 2}}, ["lora.lora_alpha"]),
        (
            "paddleformers",
            "dense",
            {"lora": {"lora_alpha": 8, "target_modules": ["o_proj"]}, "parallel": {"pipeline": 2}},
            ["lora.target_modules", "lora.lora_alpha"],
        ),
        ("paddleformers", "ocr-vl", {"parallel": {"tensor": 2}}, ["training.freeze_vision"]),
        ("erniekit", "vl-moe", {"lora": {"lora_dropout": 0.1}}, ["lora.lora_dropout"]),
        (
            "paddleformers",
            "ocr-vl",
            {"lora": {"lora_alpha": 8}, "training": {"freeze_vision": False}},
            ["lora.lora_alpha"],
        ),
        ("erniekit", "dense", {"lora": {"lora_dropout": 0.1}}, []),
        ("paddleformers", "ocr-vl", {"lora": {"lora_alpha": 8}}, []),
    ],
)
def test_refusal_names_the_key(backend: str, kind: Kind, sections: dict[str, Any], keys: list[str]) -> None:
    example = project(backend=backend, **sections)
    found = initial_adapter_problems(example, kind)
    assert [problem.location for problem in found] == [f"project {key}" for key in keys]
    assert all(problem.hint.startswith("set it to ") for problem in found)


def test_hint_needs_no_initial_adapter() -> None:
    example = project(backend="paddleformers", lora={"r": 8, "lora_alpha": 4, "lora_dropout": 0.1})
    hints = {reason.key: reason.hint for reason in initial_adapter_reasons(example, "dense")}
    assert hints == {"lora.lora_dropout": "set it to 0.0", "lora.lora_alpha": "set it to 16"}
    assert not needs_initial_adapter(project(backend="paddleformers", lora={"r": 8, "lora_alpha": 16}), "dense")


def test_refuses_a_part_of_a_fused_layer() -> None:
    [problem] = target_problems(LoraSection(target_modules=["q_proj"]), "erniekit", "dense")
    assert "k_proj, v_proj" in problem.finding
    assert not target_problems(LoraSection(target_modules=["q_proj"]), "paddleformers", "ocr-vl")
