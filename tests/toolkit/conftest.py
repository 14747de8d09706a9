"""Fixtures for the environments of the toolkits."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def environment_python(name: str) -> Path:
    python = ROOT / ".venvs" / name / "bin" / "python"
    if not python.is_file():
        pytest.fail(f"{python.relative_to(ROOT)} is missing: run make setup-{name}", pytrace=False)
    return python


@pytest.fixture(scope="session")
def erniekit_python() -> Path:
    """Return the Python of the environment with ERNIEKit and Paddle."""
    return environment_python("erniekit")


@pytest.fixture(scope="session")
def transformers_python() -> Path:
    """Return the Python of the environment with torch, transformers and PEFT."""
    return environment_python("transformers")


@pytest.fixture(scope="session")
def transformers5_python() -> Path:
    """Return the Python of the environment with torch and transformers 5."""
    return environment_python("transformers5")


@pytest.fixture(scope="session")
def paddleformers_python() -> Path:
    """Return the Python of the environment with PaddleFormers, Paddle and transformers 5."""
    return environment_python("paddleformers")


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
    """Return a function that runs a toolkit's Python in the repository root and returns its output."""
    return _run


def _run(python: Path, *arguments: object, timeout_s: int = 120) -> str:
    command = [str(python), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if result.returncode:
        pytest.fail(f"{' '.join(command)}\nexit code {result.returncode}\n{result.stderr[-4000:]}", pytrace=False)
    return result.stdout
