"""The published models, and the errors for other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.architectures.families import Kind, kind_of_config
from erniekit_adapter.architectures.models import (
    MINIMUM_GPUS,
    MODELS,
    CatalogueModel,
    Weights,
    find_model,
    is_local,
    minimum_gpus,
    model_problems,
)

THINKING = ("baidu/ERNIE-4.5-21B-A3B-Thinking", "baidu/ERNIE-4.5-VL-28B-A3B-Thinking")
OCR = ("PaddlePaddle/PaddleOCR-VL", "PaddlePaddle/PaddleOCR-VL-1.5")


def message(name: str, weights: Weights = "paddle") -> str:
    return "\n".join(map(str, model_problems(name, "model.model_name_or_path", weights)))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_accepts_every_published_model(model: CatalogueModel) -> None:
    name = model.id
    assert message(name) == ""
    assert find_model(name) is model
    assert message(model.torch_id, "torch") == ""
    assert find_model(model.torch_id) is model


def test_unknown_model_is_refused_with_the_nearest() -> None:
    text = message("baidu/ERNIE-4.5-8B")
    assert "no published model baidu/ERNIE-4.5-8B" in text
    assert "baidu/ERNIE-4.5-0.3B-Paddle" in text
    nearest = text.partition("the nearest models: ")[2].partition(";")[0].split(", ")
    assert nearest
    assert all(find_model(name) for name in nearest)


@pytest.mark.parametrize("name", ["baidu/ERNIE-4.5-0.3B-PT", "baidu/ERNIE-4.5-21B-A3B-Base-PT"])
def test_torch_weights_hint_at_the_paddle_repository(name: str) -> None:
    assert "has torch weights" in message(name)
    assert f"use {name.removesuffix('PT')}Paddle" in message(name)


@pytest.mark.parametrize("name", ["baidu/ERNIE-4.5-0.3B-Paddle", "PaddlePaddle/ERNIE-4.5-300B-A47B-Base-Paddle"])
def test_paddle_weights_are_refused_for_paddleformers(name: str) -> None:
    text = message(name, "torch")
    assert "has Paddle weights; PaddleFormers loads torch weights" in text
    assert f"use {name.removesuffix('Paddle')}PT" in text


@pytest.mark.parametrize("name", [*THINKING, *OCR])
@pytest.mark.parametrize("weights", ["paddle", "torch"])
def test_accepts_repositories_with_matching_weights(name: str, weights: Weights) -> None:
    assert message(name, weights) == ""


def test_nearest_models_have_matching_weights() -> None:
    assert "baidu/ERNIE-4.5-0.3B-PT" in message("baidu/ERNIE-4.5-3B", "torch")
    assert "-PT" not in message("baidu/ERNIE-4.5-3B")


@pytest.mark.parametrize("owner", ["baidu/", "PaddlePaddle/", ""])
def test_accepts_either_owner(owner: str) -> None:
    name = f"{owner}ERNIE-4.5-0.3B-Paddle"
    assert message(name) == ""
    found = find_model(name)
    assert found is not None
    assert (found.kind, found.layers, found.hidden) == ("dense", 18, 1024)


@pytest.mark.parametrize("name", ["someone/ERNIE-4.5-0.3B-Paddle", "gpt2", "baidu/", "a/b/c"])
def test_other_names_are_refused_with_a_hint(name: str) -> None:
    assert find_model(name) is None
    assert f"no published model {name}" in message(name)
    assert "write a folder as a path" in message(name)


@pytest.mark.parametrize("name", ["./models/ernie", "../ernie", "/models/ernie", "~/ernie", "."])
def test_path_means_a_folder_even_if_it_is_missing(name: str) -> None:
    assert is_local(name)
    assert message(name) == ""


def test_existing_folder_needs_no_path_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_local("my-ernie")
    (tmp_path / "my-ernie").mkdir()
    assert is_local("my-ernie")
    assert message("my-ernie") == ""


DENSE, MIXED = ["Ernie4_5_ForCausalLM"], ["Ernie4_5_MoeForCausalLM"]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "ernie4_5"}, "dense"),
        ({"model_type": "ernie4_5", "moe_num_experts": 0}, "dense"),
        ({"model_type": "ernie4_5_moe", "moe_num_experts": 64}, "moe"),
        ({"model_type": "ernie4_5_moe"}, "moe"),
        ({"model_type": "ernie4_5_moe_vl"}, "vl-moe"),
        ({"model_type": "ernie4_5_vl_moe"}, "vl-moe"),
        ({"model_type": "paddleocr_vl", "vision_config": {"hidden_size": 1152}}, "ocr-vl"),
        # ERNIEKit's own layout: one class and no model_type of these.
        ({"model_type": "ernie", "architectures": DENSE}, "dense"),
        ({"architectures": DENSE, "moe_num_experts": 0}, "dense"),
        ({"architectures": MIXED, "moe_num_experts": 0}, "dense"),
        ({"architectures": MIXED, "moe_num_experts": 64}, "moe"),
        ({"architectures": MIXED, "moe_num_experts": [64, 64], "vision_config": {"depth": 32}}, "vl-moe"),
        ({"architectures": ["PaddleOCRVLForConditionalGeneration"]}, "ocr-vl"),
        ({"moe_num_experts": 0}, "dense"),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, None),
        ({"model_type": ["ernie4_5"], "architectures": "Ernie4_5_ForCausalLM"}, None),
        ({}, None),
    ],
)
def test_kind_of_a_config_json(config: dict[str, Any], kind: Kind | None) -> None:
    assert kind_of_config(config) == kind


@pytest.mark.parametrize("size", dict.fromkeys(row.size for row in MINIMUM_GPUS))
def test_rows_of_minimum_gpus_belong_to_published_models(size: str) -> None:
    assert any(model.size == size for model in MODELS)


def test_minimum_gpus_of_a_method_and_length() -> None:
    model = find_model("baidu/ERNIE-4.5-300B-A47B-PT")
    assert model is not None
    rows = {method: minimum_gpus(model, method, 32_768) for method in ("SFT", "SFT fp8", "LoRA wint4/8", "LoRA")}
    assert {method: row.gpus if row else None for method, row in rows.items()} == {
        "SFT": 112,
        "SFT fp8": 16,
        "LoRA wint4/8": 8,
        "LoRA": None,
    }
