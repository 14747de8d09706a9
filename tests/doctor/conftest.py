"""Fixtures of the doctor's tests: a bare machine, a model folder and a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doctor_examples import (
    VARIABLES,
    toolkit,
)
from safetensors.numpy import save_file


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables, no toolkit and no GPU on this machine."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("ERNIEKIT_ADAPTER_VENVS", str(tmp_path / "venvs"))
    monkeypatch.chdir(tmp_path)


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
    """A project that this machine is ready for."""
    toolkit(monkeypatch, tmp_path)
    (tmp_path / "lines.jsonl").touch()
    return {
        "model": {"model_name_or_path": "./model"},
        "training": {"device": "cpu", "max_steps": 10},
        "dataset": {"path": "./lines.jsonl"},
        "output_dir": "./run",
    }
