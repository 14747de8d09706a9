"""The whole way with the real ERNIEKit on CPU: documents to bundle, on a tiny random ERNIE 4.5."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from erniekit_adapter.files import sha256

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
WORKERS = "erniekit_adapter.workers"

PROJECT = """
model: {model_name_or_path: ./tiny ernie}
lora: {r: 4, lora_alpha: 8, target_modules: [q_proj, v_proj, k_proj, o_proj], lora_dropout: 0.1}
training:
  {device: cpu, max_seq_length: 1024, max_steps: 4, save_steps: 2, eval_steps: 4, logging_steps: 1,
   learning_rate: 1.0e-3, val_split_ratio: 0.1, use_tensorboard: true}
data:
  sources:
    - {kind: manifest, path: documents/training_manifest.json}
    - {kind: active_learning, path: documents/active_learning.jsonl}
  test_split_ratio: 0.2
evaluate: {max_samples: 3, max_new_tokens: 24}
output_dir: run
"""


@dataclass(frozen=True)
class Desk:
    """A user's folder, outside the repository, with a project file in it."""

    folder: Path
    project: dict[str, Any]

    def run(self, *arguments: str, module: str = "erniekit_adapter", code: int = 0) -> str:
        done = self.start(*arguments, module=module)
        output, _ = done.communicate(timeout=300)
        assert done.returncode == code, output
        return output

    def start(self, *arguments: str, module: str = "erniekit_adapter") -> subprocess.Popen[str]:
        (self.folder / "project.yaml").write_text(yaml.safe_dump(self.project))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        command = [sys.executable, "-m", module, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **pipes)

    def with_project(self, output_dir: str, **sections: dict[str, Any]) -> Desk:
        changed = {name: {**self.project.get(name, {}), **section} for name, section in sections.items()}
        return Desk(self.folder, {**self.project, **changed, "output_dir": output_dir})

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(self.project["output_dir"], *parts)

    def json(self, *parts: str) -> Any:
        return json.loads(self.path(*parts).read_text())


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory, run_python: Callable[..., str], erniekit_python: Path) -> Desk:
    """A folder whose name holds a blank, with documents, a tiny model and a project; nothing is trained yet."""
    folder = tmp_path_factory.mktemp("my invoices")
    project = yaml.safe_load(PROJECT)
    made = Desk(folder, project)
    documents = ("synthesize", "--output", "documents", "--count", "40", "--seed", "3", "--correction-share", "0.3")
    made.run(*documents, module="data_tools")
    made.run("corpus", "--output", "corpus.txt", "--count", "60", "--seed", "4", module="data_tools")
    sizes = ("--hidden", 64, "--layers", 2, "--heads", 4, "--kv-heads", 2, "--head-dim", 16, "--ffn", 160)
    options = ("--corpus", folder / "corpus.txt", "--output", folder / "tiny ernie", "--vocab-size", 1000)
    run_python(erniekit_python, "-m", f"{WORKERS}.erniekit_tiny_model", *options, *sizes)
    return made


@pytest.fixture(scope="session")
def done(desk: Desk) -> Desk:
    """The desk after data, train and export."""
    desk.run("build", "--project", "project.yaml", module="data_tools")
    desk.run("train", "project.yaml")
    desk.run("export", "project.yaml")
    return desk


def test_every_record_is_written_rejected_or_a_duplicate(done: Desk) -> None:
    data = done.json("data", "manifest.json")
    assert data["read"] == data["written"] + data["rejected"] + data["duplicates"] > 40
    assert {"reviewed", "source"} <= set(data["by_gate"])


def test_the_log_holds_erniekits_own_lines(done: Desk) -> None:
    log = done.path("training", "train.log").read_text()
    assert "Total optimization steps = 4" in log
    assert "LAUNCH INFO" in log


