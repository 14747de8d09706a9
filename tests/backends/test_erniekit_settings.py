"""From a project to ERNIEKit's settings: a test for each rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from settings_examples import DENSE, MOE, RELEASED, dpo_project, project, settings

from erniekit_adapter.architectures.toolkits import DEFAULT_VERSIONS
from erniekit_adapter.backends.erniekit.settings import OVERWRITTEN, export_settings
from erniekit_adapter.backends.key_tables import accepted_keys
from erniekit_adapter.backends.settings import values
from erniekit_adapter.backends.translation import (
    computed_settings,
    context_before_training,
    derived_by_toolkit,
    settings_of,
)
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.settings_file import settings_text

# The project file in the first description of this package, as loading returns it.
REFERENCE: dict[str, Any] = {
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


def test_settings_of_the_reference_project() -> None:
    tested = Project.model_validate(REFERENCE)
    found = values(settings_of(tested, context_before_training(tested)))
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


@pytest.mark.parametrize("version", ["1.0.0", *RELEASED, "develop"])
def test_settings_are_keys_of_the_version_with_an_origin(version: str) -> None:
    known = accepted_keys(version, "train")
    for sections in ({}, {"training": {"device": "cpu"}}, {"lora": {"enabled": False}}):
        for tested in (project(**sections), dpo_project(**sections)):
            found = settings_of(tested, context_before_training(tested, version))
            assert [key for key in found if key not in known] == []
            assert [key for key, setting in found.items() if not setting.origin] == []


def test_name_of_the_attention_mask_in_develop() -> None:
    on_cpu = project(training={"device": "cpu"})
    assert settings(on_cpu, "develop")["use_attn_mask_startend_row_indices"] is False
    assert settings(on_cpu, "1.5")["use_attn_mask_start_row_indices"] is False


@given(
    rate=st.floats(1e-8, 0.5),
    decay=st.floats(0, 1) | st.integers(0, 1),
    epochs=st.integers(1, 100) | st.floats(0.1, 100),
    flag=st.booleans(),
)
def test_types_in_the_settings_file(rate: float, decay: float, epochs: float, flag: bool) -> None:
    training = {
        "learning_rate": rate,
        "weight_decay": decay,
        "num_train_epochs": epochs,
        "use_tensorboard": flag,
        "device": "cpu" if flag else "gpu",
    }
    tested = project(training=training)
    made = settings_of(tested, context_before_training(tested))
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
def test_fp16_and_bf16_become_compute_type(training: dict[str, Any], compute: str) -> None:
    found = settings(project(training=training))
    assert found["compute_type"] == compute
    assert not {"fp16", "bf16"} & set(found)


def test_no_fused_kernels_on_a_cpu() -> None:
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


def test_default_kernels_on_a_gpu() -> None:
    found = settings(project())
    assert "use_flash_attention" not in found
    assert (found["device"], found["fp16_opt_level"], found["recompute"]) == ("gpu", "O2", True)


def test_max_steps_is_minus_one_if_epochs_decide() -> None:
    assert settings(project(training={"num_train_epochs": 2}))["max_steps"] == -1
    assert settings(project(training={"max_steps": 7}))["max_steps"] == 7


def test_resumed_run_has_no_second_warm_up() -> None:
    training = {"max_steps": 100, "warmup_steps": 10}
    found = settings(project(training=training), remaining_steps=40, initial_adapter_dir="/run/checkpoint-60")
    assert (found["max_steps"], found["warmup_steps"], found["lora_path"]) == (40, 0, "/run/checkpoint-60")


def test_an_epoch_is_every_example_once() -> None:
    assert settings(project(), train_examples=318)["num_samples_each_epoch"] == 318
    assert "num_samples_each_epoch" not in settings(project())


def test_no_evaluation_without_examples_for_it() -> None:
    found = settings(project(), eval_examples=0)
    assert (found["do_eval"], found["evaluation_strategy"]) == (False, "no")


def test_no_lora_keys_in_full_training() -> None:
    found = settings(project(lora={"enabled": False}))
    assert found["fine_tuning"] == "Full"
    assert [key for key in found if key.startswith(("lora", "rslora"))] == []


def test_tensorboard_or_visualdl() -> None:
    assert settings(project(training={"use_tensorboard": True}))["report_to"] == ["tensorboard"]
    assert settings(project())["report_to"] == ["visualdl"]


def test_default_alpha_is_twice_the_rank() -> None:
    assert settings(project(lora={"r": 8}))["lora_alpha"] == 16


@pytest.mark.parametrize("name", ["run", "a run, with blanks", "läuft"])
def test_paths_are_relative_without_blanks_and_commas(name: str) -> None:
    found = settings(project(output_dir=f"/data/{name}"))
    for key in ("train_dataset_path", "eval_dataset_path", "output_dir", "logging_dir"):
        assert not set(found[key]) & set(" ,"), key
        assert not Path(found[key]).is_absolute(), key


def test_initial_adapter_becomes_lora_path() -> None:
    assert settings(project(), initial_adapter_dir="/run/initial_adapter")["lora_path"] == "/run/initial_adapter"
    assert "lora_path" not in settings(project())


def test_lora_plus_is_passed_on() -> None:
    assert settings(project(lora={"lora_plus_scale": 12.0}))["lora_plus_scale"] == 12.0


def test_recompute_by_device_unless_the_project_sets_it() -> None:
    assert settings(project(training={"recompute": False}))["recompute"] is False
    assert settings(project(training={"device": "cpu", "recompute": True}))["recompute"] is True


@pytest.mark.parametrize("quantization", ["wint8", "wint4/8"])
def test_quantization_becomes_compute_type(quantization: str) -> None:
    assert settings(project(training={"quantization": quantization}))["compute_type"] == quantization


def test_fp8_uses_its_own_optimizer() -> None:
    found = settings(project(lora={"enabled": False}, training={"quantization": "fp8"}))
    assert (found["compute_type"], found["optim"], found["fine_tuning"]) == ("fp8", "adamw_custom", "Full")


def test_offloaded_optimizer_is_adamw_custom() -> None:
    offloaded = {"extra": {"tensorwise_offload_optimizer": True}}
    assert settings(project(MOE, erniekit=offloaded))["optim"] == "adamw_custom"
    assert settings(project(MOE))["optim"] == "adamw"


def test_parallel_degrees_and_sharding() -> None:
    found = settings(project(MOE, parallel={"tensor": 4, "pipeline": 2, "sharding": 2, "sequence": True}))
    assert (found["tensor_parallel_degree"], found["pipeline_parallel_degree"]) == (4, 2)
    assert (found["sharding"], found["sharding_parallel_degree"], found["sequence_parallel"]) == ("stage1", 2, True)
    assert not {"sharding", "sharding_parallel_degree", "sequence_parallel"} & set(settings(project(MOE)))


def test_sequence_parallelism_in_a_pipeline() -> None:
    found = settings(project(MOE, parallel={"tensor": 2, "pipeline": 2, "sequence": True}))
    assert found["pipeline_parallel_config"] == "disable_partial_send_recv"
    assert "pipeline_parallel_config" not in settings(project(MOE, parallel={"tensor": 2, "pipeline": 2}))


def test_experts_use_the_tensor_parallel_group() -> None:
    assert settings(project(MOE))["moe_group"] == "mp"
    assert "moe_group" not in settings(project())


def test_derived_settings_are_listed() -> None:
    tested = project(training={"fp16": True})
    context = context_before_training(tested)
    rows = {key: value for key, value, _ in derived_by_toolkit(tested, context, settings_of(tested, context))}
    assert (rows["fp16"], rows["bf16"], rows["lora"]) == ("true", "false", "true")
    assert (rows["weight_quantize_algo"], rows["max_steps"]) == ("null", "packs × epochs / global batch")


def test_computed_settings_of_overwritten_keys() -> None:
    tested = project(lora={"enabled": False}, training={"quantization": "fp8"}, parallel={"tensor": 2})
    context = context_before_training(tested)
    found = computed_settings(tested, context, settings_of(tested, context), world_size=1)
    assert (found["weight_quantize_algo"], found["optim_shard_num"], found["bf16"]) == ("fp8linear", 8, True)


def test_overwritten_keys_exist() -> None:
    known = {
        **accepted_keys(DEFAULT_VERSIONS["erniekit"], "train"),
        **accepted_keys(DEFAULT_VERSIONS["erniekit"], "export"),
    }
    assert [key for key in OVERWRITTEN if key not in known] == []


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_export_settings_are_known_keys(device: str) -> None:
    found = values(export_settings("/m", ".", device, "1.0.1"))
    known = accepted_keys("1.0.1", "export")
    assert [key for key in found if key not in known] == []
    assert (found["output_dir"], found["fine_tuning"], found["device"]) == (".", "LoRA", device)
