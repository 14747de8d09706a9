"""Mixture-of-experts adapters in PEFT's two formats, and merged, on transformers 4 and 5 in torch.

ERNIEKit's mixture of experts has no kernels for the CPU, so the adapter is random, with ERNIEKit's names. The reference
is a separate merge that shares no code with the layouts. Largest differences, with logits up to 7: 1.7e-5 in PEFT,
1.1e-5 merged. The format for transformers 4 differs by 5.8 on transformers 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.adapter_files import PeftReader, write_peft
from erniekit_adapter.layouts.base_model import base_layout
from erniekit_adapter.layouts.experts import ExpertShape, expert_linears
from erniekit_adapter.merge.merging import merge, write_hf_base
from erniekit_adapter.tensor_files import Array, read_tensors, write_tensors

pytestmark = pytest.mark.toolkit

SCRIPT = Path(__file__).with_name("torch_logits.py")
TOKENIZER = Path(__file__).parents[2] / "tiny_base" / "model"
RANK, TOLERANCE = 3, 1e-4
# Parts and name of ERNIEKit's fused layers, by their first part.
FUSED = {
    "q_proj": (("q_proj", "k_proj", "v_proj"), "qkv_proj"),
    "gate_proj": (("gate_proj", "up_proj"), "up_gate_proj"),
}
ERNIEKIT_SETTINGS = {"moe_use_aux_free": True, "tie_word_embeddings": True}
COMMON_KEYS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_bias", "architectures"),
)
Logits = npt.NDArray[np.float32]


def write_native(folder: Path, tensors: dict[str, Array], config: dict[str, Any]) -> Path:
    folder.mkdir()
    shard = "peft_model-00001-of-00001.safetensors"
    write_tensors(folder / shard, tensors, framework="np")
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, shard)}
    (folder / "peft_model.safetensors.index.json").write_bytes(orjson.dumps(index))
    (folder / "lora_config.json").write_bytes(orjson.dumps(config))
    return folder


def random_adapter(config: dict[str, Any]) -> dict[str, Array]:
    numbers, tensors = np.random.default_rng(3), {}
    for stem, linear in expert_linears(ExpertShape.from_config(config), "erniekit").items():
        width_in, width_out = linear.size
        tensors[f"{stem}.lora_A"] = numbers.normal(0, 0.15, (width_in, RANK)).astype(np.float32)
        tensors[f"{stem}.lora_B"] = numbers.normal(0, 0.15, (RANK, width_out)).astype(np.float32)
    return tensors


def merge_reference(model: Path, adapter: dict[str, Array], scaling: float, output: Path) -> Path:
    """Merge W + scaling · (A·B)ᵀ, with fixed columns of fused projections: 6 query heads and 2 key heads of 16."""
    weights = dict(read_tensors(model / "model.safetensors"))
    for name in [name for name in adapter if name.endswith(".lora_A")]:
        stem = name.removesuffix(".lora_A")
        change = scaling * (adapter[name] @ adapter[f"{stem}.lora_B"]).T
        place, _, module = ("model." + stem.removeprefix("ernie.")).rpartition(".")
        half = len(change) // 2
        rows = {
            "qkv_proj": {"q_proj": (0, 96), "k_proj": (96, 128), "v_proj": (128, 160)},
            "up_gate_proj": {"gate_proj": (0, half), "up_proj": (half, 2 * half)},
        }
        for part, (start, end) in rows.get(module, {module: (0, len(change))}).items():
            weight = f"{place}.{part}.weight"
            weights[weight] = (weights[weight] + change[start:end]).astype(np.float32)
    output.mkdir()
    (output / "config.json").write_bytes((model / "config.json").read_bytes())
    write_tensors(output / "model.safetensors", weights)
    return output


def write_erniekit_base(model: Path, output: Path) -> Path:
    """Convert torch's model to ERNIEKit's layout: transpose matrices, and fuse layers."""
    weights = dict(read_tensors(model / "model.safetensors"))
    tensors: dict[str, Array] = {}
    for name in [name for name in weights if name.endswith((".q_proj.weight", ".gate_proj.weight"))]:
        place, _, first = name.removesuffix(".weight").rpartition(".")
        parts, fused = FUSED[first]
        transposed = [weights.pop(f"{place}.{part}.weight").T for part in parts]
        tensors[f"{place}.{fused}.weight"] = np.concatenate(transposed, axis=1)
    for name, array in weights.items():
        is_transposed = array.ndim == 2 and not name.endswith(("embed_tokens.weight", "e_score_correction_bias"))
        tensors[name] = array.T if is_transposed else array
    output.mkdir()
    tensors = {"ernie." + name.removeprefix("model."): np.ascontiguousarray(array) for name, array in tensors.items()}
    write_tensors(output / "model.safetensors", tensors, framework="np")
    config = orjson.loads((model / "config.json").read_bytes())
    # Without keys of transformers, and with keys of ERNIEKit.
    kept = {key: value for key, value in config.items() if key in COMMON_KEYS or key.startswith("moe_")}
    (output / "config.json").write_bytes(orjson.dumps(kept | ERNIEKIT_SETTINGS))
    for file in ("tokenizer.model", "tokenizer_config.json"):
        (output / file).write_bytes((TOKENIZER / file).read_bytes())
    return output


# Adapted layers (empty: all), and settings; a dropout has no effect on inference.
CASES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "plain": ((), {"rslora": False, "lora_dropout": 0.0}),
    "rslora": ((), {"rslora": True, "lora_dropout": 0.1}),
    "only down": (("down_proj",), {"rslora": False, "lora_dropout": 0.0}),
    "only gate and up": (("up_gate_proj",), {"rslora": False, "lora_dropout": 0.0}),
    "only attention": (("qkv_proj", "o_proj"), {"rslora": False, "lora_dropout": 0.0}),
}
READERS: tuple[PeftReader, ...] = ("v4", "v5")


@dataclass(frozen=True)
class CaseLogits:
    """Logits by case in one version of transformers, and PEFT's messages on each adapter."""

    logits: dict[str, Logits]
    messages: dict[str, str]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, run_python: Callable[..., str], transformers_python: Path) -> Path:
    """Write the model in both layouts, and for each case two merged models and both PEFT formats."""
    root = tmp_path_factory.mktemp("experts")
    run_python(transformers_python, SCRIPT, "experts", root / "model")
    write_hf_base(write_erniekit_base(root / "model", root / "erniekit"), root / "converted")
    config = config_of(root)
    for case, (targets, settings) in CASES.items():
        adapter = random_adapter(config)
        adapter = {name: array for name, array in adapter.items() if not targets or name.split(".")[-2] in targets}
        native = write_native(root / f"native {case}", adapter, {"r": RANK, "lora_alpha": 6, **settings})
        scaling = 6 / (RANK**0.5 if settings["rslora"] else RANK)
        merge_reference(root / "model", adapter, scaling, root / f"reference {case}")
        merge(root / "erniekit", native, root / f"merge {case}", "hugging-face")
        for reader in READERS:
            write_peft(native, config, root / f"{reader} {case}", "base", reader)
    return root


