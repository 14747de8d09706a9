"""What the doctor says, one thing changed at a time on a machine that is ready.

The toolkit's interpreter and nvidia-smi are small shell scripts that print what the real ones would.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from erniekit_adapter.backends import installed
from erniekit_adapter.cli import main
from erniekit_adapter.doctor import Check, examine, machines
from erniekit_adapter.doctor.check import gib, release
from erniekit_adapter.doctor.disk import disk_need
from erniekit_adapter.doctor.machines import can_bind
from erniekit_adapter.doctor.weights import count_lora_parameters, read_header
from erniekit_adapter.project.schema import Project

VERSIONS = {
    "erniekit": "1.0.1",
    "paddlepaddle": "3.1.1",
    "paddlepaddle-gpu": None,
    "paddleformers": "0.1.6",
    "paddlenlp": None,
    "numpy": "1.26.4",
    "pyarrow": "19.0.1",
    "datasets": "3.6.0",
    "protobuf": "4.25.9",
    "safetensors": "0.8.0",
    "visualdl": "2.5.3",
    "tensorboardX": None,
    "triton": None,
    "etcd3": None,
}
FORMERS = {
    "erniekit": None,
    "paddlepaddle": "3.3.1",
    "paddleformers": "1.2.0",
    "transformers": "5.3.0",
    "safetensors": "0.7.0",
}
FOR_GPUS = {"paddlepaddle": None, "paddlepaddle-gpu": "3.1.1"}
PACKAGES = ("erniekit", "ernie", "data_processor", "paddle", "paddleformers", "pip", "distutils")
VARIABLES = (
    *("ERNIEKIT_HOME", "ERNIEKIT_PYTHON", "PADDLEFORMERS_PYTHON", "CUDA_VISIBLE_DEVICES", "NNODES", "PADDLE_NNODES"),
    *("MASTER_ADDR", "MASTER_PORT", "PADDLE_MASTER", "PADDLE_RANK", "RANK", "POD_IP", "http_proxy", "https_proxy"),
)


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, no toolkit, no card: only what a test puts there."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(installed, "PROJECT_ROOT", tmp_path / "repository")
    monkeypatch.chdir(tmp_path)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def toolkit(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    versions: Mapping[str, str | None] = VERSIONS,
    *,
    lacking: tuple[str, ...] = (),
    unmet: Mapping[str, list[str]] | None = None,
    backend: str = "erniekit",
) -> Path:
    """An environment whose interpreter tells these versions, and the usual ones of what is not named."""
    report = {
        "python": "3.11.9",
        "versions": {**VERSIONS, **versions},
        "packages": {name: name not in lacking for name in PACKAGES},
        "unmet": unmet or {},
    }
    python = script(folder / "env" / "python", f"echo '{json.dumps(report)}'")
    monkeypatch.setenv(f"{backend.upper()}_PYTHON", str(python))
    return python


def cards(folder: Path, *lines: str) -> None:
    script(folder / "path" / "nvidia-smi", "\n".join(f"echo '{line}'" for line in lines))


H100 = "{}, NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "ernie4_5", "hidden_size": 4}))
    (folder / "tokenizer.model").write_bytes(b"pieces")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{- cls_token -}}"}))
    weights = {"ernie.layers.0.self_attn.qkv_proj.weight": np.zeros((4, 8), np.float32)}
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> dict[str, Any]:
    """The project file of a run that this machine is ready for."""
    toolkit(monkeypatch, tmp_path)
    (tmp_path / "lines.jsonl").touch()
    return {
        "model": {"model_name_or_path": "./model"},
        "training": {"device": "cpu", "max_steps": 10},
        "dataset": {"path": "./lines.jsonl"},
        "output_dir": "./run",
    }


def said(project: dict[str, Any], **sections: Any) -> list[Check]:
    """Everything the doctor says of a project, with these sections put in the place of its own."""
    return list(examine(Project.model_validate(project | sections)))


def wrong(checks: list[Check]) -> list[str]:
    return [str(check) for check in checks if check.state == "wrong"]


def one(checks: list[Check], start: str) -> Check:
    found = [check for check in checks if check.what.startswith(start)]
    assert len(found) == 1, [str(check) for check in checks]
    return found[0]


def test_on_a_machine_that_is_ready_nothing_is_wrong(ready: dict[str, Any]) -> None:
    checks = said(ready)
    assert wrong(checks) == []
    lines = [str(check) for check in checks]
    assert "✓ ERNIEKit 1.0.1 (ERNIEKIT_PYTHON), paddle 3.1.1, paddleformers 0.1.6" in lines
    assert "✓ erniekit 1.0.1 goes with paddleformers 0.1, 0.2, 0.3.0, 0.3.1, 0.3.2" in lines
    assert "⊘ lines are not made yet\n    → run make data" in lines


def test_without_a_toolkit_every_place_is_named_and_how_to_get_one(
    ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ERNIEKIT_PYTHON")
    checks = said(ready)
    assert one(checks, "PATH: no erniekit on PATH").remedy == "run make setup-erniekit, or see docs/cluster.md"
    assert one(checks, ".venvs/erniekit: ").state == "wrong"
    assert one(checks, "paddle build and pinned versions").state == "skipped"


def test_the_incomplete_wheel_is_named_by_its_version_and_its_environment_looked_into(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"erniekit": "1.3.0", "paddleformers": "0.3.1"}
    python = toolkit(monkeypatch, tmp_path, versions, lacking=("ernie", "data_processor"))
    checks = said(ready)
    assert wrong(checks) == [
        f"✗ ERNIEKIT_PYTHON: {python}: this erniekit 1.3.0 lacks the packages ernie and data_processor "
        "(the wheels 1.1.0 to 1.3.0 are incomplete; use a git checkout)\n"
        "    → unset ERNIEKIT_PYTHON and run make setup-erniekit, or name another: docs/cluster.md"
    ]
    assert one(checks, "numpy 1.26.4, pyarrow 19.0.1").state == "ok"


@pytest.mark.parametrize(
    ("versions", "what", "typed"),
    [
        ({"numpy": "2.2.6"}, "numpy 2.2.6", "pip install numpy==1.26.4"),
        ({"pyarrow": "22.0.0"}, "pyarrow 22.0.0 beside numpy 1.26.4", "pip install 'pyarrow<20'"),
        ({"datasets": "4.1.0"}, "datasets 4.1.0 beside numpy 1.26.4", "pip install 'datasets<4'"),
        ({"protobuf": "7.36.2"}, "protobuf 7.36.2: visualdl fails", "pip install 'protobuf<5'"),
        ({"visualdl": None}, "training.use_tensorboard is false, and visualdl", "pip install visualdl"),
        ({"paddlepaddle-gpu": "3.1.1"}, "paddlepaddle 3.1.1 and paddlepaddle-gpu 3.1.1 are both", "pip uninstall both"),
        ({"paddlepaddle": "2.6.2"}, "paddlepaddle 2.6.2 is too old", "install 3.x"),
    ],
)
def test_versions_that_break_are_wrong_and_the_remedy_can_be_typed(
    ready: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    versions: dict[str, str | None],
    what: str,
    typed: str,
) -> None:
    toolkit(monkeypatch, tmp_path, versions)
    check = one(said(ready), what)
    assert check.state == "wrong"
    assert typed in check.remedy


def test_newer_pyarrow_and_datasets_are_fine_beside_numpy_2_in_paddleformers(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = {"numpy": "2.2.6", "pyarrow": "22.0.0", "datasets": "4.1.0"}
    toolkit(monkeypatch, tmp_path, FORMERS | newer, backend="paddleformers")
    checks = said(ready, backend="paddleformers")
    assert one(checks, "numpy 2.2.6: PaddleFormers was seen").state == "skipped"
    assert one(checks, "numpy 2.2.6, pyarrow 22.0.0").state == "ok"


def test_what_a_package_asks_and_does_not_find_stops_transformers_alone(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmet = {"transformers": ["tokenizers<=0.23.0,>=0.22.0, found 0.21.4"], "paddleformers": ["librosa, found none"]}
    toolkit(monkeypatch, tmp_path, FORMERS, unmet=unmet, backend="paddleformers")
    checks = said(ready, backend="paddleformers")
    refused = one(checks, "transformers 5.3.0 asks tokenizers")
    assert refused.state == "wrong"
    assert refused.remedy.endswith("-m pip install 'tokenizers<=0.23.0,>=0.22.0'")
    assert one(checks, "paddleformers 1.2.0 asks librosa").state == "skipped"


def test_paddlenlp_is_no_fault_and_is_told_with_what_it_fights_over(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit(monkeypatch, tmp_path, {"paddlenlp": "3.0.0b4"}, unmet={"paddlenlp": ["dill<0.3.5, found 0.3.8"]})
    check = one(said(ready), "paddlenlp 3.0.0b4 beside paddleformers 0.1.6")
    assert check.state == "skipped"
    assert "no ERNIE 4.5 classes and nothing here uses it, and asks dill<0.3.5, found 0.3.8" in check.what
    assert "pip uninstall paddlenlp" in check.remedy


def test_a_version_that_the_project_names_has_to_be_the_installed_one(ready: dict[str, Any]) -> None:
    assert one(said(ready, erniekit={"version": "1.4"}), "erniekit.version is 1.4, and 1.0.1").state == "wrong"
    assert wrong(said(ready, erniekit={"version": "1.0"})) == []


@pytest.mark.parametrize(
    ("lacking", "what", "remedy"),
    [
        (("pip",), "pip cannot be imported", "-m ensurepip"),
        (("distutils",), "distutils cannot be imported", "-m pip install 'setuptools<80'"),
    ],
)
def test_what_the_launcher_imports_without_saying_so_has_to_be_there(
    ready: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacking: tuple[str, ...],
    what: str,
    remedy: str,
) -> None:
    toolkit(monkeypatch, tmp_path, lacking=lacking)
    assert one(said(ready), what).remedy.endswith(remedy)


def test_a_toolkit_below_a_folder_with_a_blank_is_wrong(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit(monkeypatch, tmp_path / "My Documents")
    assert [line for line in wrong(said(ready)) if "has a blank in its path" in line]


def test_a_checkout_below_a_folder_with_a_blank_is_wrong_wherever_its_python_is(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "My Documents" / "ERNIE"
    for package in ("erniekit", "ernie"):
        (home / package).mkdir(parents=True)
    monkeypatch.setenv("ERNIEKIT_HOME", str(home))
    assert one(said(ready), f"{home} has a blank in its path").state == "wrong"


def test_the_launcher_needs_a_command_named_python(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = toolkit(monkeypatch, tmp_path)
    python.rename(python.with_name("python3.11"))
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(python.with_name("python3.11")))
    check = one(said(ready), "the launcher starts `python`, and there is none")
    assert check.remedy == f"ln -s python3.11 {python}"


def test_paddleformers_is_looked_for_when_it_is_the_backend(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit(monkeypatch, tmp_path, FORMERS, backend="paddleformers")
    checks = said(ready, backend="paddleformers")
    assert one(checks, "PaddleFormers 1.2.0 (PADDLEFORMERS_PYTHON), paddle 3.3.1, transformers 5.3.0").state == "ok"
    assert one(checks, "paddleformers 1.0 to 1.2, paddle 3.3").state == "ok"
    toolkit(monkeypatch, tmp_path, FORMERS | {"safetensors": "0.8.0"}, backend="paddleformers")
    assert one(said(ready, backend="paddleformers"), "safetensors 0.8.0: PaddleFormers' own export").state == "skipped"


def test_paddleocr_vl_needs_triton_in_paddleformers(
    ready: dict[str, Any], tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "config.json").write_text(json.dumps({"model_type": "paddleocr_vl"}))
    toolkit(monkeypatch, tmp_path, FORMERS, backend="paddleformers")
    checks = said(ready, backend="paddleformers")
    assert one(checks, "PaddleOCR-VL needs triton").remedy.endswith("-m pip install triton")
    assert one(checks, "model lacks preprocessor_config.json").state == "wrong"


GPU = {"device": "gpu", "max_steps": 10}


def test_on_a_gpu_the_build_for_cpus_and_a_machine_without_cards_are_wrong(ready: dict[str, Any]) -> None:
    checks = said(ready, training=GPU)
    assert one(checks, "training.device gpu: paddlepaddle 3.1.1 computes on CPUs alone").state == "wrong"
    assert one(checks, "no nvidia-smi on PATH").state == "wrong"


@pytest.mark.parametrize(
    ("lines", "visible", "parallel", "state", "what"),
    [
        ((H100.format(0),), None, {}, "ok", "1 of 1 cards visible, NVIDIA H100 80GB HBM3 (80 GiB): as many as"),
        ((H100.format(0), H100.format(1)), "1", {}, "ok", "1 of 2 cards visible"),
        (
            (H100.format(0),),
            None,
            {"gpus": 4},
            "wrong",
            "1 of 1 cards visible, NVIDIA H100 80GB HBM3 (80 GiB): the pro",
        ),
        ((H100.format(0), H100.format(1)), None, {"gpus": 1}, "ok", "2 of 2 cards visible"),
        ((H100.format(0), H100.format(1)), "0,1", {"gpus": 1}, "wrong", "2 of 2 cards visible"),
        ((H100.format(0), H100.format(1)), "0,1", {}, "wrong", "2 of 2 cards visible"),
        ((H100.format(0),), "", {}, "wrong", "CUDA_VISIBLE_DEVICES is '': none of 1 cards"),
        ((H100.format(0),), "3", {}, "wrong", "CUDA_VISIBLE_DEVICES is '3': none of 1 cards"),
        (("0, Tesla V100, 32768, 550.54, 7.0",), None, {}, "wrong", "Tesla V100: ERNIEKit wants Ampere or Hopper"),
        (("0, A100, 81920, 525.60.13, 8.0",), None, {}, "wrong", "NVIDIA driver 525.60.13"),
    ],
)
def test_cards_are_counted_against_what_the_project_wants(
    ready: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: tuple[str, ...],
    visible: str | None,
    parallel: dict[str, int],
    state: str,
    what: str,
) -> None:
    toolkit(monkeypatch, tmp_path, FOR_GPUS)
    cards(tmp_path, *lines)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert one(said(ready, training=GPU, parallel=parallel), what).state == state


def test_cards_of_all_machines_count_together(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit(monkeypatch, tmp_path, FOR_GPUS)
    cards(tmp_path, H100.format(0), H100.format(1))
    project = ready | {"training": GPU, "parallel": {"gpus": 4}}
    assert one(said(project), "2 of 2 cards visible").state == "wrong"
    assert one(said(project), "2 machines: parallel wants 4 GPUs, 2 are here").state == "skipped"
    monkeypatch.setenv("NNODES", "2")
    assert one(said(project), "2 of 2 cards visible").state == "ok"


def test_a_driver_that_does_not_answer_is_quoted(ready: dict[str, Any], tmp_path: Path) -> None:
    script(tmp_path / "path" / "nvidia-smi", "echo 'Failed to initialize NVML'; exit 9")
    assert one(said(ready, training=GPU), "nvidia-smi fails: Failed to initialize NVML").state == "wrong"


def cut_off(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def lfs_pointer(model: Path) -> None:
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def no_template(model: Path) -> None:
    (model / "tokenizer_config.json").write_text("{}")


def half_downloaded(model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def no_tokenizer(model: Path) -> None:
    (model / "tokenizer.model").unlink()


def dangling(model: Path) -> None:
    (model / "more.safetensors").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (cut_off, "model/model.safetensors is cut off: "),
        (lfs_pointer, "model/model.safetensors is no safetensors file, or the beginning of one"),
        (dangling, "model/more.safetensors is a link to nothing"),
        (half_downloaded, "model lacks model-00002-of-00002.safetensors"),
        (no_template, "model has no chat template"),
        (no_tokenizer, "model lacks tokenizer.model"),
    ],
)
def test_a_model_folder_that_is_not_whole_is_wrong(
    ready: dict[str, Any], model: Path, harm: Callable[[Path], None], what: str
) -> None:
    harm(model)
    check = one(said(ready), what)
    assert check.state == "wrong"
    assert "hf download" in check.remedy


def test_a_model_that_is_not_there_is_told_once_with_the_command_that_gets_it(ready: dict[str, Any]) -> None:
    checks = said(ready, model={"model_name_or_path": "baidu/ERNIE-4.5-0.3B-Paddle"})
    check = one(checks, "no model in the folder baidu/ERNIE-4.5-0.3B-Paddle")
    assert check.remedy.startswith("download it, for example: hf download baidu/ERNIE-4.5-0.3B-Paddle")
    assert len(wrong(checks)) == 1


def test_a_template_in_a_file_of_its_own_will_do(ready: dict[str, Any], model: Path) -> None:
    no_template(model)
    (model / "chat_template.jinja").write_text("{{- cls_token -}}")
    assert one(said(ready), "chat template: chat_template.jinja").state == "ok"


def test_sources_that_are_missing_are_named_by_their_keys(ready: dict[str, Any]) -> None:
    checks = said(ready, data={"test_sources": [{"kind": "lines", "path": "./b.jsonl"}]})
    check = one(checks, "sources that are not there: data.test_sources[0].path: b.jsonl: no such file")
    assert check.remedy == "correct their paths"
    assert one(said(ready, dataset={}), "the project names no documents").state == "wrong"


@pytest.mark.parametrize("content", ["[]", "{}", '{"by_split": {}}', "no JSON"])
def test_a_damaged_manifest_is_wrong_and_no_traceback(ready: dict[str, Any], tmp_path: Path, content: str) -> None:
    (tmp_path / "run" / "data").mkdir(parents=True)
    (tmp_path / "run" / "data" / "manifest.json").write_text(content)
    (tmp_path / "run" / "data" / "train.jsonl").touch()
    assert [line for line in wrong(said(ready)) if "run make data again" in line]


def test_a_comma_in_the_path_of_the_lines_matters_to_readers_of_images_alone(
    ready: dict[str, Any], model: Path
) -> None:
    odd = {"output_dir": "./a,b c"}
    assert one(said(ready, **odd), "the path of the lines has a blank and a comma").state == "skipped"
    (model / "config.json").write_text(json.dumps({"model_type": "paddleocr_vl"}))
    assert one(said(ready, **odd), "the path of the lines has a blank and a comma").state == "wrong"


@pytest.mark.parametrize("target", ["nowhere", "run"])
def test_an_output_dir_that_links_to_nowhere_is_wrong(ready: dict[str, Any], tmp_path: Path, target: str) -> None:
    (tmp_path / "run").symlink_to(target)
    found = wrong(said(ready, output_dir=str(tmp_path / "run")))
    assert any("which does not exist or leads in a circle" in each for each in found)


def test_room_is_reckoned_from_the_model_and_the_checkpoints_that_are_kept() -> None:
    project = Project.model_validate(
        {
            "model": {"model_name_or_path": "./model"},
            "training": {"save_steps": 10, "max_steps": 100, "save_total_limit": 2},
            "output_dir": "./run",
        }
    )
    need = disk_need(project, model_bytes=700, parameters=350, lora_parameters=10)
    assert (need.checkpoints, need.checkpoint_bytes, need.weights_bytes) == (3, 160, 1400)
    without_merge = project.model_copy(update={"export": project.export.model_copy(update={"forms": ["peft"]})})
    assert disk_need(without_merge, 700, 350, 10).weights_bytes == 0
    full = project.model_copy(update={"lora": project.lora.model_copy(update={"enabled": False})})
    assert disk_need(full, 700, 350, 0).checkpoint_bytes == 350 * 16


def test_a_disk_that_is_too_small_is_wrong(ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erniekit_adapter.doctor.disk.MIN_FREE_BYTES", 2**60)
    check = next(check for check in said(ready) if "needed at most" in check.what)
    assert check.state == "wrong"
    assert "leave merged out of export.forms" in check.remedy


def test_an_adapter_is_counted_on_the_modules_that_the_project_names(model: Path) -> None:
    files = [read_header(model / "model.safetensors")]
    assert count_lora_parameters(files, frozenset({"q_proj"}), rank=2) == 2 * (4 + 8)
    assert count_lora_parameters(files, frozenset({"down_proj"}), rank=2) == 0


def test_one_machine_is_not_asked_for_a_master(ready: dict[str, Any]) -> None:
    assert one(said(ready), "one machine (NNODES is not set)").state == "skipped"


OURS, THEIRS = "192.0.2.2", "192.0.2.9"


@pytest.mark.parametrize(
    ("variables", "own", "state", "what"),
    [
        ({}, OURS, "wrong", "no MASTER_ADDR: the launcher's default is 127.0.0.1"),
        ({"MASTER_ADDR": "first"}, OURS, "wrong", "MASTER_ADDR first is 127.0.1.1: each machine would wait for itself"),
        ({"MASTER_ADDR": "lost"}, OURS, "wrong", "MASTER_ADDR lost resolves to nothing here"),
        ({"MASTER_ADDR": OURS}, OURS, "ok", f"master {OURS}: this machine, and port 8080 is free"),
        ({"MASTER_ADDR": "named"}, OURS, "wrong", "MASTER_ADDR named is this machine, and Paddle's launcher takes its"),
        (
            {"MASTER_ADDR": OURS},
            "127.0.1.1",
            "wrong",
            f"MASTER_ADDR {OURS} is this machine, and Paddle's launcher takes",
        ),
        ({"MASTER_ADDR": OURS, "POD_IP": OURS}, "127.0.1.1", "ok", f"master {OURS}: this machine"),
        ({"MASTER_ADDR": THEIRS}, OURS, "ok", f"master {THEIRS}: another machine"),
        ({"MASTER_ADDR": THEIRS}, "127.0.1.1", "wrong", "this machine's address is 127.0.1.1"),
        ({"MASTER_ADDR": OURS, "MASTER_PORT": "x"}, OURS, "wrong", "MASTER_ADDR has no port that is a number"),
        ({"MASTER_ADDR": OURS, "PADDLE_MASTER": f"{THEIRS}:1"}, OURS, "wrong", f"PADDLE_MASTER={THEIRS}:1 wins over"),
        (
            {"MASTER_ADDR": "etcd://host"},
            OURS,
            "wrong",
            "the master is etcd, and the toolkit's environment lacks etcd3",
        ),
        ({"MASTER_ADDR": OURS, "PADDLE_RANK": "1"}, OURS, "ok", "rank of this machine: 1"),
        ({"MASTER_ADDR": OURS}, OURS, "skipped", "PADDLE_RANK is not set"),
    ],
)
def test_several_machines_have_to_find_their_master(
    ready: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    own: str,
    state: str,
    what: str,
) -> None:
    addresses = {"first": "127.0.1.1", "named": OURS, OURS: OURS, THEIRS: THEIRS, socket.getfqdn(): own}

    def resolve(name: str) -> str:
        if name not in addresses:
            raise socket.gaierror("no such name")
        return addresses[name]

    monkeypatch.setattr(socket, "gethostbyname", resolve)
    monkeypatch.setattr(machines, "can_bind", lambda address, port: "free" if address == OURS else "elsewhere")
    for name, value in ({"NNODES": "2"} | variables).items():
        monkeypatch.setenv(name, value)
    assert one(said(ready), what).state == state


def test_a_port_is_free_taken_or_another_machine_s() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert can_bind("127.0.0.1", port) == "taken"
    assert can_bind("127.0.0.1", port) == "free"
    assert can_bind("203.0.113.7", port) == "elsewhere"


def test_paddleformers_gives_every_machine_rank_0_unless_it_is_told(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit(monkeypatch, tmp_path, FORMERS, backend="paddleformers")
    monkeypatch.setenv("NNODES", "2:4")
    assert one(said(ready, backend="paddleformers"), "RANK is not set").state == "wrong"
    monkeypatch.setenv("RANK", "1")
    assert one(said(ready, backend="paddleformers"), "rank of this machine: 1").state == "ok"


def test_proxies_are_dropped_so_a_model_that_is_not_here_is_wrong(
    ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert one(said(ready), "https_proxy set: Paddle's launcher drops them; the model is here").state == "ok"
    absent = {"model_name_or_path": "baidu/ERNIE-4.5-0.3B-Paddle"}
    check = one(said(ready, model=absent), "https_proxy set: Paddle's launcher drops them, and the model is not here")
    assert check.state == "wrong"


def test_a_container_s_small_shared_memory_is_wrong_where_processes_share_it(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "SHM_BYTES_EACH", 2**60)
    assert one(said(ready), f"{machines.SHM} has ").state == "skipped"
    cards(tmp_path, H100.format(0), H100.format(1))
    check = one(said(ready, training=GPU), f"{machines.SHM} has ")
    assert check.state == "wrong"
    assert "--shm-size=128g" in check.remedy


def test_every_wrong_line_has_a_remedy_wherever_one_looks(
    ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNODES", "2")
    monkeypatch.delenv("ERNIEKIT_PYTHON")
    everything = said(ready, training=GPU, dataset={}, model={"model_name_or_path": "baidu/ERNIE-4.5-8B"})
    assert [check for check in everything if check.state == "wrong" and not check.remedy] == []


def test_the_command_exits_1_where_something_is_wrong_and_0_elsewhere(
    ready: dict[str, Any],
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "project.yaml").write_text(json.dumps(ready))
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter", "doctor", "project.yaml"])
    for harm, code in ((None, 0), (no_tokenizer, 1)):
        if harm:
            harm(model)
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0, "✗" in capsys.readouterr().out) == (code, bool(code))


def test_the_doctor_imports_no_toolkit() -> None:
    root = Path(__file__).resolve().parents[1]
    code = (
        "import sys\n"
        "from erniekit_adapter.doctor import examine\n"
        "from erniekit_adapter.project.loading import load_project\n"
        "from pathlib import Path\n"
        "list(examine(load_project(Path('configs/demo-cpu.yaml'))))\n"
        "print(sorted({'paddle', 'paddleformers', 'ernie', 'erniekit', 'torch', 'transformers'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout == "[]\n"


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4), st.sampled_from(["", "b4", "rc1", ".post1", "+cpu"]))
def test_a_release_is_the_numbers_that_a_version_begins_with(numbers: list[int], rest: str) -> None:
    assert release(".".join(map(str, numbers)) + rest) == tuple(numbers)


def test_sizes_are_written_to_be_read() -> None:
    assert [gib(size) for size in (2_048, 5 * 2**20, 1.5 * 2**30, 64.4 * 2**30)] == [
        "2 KiB",
        "5 MiB",
        "1.5 GiB",
        "64 GiB",
    ]
