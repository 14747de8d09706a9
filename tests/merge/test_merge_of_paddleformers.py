"""Merges of PaddleFormers' adapters. Base and merged model have the layout, files, names and types of transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layout_examples import CONFIG as SMALL
from layout_examples import OCR_VL
from merge_examples import (
    CONFIG,
    DTYPES,
    EXPERT_CONFIG,
    GROUPED,
    OTHER,
    Tensors,
    as_floats,
    bits,
    random_adapter,
    random_adapter_of,
    random_base,
    random_expert_base,
    random_tensors,
    read_model,
    write_adapter,
    write_base,
    write_file,
)

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.adapter_files import read_native
from erniekit_adapter.layouts.base_files import read_config, read_weights
from erniekit_adapter.layouts.base_model import base_layout, to_hugging_face
from erniekit_adapter.layouts.detection import Layout, linears_of
from erniekit_adapter.layouts.lora_tensors import convert_lora
from erniekit_adapter.layouts.paddleformers import paddleocr_vl_linears
from erniekit_adapter.merge.merge_checks import check_hf_merge
from erniekit_adapter.merge.merging import merge
from erniekit_adapter.tensor_files import read_metadata

EQUAL_HEADS = SMALL | {"num_key_value_heads": 4}
MODELS: dict[str, tuple[Layout, dict[str, Any]]] = {
    "fused": ("paddleformers", SMALL | OTHER),
    "fused, equal heads": ("paddleformers", EQUAL_HEADS | OTHER),
    "apart": ("paddleformers-apart", SMALL | OTHER),
    "experts": ("paddleformers-experts", EXPERT_CONFIG),
    "images": ("paddleocr-vl", OCR_VL | OTHER | {"rope_scaling": {"mrope_section": [1, 1]}}),
}
# transformers 5 renames these prefixes when it reads PaddleOCR-VL's files.
ON_DISK = {"model.language_model.": "model.", "model.visual.": "visual.", "model.projector.": "mlp_AR."}
Q, QKV = "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.qkv_proj"


def torch_base(model: str, dtype: str = "F32") -> Tensors:
    layout, config = MODELS[model]
    if layout == "paddleocr-vl":
        sizes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (11, 8), "lm_head.weight": (11, 8)}
        for stem, linear in paddleocr_vl_linears(config).items():
            sizes |= {f"{stem}.weight": linear.size[::-1], f"{stem}.bias": linear.size[1:]}
        sizes["visual.vision_model.embeddings.patch_embedding.weight"] = (4, 3, 2, 2)
        return random_tensors(sizes, dtype)
    base = base_layout(config)
    tensors = random_expert_base(config, dtype) if layout.endswith("experts") else random_tensors(base.sizes, dtype)
    return {name: np.ascontiguousarray(array) for name, array in to_hugging_face(tensors, base).items()}


def adapter_for(model: str) -> Tensors:
    layout, config = MODELS[model]
    return random_adapter_of(linears_of(layout, config))


def expected_weights(model: str, base: Tensors, scaling: float) -> Tensors:
    """Return the base model plus the products of the adapter in PEFT's layout."""
    layout, config = MODELS[model]
    peft = convert_lora(adapter_for(model), linears_of(layout, config))
    weights: Tensors = dict(base)
    for name in [name for name in peft if name.endswith(".lora_B.weight")]:
        weight = name.removeprefix("base_model.model.").replace(".lora_B.", ".")
        if layout == "paddleocr-vl":
            start = next(start for start in ON_DISK if weight.startswith(start))
            weight = ON_DISK[start] + weight.removeprefix(start)
        change = scaling * (peft[name] @ peft[name.replace(".lora_B.", ".lora_A.")])
        weights[weight] = as_floats(base[weight], "F32") + change
    return weights


