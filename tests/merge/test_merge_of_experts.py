"""Mixtures of experts in the layout of transformers: names, shapes, types, config.json, and checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from merge_examples import (
    DTYPES,
    EXPERT_CONFIG,
    GROUPED,
    Tensors,
    as_floats,
    bits,
    random_base,
    random_expert_adapter,
    random_expert_base,
    read_model,
    write_adapter,
    write_base,
)

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import write_json
from erniekit_adapter.layouts.adapter_files import read_native
from erniekit_adapter.layouts.base_files import read_config, read_weights
from erniekit_adapter.layouts.base_model import base_layout, to_hugging_face
from erniekit_adapter.merge.merge_checks import check_hf_merge
from erniekit_adapter.merge.merging import merge, write_hf_base
from erniekit_adapter.tensor_files import BFLOAT16, read_tensors

UNTIED = EXPERT_CONFIG | {"tie_word_embeddings": False, "moe_num_shared_experts": 0, "num_key_value_heads": 4}
EXPERT, ROUTER = "ernie.layers.1.mlp.experts.2", "ernie.layers.1.mlp.gate.weight"
CORRECTION = "mlp.moe_statics.e_score_correction_bias"


def refusal(tmp_path: Path, tensors: Tensors, config: Mapping[str, Any] = EXPERT_CONFIG) -> str:
    base = write_base(tmp_path / "base", tensors, config)
    adapter = write_adapter(tmp_path / "adapter", random_expert_adapter())
    with pytest.raises(AdapterError) as error:
        merge(base, adapter, tmp_path / "merged", "hugging-face")
    assert not (tmp_path / "merged").exists()
    return str(error.value)


def test_names_and_shapes_are_those_of_transformers(tmp_path: Path) -> None:
    write_hf_base(write_base(tmp_path / "base", random_expert_base(), EXPERT_CONFIG), tmp_path / "hf")
    attention = {"self_attn.q_proj": (16, 8), "self_attn.k_proj": (8, 8), "self_attn.v_proj": (8, 8)}
    attention |= {"self_attn.o_proj": (8, 16), "input_layernorm": (8,), "post_attention_layernorm": (8,)}
    dense = {"mlp.gate_proj": (6, 8), "mlp.up_proj": (6, 8), "mlp.down_proj": (8, 6)}
    experts = {"mlp.gate": (3, 8)}
    for name, width in {"experts.0": 5, "experts.1": 5, "experts.2": 5, "shared_experts": 10}.items():
        experts |= {f"mlp.{name}.gate_proj": (width, 8), f"mlp.{name}.up_proj": (width, 8)}
        experts[f"mlp.{name}.down_proj"] = (8, width)
    layers = [attention | dense, attention | experts, attention | experts]
    expected: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (11, 8), "model.norm.weight": (8,)}
    expected |= {f"model.layers.{n}.{CORRECTION}": (1, 3) for n in (1, 2)}
    for number, layer in enumerate(layers):
        expected |= {f"model.layers.{number}.{name}.weight": size for name, size in layer.items()}
    found = read_tensors(tmp_path / "hf" / "model.safetensors")
    assert {name: array.shape for name, array in found.items()} == expected


def test_expert_halves_and_transposed_router(tmp_path: Path) -> None:
    tensors = random_expert_base()
    write_hf_base(write_base(tmp_path / "base", tensors, EXPERT_CONFIG), tmp_path / "hf")
    found = read_tensors(tmp_path / "hf" / "model.safetensors")
    stem, fused = "model.layers.1.mlp.experts.2", tensors[f"{EXPERT}.up_gate_proj.weight"]
    np.testing.assert_array_equal(found[f"{stem}.gate_proj.weight"], fused[:, :5].T)
    np.testing.assert_array_equal(found[f"{stem}.up_proj.weight"], fused[:, 5:].T)
    np.testing.assert_array_equal(found[f"{stem}.down_proj.weight"], tensors[f"{EXPERT}.down_proj.weight"].T)
    np.testing.assert_array_equal(found["model.layers.1.mlp.gate.weight"], tensors[ROUTER].T)


@pytest.mark.parametrize("config", [EXPERT_CONFIG, UNTIED], ids=["tied, shared", "untied, none shared"])
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
@pytest.mark.parametrize("shards", [1, 4])
def test_both_layouts_have_the_same_numbers_and_types(
    tmp_path: Path, config: dict[str, Any], dtype: str, shards: int
) -> None:
    tensors = random_expert_base(config, dtype)
    base = write_base(tmp_path / "base", tensors, config, shards)
    adapter = write_adapter(tmp_path / "adapter", random_expert_adapter(config))
    for layout in ("paddle", "hugging-face"):
        report = merge(base, adapter, tmp_path / layout, layout)
    expected = to_hugging_face(read_model(tmp_path / "paddle"), base_layout(config))
    found = read_model(tmp_path / "hugging-face")
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {n: (a.shape, a.dtype) for n, a in expected.items()}
    for name, array in expected.items():
        kind = "BF16" if array.dtype == BFLOAT16 else "F32"
        one, other = (as_floats(each, kind) for each in (array, found[name]))
        np.testing.assert_allclose(one, other, rtol=2.0**-7 if kind == "BF16" else 1e-5, atol=1e-6, err_msg=name)
    assert (report.tensors, report.adapted) == (len(expected), len(random_expert_adapter(config)) // 2)
    assert sorted(path.name for path in base.iterdir()) == sorted(
        path.name for path in (tmp_path / "hugging-face").iterdir() if path.name != "generation_config.json"
    )


def test_router_keeps_float32_in_a_bfloat16_model(tmp_path: Path) -> None:
    tensors = random_expert_base(dtype="BF16")
    base = write_base(tmp_path / "base", tensors, EXPERT_CONFIG)
    merge(base, write_adapter(tmp_path / "adapter", random_expert_adapter()), tmp_path / "hf", "hugging-face")
    found = read_tensors(tmp_path / "hf" / "model.safetensors")
    kinds = {name: array.dtype for name, array in found.items()}
    assert {name for name, kind in kinds.items() if kind == DTYPES["F32"]} == {
        f"model.layers.{layer}.{name}" for layer in (1, 2) for name in ("mlp.gate.weight", CORRECTION)
    }
    same = {CORRECTION: tensors[f"ernie.layers.1.{CORRECTION}"], "mlp.gate.weight": tensors[ROUTER].T}
    assert bits({name: found[f"model.layers.1.{name}"] for name in same}) == bits(same)
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["torch_dtype"] == "bfloat16"


@pytest.mark.parametrize(
    "name",
    [
        *("ernie.mtp_block.0.mlp.down_proj.weight", "ernie.mtp_linear_proj.0.weight"),
        *("ernie.layers.1.mlp.experts.3.down_proj.weight", "ernie.layers.1.mlp.gate.weight_1"),
        *("ernie.layers.0.mlp.experts.0.down_proj.weight", "ernie.layers.1.mlp.down_proj.weight"),
        *("lm_head.bias", "ernie.layers.0.self_attn.qkv_proj.bias", "vision_model.blocks.0.weight"),
        *(f"ernie.layers.0.{CORRECTION}", "ernie.layers.9.mlp.down_proj.weight"),
    ],
)
def test_rejects_a_tensor_without_counterpart(tmp_path: Path, name: str) -> None:
    tensors = random_expert_base() | {name: np.zeros((3, 3), "<f4")}
    base = write_base(tmp_path / "base", tensors, EXPERT_CONFIG)
    with pytest.raises(AdapterError) as error:
        write_hf_base(base, tmp_path / "hf")
    assert f"{name}: has no counterpart in the Hugging Face layout" in str(error.value)


@pytest.mark.parametrize("name", [ROUTER, f"ernie.layers.2.{CORRECTION}", "ernie.layers.2.input_layernorm.weight"])
def test_rejects_a_missing_tensor(tmp_path: Path, name: str) -> None:
    tensors = {key: array for key, array in random_expert_base().items() if key != name}
    assert f"{name}: missing" in refusal(tmp_path, tensors)


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        (ROUTER, np.zeros((3, 8), "<f4"), "has shape (3, 8), expected (8, 3)"),
        (f"ernie.layers.1.{CORRECTION}", np.zeros((2, 3), "<f4"), "has shape (2, 3), expected (1, 3)"),
        ("lm_head.weight", np.zeros((11, 8), "<f4"), "differs from the embedding"),
    ],
)
def test_rejects_a_shape_mismatch(tmp_path: Path, name: str, array: Any, expected: str) -> None:
    assert f"{name}: {expected}" in refusal(tmp_path, random_expert_base() | {name: array})


@pytest.mark.parametrize("layout", ["paddle", "hugging-face"])
@pytest.mark.parametrize(
    ("dropped", "expected"),
    [
        (f"{EXPERT}.down_proj.lora_B", f"{EXPERT}.down_proj.lora_A: has no counterpart"),
        (f"{EXPERT}.up_gate_proj.", f"{EXPERT}.up_gate_proj: has no adapter, but other layers or experts"),
    ],
)
def test_rejects_an_adapter_without_an_expert(tmp_path: Path, layout: Any, dropped: str, expected: str) -> None:
    base = write_base(tmp_path / "base", random_expert_base(), EXPERT_CONFIG)
    tensors = {name: array for name, array in random_expert_adapter().items() if not name.startswith(dropped)}
    with pytest.raises(AdapterError) as error:
        merge(base, write_adapter(tmp_path / "adapter", tensors), tmp_path / "merged", layout)
    assert expected in str(error.value)


def test_config_json_has_all_keys_of_the_expert_class(tmp_path: Path) -> None:
    config = {key: value for key, value in EXPERT_CONFIG.items() if key != "head_dim"} | {"num_attention_heads": 2}
    write_hf_base(write_base(tmp_path / "base", random_expert_base(config), config), tmp_path / "hf")
    found = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert (found["architectures"], found["model_type"]) == (["Ernie4_5_MoeForCausalLM"], "ernie4_5_moe")
    assert found["head_dim"] == 4
    assert {key: value for key, value in found.items() if key.startswith("moe_")} == {
        "moe_intermediate_size": 5,
        "moe_k": 2,
        "moe_layer_end_index": 2,
        "moe_layer_interval": 1,
        "moe_layer_start_index": 1,
        "moe_norm_min": 1e-12,
        "moe_num_experts": 3,
        "moe_num_shared_experts": 2,
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"moe_gate": "top2_fused"}, "moe_gate: 'top2_fused'; transformers supports only 'topk'"),
        ({"moe_gate_act": "sigmoid"}, "moe_gate_act: 'sigmoid'"),
        ({"moe_norm_gate_logits": False}, "moe_norm_gate_logits: False"),
        ({"moe_norm_min": 1e-6}, "moe_norm_min: 1e-06"),
        ({"moe_group_experts": True}, "moe_group_experts: True"),
        ({"moe_use_aux_free": False}, "moe_use_aux_free: False"),
        ({"moe_use_aux_free": None}, "moe_use_aux_free: None"),
        ({"moe_k": None}, "moe_k: None is not a positive whole number"),
        ({"moe_k": 4}, "moe_k: 4 is more than the number of experts, 3"),
        ({"moe_num_experts": [3, 3]}, "experts for images"),
        ({"moe_layer_start_index": [1, 1]}, "experts for images"),
        ({"vision_config": {}, "model_type": "ernie4_5_moe_vl"}, "cannot be converted to the Hugging Face layout"),
        ({"tie_word_embeddings": None}, "tie_word_embeddings: missing"),
        ({"moe_layer_interval": None}, "moe_layer_interval: missing"),
        ({"rope_theta": None}, "rope_theta: missing"),
        ({"use_bias": True}, "use_bias"),
    ],
)
def test_rejects_settings_that_transformers_lacks(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    assert expected in refusal(tmp_path, random_expert_base(), EXPERT_CONFIG | change)


def test_rejects_conversion_of_a_transformers_base(tmp_path: Path) -> None:
    write_hf_base(write_base(tmp_path / "base", random_base(GROUPED)), tmp_path / "hf")
    with pytest.raises(AdapterError, match="is already in the layout of transformers"):
        write_hf_base(tmp_path / "hf", tmp_path / "again")


Checked = tuple[Tensors, Tensors, dict[str, Any], dict[str, Any], Tensors]


def merged_mixture(tmp_path: Path) -> Checked:
    """Return the arguments of the check: base model, adapter, both configurations, and a correct merge."""
    base_dir = write_base(tmp_path / "base", random_expert_base(dtype="BF16"), EXPERT_CONFIG, shards=2)
    native = write_adapter(tmp_path / "adapter", random_expert_adapter())
    merge(base_dir, native, tmp_path / "hf", "hugging-face")
    adapter, lora_config = read_native(native)
    merged = read_weights(tmp_path / "hf")
    return read_weights(base_dir), adapter, lora_config, read_config(base_dir), merged


def test_check_counts_changed_tensors(tmp_path: Path) -> None:
    checked = merged_mixture(tmp_path)
    found = check_hf_merge(*checked)
    attention, dense, experts = 3 * 4, 3, 2 * 4 * 3
    assert (found.changed, found.changed + found.same) == (attention + dense + experts, len(checked[-1]))
    assert 0 < found.largest_difference < 0.1 < found.largest_change


GATE, DOWN = "model.layers.1.mlp.gate.weight", "model.layers.2.mlp.experts.0.down_proj.weight"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda tensors: tensors | {GATE: tensors[GATE][::-1]}, f"{GATE}: differs from the base model"),
        (lambda tensors: tensors | {DOWN: tensors[DOWN][::-1]}, f"{DOWN}: is .* off from base"),
        (lambda tensors: tensors | {DOWN: tensors[DOWN].T}, f"{DOWN}: is .*, expected .*8, 5"),
        (lambda tensors: tensors | {"lm_head.weight": tensors[GATE]}, "lm_head.weight: is in only one"),
        (lambda tensors: {name: tensors[name] for name in tensors if name != GATE}, f"{GATE}: is in only one"),
    ],
)
def test_check_finds_a_wrong_tensor(tmp_path: Path, change: Callable[[Tensors], Tensors], expected: str) -> None:
    *given, merged = merged_mixture(tmp_path)
    with pytest.raises(AdapterError, match=expected):
        check_hf_merge(*given, change(merged))


def test_rejects_config_without_router_correction(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", random_expert_base(), EXPERT_CONFIG)
    write_json(base / "config.json", {key: EXPERT_CONFIG[key] for key in EXPERT_CONFIG if key != "moe_use_aux_free"})
    with pytest.raises(AdapterError, match="moe_use_aux_free: missing"):
        write_hf_base(base, tmp_path / "hf")
