"""Tensor layouts of PaddleFormers, PaddleOCR-VL and experts, and the detection of a layout."""

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
    EXPERTS,
    GROUPED,
    LORA_CONFIG,
    OCR_VL,
    VISION,
    adapter_of,
    lora_tensors,
    native_folder,
    problems_of,
    shapes,
)

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.adapter_files import write_peft
from erniekit_adapter.layouts.dense import (
    QKV,
    DenseShape,
    split_columns,
)
from erniekit_adapter.layouts.detection import Layout, layout_of, linears_of
from erniekit_adapter.layouts.experts import ExpertShape, Toolkit, convert_lora_v5, expert_linears
from erniekit_adapter.layouts.lora_tensors import check_lora, convert_lora, shapes_of
from erniekit_adapter.layouts.paddleformers import (
    apart_linears,
    join_groups,
    paddleocr_vl_linears,
    split_groups,
    text_linears,
)
from erniekit_adapter.tensor_files import BFLOAT16, read_tensors

CONFIGS: dict[Layout, dict[str, Any]] = {
    "erniekit": CONFIG,
    "paddleformers": CONFIG,
    "paddleformers-apart": CONFIG,
    "erniekit-experts": EXPERTS,
    "paddleformers-experts": EXPERTS,
    "paddleocr-vl": OCR_VL,
}


@given(shape=shapes(), rows=st.integers(1, 4))
def test_join_groups_is_the_inverse_of_split_groups(shape: DenseShape, rows: int) -> None:
    width = shape.q_width + 2 * shape.kv_width
    array = np.arange(rows * width).reshape(rows, width)
    np.testing.assert_array_equal(join_groups(*split_groups(array, shape), shape), array)


def test_key_heads_are_between_queries_and_values() -> None:
    q, k, v = split_groups(np.arange(32)[None], GROUPED)
    assert q[0].tolist() == [*range(8), *range(16, 24)]
    assert k[0].tolist() == [*range(8, 12), *range(24, 28)]
    assert v[0].tolist() == [*range(12, 16), *range(28, 32)]


def test_toolkits_agree_with_equal_heads() -> None:
    columns = np.arange(48)[None]
    for grouped, interleaved in zip(
        split_groups(columns, EQUAL), split_columns(QKV, columns, EQUAL).values(), strict=True
    ):
        np.testing.assert_array_equal(grouped, interleaved)


@pytest.mark.parametrize("layout", CONFIGS)
def test_detects_the_layout_from_names_and_config(layout: Layout) -> None:
    linears = linears_of(layout, CONFIGS[layout])
    adapter = adapter_of(linears)
    assert layout_of(shapes_of(adapter), CONFIGS[layout]) == layout
    check_lora(shapes_of(adapter), linears, LORA_CONFIG)
    assert len(convert_lora(adapter, linears)) == 2 * sum(len(linear.parts) for linear in linears.values())


@pytest.mark.parametrize("layout", CONFIGS)
def test_names_a_missing_tensor(layout: Layout) -> None:
    linears = linears_of(layout, CONFIGS[layout])
    for name in adapter_of(linears):
        sizes = shapes_of(adapter_of(linears))
        del sizes[name]
        with pytest.raises(AdapterError) as error:
            check_lora(sizes, linears, LORA_CONFIG)
        assert f"{name}: missing" in problems_of(error)


def test_target_patterns_reveal_a_missing_kind() -> None:
    sizes = shapes_of(lora_tensors(GROUPED, (QKV, "self_attn.o_proj")))
    linears = linears_of("erniekit", CONFIG)
    check_lora(sizes, linears, LORA_CONFIG)
    check_lora(sizes, linears, LORA_CONFIG | {"target_modules": [".*qkv_proj.*", ".*o_proj.*"]})
    with pytest.raises(AdapterError, match=r"layers\.1\.mlp\.down_proj\.lora_B: missing"):
        check_lora(sizes, linears, LORA_CONFIG | {"target_modules": [".*qkv_proj.*", ".*o_proj.*", ".*down_proj.*"]})


def test_rejects_invalid_target_patterns() -> None:
    with pytest.raises(AdapterError, match="target_modules"):
        check_lora(
            shapes_of(lora_tensors(GROUPED)), linears_of("erniekit", CONFIG), LORA_CONFIG | {"target_modules": ["("]}
        )


