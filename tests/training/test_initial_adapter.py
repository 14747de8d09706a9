"""The adapter that training starts from: the target modules, and no change of the model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from training_examples import CONFIG, FFN, HIDDEN, LAYERS, LINEAR, make_project, model_tensors, write_model

from erniekit_adapter.architectures.families import Kind
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.adapter_files import NATIVE_INDEX, NATIVE_WEIGHTS, read_native, write_peft
from erniekit_adapter.layouts.dense import DenseShape, linear_shapes
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.initial_adapter import (
    base_linear_shapes,
    write_initial_adapter,
)

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def made(tmp_path: Path, seed: int = 0, **lora: Any) -> Path:
    model = tmp_path / "model"
    if not model.exists():
        write_model(model)
    project = make_project(tmp_path, lora={"r": 3, **lora}, seed=seed)
    write_initial_adapter(
        project.lora, project.backend, "dense", model, tmp_path / "adapter", seed=project.training.seed
    )
    return tmp_path / "adapter"


def config_of(adapter: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((adapter / "lora_config.json").read_text())
    return found


def test_example_model_has_the_shapes_of_erniekit() -> None:
    assert linear_shapes(DenseShape.from_config(CONFIG)) == LINEAR


def test_reads_linear_shapes_from_weight_headers(tmp_path: Path) -> None:
    shapes = base_linear_shapes(write_model(tmp_path / "model"))
    assert shapes == {f"ernie.layers.{n}.{name}": size for n in range(LAYERS) for name, size in LINEAR.items()}


@pytest.mark.parametrize(
    ("targets", "modules"),
    [
        ("all-linear", ["qkv_proj", "o_proj", "up_gate_proj", "down_proj"]),
        (ATTENTION, ["qkv_proj", "o_proj"]),
        (["down_proj"], ["down_proj"]),
    ],
)
def test_only_target_modules_get_a_and_b(tmp_path: Path, targets: Any, modules: list[str]) -> None:
    adapter = made(tmp_path, target_modules=targets)
    tensors = load_file(adapter / NATIVE_WEIGHTS)
    assert {name.split(".")[-2] for name in tensors} == set(modules)
    assert len(tensors) == 2 * LAYERS * len(modules)
    assert config_of(adapter)["target_modules"] == [f".*{module}.*" for module in modules]


def test_shapes_of_a_and_b(tmp_path: Path) -> None:
    tensors = load_file(made(tmp_path) / NATIVE_WEIGHTS)
    for name, (rows, columns) in LINEAR.items():
        a, b = tensors[f"ernie.layers.1.{name}.lora_A"], tensors[f"ernie.layers.1.{name}.lora_B"]
        assert (a.shape, b.shape) == ((rows, 3), (3, columns))
        assert a.dtype == b.dtype == np.float32


def test_b_is_zero_and_a_is_kaiming_uniform(tmp_path: Path) -> None:
    tensors = load_file(made(tmp_path) / NATIVE_WEIGHTS)
    assert all(not array.any() for name, array in tensors.items() if name.endswith("lora_B"))
    a = tensors["ernie.layers.0.self_attn.qkv_proj.lora_A"]
    assert np.abs(a).max() <= HIDDEN**-0.5
    assert len(np.unique(a)) == a.size


def test_seed_decides_the_weights(tmp_path: Path) -> None:
    first = (made(tmp_path, seed=1) / NATIVE_WEIGHTS).read_bytes()
    assert (made(tmp_path, seed=1) / NATIVE_WEIGHTS).read_bytes() == first
    assert (made(tmp_path, seed=2) / NATIVE_WEIGHTS).read_bytes() != first


@pytest.mark.parametrize(("rslora", "scaling"), [(False, 2.0), (True, 4.0)])
def test_config_has_rank_alpha_dropout_and_scaling(tmp_path: Path, rslora: bool, scaling: float) -> None:
    config = config_of(made(tmp_path, r=4, lora_alpha=8, lora_dropout=0.1, rslora=rslora))
    expected = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "rslora": rslora, "scaling": scaling}
    assert {key: config[key] for key in expected} == expected


def test_config_has_the_lora_plus_scale(tmp_path: Path) -> None:
    assert config_of(made(tmp_path, lora_plus_scale=12.0))["lora_plus_scale"] == 12.0


def test_export_reads_the_initial_adapter(tmp_path: Path) -> None:
    adapter = made(tmp_path, target_modules=ATTENTION)
    tensors, config = read_native(adapter)
    assert len(tensors) == 2 * LAYERS * 2
    assert config["r"] == 3
    write_peft(adapter, CONFIG, tmp_path / "peft", "base")
    assert len(load_file(tmp_path / "peft" / "adapter_model.safetensors")) == 2 * LAYERS * 4


def test_reads_sharded_weights(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    whole = base_linear_shapes(model)
    tensors = model_tensors()
    (model / "model.safetensors").unlink()
    shards = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(tensors)}
    for shard in set(shards.values()):
        save_file({name: tensors[name] for name in tensors if shards[name] == shard}, model / shard)
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert base_linear_shapes(model) == whole


def test_names_a_missing_shard(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    (model / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001.safetensors"}}')
    with pytest.raises(AdapterError, match=r"names missing files: model-00001\.safetensors"):
        base_linear_shapes(model)


def test_rejects_a_folder_without_matching_weights(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    save_file({"bert.weight": np.zeros((2, 2), np.float32)}, model / "model.safetensors")
    with pytest.raises(AdapterError, match="no linear layers with the names of erniekit"):
        base_linear_shapes(model)
    (model / "model.safetensors").unlink()
    with pytest.raises(AdapterError, match=r"neither model\.safetensors nor"):
        base_linear_shapes(model)


def test_failure_leaves_no_adapter_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(AdapterError):
        made(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_index_names_every_tensor(tmp_path: Path) -> None:
    adapter = made(tmp_path)
    index = json.loads((adapter / NATIVE_INDEX).read_text())
    assert set(index["weight_map"]) == set(load_file(adapter / NATIVE_WEIGHTS))
    assert set(index["weight_map"].values()) == {NATIVE_WEIGHTS}


HEADS, KV_HEADS, HEAD_DIM = 4, 2, 2
# (out, in), the layout of Hugging Face.
TORCH_LINEAR = {
    "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
    "mlp.gate_proj": (FFN, HIDDEN),
    "mlp.up_proj": (FFN, HIDDEN),
    "mlp.down_proj": (HIDDEN, FFN),
}


def made_for_paddleformers(
    tmp_path: Path, kind: Kind, **lora: Any
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shapes and configuration of an adapter for PaddleFormers."""
    model = tmp_path / "model"
    model.mkdir()
    tensors = {f"model.layers.0.{name}.weight": np.zeros(size, np.float32) for name, size in TORCH_LINEAR.items()}
    tensors["visual.vision_model.encoder.layers.0.self_attn.q_proj.weight"] = np.zeros((4, 4), np.float32)
    save_file(tensors, model / "model.safetensors")
    sections = {"model": {"model_name_or_path": str(model)}, "lora": {"r": 3, **lora}, "output_dir": "o"}
    project = Project.model_validate({"backend": "paddleformers", **sections})
    write_initial_adapter(project.lora, project.backend, kind, model, tmp_path / "adapter", seed=project.training.seed)
    shapes = {name: tensor.shape for name, tensor in load_file(tmp_path / "adapter" / NATIVE_WEIGHTS).items()}
    return shapes, config_of(tmp_path / "adapter")


def test_paddleformers_fuses_q_k_v_of_a_text_model(tmp_path: Path) -> None:
    shapes, config = made_for_paddleformers(tmp_path, "dense", target_modules=["q_proj", "k_proj", "v_proj"])
    prefix = "model.layers.0.self_attn.qkv_proj"
    assert shapes == {f"{prefix}.lora_A": (HIDDEN, 3), f"{prefix}.lora_B": (3, (HEADS + 2 * KV_HEADS) * HEAD_DIM)}
    assert config["target_modules"] == [r"model\.layers\..*\.qkv_proj"]


def test_paddleformers_keeps_q_k_v_of_paddleocr_vl_separate(tmp_path: Path) -> None:
    shapes, config = made_for_paddleformers(tmp_path, "ocr-vl", target_modules=["q_proj", "down_proj"], lora_alpha=3)
    assert {name.rpartition(".")[0] for name in shapes} == {
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.mlp.down_proj",
    }
    assert (config["lora_alpha"], config["scaling"], config["tensor_model_parallel_size"]) == (3, 1.0, -1)
    assert not re.fullmatch(config["target_modules"][0], "visual.vision_model.encoder.layers.0.self_attn.q_proj")
