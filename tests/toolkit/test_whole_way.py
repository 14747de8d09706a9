"""Every stage with the real ERNIEKit on CPU: from documents to a bundle, with a tiny random ERNIE 4.5."""

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
class Workspace:
    """A folder of a user, outside the repository, with a project file."""

    folder: Path
    project: dict[str, Any]

    def run(self, *arguments: str, code: int = 0) -> str:
        done = self.start(*arguments)
        output, _ = done.communicate(timeout=300)
        assert done.returncode == code, output
        return output

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        (self.folder / "project.yaml").write_text(yaml.safe_dump(self.project))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        command = [sys.executable, "-m", "erniekit_adapter", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **pipes)

    def with_project(self, output_dir: str, **sections: dict[str, Any]) -> Workspace:
        changed = {name: {**self.project.get(name, {}), **section} for name, section in sections.items()}
        return Workspace(self.folder, {**self.project, **changed, "output_dir": output_dir})

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(self.project["output_dir"], *parts)

    def json(self, *parts: str) -> Any:
        return json.loads(self.path(*parts).read_text())


@pytest.fixture(scope="session")
def workspace(
    tmp_path_factory: pytest.TempPathFactory, run_python: Callable[..., str], erniekit_python: Path
) -> Workspace:
    """Return a folder whose name contains a space, with documents, a tiny model and a project file."""
    folder = tmp_path_factory.mktemp("my invoices")
    project = yaml.safe_load(PROJECT)
    made = Workspace(folder, project)
    documents = (
        "data",
        "synthesize",
        "--output",
        "documents",
        "--count",
        "40",
        "--seed",
        "3",
        "--correction-share",
        "0.3",
    )
    made.run(*documents)
    made.run("data", "corpus", "--output", "corpus.txt", "--count", "60", "--seed", "4")
    sizes = ("--hidden", 64, "--layers", 2, "--heads", 4, "--kv-heads", 2, "--head-dim", 16, "--ffn", 160)
    options = ("--corpus", folder / "corpus.txt", "--output", folder / "tiny ernie", "--vocab-size", 1000)
    run_python(erniekit_python, "-m", f"{WORKERS}.erniekit_tiny_model", *options, *sizes)
    return made


@pytest.fixture(scope="session")
def done(workspace: Workspace) -> Workspace:
    """Return the workspace after data, train and export."""
    workspace.run("data", "build", "project.yaml")
    workspace.run("train", "project.yaml")
    workspace.run("export", "project.yaml")
    return workspace


def test_every_record_is_written_rejected_or_a_duplicate(done: Workspace) -> None:
    data = done.json("data", "manifest.json")
    assert data["read"] == data["written"] + data["rejected"] + data["duplicates"] > 40
    assert {"reviewed", "source"} <= set(data["by_filter"])


def test_log_contains_the_lines_of_erniekit(done: Workspace) -> None:
    log = done.path("training", "train.log").read_text()
    assert "Total optimization steps = 4" in log
    assert "LAUNCH INFO" in log


