"""Settings of DPO in both toolkits: its loss, its examples, and the limit of a request."""

from __future__ import annotations

from typing import Any

import pytest
from settings_examples import MOE, dpo_project, paddleformers_project, project, refusal, settings


def dpo_on_paddleformers(**sections: Any) -> Any:
    return paddleformers_project(
        training={"method": "DPO", **sections.pop("training", {})}, data={"preference": True}, **sections
    )


@pytest.mark.parametrize("of", [dpo_project, dpo_on_paddleformers])
def test_dpo_trains_on_preference_examples(of: Any) -> None:
    found = settings(of())
    assert (found["stage"], found["train_dataset_path"]) == ("DPO", "../data/dpo-train.jsonl")
    assert found["eval_dataset_path"] == "../data/dpo-eval.jsonl"


@pytest.mark.parametrize("of", [dpo_project, dpo_on_paddleformers])
def test_loss_settings_are_passed_on(of: Any) -> None:
    dpo = {"beta": 0.2, "label_smoothing": 0.1, "sft_loss_ratio": 0.5, "pref_loss_ratio": 2.0}
    found = settings(of(dpo=dpo))
    assert {key: found[key] for key in dpo} == dpo
    assert found["loss_type"] == "sigmoid"


@pytest.mark.parametrize("loss", ["or", "orpo", "simpo"])
def test_reference_free_losses(loss: str) -> None:
    assert settings(dpo_project(dpo={"loss_type": loss}))["reference_free"] is True
    assert settings(dpo_project())["reference_free"] is False


def test_longest_request_that_the_toolkit_keeps() -> None:
    found = settings(dpo_project(training={"max_seq_length": 1024}))
    assert (found["max_seq_len"], found["max_prompt_len"]) == (1024, 1014)
    assert settings(dpo_project(dpo={"max_prompt_length": 700}))["max_prompt_len"] == 700


def test_refuses_a_prompt_limit_near_the_pack_length() -> None:
    text = refusal(dpo_project(training={"max_seq_length": 1024}, dpo={"max_prompt_length": 1015}))
    assert "dpo.max_prompt_length: found 1015; max_seq_length is 1024" in text
    assert "lower it to 1014" in text


def test_erniekit_1_0_gets_an_offset_for_its_loss() -> None:
    assert settings(dpo_project(), "1.0.1")["offset_alpha"] == 1.0e-8
    assert "offset_alpha" not in settings(dpo_project(), "1.1.0")


def test_dpo_uses_the_sparse_head_on_a_cpu_too() -> None:
    assert settings(dpo_project(training={"device": "cpu"}))["use_sparse_head_and_loss_fn"] is True


def test_pipeline_of_dpo_clears_its_cache_in_every_step() -> None:
    found = settings(dpo_project(MOE, parallel={"tensor": 2, "pipeline": 2, "sequence": True}))
    assert found["pipeline_parallel_config"] == "enable_clear_every_step_cache disable_partial_send_recv"


def test_refuses_dpo_without_preference_examples() -> None:
    text = refusal(project(training={"method": "DPO"}))
    assert "data.preference: is false, and DPO trains on pairs of a rejected and a corrected answer" in text
    assert "set it to true and run erniekit-adapter data build PROJECT" in text


def test_refuses_dpo_settings_with_another_method() -> None:
    assert "dpo: beta, loss_type: not used in SFT" in refusal(project(dpo={"beta": 0.3, "loss_type": "ipo"}))


def test_pipeline_of_paddleformers_clears_its_cache() -> None:
    given = dpo_on_paddleformers(parallel={"tensor": 2, "pipeline": 2, "sequence": True}, training={"method": "DPO"})
    found = settings(given)
    assert (found["clear_every_step_cache"], found["partial_send_recv"]) == (True, False)
    assert "clear_every_step_cache" not in settings(dpo_on_paddleformers())
