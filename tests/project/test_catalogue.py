"""Which models there are, and what is said about a name that is none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.project.catalogue import MODELS, CatalogueModel, find_model, is_local, model_problems


def said(name: str) -> str:
    return "\n".join(map(str, model_problems(name, "model.model_name_or_path")))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_published_model_is_accepted(model: CatalogueModel) -> None:
    name = model.id
    assert said(name) == ""
    assert find_model(name) is model


def test_a_model_that_does_not_exist_is_refused_with_the_nearest_that_do() -> None:
    text = said("baidu/ERNIE-4.5-8B")
    assert "there is no model baidu/ERNIE-4.5-8B" in text
    assert "baidu/ERNIE-4.5-0.3B-Paddle" in text
    nearest = text.partition("the nearest that exist: ")[2].partition(";")[0].split(", ")
    assert nearest
    assert all(find_model(name) for name in nearest)


@pytest.mark.parametrize("name", ["baidu/ERNIE-4.5-0.3B-PT", "baidu/ERNIE-4.5-21B-A3B-Base-PT"])
def test_torch_weights_are_refused_and_the_paddle_repository_is_named(name: str) -> None:
    assert "has torch weights" in said(name)
    assert f"use {name.removesuffix('PT')}Paddle" in said(name)


@pytest.mark.parametrize("owner", ["baidu/", "PaddlePaddle/", ""])
def test_either_owner_will_do(owner: str) -> None:
    name = f"{owner}ERNIE-4.5-0.3B-Paddle"
    assert said(name) == ""
    found = find_model(name)
    assert found is not None
    assert (found.kind, found.layers, found.hidden) == ("dense", 18, 1024)


@pytest.mark.parametrize("name", ["someone/ERNIE-4.5-0.3B-Paddle", "gpt2", "baidu/", "a/b/c"])
def test_any_other_name_is_refused_with_a_remedy(name: str) -> None:
    assert find_model(name) is None
    assert f"there is no model {name}" in said(name)
    assert "a folder is written as a path" in said(name)


@pytest.mark.parametrize("name", ["./models/ernie", "../ernie", "/models/ernie", "~/ernie", "."])
def test_a_path_means_a_folder_whether_or_not_it_is_there(name: str) -> None:
    assert is_local(name)
    assert said(name) == ""


def test_a_folder_that_is_there_needs_no_path_in_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_local("my-ernie")
    (tmp_path / "my-ernie").mkdir()
    assert is_local("my-ernie")
    assert said("my-ernie") == ""
