"""A machine that is ready for a project: shell scripts replace the toolkit's interpreter and nvidia-smi."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.doctor import Check, examine
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
    foreign: Mapping[str, str] | None = None,
    backend: str = "erniekit",
) -> Path:
    """Write an interpreter that prints the result of a probe with these versions, and the usual ones of the rest."""
    report = {
        "python": "3.11.9",
        "versions": {**VERSIONS, **versions},
        "packages": {name: name not in lacking for name in PACKAGES},
        "unmet": unmet or {},
        "foreign": foreign or {},
    }
    python = script(folder / "env" / "python", f"echo '{json.dumps(report)}'")
    monkeypatch.setenv(f"{backend.upper()}_PYTHON", str(python))
    return python


def gpus(folder: Path, *lines: str) -> None:
    script(folder / "path" / "nvidia-smi", "\n".join(f"echo '{line}'" for line in lines))


H100 = "{}, NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0"


def checks_of(project: dict[str, Any], **sections: Any) -> list[Check]:
    """Return the checks of a project, with some sections replaced."""
    return list(examine(Project.model_validate(project | sections)))


def wrong_lines(checks: list[Check]) -> list[str]:
    return [str(check) for check in checks if check.state == "wrong"]


def find(checks: list[Check], start: str) -> Check:
    found = [check for check in checks if check.finding.startswith(start)]
    assert len(found) == 1, [str(check) for check in checks]
    return found[0]


GPU = {"device": "gpu", "max_steps": 10}


def no_template(model: Path) -> None:
    (model / "tokenizer_config.json").write_text("{}")


def no_tokenizer(model: Path) -> None:
    (model / "tokenizer.model").unlink()
