"""From a project to ERNIEKit's settings: one test for each rule of the translation, and for each refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from settings_examples import DENSE, MOE, dpo_project, project, settings

from erniekit_adapter.backends.erniekit import OVERWRITTEN, export_settings
from erniekit_adapter.backends.keytable import DEFAULT_VERSIONS, accepted_keys
from erniekit_adapter.backends.settings import values
from erniekit_adapter.backends.translation import (
    derived_by_toolkit,
    facts_before_training,
    held_by_toolkit,
    settings_of,
)
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.settings_file import settings_text

# The project file of the issue that asked for this project, as loading gives it.
THE_ISSUE_S: dict[str, Any] = {
    "model": {"model_name_or_path": DENSE},
    "lora": {
        "enabled": True,
        "r": 16,
        "lora_alpha": 32,
        "target_modules": ["q_proj", "v_proj", "k_proj", "o_proj"],
        "lora_dropout": 0.1,
    },
    "training": {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "learning_rate": 2.0e-4,
        "warmup_steps": 100,
        "logging_steps": 10,
        "save_steps": 500,
        "eval_steps": 500,
        "save_total_limit": 3,
        "val_split_ratio": 0.1,
        "fp16": True,
        "bf16": False,
        "use_tensorboard": True,
    },
    "dataset": {"path": "./ernie_finetune_data.jsonl", "max_samples": None},
    "output_dir": "./finetuned_ernie",
    "run_name": "ernie-financial-finetune",
    "erniekit": {"use_erniekit": True, "erniekit_config_path": None},
}


def test_the_project_of_the_issue_becomes_these_settings() -> None:
    asked = Project.model_validate(THE_ISSUE_S)
    found = values(settings_of(asked, facts_before_training(asked)))
    expected = {
        "model_name_or_path": DENSE,
        "stage": "SFT",
        "fine_tuning": "LoRA",
        "lora_rank": 16,
        "lora_alpha": 32,
        "lora_path": "initial_adapter",
        "num_train_epochs": 3.0,
        "max_steps": -1,
        "batch_size": 2,
        "gradient_accumulation_steps": 4,
        "learning_rate": 2e-4,
        "warmup_steps": 100,
        "logging_steps": 10,
        "save_steps": 500,
        "eval_steps": 500,
        "save_total_limit": 3,
        "compute_type": "fp16",
        "logging_dir": "tensorboard",
        "run_name": "ernie-financial-finetune",
        "do_eval": True,
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1", "1.1.0", "1.2.0", "1.3.0", "1.4", "1.5", "develop"])
def test_every_setting_is_a_key_of_the_version_and_says_where_it_comes_from(version: str) -> None:
    known = accepted_keys(version, "train")
    for sections in ({}, {"training": {"device": "cpu"}}, {"lora": {"enabled": False}}):
        for asked in (project(**sections), dpo_project(**sections)):
            found = settings_of(asked, facts_before_training(asked, version))
            assert [key for key in found if key not in known] == []
            assert [key for key, setting in found.items() if not setting.origin] == []


def test_develop_has_another_name_for_the_mask_of_packed_lines() -> None:
    on_cpu = project(training={"device": "cpu"})
    assert settings(on_cpu, "develop")["use_attn_mask_startend_row_indices"] is False
    assert settings(on_cpu, "1.5")["use_attn_mask_start_row_indices"] is False


@given(
    rate=st.floats(1e-8, 0.5),
    decay=st.floats(0, 1) | st.integers(0, 1),
    epochs=st.integers(1, 100) | st.floats(0.1, 100),
    flag=st.booleans(),
)
def test_the_yaml_that_erniekit_reads_has_exact_types(rate: float, decay: float, epochs: float, flag: bool) -> None:
    training = {
        "learning_rate": rate,
        "weight_decay": decay,
        "num_train_epochs": epochs,
        "use_tensorboard": flag,
        "device": "cpu" if flag else "gpu",
    }
    asked = project(training=training)
    made = settings_of(asked, facts_before_training(asked))
    read = yaml.safe_load(settings_text(made))
    assert read == values(made)
    for key in ("learning_rate", "weight_decay", "num_train_epochs", "max_grad_norm"):
        assert type(read[key]) is float, key
    for key in ("do_train", "do_eval", "rslora", "recompute", "unified_checkpoint", "disable_tqdm"):
        assert type(read[key]) is bool, key
    for key in ("max_steps", "lora_rank", "lora_alpha", "warmup_steps", "batch_size", "seed"):
        assert type(read[key]) is int, key


@pytest.mark.parametrize(
    ("training", "compute"),
    [
        ({"fp16": True}, "fp16"),
        ({"fp16": True, "bf16": False}, "fp16"),
        ({"bf16": True}, "bf16"),
        ({}, "bf16"),
        ({"device": "cpu"}, "bf16"),
    ],
)
def test_fp16_and_bf16_become_compute_type_and_never_keys_of_their_own(training: dict[str, Any], compute: str) -> None:
    found = settings(project(training=training))
    assert found["compute_type"] == compute
    assert not {"fp16", "bf16"} & set(found)


def test_on_cpu_no_fused_kernel_is_asked_for_and_it_computes_in_float32() -> None:
    found = settings(project(training={"device": "cpu"}))
    off = (
        "use_flash_attention",
        "use_sparse_flash_attn",
        "use_attn_mask_start_row_indices",
        "fuse_rope",
        "fuse_swiglu",
    )
    assert [key for key in off if found[key] is not False] == []
    assert (found["device"], found["fp16_opt_level"], found["recompute"]) == ("cpu", "O1", False)


def test_on_gpu_erniekit_s_own_kernels_are_left_as_they_are() -> None:
    found = settings(project())
    assert "use_flash_attention" not in found
    assert (found["device"], found["fp16_opt_level"], found["recompute"]) == ("gpu", "O2", True)


def test_max_steps_is_minus_one_where_epochs_decide() -> None:
    assert settings(project(training={"num_train_epochs": 2}))["max_steps"] == -1
    assert settings(project(training={"max_steps": 7}))["max_steps"] == 7


def test_a_run_that_goes_on_takes_the_remaining_steps_and_no_second_warm_up() -> None:
    training = {"max_steps": 100, "warmup_steps": 10}
    found = settings(project(training=training), remaining_steps=40, initial_adapter_dir="/run/checkpoint-60")
    assert (found["max_steps"], found["warmup_steps"], found["lora_path"]) == (40, 0, "/run/checkpoint-60")


def test_an_epoch_is_every_line_once() -> None:
    assert settings(project(), train_lines=318)["num_samples_each_epoch"] == 318
    assert "num_samples_each_epoch" not in settings(project())


def test_without_lines_to_evaluate_nothing_is_evaluated() -> None:
    found = settings(project(), eval_lines=0)
    assert (found["do_eval"], found["evaluation_strategy"]) == (False, "no")


def test_training_every_weight_has_no_lora_keys() -> None:
    found = settings(project(lora={"enabled": False}))
    assert found["fine_tuning"] == "Full"
    assert [key for key in found if key.startswith(("lora", "rslora"))] == []


def test_tensorboard_is_used_where_it_is_asked_for_and_visualdl_elsewhere() -> None:
    assert settings(project(training={"use_tensorboard": True}))["report_to"] == ["tensorboard"]
    assert settings(project())["report_to"] == ["visualdl"]


def test_an_alpha_that_is_not_given_is_twice_the_rank() -> None:
    assert settings(project(lora={"r": 8}))["lora_alpha"] == 16


@pytest.mark.parametrize("name", ["run", "a run, with blanks", "läuft"])
def test_the_paths_of_the_lines_hold_no_blank_and_no_comma_whatever_the_output_folder_is(name: str) -> None:
    found = settings(project(output_dir=f"/data/{name}"))
    for key in ("train_dataset_path", "eval_dataset_path", "output_dir", "logging_dir"):
        assert not set(found[key]) & set(" ,"), key
        assert not Path(found[key]).is_absolute(), key


def test_the_adapter_to_start_from_is_lora_path() -> None:
    assert settings(project(), initial_adapter_dir="/run/initial_adapter")["lora_path"] == "/run/initial_adapter"
    assert "lora_path" not in settings(project())


def test_lora_plus_is_passed_on() -> None:
    assert settings(project(lora={"lora_plus_scale": 12.0}))["lora_plus_scale"] == 12.0


def test_recompute_is_as_asked_and_on_a_gpu_without_asking() -> None:
    assert settings(project(training={"recompute": False}))["recompute"] is False
    assert settings(project(training={"device": "cpu", "recompute": True}))["recompute"] is True


@pytest.mark.parametrize("quantization", ["wint8", "wint4/8"])
def test_quantized_weights_are_a_compute_type(quantization: str) -> None:
    assert settings(project(training={"quantization": quantization}))["compute_type"] == quantization


def test_fp8_trains_every_weight_with_the_optimizer_that_comes_with_it() -> None:
    found = settings(project(lora={"enabled": False}, training={"quantization": "fp8"}))
    assert (found["compute_type"], found["optim"], found["fine_tuning"]) == ("fp8", "adamw_custom", "Full")


def test_an_optimizer_that_is_offloaded_is_the_one_that_can_be() -> None:
    offloaded = {"extra": {"tensorwise_offload_optimizer": True}}
    assert settings(project(MOE, erniekit=offloaded))["optim"] == "adamw_custom"
    assert settings(project(MOE))["optim"] == "adamw"


def test_degrees_of_parallelism_are_passed_on_and_sharding_only_where_it_is_asked_for() -> None:
    found = settings(project(MOE, parallel={"tensor": 4, "pipeline": 2, "sharding": 2, "sequence": True}))
    assert (found["tensor_parallel_degree"], found["pipeline_parallel_degree"]) == (4, 2)
    assert (found["sharding"], found["sharding_parallel_degree"], found["sequence_parallel"]) == ("stage1", 2, True)
    assert not {"sharding", "sharding_parallel_degree", "sequence_parallel"} & set(settings(project(MOE)))


def test_sequence_parallelism_in_a_pipeline_sends_whole_activations_since_the_workflow_stops_otherwise() -> None:
    found = settings(project(MOE, parallel={"tensor": 2, "pipeline": 2, "sequence": True}))
    assert found["pipeline_parallel_config"] == "disable_partial_send_recv"
    assert "pipeline_parallel_config" not in settings(project(MOE, parallel={"tensor": 2, "pipeline": 2}))


def test_experts_are_spread_over_the_tensor_parallel_gpus() -> None:
    assert settings(project(MOE))["moe_group"] == "mp"
    assert "moe_group" not in settings(project())


def test_what_erniekit_derives_is_told() -> None:
    asked = project(training={"fp16": True})
    facts = facts_before_training(asked)
    rows = {key: value for key, value, _ in derived_by_toolkit(asked, facts, settings_of(asked, facts))}
    assert (rows["fp16"], rows["bf16"], rows["lora"]) == ("true", "false", "true")
    assert (rows["weight_quantize_algo"], rows["max_steps"]) == ("null", "packs × epochs / global batch")


def test_what_it_will_hold_differs_from_what_it_is_given_where_it_overwrites() -> None:
    asked = project(lora={"enabled": False}, training={"quantization": "fp8"}, parallel={"tensor": 2})
    facts = facts_before_training(asked)
    alone = held_by_toolkit(asked, facts, settings_of(asked, facts), world_size=1)
    assert (alone["weight_quantize_algo"], alone["optim_shard_num"], alone["bf16"]) == ("fp8linear", 8, True)


def test_every_overwritten_key_is_a_key_of_erniekit() -> None:
    known = {
        **accepted_keys(DEFAULT_VERSIONS["erniekit"], "train"),
        **accepted_keys(DEFAULT_VERSIONS["erniekit"], "export"),
    }
    assert [key for key in OVERWRITTEN if key not in known] == []


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_export_is_given_keys_that_it_knows(device: str) -> None:
    found = values(export_settings("/m", ".", device, "1.0.1"))
    known = accepted_keys("1.0.1", "export")
    assert [key for key in found if key not in known] == []
    assert (found["output_dir"], found["fine_tuning"], found["device"]) == (".", "LoRA", device)
