"""Stage DPO of both toolkits: its loss, its lines, and how long a request may be."""

from __future__ import annotations

from typing import Any

import pytest
from settings_examples import MOE, dpo_project, paddleformers_project, project, refusal, settings


def dpo_on_paddleformers(**sections: Any) -> Any:
    return paddleformers_project(
        training={"stage": "DPO", **sections.pop("training", {})}, data={"preference": True}, **sections
    )


@pytest.mark.parametrize("of", [dpo_project, dpo_on_paddleformers])
def test_dpo_trains_on_the_data_stage_s_preference_lines(of: Any) -> None:
    found = settings(of())
    assert (found["stage"], found["train_dataset_path"]) == ("DPO", "../data/dpo-train.jsonl")
    assert found["eval_dataset_path"] == "../data/dpo-eval.jsonl"


@pytest.mark.parametrize("of", [dpo_project, dpo_on_paddleformers])
def test_the_loss_is_as_asked(of: Any) -> None:
    dpo = {"beta": 0.2, "label_smoothing": 0.1, "sft_loss_ratio": 0.5, "pref_loss_ratio": 2.0}
    found = settings(of(dpo=dpo))
    assert {key: found[key] for key in dpo} == dpo
    assert found["loss_type"] == "sigmoid"


@pytest.mark.parametrize("loss", ["or", "orpo", "simpo"])
def test_a_loss_that_needs_no_reference_is_given_none_as_the_toolkits_do_themselves(loss: str) -> None:
    assert settings(dpo_project(dpo={"loss_type": loss}))["reference_free"] is True
    assert settings(dpo_project())["reference_free"] is False


def test_a_request_may_be_as_long_as_the_toolkit_leaves_as_it_is() -> None:
    found = settings(dpo_project(training={"max_seq_length": 1024}))
    assert (found["max_seq_len"], found["max_prompt_len"]) == (1024, 1014)
    assert settings(dpo_project(dpo={"max_prompt_length": 700}))["max_prompt_len"] == 700


def test_a_request_longer_than_a_pack_is_refused_since_the_toolkit_would_change_it() -> None:
    said = refusal(dpo_project(training={"max_seq_length": 1024}, dpo={"max_prompt_length": 1015}))
    assert "dpo.max_prompt_length: found 1015; max_seq_length is 1024" in said
    assert "at most 1014" in said


def test_1_0_gets_an_offset_without_which_its_loss_fails() -> None:
    assert settings(dpo_project(), "1.0.1")["offset_alpha"] == 1.0e-8
    assert "offset_alpha" not in settings(dpo_project(), "1.1.0")


def test_erniekit_s_dpo_goes_with_the_sparse_head_alone_on_a_cpu_as_well() -> None:
    assert settings(dpo_project(training={"device": "cpu"}))["use_sparse_head_and_loss_fn"] is True


def test_a_pipeline_clears_its_cache_in_every_step_since_dpo_stops_otherwise() -> None:
    found = settings(dpo_project(MOE, parallel={"tensor": 2, "pipeline": 2, "sequence": True}))
    assert found["pipeline_parallel_config"] == "enable_clear_every_step_cache disable_partial_send_recv"


def test_dpo_without_preference_lines_is_refused() -> None:
    said = refusal(project(training={"stage": "DPO"}))
    assert "data.preference: is false, and DPO trains on what models said" in said
    assert "set it true and run make data" in said


def test_a_loss_of_dpo_in_another_stage_is_refused_since_nothing_would_come_of_it() -> None:
    assert "dpo: beta, loss_type: not used in stage SFT" in refusal(project(dpo={"beta": 0.3, "loss_type": "ipo"}))


def test_a_pipeline_of_paddleformers_clears_its_cache_too() -> None:
    asked = dpo_on_paddleformers(parallel={"tensor": 2, "pipeline": 2, "sequence": True}, training={"stage": "DPO"})
    found = settings(asked)
    assert (found["clear_every_step_cache"], found["partial_send_recv"]) == (True, False)
    assert "clear_every_step_cache" not in settings(dpo_on_paddleformers())
