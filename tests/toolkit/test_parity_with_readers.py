"""The parity check at the end of an export, with the real readers: correct bundles, and errors that it finds.

Models and adapters are random. The adapters change the logits by about their size, so that a wrong position changes
them too. docs/export.md has the measured differences on CPU.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from expert_sizes import SIZES as EXPERTS
from rich.console import Console
from tiny_ernie import SIZES, build_loud, write_adapter_folder, write_native_adapter

from erniekit_adapter.bundle import formats as bundle_formats
from erniekit_adapter.bundle.export import export
from erniekit_adapter.errors import AdapterError, UncheckedError
from erniekit_adapter.files import write_json
from erniekit_adapter.layouts.base_model import base_layout
from erniekit_adapter.layouts.dense import DenseShape
from erniekit_adapter.layouts.experts import ExpertShape, expert_linears
from erniekit_adapter.layouts.lora_tensors import Linear
from erniekit_adapter.layouts.paddleformers import paddleocr_vl_linears, split_groups, text_linears
from erniekit_adapter.merge.merging import write_hf_base
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project
from erniekit_adapter.tensor_files import Array, read_tensors, write_tensors

pytestmark = pytest.mark.toolkit

TOOLKIT = Path(__file__).parent
BASE = TOOLKIT.parents[1] / "tiny_base" / "model"
ParitySection = dict[str, Any]
Run = Callable[..., str]


def trained(folder: Path, model: Path, backend: str, formats: list[str]) -> Project:
    """Write a project with a finished training, whose adapter is in FOLDER/run/training/output."""
    names = {"erniekit": "1.0.1", "paddleformers": "1.2.0"}
    manifest = {
        "toolkit": {"name": backend, "version": names[backend], "distributions": {}},
        "steps": 1,
        "first_loss": None,
        "last_loss": None,
        "last_eval_loss": None,
        "trainable_parameters": 1,
        "adapter": "output",
        "settings": {},
        "data": "d" * 64,
        "base_model": model_fingerprint(model),
    }
    write_json(folder / "run" / "training" / "manifest.json", manifest)
    project = {
        "backend": backend,
        "model": {"model_name_or_path": str(model)},
        "training": {"device": "cpu"},
        "export": {"formats": formats},
        "output_dir": str(folder / "run"),
    }
    return Project.model_validate(project)


def exported(project: Project, *, allow_unchecked: bool = False) -> ParitySection:
    output = io.StringIO()
    manifest = export(project, Console(file=output, width=200), allow_unchecked=allow_unchecked)
    print(output.getvalue())
    parity: ParitySection = manifest["proof"]
    return parity


def config_of(model: Path) -> dict[str, Any]:
    config: dict[str, Any] = orjson.loads((model / "config.json").read_bytes())
    return config


@pytest.fixture(scope="module", params=list(SIZES))
def by_erniekit(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    run_python: Run,
    erniekit_python: Path,
    transformers_python: Path,
) -> Project:
    """Write a dense model and its adapter. The model with equal heads is in bfloat16 and rank-stabilised."""
    folder = tmp_path_factory.mktemp("by erniekit")
    model, grouped = folder / "model", request.param == "grouped-tied"
    shape = build_loud(model, request.param, run_python, erniekit_python, bfloat16=not grouped)
    (folder / "run" / "training").mkdir(parents=True)
    adapter = folder / "run" / "training" / "output"
    write_native_adapter(adapter, shape, "float32" if grouped else "bfloat16", rslora=not grouped)
    return trained(folder, model, "erniekit", ["native", "peft", "merged", "merged-hf"])


def test_all_formats_of_a_dense_model(by_erniekit: Project) -> None:
    parity = exported(by_erniekit)
    assert set(parity["forms"]) == {"native", "peft", "merged", "merged-hf"}
    assert all(found["state"] == "proven" for found in parity["forms"].values())
    assert parity["effect"] > parity["scale"] / 10
    assert parity["forms"]["peft"]["difference"] < 1e-3
    assert parity["forms"]["peft"]["same_answers"] == parity["prompts"]


def swapped_gate_and_up(tensors: dict[str, Array]) -> dict[str, Array]:
    other = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    return {".".join(other.get(part, part) for part in name.split(".")): array for name, array in tensors.items()}


def qkv_split_by_groups(tensors: dict[str, Array]) -> dict[str, Array]:
    """Split the columns of B in PaddleFormers' order, although ERNIEKit trained them."""
    width = next(len(array) for name, array in tensors.items() if name.endswith("k_proj.lora_B.weight"))
    shape = DenseShape(layers=3, hidden=1, heads=6, kv_heads=2, head_dim=width // 2, ffn=1, vocab=1, tied=True)
    changed = dict(tensors)
    for name in (name for name in tensors if name.endswith("q_proj.lora_B.weight")):
        names = [name.replace("q_proj", part) for part in ("q_proj", "k_proj", "v_proj")]
        columns = np.concatenate([tensors[each] for each in names]).T
        changed |= {each: part.T for each, part in zip(names, split_groups(columns, shape), strict=True)}
    return changed


def without_effect(tensors: dict[str, Array]) -> dict[str, Array]:
    return {name: np.zeros_like(array) if "lora_B" in name else array for name, array in tensors.items()}


def without_one(tensors: dict[str, Array]) -> dict[str, Array]:
    return {name: array for name, array in tensors.items() if not name.endswith("layers.1.mlp.up_proj.lora_B.weight")}


@pytest.mark.parametrize("by_erniekit", ["grouped-tied"], indirect=True)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (swapped_gate_and_up, "computes logits that differ by up to"),
        (qkv_split_by_groups, "computes logits that differ by up to"),
        (without_effect, "computes logits that differ by up to"),
        (without_one, "refuses it: .*missing .*layers.1.mlp.up_proj.lora_B"),
    ],
)
def test_refuses_a_wrong_peft_adapter(
    by_erniekit: Project,
    change: Callable[[dict[str, Array]], dict[str, Array]],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = bundle_formats.write_peft

    def write_wrong(native: Path, base_config: dict[str, Any], output: Path, name: str) -> str:
        layout = original(native, base_config, output, name)
        weights = output / "adapter_model.safetensors"
        write_tensors(weights, change(dict(read_tensors(weights))))
        return layout

    monkeypatch.setattr(bundle_formats, "write_peft", write_wrong)
    project = with_formats(by_erniekit, ["peft"])
    shutil.rmtree(project.bundle_dir, ignore_errors=True)
    with pytest.raises(AdapterError, match=f"format peft: .*{expected}") as error:
        exported(project)
    print(error.value)
    assert not project.bundle_dir.exists()


def with_formats(project: Project, formats: list[str]) -> Project:
    return Project.model_validate({**project.model_dump(exclude_unset=True), "export": {"formats": formats}})


def write_random_adapter(folder: Path, linears: dict[str, Linear], targets: list[str]) -> None:
    """Write a random adapter of every linear layer, as PaddleFormers does."""
    numbers, tensors = np.random.default_rng(4), {}
    for stem, linear in linears.items():
        width_in, width_out = linear.size
        tensors[f"{stem}.lora_A"] = numbers.normal(0, 0.15, (width_in, 4)).astype(np.float32)
        tensors[f"{stem}.lora_B"] = numbers.normal(0, 0.15, (4, width_out)).astype(np.float32)
    settings = {"r": 4, "lora_alpha": 8, "rslora": False, "lora_dropout": 0.0, "tensor_model_parallel_size": -1}
    folder.parent.mkdir(parents=True)
    write_adapter_folder(folder, tensors, settings | {"target_modules": targets})


@pytest.mark.usefixtures("paddleformers_python", "transformers_python")
def test_all_formats_of_a_paddleformers_model(
    tmp_path: Path,
) -> None:
    write_hf_base(BASE, tmp_path / "hf")
    targets = [rf"model\.layers\..*\.{module}" for module in ("qkv_proj", "o_proj", "up_gate_proj", "down_proj")]
    linears = text_linears(DenseShape.from_config(config_of(tmp_path / "hf")))
    write_random_adapter(tmp_path / "run" / "training" / "output", linears, targets)
    parity = exported(trained(tmp_path, tmp_path / "hf", "paddleformers", ["native", "peft", "merged-hf"]))
    assert parity["reference"].startswith("native, PaddleFormers")
    assert {found["state"] for found in parity["forms"].values()} == {"proven"}
    assert parity["effect"] > parity["scale"] / 10
    assert not list(tmp_path.rglob("*.metadata")), "pickles of PaddleFormers"


@pytest.mark.usefixtures("transformers5_python")
def test_all_formats_of_paddleocr_vl_with_a_page(tmp_path: Path, run_python: Run, paddleformers_python: Path) -> None:
    run_python(paddleformers_python, TOOLKIT / "tiny_paddleocr_vl.py", BASE, tmp_path / "model")
    vision = r"visual\.vision_model\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"
    targets = [r"model\.layers\..*_proj", vision, r"mlp_AR\.linear_.*"]
    linears = paddleocr_vl_linears(config_of(tmp_path / "model"))
    write_random_adapter(tmp_path / "run" / "training" / "output", linears, targets)
    parity = exported(trained(tmp_path, tmp_path / "model", "paddleformers", ["native", "peft", "merged-hf"]))
    assert {found["state"] for found in parity["forms"].values()} == {"proven"}
    assert parity["prompts"] == 2, "one prompt has a page"
    assert parity["effect"] > parity["scale"] / 10


def write_experts(model: Path) -> dict[str, Any]:
    """Write a mixture of experts in ERNIEKit's layout with the tiny base's tokenizer, and return its config."""
    base = config_of(BASE)
    kept = ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id", "rope_theta")
    erniekit_settings = {"architectures": ["Ernie4_5_MoeForCausalLM"], "moe_use_aux_free": True}
    config = EXPERTS | erniekit_settings | {key: base[key] for key in kept} | {"max_position_embeddings": 1024}
    numbers, weights = np.random.default_rng(1), {}
    for name, size in base_layout(config).sizes.items():
        loud = numbers.normal(0, 1.5 / size[0] ** 0.5, size) if len(size) > 1 else numbers.normal(1, 0.3, size)
        weights[name] = (loud * 0 if name.endswith("correction_bias") else loud).astype(np.float32)
    weights["ernie.embed_tokens.weight"] *= np.float32(base["vocab_size"] ** 0.5 / 48**0.5)
    model.mkdir()
    write_tensors(model / "model.safetensors", weights, framework="np")
    write_json(model / "config.json", config)
    for name in ("tokenizer.model", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(BASE / name, model / name)
    return config


@pytest.mark.usefixtures("transformers_python", "transformers5_python")
def test_torch_formats_of_experts_on_a_cpu(tmp_path: Path) -> None:
    """ERNIEKit's experts have no kernels for a CPU, so native and merged are not checked there."""
    config = write_experts(tmp_path / "model")
    linears = expert_linears(ExpertShape.from_config(config), "erniekit")
    write_random_adapter(tmp_path / "run" / "training" / "output", linears, [".*_proj.*"])
    project = trained(tmp_path, tmp_path / "model", "erniekit", ["native", "peft", "peft-v5", "merged", "merged-hf"])
    reason = "format native: not checked: ERNIEKit's experts have no kernels for a CPU"
    with pytest.raises(UncheckedError, match=reason):
        exported(project)
    parity = exported(project, allow_unchecked=True)
    states = {name: found["state"] for name, found in parity["forms"].items()}
    assert states == dict.fromkeys(("native", "merged"), "not checked") | dict.fromkeys(
        ("peft", "peft-v5", "merged-hf"), "proven"
    )
    assert parity["reference"].startswith("peft, transformers 4")
    assert parity["forms"]["peft-v5"]["read_by"].startswith("transformers 5")
    assert parity["effect"] > parity["scale"] / 10
