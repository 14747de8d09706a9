"""Which models there are, and what is said about a name that is none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.project.catalogue import (
    MINIMUM_GPUS,
    MODELS,
    CatalogueModel,
    Kind,
    Weights,
    find_model,
    is_local,
    kind_of_config,
    minimum_gpus,
    model_problems,
)

THINKING = ("baidu/ERNIE-4.5-21B-A3B-Thinking", "baidu/ERNIE-4.5-VL-28B-A3B-Thinking")
OCR = ("PaddlePaddle/PaddleOCR-VL", "PaddlePaddle/PaddleOCR-VL-1.5")


def said(name: str, weights: Weights = "paddle") -> str:
    return "\n".join(map(str, model_problems(name, "model.model_name_or_path", weights)))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_published_model_is_accepted(model: CatalogueModel) -> None:
    name = model.id
    assert said(name) == ""
    assert find_model(name) is model
    assert said(model.torch_id, "torch") == ""
    assert find_model(model.torch_id) is model


def test_a_model_that_does_not_exist_is_refused_with_the_nearest_that_do() -> None:
    text = said("baidu/ERNIE-4.5-8B")
    assert "there is no model baidu/ERNIE-4.5-8B" in text
    assert "baidu/ERNIE-4.5-0.3B-Paddle" in text
    nearest = text.partition("the nearest that exist: ")[2].partition(";")[0].split(", ")
    assert nearest
    assert all(find_model(name) for name in nearest)


@pytest.mark.parametrize("name", ["baidu/ERNIE-4.5-0.3B-PT", "baidu/ERNIE-4.5-21B-A3B-Base-PT"])
def test_torch_weights_are_refused_and_the_paddle_repository_is_named(name: str) -> None:
    assert "has torch weights" in said(name)
    assert f"use {name.removesuffix('PT')}Paddle" in said(name)


@pytest.mark.parametrize("name", ["baidu/ERNIE-4.5-0.3B-Paddle", "PaddlePaddle/ERNIE-4.5-300B-A47B-Base-Paddle"])
def test_paddle_weights_are_refused_where_torch_weights_are_loaded(name: str) -> None:
    text = said(name, "torch")
    assert "has Paddle weights; PaddleFormers loads torch weights" in text
    assert f"use {name.removesuffix('Paddle')}PT" in text


@pytest.mark.parametrize("name", [*THINKING, *OCR])
@pytest.mark.parametrize("weights", ["paddle", "torch"])
def test_a_repository_of_its_own_kind_is_never_refused(name: str, weights: Weights) -> None:
    assert said(name, weights) == ""


def test_the_nearest_that_exist_have_the_weights_that_are_loaded() -> None:
    assert "baidu/ERNIE-4.5-0.3B-PT" in said("baidu/ERNIE-4.5-3B", "torch")
    assert "-PT" not in said("baidu/ERNIE-4.5-3B")


@pytest.mark.parametrize("owner", ["baidu/", "PaddlePaddle/", ""])
def test_either_owner_will_do(owner: str) -> None:
    name = f"{owner}ERNIE-4.5-0.3B-Paddle"
    assert said(name) == ""
    found = find_model(name)
    assert found is not None
    assert (found.kind, found.layers, found.hidden) == ("dense", 18, 1024)


@pytest.mark.parametrize("name", ["someone/ERNIE-4.5-0.3B-Paddle", "gpt2", "baidu/", "a/b/c"])
def test_any_other_name_is_refused_with_a_remedy(name: str) -> None:
    assert find_model(name) is None
    assert f"there is no model {name}" in said(name)
    assert "a folder is written as a path" in said(name)


@pytest.mark.parametrize("name", ["./models/ernie", "../ernie", "/models/ernie", "~/ernie", "."])
def test_a_path_means_a_folder_whether_or_not_it_is_there(name: str) -> None:
    assert is_local(name)
    assert said(name) == ""


def test_a_folder_that_is_there_needs_no_path_in_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_local("my-ernie")
    (tmp_path / "my-ernie").mkdir()
    assert is_local("my-ernie")
    assert said("my-ernie") == ""


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
def test_a_folder_s_config_json_says_what_kind_of_model_it_holds(config: dict[str, Any], kind: Kind | None) -> None:
    assert kind_of_config(config) == kind


@pytest.mark.parametrize("size", dict.fromkeys(row.size for row in MINIMUM_GPUS))
def test_every_row_of_erniekit_s_table_belongs_to_a_published_model(size: str) -> None:
    assert any(model.size == size for model in MODELS)


def test_the_table_gives_the_least_gpus_of_a_method_and_length() -> None:
    model = find_model("baidu/ERNIE-4.5-300B-A47B-PT")
    assert model is not None
    rows = {method: minimum_gpus(model, method, 32_768) for method in ("SFT", "SFT fp8", "LoRA wint4/8", "LoRA")}
    assert {method: row.gpus if row else None for method, row in rows.items()} == {
        "SFT": 112,
        "SFT fp8": 16,
        "LoRA wint4/8": 8,
        "LoRA": None,
    }
