"""Tensor layout of dense models in ERNIEKit, and its conversion to Hugging Face and PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_examples import (
    CONFIG,
    EQUAL,
    GROUPED,
    LORA_CONFIG,
    lora_tensors,
    lora_to_peft,
    native_folder,
    numbered,
    problems_of,
    shapes,
)

from erniekit_adapter.architectures.linear_layers import LINEAR_MODULES
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.adapter_files import write_peft
from erniekit_adapter.layouts.base_model import dense_base, to_hugging_face
from erniekit_adapter.layouts.dense import (
    PARTS,
    QKV,
    UP_GATE,
    Array,
    DenseShape,
    base_shapes,
    join_columns,
    linear_shapes,
    merged_weight,
    split_columns,
)
from erniekit_adapter.layouts.hugging_face_files import hf_config
from erniekit_adapter.lora.config import lora_scaling
from erniekit_adapter.tensor_files import BFLOAT16, read_tensors


@given(shape=shapes(), module=st.sampled_from(sorted(PARTS)), rows=st.integers(1, 5))
def test_join_is_the_inverse_of_split(shape: DenseShape, module: str, rows: int) -> None:
    width = linear_shapes(shape)[module][1]
    array = np.arange(rows * width).reshape(rows, width)
    parts = split_columns(module, array, shape)
    assert tuple(parts) == PARTS[module]
    np.testing.assert_array_equal(join_columns(module, parts, shape), array)


@given(shape=shapes())
def test_conversion_keeps_every_number_once(shape: DenseShape) -> None:
    tensors = numbered(base_shapes(shape))
    converted = to_hugging_face(tensors, dense_base(shape))
    assert len(converted) == 2 + (2 + len(LINEAR_MODULES)) * shape.layers + (not shape.tied)
    numbers = np.concatenate([array.ravel() for array in converted.values()])
    np.testing.assert_array_equal(np.sort(numbers), np.arange(len(numbers)))


@given(shape=shapes(), rank=st.integers(1, 4))
def test_merge_and_split_commute(shape: DenseShape, rank: int) -> None:
    """Splitting W + A·B gives W + A·B of each part, so the parts of a fused layer can share A."""
    numbers = np.random.default_rng(0)
    base = {name: numbers.normal(size=size) for name, size in base_shapes(shape).items()}
    lora = {name: numbers.normal(size=array.shape) for name, array in lora_tensors(shape, rank=rank).items()}
    merged: dict[str, Array] = dict(base)
    for name in lora:
        stem = name.removesuffix(".lora_A")
        if stem != name:
            weight = f"{stem}.weight"
            merged[weight] = merged_weight(base[weight], lora[name], lora[f"{stem}.lora_B"], 0.5)
    peft = lora_to_peft(lora, shape, LORA_CONFIG | {"r": rank})
    split_base, split_merged = (to_hugging_face(tensors, dense_base(shape)) for tensors in (base, merged))
    assert len(peft) == 2 * len(LINEAR_MODULES) * shape.layers
    for name in peft:
        if name.endswith(".lora_B.weight"):
            weight = name.removeprefix("base_model.model.").replace(".lora_B.", ".")
            product = peft[name] @ peft[name.replace("lora_B", "lora_A")]
            np.testing.assert_allclose(split_base[weight] + 0.5 * product, split_merged[weight], rtol=1e-4, atol=1e-5)


def test_grouped_heads_are_in_blocks_of_q_k_and_v() -> None:
    columns = np.arange(GROUPED.q_width + 2 * GROUPED.kv_width)[None]
    parts = split_columns(QKV, columns, GROUPED)
    assert [part[0].tolist() for part in parts.values()] == [[*range(16)], [*range(16, 24)], [*range(24, 32)]]


def test_equal_heads_are_interleaved() -> None:
    parts = split_columns(QKV, np.arange(48)[None], EQUAL)
    assert parts["self_attn.q_proj"][0].tolist() == [0, 1, 2, 3, 12, 13, 14, 15, 24, 25, 26, 27, 36, 37, 38, 39]
    assert parts["self_attn.v_proj"][0].tolist() == [8, 9, 10, 11, 20, 21, 22, 23, 32, 33, 34, 35, 44, 45, 46, 47]


def test_first_half_is_the_gate() -> None:
    assert split_columns(UP_GATE, np.arange(12)[None], GROUPED)["mlp.gate_proj"][0].tolist() == [0, 1, 2, 3, 4, 5]


def test_scaling() -> None:
    assert lora_scaling({"r": 4, "lora_alpha": 8, "rslora": False}) == 2
    assert lora_scaling({"r": 4, "lora_alpha": 8, "rslora": True}) == 4


def test_shape_of_a_config_has_no_defaults() -> None:
    assert DenseShape.from_config(CONFIG) == GROUPED
    with pytest.raises(AdapterError) as error:
        DenseShape.from_config({"hidden_size": 0, "vocab_size": 11, "tie_word_embeddings": "no"})
    for key in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size"):
        assert f"config.json {key}: missing" in problems_of(error)
    assert "hidden_size: 0 is not a positive whole number" in problems_of(error)
    assert "tie_word_embeddings: 'no' is not true or false" in problems_of(error)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"moe_num_experts": 64}, "moe_num_experts"),
        ({"moe_num_experts": [64, 64]}, "moe_num_experts"),
        ({"use_bias": True}, "use_bias"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
    ],
)
def test_rejects_unsupported_models(change: dict[str, Any], named: str) -> None:
    with pytest.raises(AdapterError, match=named):
        DenseShape.from_config(CONFIG | change)


def test_accepts_zero_experts() -> None:
    assert DenseShape.from_config(CONFIG | {"moe_num_experts": 0}) == GROUPED


@pytest.mark.parametrize(
    "change",
    [
        {"pissa": True},
        {"loraga": True},
        {"use_mora": True},
        {"lora_use_mixer": True},
        {"lora_bias": "all"},
        {"trainable_bias": "lora"},
        {"trainable_modules": [".*norm.*"]},
        {"rslora": None},
        {"r": 0},
        {"lora_alpha": "8"},
    ],
)
def test_rejects_lora_variants_for_peft(change: dict[str, Any]) -> None:
    with pytest.raises(AdapterError, match=f"lora_config.json {next(iter(change))}"):
        lora_to_peft(lora_tensors(GROUPED), GROUPED, LORA_CONFIG | change)


def test_reports_all_problems_of_the_tensors() -> None:
    tensors = lora_tensors(GROUPED)
    del tensors["ernie.layers.0.mlp.down_proj.lora_B"]
    tensors["ernie.layers.1.self_attn.o_proj.lora_A"] = np.zeros((3, 16), np.float32)
    tensors["ernie.layers.0.mlp.experts.5.down_proj.lora_A"] = np.zeros((6, 3), np.float32)
    tensors["ernie.layers.7.mlp.down_proj.lora_A"] = np.zeros((6, 3), np.float32)
    with pytest.raises(AdapterError) as error:
        lora_to_peft(tensors, GROUPED, LORA_CONFIG)
    assert len(error.value.problems) == 4
    assert "ernie.layers.0.mlp.down_proj.lora_B: missing" in problems_of(error)
    assert "ernie.layers.1.self_attn.o_proj.lora_A: has shape (3, 16), expected (16, 3)" in problems_of(error)


def test_adapter_of_some_modules() -> None:
    converted = lora_to_peft(lora_tensors(EQUAL, (QKV,)), EQUAL, LORA_CONFIG)
    assert {name.split(".")[-3] for name in converted} == {"q_proj", "k_proj", "v_proj"}
    assert len(converted) == 2 * 3 * EQUAL.layers


def test_rejects_an_empty_adapter() -> None:
    with pytest.raises(AdapterError, match="has no tensors"):
        lora_to_peft({}, GROUPED, LORA_CONFIG)


def test_keeps_bfloat16_bit_for_bit_and_repeats_bytes(tmp_path: Path) -> None:
    bits = {name: array.astype(np.uint16) for name, array in lora_tensors(EQUAL).items()}
    native = native_folder(tmp_path / "native", {name: array.view(BFLOAT16) for name, array in bits.items()})
    config = CONFIG | {"num_key_value_heads": 4, "tie_word_embeddings": False}
    for name in ("one", "two"):
        write_peft(native, config, tmp_path / name, "base")
    written = (tmp_path / "one" / "adapter_model.safetensors").read_bytes()
    assert written == (tmp_path / "two" / "adapter_model.safetensors").read_bytes()
    stored = read_tensors(tmp_path / "one" / "adapter_model.safetensors")
    for name, array in lora_to_peft(bits, EQUAL, LORA_CONFIG).items():
        assert stored[name].dtype == BFLOAT16
        np.testing.assert_array_equal(stored[name].view(np.uint16), array)
    config_written = orjson.loads((tmp_path / "one" / "adapter_config.json").read_bytes())
    assert config_written["target_modules"] == sorted(LINEAR_MODULES)


def test_rejects_a_native_pickle(tmp_path: Path) -> None:
    (tmp_path / "lora_model_state.pdparams").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(AdapterError, match=r"only lora_model_state\.pdparams: pickles are not opened"):
        write_peft(tmp_path, CONFIG, tmp_path / "out", "base")


def test_rejects_an_index_that_does_not_match(tmp_path: Path) -> None:
    native = native_folder(tmp_path / "native", lora_tensors(GROUPED))
    index = native / "peft_model.safetensors.index.json"
    content = orjson.loads(index.read_bytes())
    name, shard = content["weight_map"].popitem()
    index.write_bytes(orjson.dumps(content))
    with pytest.raises(AdapterError, match=f"{name}: is not in the index"):
        write_peft(native, CONFIG, tmp_path / "out", "base")
    index.write_bytes(orjson.dumps({"weight_map": {name: f"../{shard}"}}))
    with pytest.raises(AdapterError, match="names files outside its folder"):
        write_peft(native, CONFIG, tmp_path / "out", "base")
    assert not (tmp_path / "out").exists()


def test_rejects_settings_without_hf_counterpart() -> None:
    config = CONFIG | {"compression_ratio": 2.0, "rope_theta": 1e4, "max_position_embeddings": 64}
    with pytest.raises(AdapterError) as error:
        hf_config(config, "float32")
    assert "config.json compression_ratio: 2.0" in problems_of(error)
    assert "config.json rms_norm_eps: missing" in problems_of(error)
