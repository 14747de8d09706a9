"""Conversion of PEFT adapters to a toolkit's layout: the products stay the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_examples import CONFIG, EQUAL, GROUPED, adapter_of, lora_tensors, problems_of, shapes
from merge_examples import config_of

from erniekit_adapter.architectures.linear_layers import FUSED
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.adapter_files import write_from_peft, write_peft
from erniekit_adapter.layouts.dense import PARTS, DenseShape
from erniekit_adapter.layouts.detection import layout_of, linears_of
from erniekit_adapter.layouts.experts import Toolkit
from erniekit_adapter.layouts.from_peft import lora_from_peft
from erniekit_adapter.layouts.lora_tensors import Array, check_lora, convert_lora, shapes_of
from erniekit_adapter.layouts.paddleformers import apart_linears
from erniekit_adapter.lora.config import lora_scaling
from erniekit_adapter.tensor_files import BFLOAT16, read_tensors, write_tensors

PEFT_CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "use_rslora": False,
    "lora_dropout": 0.1,
    "bias": "none",
}
ALL = {part for parts in PARTS.values() for part in parts}


def peft_adapter(shape: DenseShape, kinds: set[str] = ALL, rank: int = 2) -> dict[str, Array]:
    """Return a PEFT adapter with different A for each projection, in small whole numbers with exact products."""
    made = convert_lora(adapter_of(apart_linears(shape), rank, kinds), apart_linears(shape))
    return {name: np.remainder(array, 11) + (1 if ".lora_A." in name else 0) for name, array in made.items()}


def products(peft: dict[str, Array], scaling: float) -> dict[str, Array]:
    return {
        name.removesuffix(".lora_A.weight"): scaling * (peft[name.replace(".lora_A.", ".lora_B.")] @ peft[name])
        for name in peft
        if name.endswith(".lora_A.weight")
    }


@settings(deadline=None)
@given(
    shape=shapes(),
    toolkit=st.sampled_from(["erniekit", "paddleformers"]),
    kinds=st.sets(st.sampled_from(sorted(ALL)), min_size=1),
    rslora=st.booleans(),
)
def test_round_trip_keeps_every_product(shape: DenseShape, toolkit: Toolkit, kinds: set[str], rslora: bool) -> None:
    peft, config = peft_adapter(shape, kinds), PEFT_CONFIG | {"use_rslora": rslora}
    native, lora_config = lora_from_peft(peft, shape, config, toolkit)
    layout = layout_of(shapes_of(native), CONFIG)
    if toolkit == "erniekit":
        assert layout == "erniekit"
    linears = linears_of("erniekit" if toolkit == "erniekit" else "paddleformers", config_of(shape))
    check_lora(shapes_of(native), linears, lora_config)
    found = products(convert_lora(native, linears), lora_scaling(lora_config))
    expected = products(peft, lora_scaling({"r": 2, "lora_alpha": 4, "rslora": rslora}))
    for name, product in found.items():
        np.testing.assert_array_equal(product, expected.get(name, np.zeros_like(product)))
    assert expected.keys() <= found.keys()


@pytest.mark.parametrize(
    ("kinds", "rslora", "rank", "alpha"),
    [
        ({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, False, 6, 12),
        ({"self_attn.q_proj", "self_attn.v_proj"}, False, 4, 8),
        ({"mlp.gate_proj", "mlp.up_proj"}, False, 4, 8),
        ({"self_attn.o_proj", "mlp.down_proj"}, False, 2, 4),
        ({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, True, 8, 8),
        ({"self_attn.o_proj"}, True, 2, 4),
    ],
)
def test_rank_grows_with_the_number_of_different_a(kinds: set[str], rslora: bool, rank: int, alpha: int) -> None:
    _, config = lora_from_peft(peft_adapter(GROUPED, kinds), GROUPED, PEFT_CONFIG | {"use_rslora": rslora}, "erniekit")
    assert (config["r"], config["lora_alpha"]) == (rank, alpha)
    before, after = ({"r": r, "lora_alpha": a, "rslora": rslora} for r, a in ((2, 4), (rank, alpha)))
    assert lora_scaling(before) == lora_scaling(after) == config["scaling"]


@pytest.mark.parametrize("shape", [GROUPED, EQUAL])
def test_round_trip_of_a_toolkit_adapter(shape: DenseShape) -> None:
    """The projections share one A, so the rank stays."""
    native = lora_tensors(shape)
    config = CONFIG | {"num_key_value_heads": shape.kv_heads}
    peft = convert_lora(native, linears_of("erniekit", config))
    back, lora_config = lora_from_peft(peft, shape, PEFT_CONFIG | {"r": 3, "lora_alpha": 6}, "erniekit")
    assert (lora_config["r"], lora_config["lora_alpha"]) == (3, 6)
    assert back.keys() == native.keys()
    for name, array in native.items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "LOHA"},
        {"r": 0},
        {"lora_alpha": None},
        {"bias": "all"},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 4}},
        {"modules_to_save": ["lm_head"]},
        {"target_parameters": ["mlp.experts.down_proj"]},
        {"init_lora_weights": "pissa_niter_4"},
        {"init_lora_weights": "lora_ga"},
        {"use_qalora": True},
        {"layers_to_transform": [0]},
        {"layers_to_transform": 0},
        {"use_bdlora": {"nblocks": 2}},
        {"kasa_config": {"beta": 1e-4}},
        {"a_field_of_tomorrow": 1},
    ],
)
def test_rejects_fields_without_toolkit_counterpart(change: dict[str, Any]) -> None:
    with pytest.raises(AdapterError, match=f"adapter_config.json {next(iter(change))}"):
        lora_from_peft(peft_adapter(GROUPED), GROUPED, PEFT_CONFIG | change, "erniekit")


def test_accepts_fields_without_effect() -> None:
    idle = {"use_qalora": False, "qalora_group_size": 16, "layers_to_transform": None, "rank_pattern": {}}
    without_effect = {
        "target_modules": ["q_proj"],
        "init_lora_weights": "orthogonal",
        "eva_config": {"rho": 2},
        "tomorrow": [],
    }
    assert lora_from_peft(peft_adapter(GROUPED), GROUPED, PEFT_CONFIG | idle | without_effect, "erniekit")[1]["r"] == 6


def test_rejects_layers_to_transform_before_tensors() -> None:
    """The cause is the setting, and not an incomplete folder."""
    peft = {name: array for name, array in peft_adapter(GROUPED).items() if ".layers.0." in name}
    with pytest.raises(AdapterError) as error:
        lora_from_peft(peft, GROUPED, PEFT_CONFIG | {"layers_to_transform": [0]}, "erniekit")
    assert "layers_to_transform: [0]: only some layers are adapted" in problems_of(error)
    assert "missing" not in problems_of(error)


def test_reports_missing_and_unmatched_tensors() -> None:
    peft = peft_adapter(GROUPED)
    del peft["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"]
    peft["base_model.model.lm_head.lora_A.weight"] = np.zeros((2, 8), np.float32)
    with pytest.raises(AdapterError) as error:
        lora_from_peft(peft, GROUPED, PEFT_CONFIG, "erniekit")
    assert "layers.1.mlp.up_proj.lora_B.weight: missing" in problems_of(error)
    assert "lm_head.lora_A.weight: is not a tensor of this model" in problems_of(error)


def test_round_trip_of_a_folder(tmp_path: Path) -> None:
    """In bfloat16."""
    bits = {name: array.astype(np.uint16) for name, array in peft_adapter(GROUPED).items()}
    (tmp_path / "peft").mkdir()
    bfloat16 = {name: array.view(BFLOAT16) for name, array in bits.items()}
    write_tensors(tmp_path / "peft" / "adapter_model.safetensors", bfloat16)
    (tmp_path / "peft" / "adapter_config.json").write_bytes(orjson.dumps(PEFT_CONFIG))
    write_from_peft(tmp_path / "peft", CONFIG, tmp_path / "native")
    config = orjson.loads((tmp_path / "native" / "lora_config.json").read_bytes())
    assert config["target_modules"] == sorted(f".*{name}.*" for name in FUSED)
    stored = read_tensors(tmp_path / "native" / "peft_model-00001-of-00001.safetensors")
    for name, array in lora_from_peft(bits, GROUPED, PEFT_CONFIG, "erniekit")[0].items():
        assert stored[name].dtype == BFLOAT16
        np.testing.assert_array_equal(stored[name].view(np.uint16), array)
    assert write_peft(tmp_path / "native", CONFIG, tmp_path / "again", "base") == "erniekit"


def test_rejects_a_peft_pickle(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(AdapterError, match=r"adapter_model\.bin, which is not opened"):
        write_from_peft(tmp_path, CONFIG, tmp_path / "out")
