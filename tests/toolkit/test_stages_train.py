"""Training on a CPU with both toolkits and every training method that a CPU supports, from documents to the output.

The models are a tiny ERNIE 4.5, in the layouts of ERNIEKit and of transformers, and a tiny PaddleOCR-VL with synthetic
pages.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from safetensors.numpy import load_file

from erniekit_adapter.files import sha256
from erniekit_adapter.merge.merging import write_hf_base

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
ERNIE = ROOT / "tiny_base" / "model"
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json")
# The first DPO loss: B is zero, so the model equals the base model and prefers neither answer.
LOSS_OF_NO_PREFERENCE = math.log(2)
RATE = 1.0e-3
SECRET = "sk-planted-for-this-test"
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
OWN_LORA = {"r": 4, "lora_alpha": 4, "lora_dropout": 0.1, "target_modules": ATTENTION}
# The tiny base model has four layers: a fused q, k, v of 192 × (192 + 2 × 64), and an output projection of 192 × 192.
OWN_LORA_PARAMETERS = 4 * (4 * (192 + 320) + 4 * (192 + 192))

TEXT = """
training:
  {device: cpu, max_seq_length: 1400, max_steps: 2, logging_steps: 1, learning_rate: 1.0e-3}
data: {sources: [{kind: active_learning, path: texts/active_learning.jsonl}]}
"""
PAGES = """
backend: paddleformers
model: {model_name_or_path: ./paddleocr-vl}
training: {device: cpu, max_seq_length: 1200, max_steps: 2, logging_steps: 1, learning_rate: 1.0e-3, val_split_ratio: 0}
data:
  {sources: [{kind: manifest, path: pages/training_manifest.json}], format: paddleformers, test_split_ratio: 0}
"""
Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """A project in a user's folder, and the output of its training."""

    folder: Path
    project: Mapping[str, Any]

    def output_of(self, command: str, *options: str, module: str = "erniekit_adapter", code: int = 0) -> str:
        done = self.start(command, *options, module=module)
        output, _ = done.communicate(timeout=300)
        assert done.returncode == code, output
        return output

    def start(self, command: str, *options: str, module: str = "erniekit_adapter") -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "ERNIE_API_KEY": SECRET}
        whole = [sys.executable, "-m", module, command, *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(whole, cwd=self.folder, env=environment, text=True, **pipes)

    @property
    def file(self) -> str:
        return f"{self.project['output_dir']}.yaml"

    def with_examples(self) -> Run:
        (self.folder / self.file).write_text(yaml.safe_dump(dict(self.project)))
        self.output_of("build", self.file, module="data_tools")
        return self

    def trained(self) -> Run:
        self.with_examples().output_of("train", self.file)
        return self

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(self.project["output_dir"], "training", *parts)

    def json(self, *parts: str) -> Any:
        return json.loads(self.path(*parts).read_text())

    def lora_config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.json("output", "lora_config.json")
        return config

    def metrics(self, name: str) -> list[float]:
        lines = map(json.loads, self.path("metrics.jsonl").read_text().splitlines())
        return [line[name] for line in lines if name in line]

    def steps(self) -> list[float]:
        return self.metrics("step")

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = yaml.safe_load(self.path("settings.yaml").read_text())
        return settings

    def adapter(self) -> Tensors:
        return load_file(self.path("output", "peft_model-00001-of-00001.safetensors"))


@dataclass(frozen=True)
class UserFolder:
    """A user's folder outside the repository, with documents and models."""

    folder: Path

    def text(self, output_dir: str, backend: str, **sections: Mapping[str, Any]) -> Run:
        model = str(ERNIE) if backend == "erniekit" else "./ernie"
        return self._run(
            TEXT, {"output_dir": output_dir, "backend": backend}, model={"model_name_or_path": model}, **sections
        )

    def pages(self, output_dir: str, **sections: Mapping[str, Any]) -> Run:
        return self._run(PAGES, {"output_dir": output_dir}, **sections)

    def _run(self, plain: str, keys: Mapping[str, str], **sections: Mapping[str, Any]) -> Run:
        project = yaml.safe_load(plain)
        changed = {name: {**project.get(name, {}), **section} for name, section in sections.items()}
        return Run(self.folder, {**project, **keys, **changed})


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> UserFolder:
    folder = tmp_path_factory.mktemp("my stages")
    synthesizer = Run(folder, {})
    texts = ("--output", "texts", "--count", "60", "--seed", "3", "--fault-share", "0", "--correction-share", "1")
    pages = ("--output", "pages", "--count", "4", "--seed", "3", "--correction-share", "0")
    for options in (texts, pages):
        synthesizer.output_of("synthesize", *options, module="data_tools")
    write_hf_base(ERNIE, folder / "ernie")
    for name in TOKENIZER_FILES:
        (folder / "ernie" / name).write_bytes((ERNIE / name).read_bytes())
    return UserFolder(folder)


@pytest.fixture(scope="module")
def paddleocr_vl(user: UserFolder, run_python: Callable[..., str], paddleformers_python: Path) -> Tensors:
    """The weights of a tiny PaddleOCR-VL that is written to the user's folder."""
    folder = user.folder / "paddleocr-vl"
    run_python(paddleformers_python, Path(__file__).with_name("tiny_paddleocr_vl.py"), user.folder / "ernie", folder)
    return load_file(folder / "model-00001-of-00001.safetensors")


def modules_of(names: Iterable[str]) -> set[str]:
    """Return the module names: `model.layers.0.self_attn.o_proj.lora_B` belongs to `o_proj`."""
    return {name.split(".")[-2] for name in names}


def all_b_changed(tensors: Tensors) -> bool:
    """Return whether every B, which starts as zero, was trained."""
    return all(np.any(tensor) for name, tensor in tensors.items() if name.endswith("lora_B"))


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in folder.iterdir()}


