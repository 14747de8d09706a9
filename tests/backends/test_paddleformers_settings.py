"""From a project to PaddleFormers' settings: a test for each rule that differs from those of ERNIEKit."""

from __future__ import annotations

from typing import Any

import pytest
from settings_examples import OCR_VL, paddleformers_project, settings

from erniekit_adapter.backends.key_tables import accepted_keys
from erniekit_adapter.backends.translation import context_before_training, derived_by_toolkit, settings_of


def ocr(**sections: Any) -> Any:
    return paddleformers_project(OCR_VL, data={"format": "paddleformers"}, **sections)


@pytest.mark.parametrize("version", ["1.0.0", "1.1.1", "1.2.0"])
@pytest.mark.parametrize(
    "sections", [{}, {"training": {"device": "cpu"}}, {"lora": {"enabled": False}}, {"parallel": {"sharding": 2}}]
)
def test_every_setting_is_a_key_of_the_version(version: str, sections: dict[str, Any]) -> None:
    known = accepted_keys(version, "train", "paddleformers")
    for given in (paddleformers_project(**sections), ocr(**sections)):
        assert [key for key in settings(given, version, train_examples=9) if key not in known] == []


def test_names_of_batches_and_degrees() -> None:
    training = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 4}
    parallel = {"tensor": 2, "sharding": 2}
    found = settings(paddleformers_project(training=training, parallel=parallel, lora={"enabled": False}))
    assert (found["per_device_train_batch_size"], found["per_device_eval_batch_size"]) == (2, 4)
    assert (found["tensor_model_parallel_size"], found["pipeline_model_parallel_size"]) == (2, 1)
    assert (found["sharding"], found["sharding_parallel_size"]) == ("stage1", 2)
    assert not {"batch_size", "tensor_parallel_degree", "pipeline_parallel_degree"} & set(found)


def test_no_sharding_unless_the_project_sets_it() -> None:
    assert settings(paddleformers_project(parallel={"gpus": 4, "tensor": 2}))["sharding"] == ""


def test_no_keys_that_paddleformers_rejects() -> None:
    rejected = {"multimodal", "from_scratch", "modality_ratio", "text_dataset_path", "disable_ckpt_quant"}
    assert not rejected & set(settings(ocr()))


def test_eager_attention_on_a_cpu() -> None:
    assert settings(paddleformers_project(training={"device": "cpu"}))["_attn_implementation"] == "eager"
    assert "_attn_implementation" not in settings(paddleformers_project())


def test_recompute_becomes_three_keys() -> None:
    found = settings(paddleformers_project(training={"recompute": True}))
    assert found["recompute_granularity"] == "full"
    assert (found["recompute_method"], found["recompute_num_layers"]) == ("uniform", 1)
    assert "recompute_granularity" not in settings(paddleformers_project(training={"recompute": False}))
    assert "recompute" not in found


def test_no_evaluation_with_lora_in_paddleformers() -> None:
    found = settings(paddleformers_project(), eval_examples=9)
    assert (found["do_eval"], found["evaluation_strategy"]) == (False, "no")
    whole = settings(paddleformers_project(lora={"enabled": False}), eval_examples=9)
    assert (whole["do_eval"], whole["evaluation_strategy"]) == (True, "steps")


def test_evaluation_at_the_last_step() -> None:
    every_weight = {"enabled": False}
    short = paddleformers_project(lora=every_weight, training={"max_steps": 20, "eval_steps": 100})
    assert settings(short)["eval_steps"] == 20
    by_epochs = paddleformers_project(lora=every_weight, training={"num_train_epochs": 2, "eval_steps": 100})
    assert settings(by_epochs, train_examples=30)["eval_steps"] == 60
    assert settings(by_epochs, train_examples=3000)["eval_steps"] == 100


@pytest.mark.parametrize(
    ("given", "template", "lines", "stage"),
    [
        (paddleformers_project(), "ernie_nothink", "erniekit", "SFT"),
        (ocr(), "paddleocr_vl", "messages", "VL-SFT"),
    ],
)
def test_template_format_and_method_follow_from_the_model(given: Any, template: str, lines: str, stage: str) -> None:
    found = settings(given)
    assert (found["template_backend"], found["template"]) == ("custom", template)
    assert (found["train_dataset_type"], found["stage"]) == (lines, stage)


@pytest.mark.parametrize(
    ("lora", "adapter"),
    [
        ({"r": 8}, False),
        ({"r": 8, "lora_alpha": 16}, False),
        ({"r": 8, "lora_alpha": 8}, True),
        ({"r": 8, "rslora": True}, True),
        ({"r": 8, "rslora": True, "lora_alpha": 4}, False),
        ({"lora_dropout": 0.1}, True),
        ({"target_modules": ["o_proj"]}, True),
    ],
)
def test_initial_adapter_carries_an_alpha_that_is_ignored(lora: dict[str, Any], adapter: bool) -> None:
    assert ("lora_path" in settings(paddleformers_project(lora=lora))) is adapter


def test_derived_settings_explain_alpha() -> None:
    given = paddleformers_project(lora={"r": 8})
    context = context_before_training(given)
    rows = {key: (value, why) for key, value, why in derived_by_toolkit(given, context, settings_of(given, context))}
    assert rows["lora_alpha"] == ("2 × lora_rank", "not read from the settings: the same as in the project")


def test_paddleocr_vl_accepts_any_target() -> None:
    assert settings(ocr(lora={"target_modules": ["q_proj", "v_proj"]}))["lora_path"] == "initial_adapter"
