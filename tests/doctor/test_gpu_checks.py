"""Checks of the paddle build and the GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from doctor_examples import (
    FOR_GPUS,
    GPU,
    H100,
    checks_of,
    find,
    gpus,
    script,
    toolkit,
)


def test_build_for_cpus_and_no_gpu(ready: dict[str, Any]) -> None:
    checks = checks_of(ready, training=GPU)
    assert find(checks, "training.device gpu: paddlepaddle 3.1.1 is the build for CPUs").state == "wrong"
    assert find(checks, "no nvidia-smi on PATH").state == "wrong"


@pytest.mark.parametrize(
    ("lines", "visible", "parallel", "state", "finding"),
    [
        ((H100.format(0),), None, {}, "ok", "1 of 1 GPUs visible, NVIDIA H100 80GB HBM3 (80 GiB): as many as"),
        ((H100.format(0), H100.format(1)), "1", {}, "ok", "1 of 2 GPUs visible"),
        (
            (H100.format(0),),
            None,
            {"gpus": 4},
            "wrong",
            "1 of 1 GPUs visible, NVIDIA H100 80GB HBM3 (80 GiB): the pro",
        ),
        ((H100.format(0), H100.format(1)), None, {"gpus": 1}, "ok", "2 of 2 GPUs visible"),
        ((H100.format(0), H100.format(1)), "0,1", {"gpus": 1}, "wrong", "2 of 2 GPUs visible"),
        ((H100.format(0), H100.format(1)), "0,1", {}, "wrong", "2 of 2 GPUs visible"),
        ((H100.format(0),), "", {}, "wrong", "CUDA_VISIBLE_DEVICES is '': none of 1 GPUs"),
        ((H100.format(0),), "3", {}, "wrong", "CUDA_VISIBLE_DEVICES is '3': none of 1 GPUs"),
        (("0, Tesla V100, 32768, 550.54, 7.0",), None, {}, "wrong", "Tesla V100: ERNIEKit needs Ampere or Hopper"),
        (("0, A100, 81920, 525.60.13, 8.0",), None, {}, "wrong", "NVIDIA driver 525.60.13"),
    ],
)
def test_number_and_kind_of_gpus(
    ready: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: tuple[str, ...],
    visible: str | None,
    parallel: dict[str, int],
    state: str,
    finding: str,
) -> None:
    toolkit(monkeypatch, tmp_path, FOR_GPUS)
    gpus(tmp_path, *lines)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find(checks_of(ready, training=GPU, parallel=parallel), finding).state == state


def test_gpus_of_all_machines_count(ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolkit(monkeypatch, tmp_path, FOR_GPUS)
    gpus(tmp_path, H100.format(0), H100.format(1))
    project = ready | {"training": GPU, "parallel": {"gpus": 4}}
    assert find(checks_of(project), "2 of 2 GPUs visible").state == "wrong"
    assert find(checks_of(project), "2 machines: parallel needs 4 GPUs, this machine has 2").state == "skipped"
    monkeypatch.setenv("NNODES", "2")
    assert find(checks_of(project), "2 of 2 GPUs visible").state == "ok"


def test_message_of_a_driver_that_fails(ready: dict[str, Any], tmp_path: Path) -> None:
    script(tmp_path / "path" / "nvidia-smi", "echo 'Failed to initialize NVML'; exit 9")
    assert find(checks_of(ready, training=GPU), "nvidia-smi fails: Failed to initialize NVML").state == "wrong"