# --- ERNIEKit, DPO ---


@pytest.fixture(scope="module")
def preferred(user: UserFolder) -> Run:
    sections = {"training": {"method": "DPO", "max_steps": 3}, "lora": OWN_LORA, "dpo": {"beta": 0.2}}
    return user.text("preferred", "erniekit", data={"preference": True}, **sections).trained()


def test_dpo_learns_a_preference(preferred: Run) -> None:
    first, *later = preferred.metrics("loss")
    assert first == pytest.approx(LOSS_OF_NO_PREFERENCE, abs=1e-3)
    assert min(later) < first - 0.01


def test_dpo_reports_an_evaluation_loss(preferred: Run) -> None:
    (evaluated,) = preferred.metrics("eval_loss")
    assert 0 < evaluated < LOSS_OF_NO_PREFERENCE


def test_no_file_of_a_run_holds_a_secret(preferred: Run) -> None:
    """Paddle's launcher writes its environment variables to erniekit_dist_log/."""
    files = [path for path in preferred.path().parent.rglob("*") if path.is_file()]
    assert any("erniekit_dist_log" in path.parts and b"PATH" in path.read_bytes() for path in files)
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_manifest_of_a_dpo_run(preferred: Run) -> None:
    manifest = preferred.json("manifest.json")
    assert manifest["toolkit"]["name"] == "erniekit"
    assert manifest["settings"]["stage"] == "DPO"
    assert manifest["settings"]["beta"] == 0.2
    assert manifest["steps"] == 3
    assert preferred.steps() == [1, 2, 3]


def test_dpo_trains_the_target_modules_with_dropout(preferred: Run) -> None:
    config = preferred.lora_config()
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 4, 0.1)
    assert config["target_modules"] == [".*qkv_proj.*", ".*o_proj.*"]
    assert modules_of(preferred.adapter()) == {"qkv_proj", "o_proj"}
    assert all_b_changed(preferred.adapter())
    assert preferred.json("manifest.json")["trainable_parameters"] == OWN_LORA_PARAMETERS


# --- ERNIEKit, SFT with extra keys ---


@pytest.fixture(scope="module")
def with_extra(user: UserFolder) -> Run:
    sections = {"training": {"max_steps": 1}, "lora": {**OWN_LORA, "lora_plus_scale": 4.0}}
    return user.text("extra", "erniekit", erniekit={"extra": {"adam_beta2": 0.95}}, **sections).trained()


def test_erniekit_reads_an_extra_key(with_extra: Run) -> None:
    assert with_extra.settings()["adam_beta2"] == 0.95
    log = with_extra.path("train.log").read_text().splitlines()
    assert any("adam_beta2" in line and "0.95" in line for line in log)


