"""Recommended degrees and batches, and their comparison with ERNIEKit's table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_examples import LARGE, MIDDLE, OCR, PAGES, SMALL, project, shape

from erniekit_adapter.architectures.models import MINIMUM_GPUS, find_model, minimum_gpus, published
from erniekit_adapter.planning.memory import GIB
from erniekit_adapter.planning.recommend import (
    Recommendation,
    Shortfall,
    degrees,
    method_of,
    packs_of_step,
    recommend,
)
from erniekit_adapter.project.schema import Project

EVERY = {"enabled": False}


def found(name: str, gpus: int | None, memory_gib: float, **sections: Any) -> Recommendation | Shortfall:
    example = project(name, **sections)
    return recommend(example, shape(name), gpus=gpus, memory_gib=memory_gib, model=find_model(name))


def fits(name: str, gpus: int | None, memory_gib: float, **sections: Any) -> Recommendation:
    answer = found(name, gpus, memory_gib, **sections)
    assert isinstance(answer, Recommendation)
    return answer


def test_small_model_is_copied_to_each_gpu() -> None:
    parallel = fits(SMALL, 8, 80).project.parallel
    assert (parallel.tensor, parallel.pipeline, parallel.sharding) == (1, 1, 8)


def test_21b_without_lora_is_spread_over_gpus() -> None:
    answer = fits(MIDDLE, 8, 80, lora=EVERY, training={"max_seq_length": 8192})
    assert answer.project.parallel.model_parallel > 1
    assert answer.memory.total <= 80 * GIB
    assert "8 × 80 GB" in answer.remarks[0]
    assert "agrees with it" in answer.remarks[0]


def test_keeps_packs_and_takes_the_largest_batch() -> None:
    training = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8}
    large, small = fits(SMALL, 1, 80, training=training), fits(SMALL, 1, 12, training=training)
    assert packs_of_step(large.project) == packs_of_step(small.project) == 16
    assert large.project.training.per_device_train_batch_size > small.project.training.per_device_train_batch_size


def test_remarks_on_packs_that_do_not_divide_evenly() -> None:
    assert any("8 packs instead of 1" in remark for remark in fits(SMALL, 8, 80).remarks)


@pytest.mark.parametrize("name", [SMALL, MIDDLE, LARGE, PAGES, OCR])
def test_recommendation_is_a_valid_project(name: str) -> None:
    for gpus in (1, 4, 8, 16):
        answer = found(name, gpus, 80)
        if isinstance(answer, Recommendation):
            Project.model_validate(answer.project.model_dump())
            assert answer.project.parallel.world_size == gpus


@pytest.mark.parametrize(
    ("name", "gpus", "allowed"),
    [
        # 2 key-value heads: tensor 1 or 2.
        (SMALL, 2, {(1, 1), (2, 1), (1, 2)}),
        # No pipelines for PaddleOCR-VL.
        (OCR, 4, {(1, 1), (2, 1)}),
        # ERNIE-VL: two stages at least, every GPU for one copy.
        (PAGES, 4, {(2, 2), (1, 4)}),
        (PAGES, 1, set()),
    ],
)
def test_degrees_allowed_by_model_and_toolkit(name: str, gpus: int, allowed: set[tuple[int, int]]) -> None:
    assert set(degrees(project(name), shape(name), gpus)) == allowed


def test_no_pipeline_for_a_quantized_dense_model() -> None:
    quantized = project(SMALL, training={"quantization": "wint8"})
    assert {pipeline for _, pipeline in degrees(quantized, shape(SMALL), 4)} == {1}


def test_keeps_to_erniekits_table_by_default() -> None:
    keys = {"extra": {"offload_optim": True}}
    answer = fits(MIDDLE, None, 80, lora=EVERY, training={"max_seq_length": 8192}, erniekit=keys)
    assert answer.project.parallel.world_size == 8
    assert "by this estimate 2 are enough: the table is used" in answer.remarks[0]


def test_remarks_on_fewer_gpus_than_the_table() -> None:
    answer = fits(MIDDLE, 4, 80, lora=EVERY, erniekit={"extra": {"offload_optim": True}})
    assert answer.project.parallel.world_size == 4
    assert "a plan for 4 CONTRADICTS it" in answer.remarks[0]


def test_remarks_on_more_gpus_than_the_table() -> None:
    answer = fits(PAGES, None, 80, training={"max_seq_length": 131_072})
    assert answer.project.parallel.world_size > 4
    assert "CONTRADICTS it: its examples keep the optimizer in host memory" in answer.remarks[0]


def test_remarks_if_no_number_of_gpus_fits() -> None:
    # Logits of every token of a pack that long do not fit, however they are divided.
    answer = found(SMALL, None, 80, training={"max_seq_length": 131_072})
    assert isinstance(answer, Shortfall)
    assert "256 are not enough, which CONTRADICTS it" in answer.remarks[0]


def test_table_does_not_apply_to_smaller_gpus() -> None:
    assert "it has no rows for smaller GPUs" in fits(SMALL, 1, 24).remarks[0]


def test_remarks_on_a_missing_row() -> None:
    assert "no row" in fits(OCR, 1, 80).remarks[0]


@pytest.mark.parametrize("row", MINIMUM_GPUS, ids=lambda row: f"{row.size} {row.method} {row.max_seq_length}")
@pytest.mark.parametrize("gpus", [None, 1, 8])
def test_every_contradiction_of_the_table_is_remarked(row: Any, gpus: int | None) -> None:
    name = next(
        model
        for model in (SMALL, MIDDLE, LARGE, PAGES, "baidu/ERNIE-4.5-VL-424B-A47B-Paddle")
        if published(model).size == row.size
    )
    sections: dict[str, Any] = {"lora": {"enabled": "LoRA" in row.method}}
    training: dict[str, Any] = {"max_seq_length": row.max_seq_length}
    training |= {"method": "DPO"} if "DPO" in row.method else {}
    training |= {"quantization": "wint4/8"} if "wint" in row.method else {}
    training |= {"quantization": "fp8"} if "fp8" in row.method else {}
    answer = found(name, gpus, 80, training=training, **sections)
    message = answer.remarks[0]
    assert f"{row.gpus} × 80 GB" in message
    if isinstance(answer, Recommendation) and answer.project.parallel.world_size < row.gpus:
        assert "CONTRADICTS" in message
    if isinstance(answer, Recommendation) and answer.project.parallel.world_size > row.gpus and gpus is None:
        assert "CONTRADICTS" in message


def test_shortfall_has_the_needed_gpus() -> None:
    answer = found(MIDDLE, 1, 80, lora=EVERY)
    assert isinstance(answer, Shortfall)
    assert answer.memory.total > 80 * GIB
    assert answer.gpus_needed == 8


def test_shortfall_without_possible_degrees() -> None:
    answer = found(PAGES, 1, 80)
    assert isinstance(answer, Shortfall)
    assert (answer.nearest, answer.gpus_needed) == (None, 2)


def test_shortfall_on_a_tiny_gpu() -> None:
    answer = found(LARGE, None, 1)
    assert isinstance(answer, Shortfall)
    assert answer.gpus_needed is None


def test_names_the_targets_that_allow_no_parallel_degrees() -> None:
    lora = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    answer = found(MIDDLE, 4, 24, lora=lora)
    assert isinstance(answer, Shortfall)
    assert any("lora.target_modules" in remark and "pipeline 1" in remark for remark in answer.remarks)
    assert not any("lora.target_modules" in remark for remark in fits(MIDDLE, 4, 24).remarks)


@pytest.mark.parametrize(
    ("sections", "method"),
    [
        ({}, "LoRA"),
        ({"lora": EVERY}, "SFT"),
        ({"training": {"method": "DPO"}}, "DPO LoRA"),
        ({"lora": EVERY, "training": {"method": "DPO"}}, "DPO"),
        ({"training": {"quantization": "wint4/8"}}, "LoRA wint4/8"),
        ({"lora": EVERY, "training": {"quantization": "fp8"}}, "SFT fp8"),
        ({"training": {"quantization": "nf4"}}, None),
    ],
)
def test_method_of_a_project_in_the_table(sections: dict[str, Any], method: str | None) -> None:
    assert method_of(project(**sections)) == method


@pytest.mark.parametrize(("length", "row"), [(4096, 8192), (8192, 8192), (8193, 32_768), (40_000, 131_072)])
def test_uses_the_row_of_the_shortest_sufficient_length(length: int, row: int) -> None:
    entry = minimum_gpus(published(MIDDLE), "SFT", length)
    assert entry is not None
    assert entry.max_seq_length == row
    assert minimum_gpus(published(MIDDLE), "LoRA wint4/8", 40_000) is None


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from([SMALL, MIDDLE, PAGES, OCR]),
    gpus=st.integers(1, 16),
    memory_gib=st.integers(8, 96),
    length=st.sampled_from([512, 4096, 16_384]),
)
def test_recommendation_fits_the_given_gpus(name: str, gpus: int, memory_gib: int, length: int) -> None:
    answer = found(name, gpus, memory_gib, training={"max_seq_length": length})
    if isinstance(answer, Recommendation):
        assert answer.memory.total <= memory_gib * GIB
        assert answer.settings()["parallel.gpus"] == gpus