def test_metrics_contain_each_step(done: Workspace) -> None:
    lines = [json.loads(line) for line in done.path("training", "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == [1, 2, 3, 4]
    assert all(line["loss"] > 0 for line in lines if "step" in line)
    assert any("eval_loss" in line for line in lines)


def test_erniekit_parses_the_settings_unchanged(done: Workspace) -> None:
    log = done.path("training", "train.log").read_text()
    settings = yaml.safe_load(done.path("training", "settings.yaml").read_text())
    for key in ("max_seq_len", "lora_rank", "max_steps", "save_steps", "num_samples_each_epoch", "batch_size"):
        assert any(
            line.split("- ")[-1].split(":")[0].strip() == key and str(settings[key]) in line
            for line in log.splitlines()
        ), key


def test_only_the_lora_targets_of_the_project_are_trained(done: Workspace) -> None:
    config = done.json("training", "output", "lora_config.json")
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 8, 0.1)
    assert config["target_modules"] == [".*qkv_proj.*", ".*o_proj.*"]
    tensors = done.json("training", "output", "peft_model.safetensors.index.json")["weight_map"]
    assert {name.split(".")[-2] for name in tensors} == {"qkv_proj", "o_proj"}


def test_finished_run_is_not_trained_again(done: Workspace) -> None:
    assert "already trained" in done.run("train", "project.yaml")


def test_changed_learning_rate_is_refused(done: Workspace) -> None:
    output = done.run("train", "project.yaml", "--set", "training.learning_rate=2e-3", code=2)
    assert "learning_rate (0.001, now 0.002)" in output
    assert "--restart" in output


def test_bundle_lists_every_file_with_its_hash(done: Workspace) -> None:
    manifest = done.json("bundle", "manifest.json")
    found = {
        path.relative_to(done.path("bundle")).as_posix() for path in done.path("bundle").rglob("*") if path.is_file()
    }
    assert found == {*manifest["files"], "manifest.json"}
    assert all(sha256(done.path("bundle", name)) == file["sha256"] for name, file in manifest["files"].items())
    assert not [name for name in found if name.endswith((".pdparams", ".bin", ".pth"))]
    assert str(done.folder) not in "".join(path.read_text() for path in done.path("bundle").rglob("*.json"))


def test_every_bundle_format_is_checked(done: Workspace) -> None:
    proof = done.json("bundle", "manifest.json")["proof"]
    print(proof)
    assert {form: found["state"] for form, found in proof["forms"].items()} == dict.fromkeys(
        ("native", "peft", "merged"), "proven"
    )
    assert proof["reference"] == "native, ERNIEKit 1.0.1"
    assert all(found["difference"] < proof["effect"] / 10 for found in proof["forms"].values())
    assert {found["same_answers"] for found in proof["forms"].values()} == {proof["prompts"]}


def test_results_count_every_test_example(done: Workspace) -> None:
    done.run("evaluate", "project.yaml")
    results = done.json("evaluation", "results.json")
    assert results["samples"] == results["base"]["samples"] == results["tuned"]["samples"] == 3
    assert len(done.path("evaluation", "samples.jsonl").read_text().splitlines()) == 3
    assert "records read" in done.run("summary", "project.yaml")


def test_answers_of_the_base_model_are_reused(done: Workspace) -> None:
    output = done.run("evaluate", "project.yaml")
    assert "base: 3 answers of an earlier evaluation reused" in output
    again = done.run("evaluate", "project.yaml", "--set", "evaluate.max_new_tokens=16")
    assert "base: 3 answered, " in again


def test_export_refuses_a_changed_base_model(done: Workspace) -> None:
    config = done.folder / "tiny ernie" / "config.json"
    before = config.read_text()
    config.write_text(before.replace('"rms_norm_eps": 1e-05', '"rms_norm_eps": 1e-06'))
    try:
        assert config.read_text() != before
        assert "is not the base model" in done.run("export", "project.yaml", code=2)
    finally:
        config.write_text(before)


def kill_after_checkpoint(workspace: Workspace, step: int) -> None:
    """Train, and end the run when a checkpoint is complete, as a cluster does at a time limit."""
    process = workspace.start("train", "project.yaml")
    state = workspace.path("training", "output", f"checkpoint-{step}", "trainer_state.json")
    deadline = time.monotonic() + 120
    while not state.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state.is_file()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not workspace.path("training", "manifest.json").exists()


def test_killed_run_resumes_from_its_checkpoint(workspace: Workspace) -> None:
    changed = workspace.with_project(
        "resumed", lora={"target_modules": "all-linear", "lora_dropout": 0.0}, training={"max_steps": 30}
    )
    changed.run("data", "build", "project.yaml")
    kill_after_checkpoint(changed, 4)
    output = changed.run("train", "project.yaml")
    assert "resuming from" in output
    assert changed.json("training", "manifest.json")["steps"] == 30
    steps = [
        json.loads(line).get("step") for line in changed.path("training", "metrics.jsonl").read_text().splitlines()
    ]
    measured = [step for step in steps if step]
    resumed = re.search(r"resuming from .*checkpoint-(\d+)", output)
    assert resumed
    before = [step for step in measured if step <= int(resumed[1])]
    # Paddle's launcher forwards lines once a second, so the last lines before the kill are only in its own log.
    assert before == list(range(1, len(before) + 1))
    assert measured[len(before) :] == list(range(int(resumed[1]) + 1, 31))


def test_killed_run_resumes_with_its_lora_targets(workspace: Workspace) -> None:
    changed = workspace.with_project("resumed_targets", training={"max_steps": 30})
    changed.run("data", "build", "project.yaml")
    kill_after_checkpoint(changed, 4)
    output = changed.run("train", "project.yaml")
    assert "resuming from the adapter" in output
    assert changed.json("training", "manifest.json")["steps"] == 30
    assert changed.json("training", "output", "lora_config.json")["target_modules"] == [".*qkv_proj.*", ".*o_proj.*"]
    assert changed.path("training", "earlier-1").is_dir()


def test_failing_toolkit_is_reported_with_cause_and_log(workspace: Workspace) -> None:
    changed = workspace.with_project("failed", training={"device": "gpu"})
    changed.run("data", "build", "project.yaml")
    output = changed.run("train", "project.yaml", code=1)
    assert "no GPU: set" in output
    assert "train.log" in output
    assert "Traceback" not in output
