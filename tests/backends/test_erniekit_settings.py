"""From a project to ERNIEKit's settings: one test for each rule of the translation, and for each refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.backends.erniekit import (
    OVERWRITTEN,
    RunFacts,
    derived_by_erniekit,
    export_settings,
    facts_before_training,
    fused_targets,
    needs_initial_adapter,
    project_problems,
    train_settings,
    values,
)
from erniekit_adapter.backends.keytable import DEFAULT_VERSION, accepted_keys
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import LoraSection
from erniekit_adapter.training.settings_file import settings_text

DENSE = "baidu/ERNIE-4.5-0.3B-Paddle"
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


def project(**sections: Any) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": DENSE}, "output_dir": "./o", **sections})


def settings(of: Project, extra: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    return values(train_settings(of, RunFacts("/models/ernie", **facts), extra))


def refusal(of: Project, extra: dict[str, Any] | None = None) -> str:
    with pytest.raises(UsageError) as error:
        settings(of, extra)
    return str(error.value)


def test_the_project_of_the_issue_becomes_these_settings() -> None:
    asked = Project.model_validate(THE_ISSUE_S)
    found = values(train_settings(asked, facts_before_training(asked)))
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


def test_every_setting_is_a_key_of_erniekit_1_0_1_and_says_where_it_comes_from() -> None:
    known = accepted_keys("1.0.1", "train")
    for sections in ({}, {"training": {"device": "cpu"}}, {"lora": {"enabled": False}}):
        found = train_settings(project(**sections), RunFacts("/m", train_lines=3, initial_adapter_dir="/a"))
        assert [key for key in found if key not in known] == []
        assert [key for key, setting in found.items() if not setting.origin] == []


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1"])
def test_both_complete_releases_take_the_settings(version: str) -> None:
    assert settings(project(), version=version)["stage"] == "SFT"


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
    made = train_settings(project(training=training), RunFacts("/m"))
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


def test_the_same_batch_size_for_evaluation_is_accepted() -> None:
    training = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2}
    assert settings(project(training=training))["batch_size"] == 2


def test_another_batch_size_for_evaluation_is_refused_since_erniekit_has_one() -> None:
    said = refusal(project(training={"per_device_train_batch_size": 2, "per_device_eval_batch_size": 4}))
    assert "training.per_device_eval_batch_size: found 4; ERNIEKit has one batch_size for both, 2 here" in said
    assert "make it equal to per_device_train_batch_size" in said


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["q_proj", "v_proj"], "q_proj, v_proj without k_proj: ERNIEKit keeps them in one matrix, qkv_proj"),
        (["gate_proj"], "gate_proj without up_proj: ERNIEKit keeps them in one matrix, up_gate_proj"),
        ([], "is empty: nothing would be trained"),
    ],
)
def test_targets_that_split_a_fused_matrix_are_refused_with_the_reason(targets: list[str], said: str) -> None:
    assert f"lora.target_modules: {said}" in refusal(project(lora={"target_modules": targets}))


def test_two_split_matrices_are_two_problems_told_at_once() -> None:
    found = project_problems(project(lora={"target_modules": ["q_proj", "up_proj"]}))
    assert [problem.remedy for problem in found] == [
        "take all of q_proj, k_proj, v_proj, or none",
        "take all of gate_proj, up_proj, or none",
    ]


@pytest.mark.parametrize(
    ("lora", "fused", "needed"),
    [
        ({}, ("qkv_proj", "o_proj", "up_gate_proj", "down_proj"), False),
        ({"lora_dropout": 0.1}, ("qkv_proj", "o_proj", "up_gate_proj", "down_proj"), True),
        ({"target_modules": ["o_proj"]}, ("o_proj",), True),
        ({"target_modules": ["o_proj", "v_proj", "q_proj", "k_proj"]}, ("qkv_proj", "o_proj"), True),
        ({"enabled": False, "lora_dropout": 0.1}, ("qkv_proj", "o_proj", "up_gate_proj", "down_proj"), False),
    ],
)
def test_dropout_or_fewer_targets_need_an_adapter_to_start_from(
    lora: dict[str, Any], fused: tuple[str, ...], needed: bool
) -> None:
    section = LoraSection.model_validate(lora)
    assert fused_targets(section) == fused
    assert needs_initial_adapter(section) is needed


def test_the_adapter_to_start_from_is_lora_path() -> None:
    assert settings(project(), initial_adapter_dir="/run/initial_adapter")["lora_path"] == "/run/initial_adapter"
    assert "lora_path" not in settings(project())


@pytest.mark.parametrize("model", ["baidu/ERNIE-4.5-VL-28B-A3B-Paddle", "PaddlePaddle/PaddleOCR-VL"])
def test_models_that_take_images_are_refused(model: str) -> None:
    said = refusal(project(model={"model_name_or_path": model}))
    assert f"{model} takes images; this version trains text models" in said


def test_a_mixture_of_experts_is_refused_on_cpu_only() -> None:
    moe = {"model_name_or_path": "baidu/ERNIE-4.5-21B-A3B-Paddle"}
    assert "which has no CPU kernels" in refusal(project(model=moe, training={"device": "cpu"}))
    assert settings(project(model=moe))["device"] == "gpu"


def test_another_backend_is_refused() -> None:
    assert "erniekit.use_erniekit: found false" in refusal(project(erniekit={"use_erniekit": False}))


def test_all_refusals_come_together() -> None:
    said = refusal(
        project(
            model={"model_name_or_path": "baidu/ERNIE-4.5-8B"},
            lora={"target_modules": ["q_proj"]},
            training={"per_device_eval_batch_size": 3},
            erniekit={"use_erniekit": False},
        ),
        {"lora_rnk": 3},
    )
    keys = ("model_name_or_path", "target_modules", "per_device_eval_batch_size", "use_erniekit", "lora_rnk")
    assert [key for key in keys if key not in said] == []


EXTRA = {"erniekit": {"erniekit_config_path": "./more.yaml"}}


def test_extra_keys_reach_erniekit_with_the_file_as_their_origin() -> None:
    made = train_settings(project(**EXTRA), RunFacts("/m"), {"adam_beta2": 0.95})
    assert (made["adam_beta2"].value, made["adam_beta2"].origin) == (0.95, "more.yaml")


def test_an_extra_key_that_the_project_sets_already_names_both_places() -> None:
    said = refusal(project(**EXTRA), {"learning_rate": 1.0e-3})
    assert "more.yaml learning_rate: is already set by training.learning_rate" in said


@pytest.mark.parametrize("key", sorted(OVERWRITTEN))
def test_an_extra_key_that_erniekit_overwrites_is_refused_with_the_key_that_counts(key: str) -> None:
    said = refusal(project(**EXTRA), {key: True})
    assert f"more.yaml {key}: ERNIEKit overwrites it from " in said


def test_a_misspelt_extra_key_is_refused_with_the_nearest() -> None:
    said = refusal(project(**EXTRA), {"adam_beta22": 0.9})
    assert "adam_beta22: ERNIEKit 1.0.1 has no such key" in said
    assert "did you mean adam_beta2?" in said


@pytest.mark.parametrize(
    ("key", "value"), [("adam_beta2", "0.9"), ("adam_beta2", True), ("buffer_size", 5.0), ("amp_master_grad", "false")]
)
def test_an_extra_key_of_the_wrong_type_is_refused_since_erniekit_converts_nothing(key: str, value: object) -> None:
    said = refusal(project(**EXTRA), {key: value})
    assert f"{key}: found {value!r}, expected " in said


def test_what_erniekit_derives_is_told() -> None:
    rows = {key: value for key, value, _ in derived_by_erniekit(project(training={"fp16": True}))}
    assert (rows["fp16"], rows["bf16"], rows["lora"]) == ("true", "false", "true")
    assert rows["max_steps"] == "packs × epochs / global batch"


def test_every_overwritten_key_is_a_key_of_erniekit() -> None:
    known = {**accepted_keys(DEFAULT_VERSION, "train"), **accepted_keys(DEFAULT_VERSION, "export")}
    assert [key for key in OVERWRITTEN if key not in known] == []


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_export_is_given_keys_that_it_knows(device: str) -> None:
    found = values(export_settings("/m", ".", device, "1.0.1"))
    known = accepted_keys("1.0.1", "export")
    assert [key for key in found if key not in known] == []
    assert (found["output_dir"], found["fine_tuning"], found["device"]) == (".", "LoRA", device)
