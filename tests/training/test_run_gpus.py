"""GPUs of a run: as many as its project sets, however many the machine has."""

from __future__ import annotations

from typing import Any

import pytest

from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.gpus import gpu_variables


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "NNODES", "PADDLE_NNODES"):
        monkeypatch.delenv(name, raising=False)


def variables_of(device: str = "gpu", **parallel: Any) -> dict[str, str]:
    sections: dict[str, Any] = {"training": {"device": device}, "parallel": parallel, "output_dir": "o"}
    project = Project.model_validate({"model": {"model_name_or_path": "m"}, **sections})
    return gpu_variables(project.training.device, project.parallel.world_size)


@pytest.mark.parametrize(
    ("parallel", "gpus"), [({}, "0"), ({"tensor": 2}, "0,1"), ({"gpus": 4, "tensor": 2}, "0,1,2,3")]
)
def test_run_takes_the_gpus_of_its_project(parallel: dict[str, int], gpus: str) -> None:
    assert variables_of(**parallel) == {"CUDA_VISIBLE_DEVICES": gpus}


def test_gpus_are_divided_among_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNODES", "2")
    assert variables_of(gpus=16, tensor=8) == {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}
    with pytest.raises(UsageError, match="3 GPUs cannot be divided among 2 machines"):
        variables_of(gpus=3)


@pytest.mark.parametrize("named", ["3", "GPU-8f2a", " 5 "])
def test_keeps_a_matching_cuda_visible_devices(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert variables_of() == {}


@pytest.mark.parametrize(("named", "count"), [("0,1,2,3", 4), ("", 0)])
def test_rejects_another_number_of_visible_gpus(monkeypatch: pytest.MonkeyPatch, named: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with pytest.raises(UsageError) as error:
        variables_of(tensor=2)
    assert f"names {count} GPUs, but the project uses 2: the toolkit starts a process on each GPU" in str(error.value)
    assert "→ unset it, or name 2" in str(error.value)
    assert ("set parallel.gpus: 4" in str(error.value)) is (count == 4)


def test_cpu_run_sets_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert variables_of("cpu") == {}
