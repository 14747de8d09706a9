"""Tokens, steps and time of an epoch."""

from __future__ import annotations

from typing import Any

import pytest
from plan_examples import LARGE, MIDDLE, SMALL, project, shape

from erniekit_adapter.planning.epoch import (
    GPU_FLOPS,
    UTILIZATION,
    ExampleStatistics,
    epoch,
    example_statistics,
    flops_per_token,
)

MANIFEST = {
    "by_split": {"train": 368, "eval": 10, "test": 200},
    "written": 578,
    "tokens": {"up to 1024": 11, "up to 640": 7, "up to 768": 299, "up to 896": 261},
    "tokens_counted": {"lines": 578, "tokens": 441_951},
    "preferences": {"by_filter": {}, "by_split": {"train": 40, "eval": 2}},
}


def known(lines: int) -> ExampleStatistics:
    return ExampleStatistics(lines, tokens_per_example=None, longest=None, all_counted=False)


def test_reads_lengths_from_the_data_manifest() -> None:
    assert example_statistics(MANIFEST) == ExampleStatistics(368, 441_951 / 578, 1024, all_counted=True)


@pytest.mark.parametrize("counted", [{}, {"lines": 0, "tokens": 0}])
def test_uncounted_lengths_are_unknown(counted: dict[str, int]) -> None:
    assert example_statistics({**MANIFEST, "tokens": {}, "tokens_counted": counted}) == known(368)


def test_dpo_has_only_the_number_of_examples() -> None:
    assert example_statistics(MANIFEST, preference=True) == known(40)


@pytest.mark.parametrize(
    ("training", "lines", "steps"),
    [
        ({"max_steps": 7}, 1000, 7),
        ({"num_train_epochs": 3}, 100, 300),
        ({"num_train_epochs": 3, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}, 100, 38),
        ({"num_train_epochs": 0.5}, 1, 1),
    ],
)
def test_steps_of_a_run(training: dict[str, Any], lines: int, steps: int) -> None:
    assert epoch(project(training=training), shape(), known(lines)).steps == steps


def test_unknown_values_without_training_examples() -> None:
    found = epoch(project(), shape(), None)
    assert (found.steps, found.tokens, found.packs, found.hours) == (None, None, None, None)
    assert found.tokens_per_step == 4096


def test_tokens_of_a_step() -> None:
    training = {"max_seq_length": 1000, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    found = epoch(project(training=training, parallel={"sharding": 4, "tensor": 2}), shape(), None)
    assert found.tokens_per_step == 32_000


def test_tokens_and_packs_of_an_epoch() -> None:
    found = epoch(project(), shape(), example_statistics(MANIFEST))
    assert found.tokens == round(368 * 441_951 / 578)
    assert found.packs == (69, 368)


@pytest.mark.parametrize(
    ("sections", "multiple"),
    [
        ({"lora": {"enabled": False}, "training": {"recompute": False}}, 6),
        ({"lora": {"enabled": False}}, 8),
        ({"training": {"recompute": False}}, 4),
        ({}, 6),
    ],
)
def test_operations_per_token(sections: dict[str, Any], multiple: int) -> None:
    assert flops_per_token(project(SMALL, **sections), shape(SMALL)) == multiple * 360_748_032


def test_operations_count_chosen_experts_only() -> None:
    assert flops_per_token(project(MIDDLE), shape(MIDDLE)) == 6 * shape(MIDDLE).active_parameters
    embedding = 103_424 * 8192
    assert flops_per_token(project(LARGE), shape(LARGE)) == 6 * (shape(LARGE).active_parameters - embedding)


def test_hours_follow_from_the_assumed_speed() -> None:
    read = example_statistics(MANIFEST)
    one, eight = (epoch(project(MIDDLE, parallel={"sharding": gpus}), shape(MIDDLE), read) for gpus in (1, 8))
    assert one.tokens is not None
    seconds = one.tokens * flops_per_token(project(MIDDLE), shape(MIDDLE)) / (GPU_FLOPS * UTILIZATION)
    assert one.hours == pytest.approx(seconds / 3600)
    assert eight.hours == pytest.approx(one.hours / 8)
    assert epoch(project(training={"device": "cpu"}), shape(), read).hours is None
