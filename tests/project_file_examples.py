"""The shortest project file, and the problems of loading one."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.loading import (
    load_project,
)

LEAST = "model: {model_name_or_path: ./m}\noutput_dir: ./o\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "project.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(folder: Path, text: str | bytes, *overrides: str) -> str:
    """Return the problems of loading, one per line with its hint, without the folder's name."""
    with pytest.raises(AdapterError) as error:
        load_project(written(folder, text), overrides)
    return str(error.value).replace(f"{folder}/", "").replace("\n    →", " →")
