"""One lora_config.json gets one verdict: in export, merge, bundles and continued training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.backends.translation import problems_of_project
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.file_checks.configs import NativeConfig, config_problems
from erniekit_adapter.layouts.lora_tensors import check_lora
from erniekit_adapter.lora.config import KNOWN, NOT_PLAIN, lora_config_problems, scaling
from erniekit_adapter.merge.matching import match_erniekit
from erniekit_adapter.project.schema import Project

PLAIN: dict[str, Any] = {
    "base_model_name_or_path": "./base",
    "r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "rslora": False,
    "target_modules": [".*qkv_proj.*"],
    **dict.fromkeys(NOT_PLAIN, False),
    "trainable_bias": None,
    "trainable_modules": None,
    "enable_lora_list": None,
}
WRONG: dict[str, Mapping[str, Any]] = {
    **{key: {key: True} for key in NOT_PLAIN},
    "a later switch": {"use_new_lora": True},
    "rslora as a word": {"rslora": "false"},
    "rslora as a number": {"rslora": 1},
    "no rslora": {"rslora": None},
    "no dropout": {"lora_dropout": None},
    "dropout over 1": {"lora_dropout": 1.5},
    "rank 0": {"r": 0},
    "rank as a boolean": {"r": True},
    "alpha 0": {"lora_alpha": 0},
    "alpha as a word": {"lora_alpha": "16"},
}


def by_export(config: Mapping[str, Any], folder: Path) -> str:
    try:
        check_lora({}, {}, config)
    except AdapterError as error:
        return str(error)
    return ""


def by_merge(config: Mapping[str, Any], folder: Path) -> str:
    try:
        match_erniekit({}, {}, config)
    except AdapterError as error:
        return str(error)
    return ""


def by_bundle(config: Mapping[str, Any], folder: Path) -> str:
    return " ".join(map(str, config_problems("native/lora_config.json", "lora_config.json", dict(config))))


def by_continued_training(config: Mapping[str, Any], folder: Path) -> str:
    (folder / "lora_config.json").write_text(json.dumps(config))
    project = Project.model_validate(
        {
            "model": {"model_name_or_path": "baidu/ERNIE-4.5-0.3B-Paddle"},
            "output_dir": "./run",
            "erniekit": {"version": "1.0.1", "extra": {"lora_path": str(folder)}},
        }
    )
    return " ".join(map(str, problems_of_project(project)))


READERS = (by_export, by_merge, by_bundle, by_continued_training)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_every_reader_refuses(
    change: Mapping[str, Any], reader: Callable[[Mapping[str, Any], Path], str], tmp_path: Path
) -> None:
    found = reader({**PLAIN, **change}, tmp_path)
    assert f"lora_config.json {next(iter(change))}" in found


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_accepts_plain_lora(reader: Callable[[Mapping[str, Any], Path], str], tmp_path: Path) -> None:
    off = {**PLAIN, "use_new_lora": False, "trainable_bias": "none", "trainable_modules": [], "do_qat": 0}
    assert "lora_config.json" not in reader(off, tmp_path)
    assert not list(lora_config_problems(off))


@pytest.mark.parametrize("alpha", [10**400, float("nan"), float("inf")])
def test_rejects_an_impossible_alpha(alpha: float) -> None:
    assert [each.location for each in lora_config_problems({**PLAIN, "lora_alpha": alpha})] == [
        "lora_config.json lora_alpha"
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"lora_alpha": NaN}', "{}"])
def test_continued_training_refuses_an_unreadable_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "lora_config.json").write_text(text)
    project = Project.model_validate(
        {
            "model": {"model_name_or_path": "baidu/ERNIE-4.5-0.3B-Paddle"},
            "output_dir": "./run",
            "erniekit": {"version": "1.0.1", "extra": {"lora_path": str(tmp_path)}},
        }
    )
    assert "lora_config.json" in " ".join(map(str, problems_of_project(project)))


def test_bundles_know_the_same_keys() -> None:
    assert set(NativeConfig.model_fields) == KNOWN


@given(alpha=st.integers(1, 512), rank=st.integers(1, 512))
def test_scaling(alpha: int, rank: int) -> None:
    assert scaling(alpha, rank, rslora=False) == alpha / rank
    assert scaling(alpha, rank, rslora=True) == pytest.approx(alpha / rank**0.5)