def test_lora_plus_scales_the_learning_rate_of_b(with_extra: Run) -> None:
    """The size of AdamW's first step is the learning rate, for any gradient."""
    assert with_extra.settings()["lora_plus_scale"] == 4.0
    assert with_extra.lora_config()["lora_plus_scale"] == 4.0
    steps = [np.abs(tensor).max() for name, tensor in with_extra.adapter().items() if name.endswith("lora_B")]
    assert steps == pytest.approx([4 * RATE] * len(steps), rel=1e-2)


# --- PaddleFormers, SFT with LoRA on text ---


@dataclass(frozen=True)
class Adapted:
    """A finished run, and the hashes of the base model's folder before it."""

    run: Run
    base_before: dict[str, str]


def adapted_run(user: UserFolder, output_dir: str, steps: int = 4) -> Run:
    schedule = {"lr_scheduler_type": "constant", "warmup_steps": 0}
    training = {"max_steps": steps, "save_steps": 2, "gradient_accumulation_steps": 2, **schedule}
    return user.text(output_dir, "paddleformers", training=training, lora=OWN_LORA)


@pytest.fixture(scope="module")
def adapted(user: UserFolder) -> Adapted:
    before = hashes(user.folder / "ernie")
    return Adapted(adapted_run(user, "adapted").trained(), before)


def test_paddleformers_trains_target_modules_with_dropout(adapted: Adapted) -> None:
    config, tensors = adapted.run.lora_config(), adapted.run.adapter()
    assert (config["r"], config["lora_alpha"], config["scaling"], config["lora_dropout"]) == (4, 4, 1.0, 0.1)
    assert config["target_modules"] == [r"model\.layers\..*\.qkv_proj", r"model\.layers\..*\.o_proj"]
    assert modules_of(tensors) == {"qkv_proj", "o_proj"}
    assert sum(tensor.size for tensor in tensors.values()) == OWN_LORA_PARAMETERS
    assert all_b_changed(tensors)


def test_manifest_of_a_paddleformers_run(adapted: Adapted) -> None:
    manifest = adapted.run.json("manifest.json")
    assert manifest["toolkit"]["name"] == "paddleformers"
    assert (manifest["settings"]["stage"], manifest["steps"], manifest["adapter"]) == ("SFT", 4, "output")
    assert manifest["trainable_parameters"] == OWN_LORA_PARAMETERS
    assert manifest["first_loss"] == adapted.run.metrics("loss")[0]


def test_step_reads_the_accumulated_examples(adapted: Adapted) -> None:
    assert adapted.run.steps() == [1, 2, 3, 4]
    assert adapted.run.json("output", "trainer_state.json")["consumed_samples"] == 4 * 2


def test_base_model_folder_is_unchanged(adapted: Adapted) -> None:
    """PaddleFormers writes into the folder that it reads weights from."""
    assert hashes(adapted.run.folder / "ernie") == adapted.base_before
    assert set(hashes(adapted.run.path("model"))) > set(adapted.base_before)


def test_killed_and_extended_run_equals_an_undisturbed_one(user: UserFolder, adapted: Adapted) -> None:
    killed = adapted_run(user, "killed", steps=3).with_examples()
    kill_when_written(killed, killed.path("output", "checkpoint-2", "scheduler.pdparams"))
    adapted_run(user, "killed").with_examples()
    assert "resuming from killed/training/output/checkpoint-2" in killed.output_of("train", killed.file)
    assert killed.json("manifest.json")["steps"] == 4
    assert killed.steps() == adapted.run.steps()
    assert killed.metrics("loss") == adapted.run.metrics("loss")
    found, expected = killed.adapter(), adapted.run.adapter()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def kill_when_written(run: Run, file: Path) -> None:
    """Train, and end the run with SIGTERM as soon as a file exists, as a cluster does at a time limit."""
    process = run.start("train", run.file)
    deadline = time.monotonic() + 120
    while not file.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert file.is_file(), output
    assert process.returncode != 0
    assert not run.path("manifest.json").exists()


