"""Settings of VL-SFT and OCR-VL-SFT in ERNIEKit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings_examples import RELEASED, image_project, ocr_project, project, settings

from erniekit_adapter.backends.key_tables import accepted_keys
from erniekit_adapter.backends.same_names import steps_of
from erniekit_adapter.backends.translation import (
    context_before_training,
    derived_by_toolkit,
    settings_of,
    unknown_settings,
)


def test_training_method_follows_from_the_model() -> None:
    assert settings(image_project())["stage"] == "VL-SFT"
    assert settings(ocr_project())["stage"] == "OCR-VL-SFT"


def test_vl_sft_does_not_start_from_random_weights() -> None:
    assert settings(image_project())["from_scratch"] == 0
    assert settings(ocr_project())["from_scratch"] == 0


def test_multimodal_settings_of_vl_sft() -> None:
    found = settings(image_project())
    assert (found["multimodal"], found["modality_ratio"], found["do_train"]) == (True, "[1,1]", True)


def test_vision_tower_is_frozen_by_default() -> None:
    assert settings(image_project())["freeze_config"] == "freeze_vision"
    trained = {"gradient_accumulation_steps": 4, "freeze_vision": False}
    assert settings(image_project(training=trained, lora={"enabled": False}))["freeze_config"] == ""


@pytest.mark.parametrize("version", [*RELEASED[1:], "develop"])
def test_vl_sft_never_evaluates(version: str) -> None:
    found = settings(image_project(erniekit={"version": version}), eval_examples=12)
    assert not {"do_eval", "evaluation_strategy", "eval_dataset_path", "eval_steps"} & set(found)


@pytest.mark.parametrize("of", [image_project, ocr_project])
def test_epochs_become_steps_for_images(of: Any) -> None:
    training = {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
    }
    found = settings(of(training=training), train_examples=101)
    assert found["max_steps"] == 38  # 101 × 3 / 8, rounded up
    assert "num_train_epochs" not in found


def test_packing_makes_fewer_steps() -> None:
    packed = {"version": "1.5", "extra": {"packing": True, "packing_size": 8}}
    tested = {"num_train_epochs": 2, "gradient_accumulation_steps": 4}
    assert settings(ocr_project(training=tested, erniekit=packed), train_examples=320)["max_steps"] == 20
    assert settings(ocr_project(training=tested), train_examples=320)["max_steps"] == 160


def test_steps_take_precedence_over_epochs() -> None:
    found = settings(image_project(training={"max_steps": 7, "gradient_accumulation_steps": 4}), train_examples=1000)
    assert found["max_steps"] == 7


def test_steps_are_unknown_without_training_examples() -> None:
    tested = image_project()
    context = context_before_training(tested)
    made = settings_of(tested, context)
    assert "max_steps" not in made
    rows = {key: value for key, value, _ in derived_by_toolkit(tested, context, made)}
    assert rows["max_steps"] == "examples × epochs / global batch"


def test_names_of_settings_that_depend_on_examples() -> None:
    tested = image_project()
    context = context_before_training(tested)
    assert unknown_settings(tested, context) == {"max_steps", "num_samples_each_epoch"}
    assert unknown_settings(tested, replace(context, train_examples=7, eval_examples=0)) == set()


@given(
    examples=st.integers(1, 10**6),
    epochs=st.integers(1, 10),
    batch=st.integers(1, 8),
    accumulation=st.integers(1, 8),
    gpus=st.integers(1, 8),
)
def test_steps_cover_every_example_in_every_epoch(
    examples: int, epochs: int, batch: int, accumulation: int, gpus: int
) -> None:
    training = {
        "num_train_epochs": epochs,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
    }
    global_batch = batch * accumulation * gpus
    covered = steps_of(project(training=training, parallel={"gpus": gpus}), examples) * global_batch
    assert examples * epochs <= covered < examples * epochs + global_batch


def test_pipeline_ranks_all_get_images() -> None:
    found = settings(image_project())
    assert (found["pp_need_data"], found["pp_need_data_degree"]) == (True, 2)
    without = settings(image_project(parallel={"tensor": 2}, lora={"enabled": False}))
    assert not {"pp_need_data", "pp_need_data_degree"} & set(without)


@pytest.mark.parametrize("version", [*RELEASED[1:], "develop"])
def test_settings_of_vl_sft_are_keys_of_the_version(version: str) -> None:
    known = accepted_keys(version, "train")
    assert [
        key for key in settings(image_project(erniekit={"version": version}), train_examples=9) if key not in known
    ] == []
