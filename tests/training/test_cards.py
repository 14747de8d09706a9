"""A run takes as many GPUs as its project asks, whatever the machine has."""

from __future__ import annotations

from typing import Any

import pytest

from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.cards import cards_of_run


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "NNODES", "PADDLE_NNODES"):
        monkeypatch.delenv(name, raising=False)


def asking(device: str = "gpu", **parallel: Any) -> Project:
    sections: dict[str, Any] = {"training": {"device": device}, "parallel": parallel, "output_dir": "o"}
    return Project.model_validate({"model": {"model_name_or_path": "m"}, **sections})


@pytest.mark.parametrize(
    ("parallel", "cards"), [({}, "0"), ({"tensor": 2}, "0,1"), ({"gpus": 4, "tensor": 2}, "0,1,2,3")]
)
def test_it_takes_as_many_as_the_project_asks(parallel: dict[str, int], cards: str) -> None:
    assert cards_of_run(asking(**parallel)) == {"CUDA_VISIBLE_DEVICES": cards}


def test_several_machines_share_them_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNODES", "2")
    assert cards_of_run(asking(gpus=16, tensor=8)) == {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}
    with pytest.raises(UsageError, match="3 GPUs cannot be shared out among 2 machines"):
        cards_of_run(asking(gpus=3))


@pytest.mark.parametrize("named", ["3", "GPU-8f2a", " 5 "])
def test_those_that_the_user_names_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert cards_of_run(asking()) == {}


@pytest.mark.parametrize(("named", "count"), [("0,1,2,3", 4), ("", 0)])
def test_more_or_fewer_than_asked_are_refused_with_both_ways_out(
    monkeypatch: pytest.MonkeyPatch, named: str, count: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    with pytest.raises(UsageError) as error:
        cards_of_run(asking(tensor=2))
    assert f"names {count} GPUs, and the project asks for 2: a process is started on each" in str(error.value)
    assert "→ unset it, or name 2" in str(error.value)
    assert ("set parallel.gpus: 4" in str(error.value)) is (count == 4)


def test_a_cpu_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert cards_of_run(asking("cpu")) == {}