@pytest.mark.parametrize(
    ("change", "config", "reason"),
    [
        ({"lm_head.bias": (11,)}, CONFIG, "lm_head.bias: a bias has no counterpart"),
        ({"ernie.norm.weight": (8,)}, CONFIG, "is neither lora_A nor lora_B"),
        ({"ernie.layers.0.mlp.down_proj.lora_magnitude_vector": (8,)}, CONFIG, "is neither lora_A nor lora_B"),
        (
            {"base_model.model.model.layers.0.mlp.down_proj.lora_A.weight": (3, 6)},
            CONFIG,
            "is already in PEFT's layout",
        ),
        ({"model.layers.0.mlp.down_proj.lora_A": (6, 3)}, CONFIG, "ERNIEKit's names"),
        ({"bert.layers.0.mlp.down_proj.lora_A": (6, 3)}, CONFIG, "belongs to no known toolkit"),
        ({}, OCR_VL, "the base model is PaddleOCR-VL"),
        ({}, CONFIG | {"model_type": "llama"}, "'llama' is not a kind of ERNIE 4.5"),
        ({}, EXPERTS | {"moe_num_experts": [3, 3], "vision_config": VISION}, "cannot be converted to PEFT"),
    ],
)
def test_rejects_unknown_layouts_with_a_reason(
    change: dict[str, tuple[int, ...]], config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(AdapterError) as error:
        layout_of(shapes_of(lora_tensors(GROUPED)) | change, config)
    assert reason in problems_of(error)


def test_rejects_fused_and_split_projections_together() -> None:
    sizes = shapes_of(adapter_of(text_linears(GROUPED)) | adapter_of(apart_linears(GROUPED)))
    with pytest.raises(AdapterError, match="has both qkv_proj, up_gate_proj and gate_proj"):
        layout_of(sizes, CONFIG)


def test_rejects_transposed_adapters() -> None:
    transposed = {name: size[::-1] for name, size in shapes_of(lora_tensors(GROUPED)).items()}
    with pytest.raises(AdapterError, match="Hugging Face's orientation with a toolkit's names"):
        layout_of(transposed, CONFIG)


def test_rejects_an_adapter_of_another_shape() -> None:
    adapter = adapter_of(text_linears(EQUAL))
    with pytest.raises(AdapterError, match=r"qkv_proj\.lora_B: has shape \(3, 48\), expected \(3, 32\)"):
        check_lora(shapes_of(adapter), text_linears(GROUPED), LORA_CONFIG)


def test_rejects_an_adapter_of_experts_for_a_dense_model() -> None:
    adapter = adapter_of(linears_of("erniekit-experts", EXPERTS))
    with pytest.raises(AdapterError, match=r"config\.json does not have these mixture-of-experts tensors"):
        check_lora(shapes_of(adapter), linears_of("erniekit", CONFIG), LORA_CONFIG)


def test_paddleocr_vl_parts_have_transformers_5_names() -> None:
    linears = paddleocr_vl_linears(OCR_VL)
    parts = {stem: linear.parts[0] for stem, linear in linears.items()}
    assert parts["model.layers.1.self_attn.q_proj"] == "model.language_model.layers.1.self_attn.q_proj"
    assert parts["mlp_AR.linear_2"] == "model.projector.linear_2"
    vision = "visual.vision_model.encoder.layers.0.self_attn.out_proj"
    assert parts[vision] == f"model.{vision}"
    assert linears["mlp_AR.linear_2"].size == (16, 8)


def test_paddleocr_vl_targets_have_full_names(tmp_path: Path) -> None:
    """`q_proj` would also select layers of the vision tower."""
    linears = {stem: linear for stem, linear in paddleocr_vl_linears(OCR_VL).items() if stem.endswith("q_proj")}
    adapter = {name: array for name, array in adapter_of(linears).items() if name.startswith("model.")}
    assert write_peft(native_folder(tmp_path / "native", adapter), OCR_VL, tmp_path / "peft", "base") == "paddleocr-vl"
    config = orjson.loads((tmp_path / "peft" / "adapter_config.json").read_bytes())
    assert config["target_modules"] == [f"model.language_model.layers.{n}.self_attn.q_proj" for n in (0, 1)]


def test_rejects_paddleocr_vl_without_vision_sizes() -> None:
    with pytest.raises(AdapterError, match=r"vision_config\.spatial_merge_size: None"):
        paddleocr_vl_linears(OCR_VL | {"vision_config": {**VISION, "spatial_merge_size": None}})


def test_reads_the_sizes_of_experts() -> None:
    shape = ExpertShape.from_config(EXPERTS)
    assert (shape.experts, shape.expert_ffn, shape.shared_ffn, shape.expert_layers) == (3, 5, 10, (1,))
    every_other = EXPERTS | {"num_hidden_layers": 8, "moe_layer_interval": 2, "moe_layer_end_index": 6}
    assert ExpertShape.from_config(every_other).expert_layers == (1, 3, 5)


def test_rejects_missing_sizes_and_image_experts() -> None:
    with pytest.raises(AdapterError, match="moe_intermediate_size: missing"):
        ExpertShape.from_config({key: value for key, value in EXPERTS.items() if key != "moe_intermediate_size"})
    with pytest.raises(AdapterError, match="experts for images"):
        ExpertShape.from_config(EXPERTS | {"moe_num_experts": [3, 3]})


@pytest.mark.parametrize("toolkit", ["erniekit", "paddleformers"])
def test_stacked_experts_equal_single_experts(toolkit: Toolkit) -> None:
    """Column `rank · experts + expert` of B belongs to an expert, and its product is that of the other format."""
    shape = ExpertShape.from_config(EXPERTS)
    linears = expert_linears(shape, toolkit)
    adapter = adapter_of(linears, rank=2)
    one_by_one, stacked = convert_lora(adapter, linears), convert_lora_v5(adapter, shape, toolkit)
    stem = "base_model.model.model.layers.1.mlp.experts"
    a, b = (stacked[f"{stem}.base_layer.lora_{matrix}.weight"] for matrix in "AB")
    assert (a.shape, b.shape) == ((6, 8), (10, 6))
    for expert in range(3):
        product = b[:, expert::3] @ a[2 * expert : 2 * expert + 2]
        halves = [
            one_by_one[f"{stem}.{expert}.{part}.lora_B.weight"] @ one_by_one[f"{stem}.{expert}.{part}.lora_A.weight"]
            for part in ("gate_proj", "up_proj")
        ]
        np.testing.assert_array_equal(product, np.concatenate(halves))


def test_peft_formats_of_experts_in_bfloat16(tmp_path: Path) -> None:
    adapter = adapter_of(expert_linears(ExpertShape.from_config(EXPERTS), "erniekit"))
    bits = {name: array.astype(np.uint16) for name, array in adapter.items()}
    native = native_folder(
        tmp_path / "native",
        {name: array.view(BFLOAT16) for name, array in bits.items()},
        LORA_CONFIG | {"lora_dropout": 0.1},
    )
    for reader in ("v4", "v5"):
        assert write_peft(native, EXPERTS, tmp_path / reader, "base", reader) == "erniekit-experts"
        stored = read_tensors(tmp_path / reader / "adapter_model.safetensors")
        assert {array.dtype for array in stored.values()} == {BFLOAT16}
    numbers = {int(number) for array in stored.values() for number in array.view(np.uint16).ravel()}
    assert numbers == {int(number) for array in bits.values() for number in array.ravel()}
    v4, v5 = (orjson.loads((tmp_path / reader / "adapter_config.json").read_bytes()) for reader in ("v4", "v5"))
    assert v4["target_modules"] == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert "target_parameters" not in v4
    assert v5["target_modules"] == []
    assert v5["lora_dropout"] == 0
    assert v5["target_parameters"] == [
        *("down_proj.weight", "gate_proj.weight", "k_proj.weight", "mlp.experts.down_proj"),
        *("mlp.experts.gate_up_proj", "o_proj.weight", "q_proj.weight", "up_proj.weight", "v_proj.weight"),
    ]


@pytest.mark.parametrize("config", [CONFIG, EXPERTS])
def test_writes_a_paddleformers_adapter(tmp_path: Path, config: dict[str, Any]) -> None:
    layout: Layout = "paddleformers-experts" if config is EXPERTS else "paddleformers"
    linears = linears_of(layout, config)
    native = native_folder(tmp_path / "native", adapter_of(linears))
    assert write_peft(native, config, tmp_path / "peft", "base") == layout
    stored = read_tensors(tmp_path / "peft" / "adapter_model.safetensors")
    numbers = np.concatenate([array.ravel() for name, array in stored.items() if ".lora_B." in name])
    assert len(numbers) == len(np.unique(numbers)), "every number of B has one place"
