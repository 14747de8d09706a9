"""Rules for devices, precision and parallelism that hold for every toolkit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from erniekit_adapter.architectures.linear_layers import LINEAR_MODULES
from erniekit_adapter.project.toolkit_sections import DpoSection, LoraSection, ParallelSection, TrainingSection


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"gpus": 6, "tensor": 4}, "6 gpus are not a multiple of tensor 4 × pipeline 1 × sharding 1 = 4"),
        ({"gpus": 2, "tensor": 2, "sharding": 2}, "2 gpus are not a multiple of"),
        ({"sequence": True}, "set tensor to 2 or more"),
        ({"pipeline": 2, "sharding": 2, "sharding_stage": "stage2"}, "pipelines allow only stage1"),
        ({"tensor": 0}, "greater than or equal to 1"),
    ],
)
def test_refuses_impossible_degrees(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ParallelSection.model_validate(section)


@given(tensor=st.integers(1, 8), pipeline=st.integers(1, 8), sharding=st.integers(1, 8), copies=st.integers(1, 4))
def test_gpus_are_model_parallel_times_data_parallel(tensor: int, pipeline: int, sharding: int, copies: int) -> None:
    degrees = {"tensor": tensor, "pipeline": pipeline, "sharding": sharding}
    parallel = ParallelSection.model_validate({"gpus": tensor * pipeline * sharding * copies, **degrees})
    assert parallel.world_size == parallel.model_parallel * parallel.data
    assert parallel.data == sharding * copies
    assert ParallelSection.model_validate(degrees).world_size == tensor * pipeline * sharding


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"fp16": True, "bf16": True}, "set one to false"),
        ({"device": "cpu", "bf16": True}, "computes in float32"),
        ({"device": "cpu", "quantization": "wint8"}, "has kernels only for GPUs"),
        ({"bf16": False}, "set one to true"),
        ({"fp16": True, "quantization": "wint4/8"}, "set fp16 to false"),
        ({"quantization": "int8"}, "wint8"),
        ({"method": "sft"}, "VL-SFT"),
    ],
)
def test_refuses_impossible_precisions(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingSection.model_validate(section)


@pytest.mark.parametrize(
    "section", [{"beta": 0.0}, {"label_smoothing": 0.5}, {"loss_type": "dpo"}, {"beta": float("nan")}]
)
def test_refuses_impossible_losses(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DpoSection.model_validate(section)


def test_defaults_of_alpha_and_targets() -> None:
    lora = LoraSection(r=8)
    assert (lora.alpha, lora.modules) == (16, set(LINEAR_MODULES))
    assert LoraSection(r=8, lora_alpha=8, target_modules=["o_proj"]).modules == {"o_proj"}
