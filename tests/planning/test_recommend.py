"""Degrees and batches that fit, and what ERNIEKit's own table says to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_examples import LARGE, MIDDLE, OCR, PAGES, SMALL, project, shape

from erniekit_adapter.planning.memory import GIB
from erniekit_adapter.planning.recommend import (
    Recommendation,
    Shortfall,
    degrees,
    method_of,
    packs_of_step,
    recommend,
)
from erniekit_adapter.project.catalogue import MINIMUM_GPUS, find_model, minimum_gpus, published
from erniekit_adapter.project.schema import Project

EVERY = {"enabled": False}


def found(name: str, gpus: int | None, memory_gib: float, **sections: Any) -> Recommendation | Shortfall:
    asked = project(name, **sections)
    return recommend(asked, shape(name), gpus=gpus, memory_gib=memory_gib, model=find_model(name))


def fits(name: str, gpus: int | None, memory_gib: float, **sections: Any) -> Recommendation:
    answer = found(name, gpus, memory_gib, **sections)
    assert isinstance(answer, Recommendation)
    return answer


def test_a_small_model_on_eight_gpus_is_copied_to_each() -> None:
    parallel = fits(SMALL, 8, 80).project.parallel
    assert (parallel.tensor, parallel.pipeline, parallel.sharding) == (1, 1, 8)


def test_every_weight_of_21b_on_eight_gpus_is_spread_over_some_of_them() -> None:
    answer = fits(MIDDLE, 8, 80, lora=EVERY, training={"max_seq_length": 8192})
    assert answer.project.parallel.model_parallel > 1
    assert answer.memory.total <= 80 * GIB
    assert "8 × 80 GB" in answer.remarks[0]
    assert "agrees with it" in answer.remarks[0]


def test_the_packs_of_a_step_stay_and_the_batch_is_the_largest_that_fits() -> None:
    training = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 8}
    large, small = fits(SMALL, 1, 80, training=training), fits(SMALL, 1, 12, training=training)
    assert packs_of_step(large.project) == packs_of_step(small.project) == 16
    assert large.project.training.per_device_train_batch_size > small.project.training.per_device_train_batch_size


def test_packs_that_the_gpus_cannot_share_evenly_are_told() -> None:
    assert any("8 packs instead of 1" in remark for remark in fits(SMALL, 8, 80).remarks)


@pytest.mark.parametrize("name", [SMALL, MIDDLE, LARGE, PAGES, OCR])
def test_a_recommendation_is_a_project_that_the_schema_accepts(name: str) -> None:
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
def test_degrees_are_those_that_model_and_toolkit_allow(name: str, gpus: int, allowed: set[tuple[int, int]]) -> None:
    assert set(degrees(project(name), shape(name), gpus)) == allowed


def test_a_quantized_dense_model_trains_in_no_pipeline() -> None:
    quantized = project(SMALL, training={"quantization": "wint8"})
    assert {pipeline for _, pipeline in degrees(quantized, shape(SMALL), 4)} == {1}


def test_left_to_itself_a_plan_keeps_to_erniekit_s_table_and_says_so() -> None:
    keys = {"extra": {"offload_optim": True}}
    answer = fits(MIDDLE, None, 80, lora=EVERY, training={"max_seq_length": 8192}, erniekit=keys)
    assert answer.project.parallel.world_size == 8
    assert "by this estimate 2 would do: kept to the table" in answer.remarks[0]


def test_fewer_gpus_than_the_table_has_are_planned_with_when_asked_and_contradict_it() -> None:
    answer = fits(MIDDLE, 4, 80, lora=EVERY, erniekit={"extra": {"offload_optim": True}})
    assert answer.project.parallel.world_size == 4
    assert "a plan for 4 CONTRADICTS it" in answer.remarks[0]


def test_a_plan_for_more_than_the_table_has_says_so_too() -> None:
    answer = fits(PAGES, None, 80, training={"max_seq_length": 131_072})
    assert answer.project.parallel.world_size > 4
    assert "CONTRADICTS it: its examples keep the optimizer in host memory" in answer.remarks[0]


def test_what_no_number_of_gpus_would_do_for_contradicts_the_table_as_well() -> None:
    # Logits of every token of a pack that long do not fit, however they are divided.
    answer = found(SMALL, None, 80, training={"max_seq_length": 131_072})
    assert isinstance(answer, Shortfall)
    assert "256 are not enough, which CONTRADICTS it" in answer.remarks[0]


def test_of_smaller_cards_the_table_says_nothing() -> None:
    assert "of smaller cards it says nothing" in fits(SMALL, 1, 24).remarks[0]


def test_what_the_table_has_no_row_for_is_said() -> None:
    assert "no row" in fits(OCR, 1, 80).remarks[0]


@pytest.mark.parametrize("row", MINIMUM_GPUS, ids=lambda row: f"{row.size} {row.method} {row.max_seq_length}")
@pytest.mark.parametrize("gpus", [None, 1, 8])
def test_no_recommendation_contradicts_the_table_in_silence(row: Any, gpus: int | None) -> None:
    name = next(
        model
        for model in (SMALL, MIDDLE, LARGE, PAGES, "baidu/ERNIE-4.5-VL-424B-A47B-Paddle")
        if published(model).size == row.size
    )
    sections: dict[str, Any] = {"lora": {"enabled": "LoRA" in row.method}}
    training: dict[str, Any] = {"max_seq_length": row.max_seq_length}
    training |= {"stage": "DPO"} if "DPO" in row.method else {}
    training |= {"quantization": "wint4/8"} if "wint" in row.method else {}
    training |= {"quantization": "fp8"} if "fp8" in row.method else {}
    answer = found(name, gpus, 80, training=training, **sections)
    said = answer.remarks[0]
    assert f"{row.gpus} × 80 GB" in said
    if isinstance(answer, Recommendation) and answer.project.parallel.world_size < row.gpus:
        assert "CONTRADICTS" in said
    if isinstance(answer, Recommendation) and answer.project.parallel.world_size > row.gpus and gpus is None:
        assert "CONTRADICTS" in said


def test_what_fits_nowhere_is_said_with_what_would() -> None:
    answer = found(MIDDLE, 1, 80, lora=EVERY)
    assert isinstance(answer, Shortfall)
    assert answer.memory.total > 80 * GIB
    assert answer.gpus_needed == 8


def test_gpus_that_no_degrees_make_up_leave_nothing_nearest() -> None:
    answer = found(PAGES, 1, 80)
    assert isinstance(answer, Shortfall)
    assert (answer.nearest, answer.gpus_needed) == (None, 2)


def test_a_card_that_is_too_small_for_anything_is_told() -> None:
    answer = found(LARGE, None, 1)
    assert isinstance(answer, Shortfall)
    assert answer.gpus_needed is None


def test_targets_that_start_from_an_adapter_are_remarked_where_the_model_is_spread() -> None:
    lora = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    assert any("all-linear" in remark for remark in fits(MIDDLE, 4, 24, lora=lora).remarks)
    assert not any("all-linear" in remark for remark in fits(MIDDLE, 1, 80, lora=lora).remarks)


@pytest.mark.parametrize(
    ("sections", "method"),
    [
        ({}, "LoRA"),
        ({"lora": EVERY}, "SFT"),
        ({"training": {"stage": "DPO"}}, "DPO LoRA"),
        ({"lora": EVERY, "training": {"stage": "DPO"}}, "DPO"),
        ({"training": {"quantization": "wint4/8"}}, "LoRA wint4/8"),
        ({"lora": EVERY, "training": {"quantization": "fp8"}}, "SFT fp8"),
        ({"training": {"quantization": "nf4"}}, None),
    ],
)
def test_a_project_falls_under_one_method_of_the_table(sections: dict[str, Any], method: str | None) -> None:
    assert method_of(project(**sections)) == method


@pytest.mark.parametrize(("length", "row"), [(4096, 8192), (8192, 8192), (8193, 32_768), (40_000, 131_072)])
def test_the_row_of_the_shortest_length_that_holds_the_packs_counts(length: int, row: int) -> None:
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
def test_what_is_recommended_fits_and_asks_for_the_given_gpus(
    name: str, gpus: int, memory_gib: int, length: int
) -> None:
    answer = found(name, gpus, memory_gib, training={"max_seq_length": length})
    if isinstance(answer, Recommendation):
        assert answer.memory.total <= memory_gib * GIB
        assert answer.settings()["parallel.gpus"] == gpus
