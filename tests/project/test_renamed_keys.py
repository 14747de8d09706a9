"""A project file with keys of an earlier version gets errors that name the new keys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.loading import keys_of, load_project
from erniekit_adapter.project.synonyms import RENAMED_KEYS

OLDER = """\
model: {model_name_or_path: ./model}
output_dir: ./run
training:
  stage: SFT
data:
  gates:
    arithmetic: warn
    visible: off
  engine: ray
  wordings: 2
export:
  forms: [native, peft]
"""
LINES = {"training.stage": 4, "data.gates": 6, "data.engine": 9, "data.wordings": 10, "export.forms": 12}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    path = tmp_path / "older.yaml"
    path.write_text(OLDER)
    return path


def test_every_new_key_exists() -> None:
    assert set(RENAMED_KEYS.values()) <= set(keys_of())
    assert LINES.keys() == RENAMED_KEYS.keys()


def test_check_names_the_line_and_the_new_key(older: Path) -> None:
    command = [sys.executable, "-m", "erniekit_adapter", "check", str(older)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    printed = " ".join((done.stdout + done.stderr).split())
    for key, line in LINES.items():
        new = RENAMED_KEYS[key]
        assert f":{line} {key}: is now called {new} → rename it to {new}" in printed


@pytest.mark.parametrize(("key", "new"), RENAMED_KEYS.items())
def test_override_names_the_new_key(key: str, new: str, older: Path) -> None:
    older.write_text("model: {model_name_or_path: ./model}\noutput_dir: ./run\n")
    value = "{arithmetic: warn}" if key == "data.gates" else "x"
    with pytest.raises(UsageError) as error:
        load_project(older, [f"{key}={value}"])
    assert [problem.finding for problem in error.value.problems] == [f"is now called {new}"]


def test_override_below_a_renamed_key_is_named(older: Path) -> None:
    older.write_text("model: {model_name_or_path: ./model}\noutput_dir: ./run\ndata: {seed: 1}\n")
    with pytest.raises(UsageError, match=r"^--set data\.gates: is now called data\.filters"):
        load_project(older, ["data.gates.dates=warn"])


def test_renamed_file_loads(older: Path) -> None:
    for key, new in RENAMED_KEYS.items():
        old_name, new_name = key.rpartition(".")[2], new.rpartition(".")[2]
        older.write_text(older.read_text().replace(f"  {old_name}:", f"  {new_name}:"))
    assert load_project(older).data.filters.arithmetic == "warn"