def config_of(root: Path) -> dict[str, Any]:
    config: dict[str, Any] = orjson.loads((root / "model" / "config.json").read_bytes())
    return config


@pytest.fixture(scope="module")
def answers(
    root: Path, run_python: Callable[..., str], transformers_python: Path, transformers5_python: Path
) -> dict[PeftReader, CaseLogits]:
    """Compute all cases in both versions of transformers, in one process each."""
    cases: dict[str, tuple[str, str | None]] = {"base": (str(root / "model"), None)}
    cases["converted"] = (str(root / "converted"), None)
    for case in CASES:
        for kind in ("reference", "merge"):
            cases[f"{kind} {case}"] = (str(root / f"{kind} {case}"), None)
        for reader in READERS:
            cases[f"{reader} {case}"] = (str(root / "model"), str(root / f"{reader} {case}"))
    (root / "cases.json").write_bytes(orjson.dumps(cases))
    found: dict[PeftReader, CaseLogits] = {}
    for reader, python in zip(READERS, (transformers_python, transformers5_python), strict=True):
        output = root / f"{reader}.npz"
        messages = orjson.loads(run_python(python, SCRIPT, "logits", root / "cases.json", output))
        with np.load(output) as arrays:
            found[reader] = CaseLogits(dict(arrays), messages)
    return found


def difference(left: Logits, right: Logits) -> float:
    return float(np.abs(left - right).max())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", CASES)
