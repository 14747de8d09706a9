"""Mixture-of-experts adapters in PEFT's two forms, and merged by us, on transformers 4 and 5 in torch.

ERNIEKit's own mixture of experts has no kernels for the CPU, so the adapter is made up: in its names, A and B random.
The merge here is written out anew and shares no code with the layouts under test. Seen on a scale of 7: 1.7e-5 apart,
merged by us 1.1e-5; the form of transformers 4 is 5.8 off on transformers 5.
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

from erniekit_adapter.adapters.layouts_base import base_layout
from erniekit_adapter.adapters.layouts_experts import ExpertShape, expert_linears
from erniekit_adapter.adapters.merge import merge, write_hf_base
from erniekit_adapter.adapters.peft import Reader, write_peft
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.tensor_files import Array, read_tensors, write_tensors

pytestmark = pytest.mark.toolkit

SCRIPT = Path(__file__).with_name("torch_logits.py")
TOKENIZER = Path(__file__).parents[2] / "tiny_base" / "model"
RANK, TOLERANCE = 3, 1e-4
# By its first part, what ERNIEKit fuses.
FUSED = {
    "q_proj": (("q_proj", "k_proj", "v_proj"), "qkv_proj"),
    "gate_proj": (("gate_proj", "up_proj"), "up_gate_proj"),
}
SAID_BY_ERNIEKIT = {"moe_use_aux_free": True, "tie_word_embeddings": True}
SAID_BY_BOTH = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_bias", "architectures"),
)
Logits = npt.NDArray[np.float32]


def write_native(folder: Path, tensors: dict[str, Array], config: dict[str, Any]) -> Path:
    folder.mkdir()
    shard = "peft_model-00001-of-00001.safetensors"
    write_tensors(folder / shard, tensors, form="np")
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


def merge_by_hand(model: Path, adapter: dict[str, Array], scaling: float, output: Path) -> Path:
    """W + scaling · (A·B)ᵀ, with the columns of fused projections counted out: 6 query heads, 2 key heads of 16."""
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
    """The model of torch as ERNIEKit keeps it: matrices turned, and what it fuses side by side."""
    weights = dict(read_tensors(model / "model.safetensors"))
    tensors: dict[str, Array] = {}
    for name in [name for name in weights if name.endswith((".q_proj.weight", ".gate_proj.weight"))]:
        place, _, first = name.removesuffix(".weight").rpartition(".")
        parts, fused = FUSED[first]
        turned = [weights.pop(f"{place}.{part}.weight").T for part in parts]
        tensors[f"{place}.{fused}.weight"] = np.concatenate(turned, axis=1)
    for name, array in weights.items():
        turn = array.ndim == 2 and not name.endswith(("embed_tokens.weight", "e_score_correction_bias"))
        tensors[name] = array.T if turn else array
    output.mkdir()
    tensors = {"ernie." + name.removeprefix("model."): np.ascontiguousarray(array) for name, array in tensors.items()}
    write_tensors(output / "model.safetensors", tensors, form="np")
    config = orjson.loads((model / "config.json").read_bytes())
    # Without what transformers alone says, and with what it leaves out.
    kept = {key: value for key, value in config.items() if key in SAID_BY_BOTH or key.startswith("moe_")}
    (output / "config.json").write_bytes(orjson.dumps(kept | SAID_BY_ERNIEKIT))
    for file in ("tokenizer.model", "tokenizer_config.json"):
        (output / file).write_bytes((TOKENIZER / file).read_bytes())
    return output


# Adapters of all layers or some, and how they are scaled; a dropout is none in use.
CASES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "plain": ((), {"rslora": False, "lora_dropout": 0.0}),
    "rslora": ((), {"rslora": True, "lora_dropout": 0.1}),
    "down alone": (("down_proj",), {"rslora": False, "lora_dropout": 0.0}),
    "up and gate alone": (("up_gate_proj",), {"rslora": False, "lora_dropout": 0.0}),
    "attention alone": (("qkv_proj", "o_proj"), {"rslora": False, "lora_dropout": 0.0}),
}
READERS: tuple[Reader, ...] = ("v4", "v5")


@dataclass(frozen=True)
class Answers:
    """Of one transformers: logits by case, and what PEFT said of each adapter."""

    logits: dict[str, Logits]
    said: dict[str, str]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, run_python: Callable[..., str], transformers_python: Path) -> Path:
    """A folder with the model in both layouts, and of each case both merged models and both PEFT forms."""
    root = tmp_path_factory.mktemp("experts")
    run_python(transformers_python, SCRIPT, "experts", root / "model")
    write_hf_base(write_erniekit_base(root / "model", root / "erniekit"), root / "converted")
    config = config_of(root)
    for case, (targets, settings) in CASES.items():
        adapter = random_adapter(config)
        adapter = {name: array for name, array in adapter.items() if not targets or name.split(".")[-2] in targets}
        native = write_native(root / f"native {case}", adapter, {"r": RANK, "lora_alpha": 6, **settings})
        scaling = 6 / (RANK**0.5 if settings["rslora"] else RANK)
        merge_by_hand(root / "model", adapter, scaling, root / f"merged {case}")
        merge(root / "erniekit", native, root / f"ours {case}", "hugging-face")
        for reader in READERS:
            write_peft(native, config, root / f"{reader} {case}", "base", reader)
    return root


def config_of(root: Path) -> dict[str, Any]:
    config: dict[str, Any] = orjson.loads((root / "model" / "config.json").read_bytes())
    return config


@pytest.fixture(scope="module")
def answers(
    root: Path, run_python: Callable[..., str], transformers_python: Path, transformers5_python: Path
) -> dict[Reader, Answers]:
    """All cases on both, one process each."""
    cases: dict[str, tuple[str, str | None]] = {"base": (str(root / "model"), None)}
    cases["converted"] = (str(root / "converted"), None)
    for case in CASES:
        for kind in ("merged", "ours"):
            cases[f"{kind} {case}"] = (str(root / f"{kind} {case}"), None)
        for form in READERS:
            cases[f"{form} {case}"] = (str(root / "model"), str(root / f"{form} {case}"))
    (root / "cases.json").write_bytes(orjson.dumps(cases))
    found: dict[Reader, Answers] = {}
    for reader, python in zip(READERS, (transformers_python, transformers5_python), strict=True):
        output = root / f"{reader}.npz"
        said = orjson.loads(run_python(python, SCRIPT, "logits", root / "cases.json", output))
        with np.load(output) as arrays:
            found[reader] = Answers(dict(arrays), said)
    return found


def difference(left: Logits, right: Logits) -> float:
    return float(np.abs(left - right).max())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", CASES)
def test_the_reader_s_form_computes_what_merged_weights_do(
    answers: dict[Reader, Answers], reader: Reader, case: str
) -> None:
    logits, said = answers[reader].logits, answers[reader].said[f"{reader} {case}"]
    assert not said
    expected = logits[f"merged {case}"]
    assert difference(logits["base"], expected) > 0.5, "it has to change the answers for this to prove anything"
    off = difference(expected, logits[f"{reader} {case}"])
    print(f"{reader}, {case}: {off:.1e} off on a scale of {np.abs(expected).max():.0f}")
    assert off < TOLERANCE


def test_per_expert_names_are_wrong_on_transformers_5(answers: dict[Reader, Answers]) -> None:
    """Without an error where the adapter has no dropout: why each reader gets a form of its own."""
    logits, said = answers["v5"].logits, answers["v5"].said
    off = difference(logits["merged plain"], logits["v4 plain"])
    print(f"per-expert names on transformers 5: {off:.1f} off; said: {said['v4 plain'][:120]!r}")
    assert off > 0.1
    assert "does not work with lora_dropout" in said["v4 rslora"]


def test_target_parameters_are_not_taken_by_transformers_4(answers: dict[Reader, Answers]) -> None:
    logits, said = answers["v4"].logits, answers["v4"].said
    print(f"target parameters on transformers 4: {said['v5 plain'][:300]!r}")
    assert "v5 plain" not in logits or difference(logits["merged plain"], logits["v5 plain"]) > 0.1


def test_a_dropped_expert_is_refused(root: Path, tmp_path: Path) -> None:
    adapter = random_adapter(config_of(root))
    del adapter["ernie.layers.2.mlp.experts.4.down_proj.lora_B"]
    settings = {"r": RANK, "lora_alpha": 6, "rslora": False, "lora_dropout": 0.0}
    native = write_native(tmp_path / "native", adapter, settings)
    with pytest.raises(AdapterError, match=r"ernie\.layers\.2\.mlp\.experts\.4\.down_proj\.lora_B: missing"):
        write_peft(native, config_of(root), tmp_path / "peft", "base", "v5")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", CASES)
def test_our_merge_computes_what_weights_merged_by_hand_do(
    answers: dict[Reader, Answers], reader: Reader, case: str
) -> None:
    logits = answers[reader].logits
    off = difference(logits[f"merged {case}"], logits[f"ours {case}"])
    print(f"{case}, merged, transformers {reader}: logits differ by {off:.1e}")
    assert difference(logits["base"], logits[f"merged {case}"]) > 0.5
    assert off < TOLERANCE


@pytest.mark.parametrize("reader", READERS)
def test_a_base_of_erniekit_s_layout_computes_what_it_was_made_from(
    answers: dict[Reader, Answers], reader: Reader
) -> None:
    logits = answers[reader].logits
    off = difference(logits["base"], logits["converted"])
    print(f"base, transformers {reader}: logits differ by {off:.1e} on a scale of {np.abs(logits['base']).max():.1f}")
    assert off < TOLERANCE


@pytest.mark.parametrize("tied", [True, False])
def test_erniekit_s_own_class_has_the_names_and_shapes_of_the_layout(
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


def test_a_dropped_expert_is_not_merged(root: Path, tmp_path: Path) -> None:
    adapter = random_adapter(config_of(root))
    del adapter["ernie.layers.2.mlp.experts.4.down_proj.lora_B"]
    native = write_native(tmp_path / "native", adapter, {"r": RANK, "lora_alpha": 6, "rslora": False})
    with pytest.raises(
        AdapterError, match=r"layers\.2\.mlp\.experts\.4\.down_proj\.lora_A: is without its counterpart"
    ):
        merge(root / "erniekit", native, tmp_path / "merged", "hugging-face")
