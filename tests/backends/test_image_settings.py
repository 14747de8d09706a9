"""Stages VL-SFT and OCR-VL-SFT of ERNIEKit: what they must be given, and what they are never given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings_examples import image_project, ocr_project, project, settings

from erniekit_adapter.backends.keytable import accepted_keys
from erniekit_adapter.backends.same_names import steps_of
from erniekit_adapter.backends.translation import (
    derived_by_toolkit,
    facts_before_training,
    settings_left_open,
    settings_of,
)


def test_the_model_decides_the_stage() -> None:
    assert settings(image_project())["stage"] == "VL-SFT"
    assert settings(ocr_project())["stage"] == "OCR-VL-SFT"


def test_vl_sft_trains_the_model_s_weights_and_not_random_ones() -> None:
    assert settings(image_project())["from_scratch"] == 0
    assert settings(ocr_project())["from_scratch"] == 0


def test_vl_sft_is_told_that_it_is_multimodal_and_how_its_modalities_are_weighed() -> None:
    found = settings(image_project())
    assert (found["multimodal"], found["modality_ratio"], found["do_train"]) == (True, "[1,1]", True)


def test_the_vision_tower_is_frozen_unless_the_project_says_otherwise() -> None:
    assert settings(image_project())["freeze_config"] == "freeze_vision"
    trained = {"gradient_accumulation_steps": 4, "freeze_vision": False}
    assert settings(image_project(training=trained, lora={"enabled": False}))["freeze_config"] == ""


@pytest.mark.parametrize("version", ["1.1.0", "1.2.0", "1.3.0", "1.4", "1.5", "develop"])
def test_vl_sft_is_never_told_to_evaluate_since_that_fails_after_training(version: str) -> None:
    found = settings(image_project(erniekit={"version": version}), eval_lines=12)
    assert not {"do_eval", "evaluation_strategy", "eval_dataset_path", "eval_steps"} & set(found)


@pytest.mark.parametrize("of", [image_project, ocr_project])
def test_epochs_are_steps_there_since_the_stage_counts_none(of: Any) -> None:
    training = {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
    }
    found = settings(of(training=training), train_lines=101)
    assert found["max_steps"] == 38  # 101 × 3 / 8, rounded up
    assert "num_train_epochs" not in found


def test_lines_that_are_packed_together_make_fewer_steps() -> None:
    packed = {"version": "1.5", "extra": {"packing": True, "packing_size": 8}}
    asked = {"num_train_epochs": 2, "gradient_accumulation_steps": 4}
    assert settings(ocr_project(training=asked, erniekit=packed), train_lines=320)["max_steps"] == 20
    assert settings(ocr_project(training=asked), train_lines=320)["max_steps"] == 160


def test_steps_that_the_project_names_win_over_its_epochs() -> None:
    found = settings(image_project(training={"max_steps": 7, "gradient_accumulation_steps": 4}), train_lines=1000)
    assert found["max_steps"] == 7


def test_before_there_are_lines_the_steps_are_open_and_said_to_be() -> None:
    asked = image_project()
    facts = facts_before_training(asked)
    made = settings_of(asked, facts)
    assert "max_steps" not in made
    rows = {key: value for key, value, _ in derived_by_toolkit(asked, facts, made)}
    assert rows["max_steps"] == "lines × epochs / global batch"


def test_settings_that_depend_on_the_lines_are_known_by_name() -> None:
    asked = image_project()
    facts = facts_before_training(asked)
    assert settings_left_open(asked, facts) == {"max_steps", "num_samples_each_epoch"}
    assert settings_left_open(asked, replace(facts, train_lines=7, eval_lines=0)) == set()


@given(
    lines=st.integers(1, 10**6),
    epochs=st.integers(1, 10),
    batch=st.integers(1, 8),
    accumulation=st.integers(1, 8),
    gpus=st.integers(1, 8),
)
def test_the_steps_see_every_line_in_every_epoch_and_less_than_a_batch_more(
    lines: int, epochs: int, batch: int, accumulation: int, gpus: int
) -> None:
    training = {
        "num_train_epochs": epochs,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
    }
    global_batch = batch * accumulation * gpus
    seen = steps_of(project(training=training, parallel={"gpus": gpus}), lines) * global_batch
    assert lines * epochs <= seen < lines * epochs + global_batch


def test_in_a_pipeline_images_go_to_every_stage() -> None:
    found = settings(image_project())
    assert (found["pp_need_data"], found["pp_need_data_degree"]) == (True, 2)
    alone = settings(image_project(parallel={"tensor": 2}, lora={"enabled": False}))
    assert not {"pp_need_data", "pp_need_data_degree"} & set(alone)


@pytest.mark.parametrize("version", ["1.1.0", "1.2.0", "1.3.0", "1.4", "1.5", "develop"])
def test_every_setting_of_vl_sft_is_a_key_of_the_version(version: str) -> None:
    known = accepted_keys(version, "train")
    assert [
        key for key in settings(image_project(erniekit={"version": version}), train_lines=9) if key not in known
    ] == []
