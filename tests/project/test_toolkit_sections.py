"""What a project may ask of devices, precision and parallelism at all, whatever the toolkit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from erniekit_adapter.project.toolkit_sections import DpoSection, LoraSection, ParallelSection, TrainingSection


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"gpus": 6, "tensor": 4}, "6 gpus cannot be divided by tensor 4 × pipeline 1 × sharding 1 = 4"),
        ({"gpus": 2, "tensor": 2, "sharding": 2}, "2 gpus cannot be divided by"),
        ({"sequence": True}, "tensor has to be over 1"),
        ({"pipeline": 2, "sharding": 2, "sharding_stage": "stage2"}, "pipelines go with sharding stage1 alone"),
        ({"tensor": 0}, "greater than or equal to 1"),
    ],
)
def test_degrees_that_do_not_fit_are_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ParallelSection.model_validate(section)


@given(tensor=st.integers(1, 8), pipeline=st.integers(1, 8), sharding=st.integers(1, 8), copies=st.integers(1, 4))
def test_gpus_are_the_model_s_times_those_that_read_different_lines(
    tensor: int, pipeline: int, sharding: int, copies: int
) -> None:
    degrees = {"tensor": tensor, "pipeline": pipeline, "sharding": sharding}
    parallel = ParallelSection.model_validate({"gpus": tensor * pipeline * sharding * copies, **degrees})
    assert parallel.world_size == parallel.model_parallel * parallel.data
    assert parallel.data == sharding * copies
    assert ParallelSection.model_validate(degrees).world_size == tensor * pipeline * sharding


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"fp16": True, "bf16": True}, "choose one"),
        ({"device": "cpu", "bf16": True}, "computes in float32"),
        ({"device": "cpu", "quantization": "wint8"}, "has kernels for GPUs alone"),
        ({"bf16": False}, "choose one"),
        ({"fp16": True, "quantization": "wint4/8"}, "leave fp16 false"),
        ({"quantization": "int8"}, "wint8"),
        ({"stage": "sft"}, "VL-SFT"),
    ],
)
def test_precisions_that_cannot_be_are_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainingSection.model_validate(section)


@pytest.mark.parametrize(
    "section", [{"beta": 0.0}, {"label_smoothing": 0.5}, {"loss_type": "dpo"}, {"beta": float("nan")}]
)
def test_a_loss_that_cannot_be_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DpoSection.model_validate(section)


def test_alpha_is_twice_the_rank_and_all_linear_is_every_projection() -> None:
    lora = LoraSection(r=8)
    assert (lora.alpha, len(lora.modules)) == (16, 7)
    assert LoraSection(r=8, lora_alpha=8, target_modules=["o_proj"]).modules == {"o_proj"}