def test_exports_an_adapter_of_paddleformers(adapted: Adapted) -> None:
    output = adapted.run.output_of("export", adapted.run.file)
    assert "merged-hf instead of merged" in output
    bundle = adapted.run.path().parent / "bundle"
    checks = json.loads((bundle / "manifest.json").read_text())["checks"]
    assert checks["merge_hf"]["changed"] == len(adapted.run.adapter()) // 4 * (3 + 1)  # q, k, v of one, o of another
    assert not (bundle / "merged").exists()
    peft = bundle / "peft"
    config = json.loads((peft / "adapter_config.json").read_text())
    assert (config["lora_alpha"], sorted(config["target_modules"])) == (4, ["k_proj", "o_proj", "q_proj", "v_proj"])
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in load_file(
        peft / "adapter_model.safetensors"
    )


def test_default_alpha_of_paddleformers_needs_no_adapter(user: UserFolder) -> None:
    run = user.text("rslora", "paddleformers", lora={"r": 4, "lora_alpha": 4, "rslora": True}).trained()
    assert not run.path("initial_adapter").exists()
    config = run.lora_config()
    assert (config["lora_alpha"], config["rslora"], config["scaling"]) == (4, True, 2.0)
    assert modules_of(run.adapter()) == {"qkv_proj", "o_proj", "up_gate_proj", "down_proj"}


# --- PaddleFormers, full training and DPO ---


def test_full_training_with_paddleformers(user: UserFolder) -> None:
    run = user.text("whole", "paddleformers", lora={"enabled": False}, training={"eval_steps": 2}).trained()
    manifest = run.json("manifest.json")
    assert manifest["adapter"] is None
    assert [manifest["last_eval_loss"]] == run.metrics("eval_loss")
    assert 0 < manifest["last_eval_loss"] < manifest["first_loss"]
    assert load_file(run.path("output", "model-00001-of-00001.safetensors")).keys() == base_names(user)


def base_names(user: UserFolder) -> set[str]:
    return set(load_file(user.folder / "ernie" / "model.safetensors"))


def test_dpo_of_paddleformers_learns_a_preference(user: UserFolder) -> None:
    sections = {"training": {"method": "DPO", "max_steps": 3}, "data": {"preference": True}, "dpo": {"beta": 0.2}}
    run = user.text("preferred_there", "paddleformers", lora={"r": 4}, **sections).trained()
    first, *later = run.metrics("loss")
    assert first == pytest.approx(LOSS_OF_NO_PREFERENCE, abs=1e-3)
    assert min(later) < first - 0.01
    assert not run.path("initial_adapter").exists()
    assert (run.lora_config()["lora_alpha"], run.json("manifest.json")["settings"]["stage"]) == (8, "DPO")


# --- PaddleFormers, VL-SFT of PaddleOCR-VL ---


@pytest.mark.usefixtures("paddleocr_vl")
def test_lora_of_paddleocr_vl_trains_the_language_model(user: UserFolder) -> None:
    run = user.pages("read", lora=OWN_LORA).trained()
    assert run.settings()["stage"] == "VL-SFT"
    assert all(math.isfinite(loss) for loss in run.metrics("loss"))
    assert run.steps() == [1, 2]
    tensors, config = run.adapter(), run.lora_config()
    assert all(name.startswith("model.layers.") for name in tensors)
    assert modules_of(tensors) == set(ATTENTION)
    assert all_b_changed(tensors)
    assert (config["lora_alpha"], config["lora_dropout"]) == (4, 0.1)


def test_full_training_of_paddleocr_vl_freezes_the_vision(user: UserFolder, paddleocr_vl: Tensors) -> None:
    """The projector between vision tower and text has a gradient only if the model gets an image."""
    run = user.pages("read_whole", lora={"enabled": False}).trained()
    trained = load_file(run.path("output", "model-00001-of-00001.safetensors"))
    assert trained.keys() == paddleocr_vl.keys()
    changed = {name for name, tensor in trained.items() if not np.array_equal(tensor, paddleocr_vl[name])}
    assert changed == {name for name in trained if not name.startswith("visual.")}
    assert "mlp_AR.linear_1.weight" in changed


@pytest.mark.usefixtures("paddleocr_vl")
def test_lora_of_an_unfrozen_vision_tower(user: UserFolder) -> None:
    run = user.pages("read_with_vision", lora={"r": 4}, training={"freeze_vision": False}).trained()
    assert not run.path("initial_adapter").exists()
    assert {name.split(".")[0] for name in run.adapter()} == {"model", "visual", "mlp_AR"}