def refusal(base: Path, adapter: Path, output: Path, layout: Any = "hugging-face") -> str:
    with pytest.raises(AdapterError) as error:
        merge(base, adapter, output, layout)
    assert not output.exists()
    return str(error.value)


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_every_weight_gets_its_columns(tmp_path: Path, model: str, rslora: bool) -> None:
    base = torch_base(model)
    folder = write_base(tmp_path / "base", base, MODELS[model][1], shards=3)
    adapter = write_adapter(tmp_path / "adapter", adapter_for(model), {**CONFIG, "rslora": rslora})
    report = merge(folder, adapter, tmp_path / "merged", "hugging-face")
    expected = expected_weights(model, base, 6 / 3**0.5 if rslora else 2.0)
    found = read_model(tmp_path / "merged")
    assert list(found) == list(base)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5, err_msg=name)
    changed = {name for name in base if bits({name: base[name]}) != bits({name: found[name]})}
    assert (report.adapted, report.tensors, report.without_effect) == (len(changed), len(base), ())
    assert not [name for name in changed if name.endswith((".bias", "norm.weight", "gate.weight", "_tokens.weight"))]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_check_of_the_merge(tmp_path: Path, model: str, dtype: str) -> None:
    base_dir = write_base(tmp_path / "base", torch_base(model, dtype), MODELS[model][1])
    native = write_adapter(tmp_path / "adapter", adapter_for(model))
    merge(base_dir, native, tmp_path / "merged", "hugging-face")
    base, config = read_weights(base_dir), read_config(base_dir)
    adapter, lora_config = read_native(native)
    merged = read_weights(tmp_path / "merged")
    found = check_hf_merge(base, adapter, lora_config, config, merged)
    parts = [part for linear in linears_of(*MODELS[model]).values() for part in linear.parts]
    assert (found.changed, found.same) == (len(parts), len(base) - len(parts))
    weight = "model.layers.1.self_attn.o_proj.weight"
    with pytest.raises(AdapterError, match=rf"{weight}: is .* off from base"):
        check_hf_merge(base, adapter, lora_config, config, merged | {weight: base[weight]})
    unmatched = {"model.layers.7.self_attn.o_proj.lora_A": adapter["model.layers.0.self_attn.o_proj.lora_A"]}
    with pytest.raises(AdapterError, match=r"layers\.7\.self_attn\.o_proj\.lora_A: belongs to no weight"):
        check_hf_merge(base, adapter | unmatched, lora_config, config, merged)


