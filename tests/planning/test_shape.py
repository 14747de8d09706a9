"""Shapes of models, compared with numbers computed by hand and with published ones."""

from __future__ import annotations

from typing import Any

import pytest
from plan_examples import MIDDLE, OCR, PAGES, SMALL, shape

from erniekit_adapter.architectures.models import MODELS, CatalogueModel, published
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.planning.shape import shape_of_catalogue, shape_of_config

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


def test_parameters_of_the_0_3b_model() -> None:
    embedding = 103_424 * 1024
    attention = 1024 * 2048 + 2 * 1024 * 256 + 2048 * 1024
    mlp = 3 * 1024 * 3072
    assert shape(SMALL).parameters == embedding + 18 * (attention + mlp + 2 * 1024) + 1024 == 360_748_032


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_parameters_equal_the_published_within_half_percent(model: CatalogueModel) -> None:
    found = shape_of_catalogue(model)
    # The published totals of ERNIE-VL leave the vision tower out; that of PaddleOCR-VL has one digit.
    total = found.parameters if model.kind != "vl-moe" else found.text_parameters
    assert total / 1e9 == pytest.approx(model.parameters_billion, rel=0.05 if model.kind == "ocr-vl" else 0.005)


@pytest.mark.parametrize("model", [model for model in MODELS if model.active_billion], ids=lambda model: model.id)
def test_active_parameters_within_two_percent(model: CatalogueModel) -> None:
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
def test_config_json_gives_the_published_shape(config: dict[str, Any], name: str) -> None:
    found, known = shape_of_config(config), shape(name)
    assert (found.text_parameters, found.vision_parameters) == (known.text_parameters, known.vision_parameters)
    assert (found.active_parameters, found.projector_parameters) == (
        known.active_parameters,
        known.projector_parameters,
    )


def test_untied_head_is_a_second_embedding() -> None:
    assert shape_of_config({**CONFIG, "tie_word_embeddings": False}).parameters == 360_748_032 + 103_424 * 1024


@pytest.mark.parametrize(("model_type", "tied"), [("ernie4_5", True), ("ernie4_5_moe", True), ("ernie", False)])
def test_default_of_tied_heads(model_type: str, tied: bool) -> None:
    config = {key: value for key, value in CONFIG.items() if key != "tie_word_embeddings"}
    assert shape_of_config({**config, "model_type": model_type}).tied is tied


def test_default_of_head_dim() -> None:
    assert shape_of_config({**CONFIG, "head_dim": None}).head_dim == 64


def test_first_layers_have_no_experts() -> None:
    found = shape(MIDDLE)
    assert (found.dense_layers, found.expert_layers) == (1, 27)
    assert not [each for each in found.matrices(with_experts=False) if each.part == "experts"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({key: value for key, value in CONFIG.items() if key != "vocab_size"}, "no size for vocab_size"),
        ({**CONFIG, "moe_num_experts": 64, "moe_k": 6}, "no size for moe_intermediate_size"),
        ({**CONFIG, "moe_num_experts": 64}, "no size for moe_k"),
        ({**CONFIG, "vision_config": {"depth": 2}}, "no size for embed_dim, num_heads"),
        ({**CONFIG, "hidden_size": "wide"}, "no size for hidden_size"),
        ({**CONFIG, "num_attention_heads": 0}, "no size for num_attention_heads"),
        ({**CONFIG, "num_hidden_layers": True}, "no size for num_hidden_layers"),
        ({**CONFIG, "head_dim": "wide"}, "no size for head_dim"),
        ({**CONFIG, "vision_config": {**READER, "patch_size": "small"}}, "no size for patch_size"),
        ({**CONFIG, "vision_config": {**TOWER, "mlp_ratio": "4"}}, "no size for mlp_ratio"),
    ],
)
def test_refuses_a_config_without_a_size(config: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        shape_of_config(config)


def test_finds_a_published_model_by_its_id() -> None:
    assert published(MIDDLE).size == "21B-A3B"
    with pytest.raises(KeyError):
        published("gpt2")
