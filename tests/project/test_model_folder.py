"""Model folders: their kind, and the toolkits that can load them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from erniekit_adapter.architectures.families import Kind
from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.model_folder import check_model_dir, model_kind, usable_model_dir


def write_model(folder: Path, first: str = "ernie.norm.weight", **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.model", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    save_file({first: np.zeros(2, np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "ernie4_5", "moe_num_experts": 0}, "dense"),
        ({"model_type": "ernie4_5_moe", "moe_num_experts": 64}, "moe"),
        ({"model_type": "ernie4_5_moe_vl", "moe_num_experts": [64, 64], "vision_config": {}}, "vl-moe"),
        ({"model_type": "paddleocr_vl", "vision_config": {}}, "ocr-vl"),
    ],
)
def test_kind_of_a_model_folder(tmp_path: Path, config: dict[str, Any], kind: Kind) -> None:
    assert model_kind(str(write_model(tmp_path / "mine", **config))) == kind


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model_type": "qwen3"}'])
def test_other_folders_have_no_kind(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert model_kind(str(tmp_path)) is None


def test_kind_of_a_published_id() -> None:
    assert model_kind("baidu/ERNIE-4.5-VL-28B-A3B-Paddle") == "vl-moe"
    assert model_kind("./nothing/there") is None


def refusal(folder: Path, backend: Backend, kind: Kind = "dense") -> str:
    with pytest.raises(UsageError) as error:
        check_model_dir(folder, "mine", backend, kind)
    return str(error.value)


def test_toolkits_refuse_the_other_layout_of_weights(tmp_path: Path) -> None:
    paddle = write_model(tmp_path / "paddle", "ernie.norm.weight")
    torch = write_model(tmp_path / "torch", "model.norm.weight")
    check_model_dir(paddle, "mine", "erniekit", "dense")
    check_model_dir(torch, "mine", "paddleformers", "dense")
    assert "contains torch weights\n    → use the repository that ends in -Paddle" in refusal(torch, "erniekit")
    assert "in ERNIEKit's layout" in refusal(paddle, "paddleformers")


def test_both_toolkits_accept_paddleocr_vl(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "ocr", "model.norm.weight", torch_dtype="bfloat16")
    (folder / "preprocessor_config.json").write_text("{}")
    for backend in ("erniekit", "paddleformers"):
        check_model_dir(folder, "mine", backend, "ocr-vl")


def test_multimodal_model_needs_its_processor(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "ocr", "model.norm.weight")
    assert "lacks preprocessor_config.json" in refusal(folder, "paddleformers", "ocr-vl")


@pytest.mark.parametrize(
    ("backend", "config", "expected"),
    [
        ("erniekit", {}, {"scale_qk_coeff": 1.0}),
        ("erniekit", {"scale_qk_coeff": 0.5}, None),
        ("paddleformers", {"fuse_rms_norm": True}, {"fuse_rms_norm": False}),
        ("paddleformers", {}, {"fuse_rms_norm": False}),
    ],
)
def test_cpu_gets_a_completed_config_in_a_linked_folder(
    tmp_path: Path, backend: Backend, config: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    folder = write_model(tmp_path / "mine", **config)
    found = usable_model_dir(folder, tmp_path / "copy", "cpu", backend)
    if expected is None:
        assert found == folder
    else:
        assert json.loads((found / "config.json").read_text()) == {**config, **expected}
        assert (found / "model.safetensors").resolve() == folder / "model.safetensors"
    if backend == "erniekit":
        assert usable_model_dir(folder, tmp_path / "copy", "gpu", backend) == folder


def test_paddleformers_gets_a_linked_folder(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine", fuse_rms_norm=False)
    for device in ("cpu", "gpu"):
        assert usable_model_dir(folder, tmp_path / "copy", device, "paddleformers") == tmp_path / "copy"