def test_files_index_and_config_of_the_base_model(tmp_path: Path) -> None:
    base = write_base(
        tmp_path / "base", torch_base("images", "BF16"), MODELS["images"][1] | {"is_lora": True}, shards=2
    )
    (base / "preprocessor_config.json").write_text('{"patch_size":14}')
    report = merge(base, write_adapter(tmp_path / "adapter", adapter_for("images")), tmp_path / "out", "hugging-face")
    assert {path.name for path in base.iterdir()} == {path.name for path in (tmp_path / "out").iterdir()}
    for name in ("tokenizer_config.json", "tokenizer.model", "preprocessor_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (base / name).read_bytes()
    assert report.files.removed_keys == ("is_lora",)
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == MODELS["images"][1]
    places = [json.loads((each / "model.safetensors.index.json").read_text()) for each in (base, tmp_path / "out")]
    assert places[0]["weight_map"] == places[1]["weight_map"]
    assert read_metadata(next((tmp_path / "out").glob("*.safetensors")))["format"] == "pt"


def test_rejects_the_paddle_layout_with_a_hint(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", torch_base("fused"), MODELS["fused"][1])
    adapter = write_adapter(tmp_path / "adapter", adapter_for("fused"))
    found = refusal(base, adapter, tmp_path / "out", "paddle")
    assert "is in the layout of transformers" in found
    assert "merged-hf" in found


Change = Callable[[Tensors], Tensors]


def without(start: str) -> Change:
    return lambda tensors: {name: array for name, array in tensors.items() if not name.startswith(start)}


def with_tensor(name: str, array: Any) -> Change:
    return lambda tensors: tensors | {name: np.asarray(array, "<f4")}


@pytest.mark.parametrize("model", MODELS)
def test_rejects_an_adapter_with_a_missing_tensor(tmp_path: Path, model: str) -> None:
    base = write_base(tmp_path / "base", torch_base(model), MODELS[model][1])
    tensors = adapter_for(model)
    for number, name in enumerate([*tensors][:: max(1, len(tensors) // 8)]):
        adapter = write_adapter(tmp_path / f"adapter {number}", without(name)(tensors))
        assert f"{name}: missing" in refusal(base, adapter, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (with_tensor(f"{QKV}.lora_B", np.ones((3, 31))), "has shape (3, 31), expected (3, 32)"),
        (with_tensor(f"{QKV}.lora_A", np.ones((3, 8))), f"{QKV}.lora_A: A is (r, in) and B is (out, r)"),
        (with_tensor("model.layers.9.mlp.down_proj.lora_A", np.ones((6, 3))), "is not a tensor of this model"),
        (with_tensor(f"{QKV}.bias", np.ones(3)), "a bias has no counterpart"),
        (with_tensor(f"{QKV}.lora_B", np.full((3, 32), np.nan)), f"{Q}: the adapter contains NaN"),
        (with_tensor("ernie.layers.0.mlp.down_proj.lora_A", np.ones((6, 3))), "ERNIEKit's names"),
    ],
)
def test_rejects_an_adapter_of_another_model(tmp_path: Path, change: Change, expected: str) -> None:
    base = write_base(tmp_path / "base", torch_base("fused"), MODELS["fused"][1])
    tensors = change(adapter_for("fused"))
    if "(r, in)" in expected:
        tensors[f"{QKV}.lora_B"] = np.ones((32, 3), "<f4")
    assert expected in refusal(base, write_adapter(tmp_path / "adapter", tensors), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without(Q), f"{Q}: is missing in the base model, and the adapter changes it"),
        (with_tensor(Q, np.ones((8, 16))), f"{Q}: has shape (8, 16) in the base model, expected (16, 8)"),
        (with_tensor("ernie.norm.weight", np.ones(8)), "names of ERNIEKit (ernie.norm.weight) and of transformers"),
        (lambda tensors: {"weight": np.ones((2, 2), "<f4")}, "unknown layout: weight"),
    ],
)
def test_rejects_another_base_model(tmp_path: Path, change: Change, expected: str) -> None:
    base = write_base(tmp_path / "base", change(torch_base("fused")), MODELS["fused"][1])
    assert expected in refusal(base, write_adapter(tmp_path / "adapter", adapter_for("fused")), tmp_path / "out")


def test_rejects_a_quantised_base(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", torch_base("fused"), MODELS["fused"][1])
    write_file(base / "model.safetensors", torch_base("fused"), {Q: "I32"})
    adapter = write_adapter(tmp_path / "adapter", adapter_for("fused"))
    assert f"{Q}: has type I32; adapters are merged into" in refusal(base, adapter, tmp_path / "out")


@pytest.mark.parametrize("key", ["tensor_parallel_degree", "tensor_model_parallel_size"])
@pytest.mark.parametrize("model", ["fused", "apart"])
def test_rejects_a_tensor_parallel_degree(tmp_path: Path, model: str, key: str) -> None:
    base = write_base(tmp_path / "base", torch_base(model), MODELS[model][1])
    adapter = write_adapter(tmp_path / "adapter", adapter_for(model), {**CONFIG, key: 2})
    assert f"lora_config.json {key}: 2: columns of fused projections" in refusal(base, adapter, tmp_path / "out")


def test_rejects_the_base_model_of_the_other_toolkit(tmp_path: Path) -> None:
    paddle = write_base(tmp_path / "paddle", random_base(GROUPED))
    torch = write_base(tmp_path / "torch", torch_base("fused"), MODELS["fused"][1])
    erniekit = write_adapter(tmp_path / "erniekit", random_adapter(GROUPED))
    paddleformers = write_adapter(tmp_path / "paddleformers", adapter_for("fused"))
    found: Mapping[str, str] = {
        "erniekit": refusal(torch, erniekit, tmp_path / "out"),
        "paddleformers": refusal(paddle, paddleformers, tmp_path / "out"),
    }
    assert "in ERNIEKit's layout (-Paddle)" in found["erniekit"]
    assert "in the layout of transformers (-PT)" in found["paddleformers"]


def test_rounds_once_to_bfloat16(tmp_path: Path) -> None:
    base = torch_base("fused", "BF16")
    adapter = write_adapter(tmp_path / "adapter", adapter_for("fused"))
    merge(write_base(tmp_path / "base", base, MODELS["fused"][1]), adapter, tmp_path / "out", "hugging-face")
    floats = {name: array.astype(np.float32) for name, array in base.items()}
    found = read_model(tmp_path / "out")
    for name, array in expected_weights("fused", floats, 2.0).items():
        values, exact = as_floats(found[name], "BF16"), array.astype(DTYPES["BF16"]).astype(np.float32)
        assert (values == exact).mean() > 0.99, name
        np.testing.assert_allclose(values, exact, rtol=2.0**-7, err_msg=name)
