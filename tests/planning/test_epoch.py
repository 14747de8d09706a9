"""Tokens, steps and time of an epoch."""

from __future__ import annotations

from typing import Any

import pytest
from plan_examples import LARGE, MIDDLE, SMALL, project, shape

from erniekit_adapter.planning.epoch import CARD_FLOPS, UTILIZATION, LinesRead, epoch, flops_per_token, lines_read

MANIFEST = {
    "by_split": {"train": 368, "eval": 10, "test": 200},
    "written": 578,
    "tokens": {"up to 1024": 11, "up to 640": 7, "up to 768": 299, "up to 896": 261},
    "tokens_counted": {"lines": 578, "tokens": 441_951},
    "preferences": {"by_gate": {}, "by_split": {"train": 40, "eval": 2}},
}


def known(lines: int) -> LinesRead:
    return LinesRead(lines, tokens_per_line=None, longest=None, all_counted=False)


def test_a_data_manifest_gives_lines_their_mean_length_and_a_bound_of_the_longest() -> None:
    assert lines_read(MANIFEST) == LinesRead(368, 441_951 / 578, 1024, all_counted=True)


@pytest.mark.parametrize("counted", [{}, {"lines": 0, "tokens": 0}])
def test_lengths_that_were_not_counted_are_not_made_up(counted: dict[str, int]) -> None:
    assert lines_read({**MANIFEST, "tokens": {}, "tokens_counted": counted}) == known(368)


def test_of_lines_for_dpo_the_number_is_known_alone() -> None:
    assert lines_read(MANIFEST, preference=True) == known(40)


@pytest.mark.parametrize(
    ("training", "lines", "steps"),
    [
        ({"max_steps": 7}, 1000, 7),
        ({"num_train_epochs": 3}, 100, 300),
        ({"num_train_epochs": 3, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}, 100, 38),
        ({"num_train_epochs": 0.5}, 1, 1),
    ],
)
def test_steps_are_lines_times_epochs_over_the_global_batch(training: dict[str, Any], lines: int, steps: int) -> None:
    assert epoch(project(training=training), shape(), known(lines)).steps == steps


def test_without_lines_only_what_the_project_says_is_known() -> None:
    found = epoch(project(), shape(), None)
    assert (found.steps, found.tokens, found.packs, found.hours) == (None, None, None, None)
    assert found.tokens_per_step == 4096


def test_a_step_takes_full_packs_on_every_data_parallel_gpu() -> None:
    training = {"max_seq_length": 1000, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    found = epoch(project(training=training, parallel={"sharding": 4, "tensor": 2}), shape(), None)
    assert found.tokens_per_step == 32_000


def test_an_epoch_has_the_tokens_of_its_lines_in_packs_that_are_full_or_hold_one() -> None:
    found = epoch(project(), shape(), lines_read(MANIFEST))
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
def test_a_token_costs_so_many_operations_a_weight(sections: dict[str, Any], multiple: int) -> None:
    assert flops_per_token(project(SMALL, **sections), shape(SMALL)) == multiple * 360_748_032


def test_of_experts_the_chosen_ones_compute_and_an_untied_embedding_is_looked_up() -> None:
    assert flops_per_token(project(MIDDLE), shape(MIDDLE)) == 6 * shape(MIDDLE).active_parameters
    embedding = 103_424 * 8192
    assert flops_per_token(project(LARGE), shape(LARGE)) == 6 * (shape(LARGE).active_parameters - embedding)


def test_time_is_operations_over_an_assumed_speed_and_on_a_cpu_none_is_promised() -> None:
    read = lines_read(MANIFEST)
    one, eight = (epoch(project(MIDDLE, parallel={"sharding": gpus}), shape(MIDDLE), read) for gpus in (1, 8))
    assert one.tokens is not None
    seconds = one.tokens * flops_per_token(project(MIDDLE), shape(MIDDLE)) / (CARD_FLOPS * UTILIZATION)
    assert one.hours == pytest.approx(seconds / 3600)
    assert eight.hours == pytest.approx(one.hours / 8)
    assert epoch(project(training={"device": "cpu"}), shape(), read).hours is None
