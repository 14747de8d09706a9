"""What a run needs on its device, held against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.planning.estimate import (
    DenseShape,
    activation_bytes,
    plan,
    shape_of_catalogue,
    shape_of_config,
    trainable_parameters,
)
from erniekit_adapter.project.catalogue import MODELS, find_model
from erniekit_adapter.project.schema import Project

NAME = "baidu/ERNIE-4.5-0.3B-Paddle"
SMALL = DenseShape(layers=18, hidden=1024, heads=16, kv_heads=2, head_dim=128, ffn=3072, vocabulary=103_424, tied=True)
CONFIG = {
    "num_hidden_layers": 18,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "intermediate_size": 3072,
    "vocab_size": 103_424,
    "tie_word_embeddings": True,
}


def project(lora: dict[str, Any] | None = None, **training: Any) -> Project:
    sections = {"lora": lora or {}, "training": training, "output_dir": "./o"}
    return Project.model_validate({"model": {"model_name_or_path": NAME}, **sections})


def test_the_published_0_3b_model_has_360_748_032_parameters() -> None:
    embedding = 103_424 * 1024
    attention = 1024 * 2048 + 2 * 1024 * 256 + 2048 * 1024
    mlp = 3 * 1024 * 3072
    by_hand = embedding + 18 * (attention + mlp + 2 * 1024) + 1024
    model = find_model(NAME)
    assert model is not None
    assert shape_of_catalogue(model).parameters == by_hand == 360_748_032


def test_its_config_json_says_the_same_as_the_catalogue() -> None:
    model = find_model(NAME)
    assert model is not None
    assert shape_of_config(CONFIG) == shape_of_catalogue(model) == SMALL


def test_an_untied_head_is_a_second_embedding() -> None:
    assert shape_of_config({**CONFIG, "tie_word_embeddings": False}).parameters == 360_748_032 + 103_424 * 1024


def test_a_head_dim_that_is_not_given_is_hidden_over_heads() -> None:
    assert shape_of_config({**CONFIG, "head_dim": None}).head_dim == 64


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        # 18 layers of rank 16: A is (in, r) and B (r, out) of each fused matrix.
        ("all-linear", 18 * 16 * ((1024 + 2560) + (2048 + 1024) + (1024 + 6144) + (3072 + 1024))),
        (["q_proj", "k_proj", "v_proj", "o_proj"], 18 * 16 * ((1024 + 2560) + (2048 + 1024))),
        (["down_proj"], 18 * 16 * (3072 + 1024)),
    ],
)
def test_lora_parameters_are_counted_as_erniekit_fuses_them(targets: Any, count: int) -> None:
    assert trainable_parameters(project({"target_modules": targets}), SMALL) == count


def test_the_issue_s_lora_trains_1_916_928_parameters() -> None:
    lora = {"r": 16, "target_modules": ["q_proj", "v_proj", "k_proj", "o_proj"]}
    assert trainable_parameters(project(lora), SMALL) == 1_916_928


def test_without_lora_every_weight_is_trained_and_none_is_frozen() -> None:
    found = plan(project({"enabled": False}), SMALL, lines=None)
    assert (found.trainable, found.weight_bytes) == (360_748_032, 0)
    assert found.optimizer_bytes == 360_748_032 * (2 + 2 + 4 + 4 + 4)


def test_frozen_weights_are_two_bytes_on_a_gpu_and_four_on_a_cpu() -> None:
    assert plan(project(), SMALL, lines=None).weight_bytes == 2 * 360_748_032
    assert plan(project(device="cpu"), SMALL, lines=None).weight_bytes == 4 * 360_748_032


def test_a_trained_weight_on_a_cpu_costs_itself_its_gradient_and_two_moments() -> None:
    found = plan(project({"target_modules": ["down_proj"]}, device="cpu"), SMALL, lines=None)
    assert found.optimizer_bytes == found.trainable * 16


@pytest.mark.parametrize(
    ("training", "lines", "steps"),
    [
        ({"max_steps": 7}, 1000, 7),
        ({"num_train_epochs": 3}, 100, 300),
        ({"num_train_epochs": 3, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}, 100, 38),
        ({"num_train_epochs": 0.5}, 1, 1),
        ({"num_train_epochs": 3}, None, None),
    ],
)
def test_steps_are_lines_times_epochs_over_the_global_batch(
    training: dict[str, Any], lines: int | None, steps: int | None
) -> None:
    assert plan(project(**training), SMALL, lines).steps == steps


def test_a_step_takes_a_full_pack_for_each_of_its_lines() -> None:
    training: dict[str, Any] = {
        "max_seq_length": 1000,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
    }
    assert plan(project(**training), SMALL, None).tokens_per_step == 8000


def test_the_device_holds_all_that_is_counted() -> None:
    found = plan(project(), SMALL, None)
    assert found.device_bytes == found.weight_bytes + found.optimizer_bytes + found.activation_bytes


@given(batch=st.integers(1, 16), length=st.integers(128, 8192), device=st.sampled_from(["cpu", "gpu"]))
def test_activations_grow_with_batch_and_length(batch: int, length: int, device: str) -> None:
    def size(batch: int, length: int) -> int:
        training: dict[str, Any] = {"per_device_train_batch_size": batch, "max_seq_length": length, "device": device}
        return activation_bytes(project(**training), SMALL)

    assert size(batch + 1, length) > size(batch, length)
    assert size(batch, 2 * length) >= 2 * size(batch, length)
    assert size(2 * batch, length) == 2 * size(batch, length)


@pytest.mark.parametrize("model", [model for model in MODELS if model.kind != "dense"], ids=lambda model: model.id)
def test_a_mixture_of_experts_is_not_estimated_and_says_so(model: Any) -> None:
    with pytest.raises(AdapterError, match="mixture of experts"):
        shape_of_catalogue(model)


def test_a_config_with_experts_or_without_a_size_is_refused() -> None:
    with pytest.raises(AdapterError, match="mixture of experts"):
        shape_of_config({**CONFIG, "moe_num_experts": 64})
    with pytest.raises(AdapterError, match=r"config\.json: has no number for vocab_size"):
        shape_of_config({key: value for key, value in CONFIG.items() if key != "vocab_size"})