def test_each_step_is_measured(done: Desk) -> None:
    lines = [json.loads(line) for line in done.path("training", "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == [1, 2, 3, 4]
    assert all(line["loss"] > 0 for line in lines if "step" in line)
    assert any("eval_loss" in line for line in lines)


def test_what_erniekit_parsed_is_what_it_was_given(done: Desk) -> None:
    log = done.path("training", "train.log").read_text()
    given = yaml.safe_load(done.path("training", "settings.yaml").read_text())
    for key in ("max_seq_len", "lora_rank", "max_steps", "save_steps", "num_samples_each_epoch", "batch_size"):
        assert any(
            line.split("- ")[-1].split(":")[0].strip() == key and str(given[key]) in line for line in log.splitlines()
        ), key


def test_the_projects_targets_and_dropout_are_trained_and_nothing_else(done: Desk) -> None:
    config = done.json("training", "output", "lora_config.json")
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 8, 0.1)
    assert config["target_modules"] == [".*qkv_proj.*", ".*o_proj.*"]
    tensors = done.json("training", "output", "peft_model.safetensors.index.json")["weight_map"]
    assert {name.split(".")[-2] for name in tensors} == {"qkv_proj", "o_proj"}


def test_a_finished_run_is_not_trained_again(done: Desk) -> None:
    assert "already trained" in done.run("train", "project.yaml")


def test_another_learning_rate_after_training_is_refused_by_name(done: Desk) -> None:
    said = done.run("train", "project.yaml", "--set", "training.learning_rate=2e-3", code=2)
    assert "learning_rate (0.001, now 0.002)" in said
    assert "--restart" in said


def test_the_bundle_lists_every_file_with_its_hash(done: Desk) -> None:
    manifest = done.json("bundle", "manifest.json")
    found = {
        path.relative_to(done.path("bundle")).as_posix() for path in done.path("bundle").rglob("*") if path.is_file()
    }
    assert found == {*manifest["files"], "manifest.json"}
    assert all(sha256(done.path("bundle", name)) == file["sha256"] for name, file in manifest["files"].items())
    assert not [name for name in found if name.endswith((".pdparams", ".bin", ".pth"))]
    assert str(done.folder) not in "".join(path.read_text() for path in done.path("bundle").rglob("*.json"))


def test_every_form_of_the_bundle_is_proven(done: Desk) -> None:
    proof = done.json("bundle", "manifest.json")["proof"]
    print(proof)
    assert {form: found["state"] for form, found in proof["forms"].items()} == dict.fromkeys(
        ("native", "peft", "merged"), "proven"
    )
    assert proof["reference"] == "native, ERNIEKit 1.0.1"
    assert all(found["difference"] < proof["effect"] / 10 for found in proof["forms"].values())
    assert {found["same_answers"] for found in proof["forms"].values()} == {proof["prompts"]}


def test_every_sample_counts_in_the_results(done: Desk) -> None:
    done.run("evaluate", "project.yaml")
    results = done.json("evaluation", "results.json")
    assert results["samples"] == results["base"]["samples"] == results["tuned"]["samples"] == 3
    assert len(done.path("evaluation", "samples.jsonl").read_text().splitlines()) == 3
    assert "records read" in done.run("summary", "project.yaml")


def test_the_base_models_answers_are_used_again_until_something_changes(done: Desk) -> None:
    said = done.run("evaluate", "project.yaml")
    assert "base: 3 answered before by this model, used again" in said
    again = done.run("evaluate", "project.yaml", "--set", "evaluate.max_new_tokens=16")
    assert "base: 3 answered, " in again


def test_a_base_model_that_changed_is_not_exported_for(done: Desk) -> None:
    config = done.folder / "tiny ernie" / "config.json"
    before = config.read_text()
    config.write_text(before.replace('"rms_norm_eps": 1e-05', '"rms_norm_eps": 1e-06'))
    try:
        assert config.read_text() != before
        assert "is not the base model" in done.run("export", "project.yaml", code=2)
    finally:
        config.write_text(before)


def kill_after_checkpoint(desk: Desk, step: int) -> None:
    """Train, and kill everything as soon as a checkpoint is whole, as a cluster does with a job out of time."""
    process = desk.start("train", "project.yaml")
    state = desk.path("training", "output", f"checkpoint-{step}", "trainer_state.json")
    deadline = time.monotonic() + 120
    while not state.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state.is_file()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not desk.path("training", "manifest.json").exists()


def test_a_killed_run_resumes_from_its_checkpoint(desk: Desk) -> None:
    own = desk.with_project(
        "resumed", lora={"target_modules": "all-linear", "lora_dropout": 0.0}, training={"max_steps": 30}
    )
    own.run("build", "--project", "project.yaml", module="data_tools")
    kill_after_checkpoint(own, 4)
    said = own.run("train", "project.yaml")
    assert "resuming from" in said
    assert own.json("training", "manifest.json")["steps"] == 30
    steps = [json.loads(line).get("step") for line in own.path("training", "metrics.jsonl").read_text().splitlines()]
    measured = [step for step in steps if step]
    resumed = re.search(r"resuming from .*checkpoint-(\d+)", said)
    assert resumed
    before = [step for step in measured if step <= int(resumed[1])]
    # Paddle's launcher passes lines on once a second: those of the last moment before the kill are in its own log only.
    assert before == list(range(1, len(before) + 1))
    assert measured[len(before) :] == list(range(int(resumed[1]) + 1, 31))


def test_a_killed_run_with_targets_of_its_own_goes_on_training_those_alone(desk: Desk) -> None:
    own = desk.with_project("gone_on", training={"max_steps": 30})
    own.run("build", "--project", "project.yaml", module="data_tools")
    kill_after_checkpoint(own, 4)
    said = own.run("train", "project.yaml")
    assert "going on from the adapter" in said
    assert own.json("training", "manifest.json")["steps"] == 30
    assert own.json("training", "output", "lora_config.json")["target_modules"] == [".*qkv_proj.*", ".*o_proj.*"]
    assert own.path("training", "earlier-1").is_dir()


def test_a_failing_toolkit_ends_with_its_cause_and_the_logs_place(desk: Desk) -> None:
    own = desk.with_project("failed", training={"device": "gpu"})
    own.run("build", "--project", "project.yaml", module="data_tools")
    said = own.run("train", "project.yaml", code=1)
    assert "no GPU card" in said
    assert "train.log" in said
    assert "Traceback" not in said