def test_peft_format_in_its_version_of_transformers(
    answers: dict[PeftReader, CaseLogits], reader: PeftReader, case: str
) -> None:
    logits = answers[reader].logits
    assert not answers[reader].messages[f"{reader} {case}"]
    expected = logits[f"reference {case}"]
    assert difference(logits["base"], expected) > 0.5, "the adapter must change the logits"
    off = difference(expected, logits[f"{reader} {case}"])
    print(f"{reader}, {case}: logits differ by {off:.1e}, largest {np.abs(expected).max():.0f}")
    assert off < TOLERANCE


def test_per_expert_names_are_wrong_on_transformers_5(answers: dict[PeftReader, CaseLogits]) -> None:
    """Without a dropout, this gives no error, so each version of transformers needs its format."""
    logits, messages = answers["v5"].logits, answers["v5"].messages
    off = difference(logits["reference plain"], logits["v4 plain"])
    print(f"per-expert names on transformers 5: logits differ by {off:.1f}; {messages['v4 plain'][:120]!r}")
    assert off > 0.1
    assert "does not work with lora_dropout" in messages["v4 rslora"]


def test_target_parameters_fail_on_transformers_4(answers: dict[PeftReader, CaseLogits]) -> None:
    logits, messages = answers["v4"].logits, answers["v4"].messages
    print(f"target parameters on transformers 4: {messages['v5 plain'][:300]!r}")
    assert "v5 plain" not in logits or difference(logits["reference plain"], logits["v5 plain"]) > 0.1


def test_rejects_a_missing_expert(root: Path, tmp_path: Path) -> None:
    adapter = random_adapter(config_of(root))
    del adapter["ernie.layers.2.mlp.experts.4.down_proj.lora_B"]
    settings = {"r": RANK, "lora_alpha": 6, "rslora": False, "lora_dropout": 0.0}
    native = write_native(tmp_path / "native", adapter, settings)
    with pytest.raises(AdapterError, match=r"ernie\.layers\.2\.mlp\.experts\.4\.down_proj\.lora_B: missing"):
        write_peft(native, config_of(root), tmp_path / "peft", "base", "v5")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", CASES)
def test_merge_equals_the_reference(answers: dict[PeftReader, CaseLogits], reader: PeftReader, case: str) -> None:
    logits = answers[reader].logits
    off = difference(logits[f"reference {case}"], logits[f"merge {case}"])
    print(f"{case}, merged, transformers {reader}: logits differ by {off:.1e}")
    assert difference(logits["base"], logits[f"reference {case}"]) > 0.5
    assert off < TOLERANCE


@pytest.mark.parametrize("reader", READERS)
def test_converted_base_model(answers: dict[PeftReader, CaseLogits], reader: PeftReader) -> None:
    logits = answers[reader].logits
    off = difference(logits["base"], logits["converted"])
    print(f"base, transformers {reader}: logits differ by {off:.1e}, largest {np.abs(logits['base']).max():.1f}")
    assert off < TOLERANCE


@pytest.mark.parametrize("tied", [True, False])
def test_layout_equals_erniekits_class(
    root: Path, tmp_path: Path, run_python: Callable[..., str], erniekit_python: Path, tied: bool
) -> None:
    config = orjson.loads((root / "erniekit" / "config.json").read_bytes()) | {"tie_word_embeddings": tied}
    (tmp_path / "config.json").write_bytes(orjson.dumps(config))
    printed = run_python(erniekit_python, Path(__file__).with_name("expert_names.py"), tmp_path / "config.json")
    found = orjson.loads(printed.splitlines()[-1])
    if tied:  # the embedding under a second name
        assert found.pop("lm_head.weight") == found["ernie.embed_tokens.weight"]
    assert {name: tuple(shape) for name, (shape, _) in found.items()} == base_layout(config).sizes
    stored = read_tensors(root / "erniekit" / "model.safetensors")
    assert not tied or set(stored) == set(found)


def test_refuses_to_merge_without_an_expert(root: Path, tmp_path: Path) -> None:
    adapter = random_adapter(config_of(root))
    del adapter["ernie.layers.2.mlp.experts.4.down_proj.lora_B"]
    native = write_native(
        tmp_path / "native", adapter, {"r": RANK, "lora_alpha": 6, "rslora": False, "lora_dropout": 0.0}
    )
    with pytest.raises(AdapterError, match=r"layers\.2\.mlp\.experts\.4\.down_proj\.lora_A: has no counterpart"):
        merge(root / "erniekit", native, tmp_path / "merged", "hugging-face")
