"""Mixture-of-experts adapters in PEFT's two forms against weights merged by hand, on transformers 4 and 5 in torch.

ERNIEKit's own mixture of experts has no kernels for the CPU, so the adapter is made up: in its names, A and B random.
The merge here is written out anew and shares no code with the layouts under test. Seen on a scale of 7: 1.7e-5 apart;
the form of transformers 4 is 5.8 off on transformers 5.
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

from erniekit_adapter.adapters.layouts_experts import ExpertShape, expert_linears
from erniekit_adapter.adapters.peft import Reader, write_peft
from erniekit_adapter.adapters.tensor_files import Array, read_tensors, write_tensors
from erniekit_adapter.errors import AdapterError

pytestmark = pytest.mark.toolkit

SCRIPT = Path(__file__).with_name("torch_logits.py")
RANK, TOLERANCE = 3, 1e-4
Logits = npt.NDArray[np.float32]


def site_packages(python: Path) -> Path:
    return next((python.parents[1] / "lib").glob("python3.*")) / "site-packages"


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
    """A folder with the model, and of each case the merged model and both PEFT forms."""
    root = tmp_path_factory.mktemp("experts")
    run_python(transformers_python, SCRIPT, "experts", root / "model")
    config = config_of(root)
    for case, (targets, settings) in CASES.items():
        adapter = random_adapter(config)
        adapter = {name: array for name, array in adapter.items() if not targets or name.split(".")[-2] in targets}
        native = write_native(root / f"native {case}", adapter, {"r": RANK, "lora_alpha": 6, **settings})
        scaling = 6 / (RANK**0.5 if settings["rslora"] else RANK)
        merge_by_hand(root / "model", adapter, scaling, root / f"merged {case}")
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
    """All cases on both, one process each. transformers 5's environment takes PEFT, pure Python, from the other."""
    cases: dict[str, tuple[str, str | None]] = {"base": (str(root / "model"), None)}
    for case in CASES:
        cases[f"merged {case}"] = (str(root / f"merged {case}"), None)
        for form in READERS:
            cases[f"{form} {case}"] = (str(root / "model"), str(root / f"{form} {case}"))
    (root / "cases.json").write_bytes(orjson.dumps(cases))
    found: dict[Reader, Answers] = {}
    for reader, python in zip(READERS, (transformers_python, transformers5_python), strict=True):
        output = root / f"{reader}.npz"
        packages = site_packages(transformers_python)
        said = orjson.loads(run_python(python, SCRIPT, "logits", root / "cases.json", output, packages))
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
