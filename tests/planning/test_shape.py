"""What a model is made of, held against numbers worked out by hand and against what is published."""

from __future__ import annotations

from typing import Any

import pytest
from plan_examples import MIDDLE, OCR, PAGES, SMALL, shape

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.planning.shape import shape_of_catalogue, shape_of_config
from erniekit_adapter.project.catalogue import MODELS, CatalogueModel, published

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
EXPERTS = {
    "num_hidden_layers": 28,
    "hidden_size": 2560,
    "num_attention_heads": 20,
    "num_key_value_heads": 4,
    "intermediate_size": 12_288,
    "moe_num_experts": 64,
    "moe_k": 6,
    "moe_intermediate_size": 1536,
    "moe_num_shared_experts": 2,
    "moe_layer_start_index": 1,
}
TOWER = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4}
TWO_SORTS = {
    "moe_num_experts": [64, 64],
    "moe_intermediate_size": [1536, 512],
    "moe_layer_start_index": [1, 1],
    "vision_config": TOWER,
}
READER = {"num_hidden_layers": 27, "hidden_size": 1152, "num_attention_heads": 16, "intermediate_size": 4304}


def test_the_published_0_3b_model_has_360_748_032_parameters() -> None:
    embedding = 103_424 * 1024
    attention = 1024 * 2048 + 2 * 1024 * 256 + 2048 * 1024
    mlp = 3 * 1024 * 3072
    assert shape(SMALL).parameters == embedding + 18 * (attention + mlp + 2 * 1024) + 1024 == 360_748_032


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_parameters_are_as_published_to_half_a_percent(model: CatalogueModel) -> None:
    found = shape_of_catalogue(model)
    # The published totals of ERNIE-VL leave the vision tower out; that of PaddleOCR-VL has one digit.
    total = found.parameters if model.kind != "vl-moe" else found.text_parameters
    assert total / 1e9 == pytest.approx(model.parameters_billion, rel=0.05 if model.kind == "ocr-vl" else 0.005)


@pytest.mark.parametrize("model", [model for model in MODELS if model.active_billion], ids=lambda model: model.id)
def test_parameters_that_see_a_token_are_as_published_to_two_percent(model: CatalogueModel) -> None:
    assert shape_of_catalogue(model).active_parameters / 1e9 == pytest.approx(model.active_billion, rel=0.02)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (CONFIG, SMALL),
        ({**CONFIG, **EXPERTS}, MIDDLE),
        ({**CONFIG, **EXPERTS, **TWO_SORTS}, PAGES),
        ({**CONFIG, "tie_word_embeddings": False, "vision_config": READER}, OCR),
    ],
)
def test_a_config_json_says_the_same_as_the_catalogue(config: dict[str, Any], name: str) -> None:
    found, known = shape_of_config(config), shape(name)
    assert (found.text_parameters, found.vision_parameters) == (known.text_parameters, known.vision_parameters)
    assert (found.active_parameters, found.projector_parameters) == (
        known.active_parameters,
        known.projector_parameters,
    )


def test_an_untied_head_is_a_second_embedding() -> None:
    assert shape_of_config({**CONFIG, "tie_word_embeddings": False}).parameters == 360_748_032 + 103_424 * 1024


@pytest.mark.parametrize(("model_type", "tied"), [("ernie4_5", True), ("ernie4_5_moe", True), ("ernie", False)])
def test_a_head_of_which_nothing_is_said_is_as_the_class_has_it(model_type: str, tied: bool) -> None:
    config = {key: value for key, value in CONFIG.items() if key != "tie_word_embeddings"}
    assert shape_of_config({**config, "model_type": model_type}).tied is tied


def test_a_head_dim_that_is_not_given_is_hidden_over_heads() -> None:
    assert shape_of_config({**CONFIG, "head_dim": None}).head_dim == 64


def test_the_first_layers_of_a_mixture_have_no_experts() -> None:
    found = shape(MIDDLE)
    assert (found.dense_layers, found.expert_layers) == (1, 27)
    assert not [each for each in found.matrices(with_experts=False) if each.part == "experts"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({key: value for key, value in CONFIG.items() if key != "vocab_size"}, "no number for vocab_size"),
        ({**CONFIG, "moe_num_experts": 64, "moe_k": 6}, "no number for moe_intermediate_size"),
        ({**CONFIG, "moe_num_experts": 64}, "no number for moe_k"),
        ({**CONFIG, "vision_config": {"depth": 2}}, "no number for embed_dim, num_heads"),
        ({**CONFIG, "hidden_size": "wide"}, "no number for hidden_size"),
        ({**CONFIG, "num_attention_heads": 0}, "no number for num_attention_heads"),
        ({**CONFIG, "num_hidden_layers": True}, "no number for num_hidden_layers"),
        ({**CONFIG, "head_dim": "wide"}, "no number for head_dim"),
        ({**CONFIG, "vision_config": {**READER, "patch_size": "small"}}, "no number for patch_size"),
        ({**CONFIG, "vision_config": {**TOWER, "mlp_ratio": "4"}}, "no number for mlp_ratio"),
    ],
)
def test_a_config_without_a_size_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        shape_of_config(config)


def test_a_published_model_is_found_by_its_id_alone() -> None:
    assert published(MIDDLE).size == "21B-A3B"
    with pytest.raises(KeyError):
        published("gpt2")
