"""The Makefile: arguments reach the commands unchanged, and setup changes only its own environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"
SHOW = "import sys; print(*sys.argv[1:], sep='\\n')"
MAKE_VARIABLES = re.compile(r"MAKE|MFLAGS|ARGS$|CONFIG$")
TARGETS = {
    "data": ["data", "build", "FILE"],
    "train": ["train", "FILE"],
    "export": ["export", "FILE"],
    "evaluate": ["evaluate", "FILE"],
    "sweep": ["sweep", "FILE"],
    "check": ["check", "FILE"],
    "plan": ["plan", "FILE"],
    "doctor": ["doctor", "FILE"],
}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def arguments(target: str, *settings: str) -> list[str]:
    """Return the arguments of a target's command. A program that prints them runs instead, and nothing is set up."""
    show = f'{sys.executable} -c "{SHOW}"'
    command = ["make", "-s", "-f", str(MAKEFILE), "-o", "setup", target, f"ADAPTER={show}", *settings]
    # `make test ARGS=…` passes its variables to every make that it starts; the command of a user has none.
    environment = {name: value for name, value in os.environ.items() if not MAKE_VARIABLES.match(name)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=MAKEFILE.parent, env=environment)
    return done.stdout.splitlines()


@pytest.mark.parametrize("target", TARGETS)
def test_name_with_spaces_is_one_argument(target: str) -> None:
    name = "my  project.yaml"
    assert arguments(target, f"CONFIG={name}") == [name if part == "FILE" else part for part in TARGETS[target]]


@pytest.mark.parametrize(
    "name",
    [
        "it's.yaml",
        'a "quoted" one.yaml',
        "$HOME $$ $(shell exit) `id`.yaml",
        "发票 🧾.yaml",
        "#1.yaml",
        "a;b&c|d*.yaml",
        "a\\b",
    ],
)
def test_name_is_passed_unchanged(name: str) -> None:
    assert arguments("check", f"CONFIG={name}") == ["check", name]


def test_shell_parses_args() -> None:
    found = arguments("train", "CONFIG=a.yaml", "ARGS=--set 'run_name=my run' --set \"model.name=$(printf b)\"")
    assert found == ["train", "a.yaml", "--set", "run_name=my run", "--set", "model.name=b"]


def test_default_project_of_a_target() -> None:
    assert arguments("check") == ["check", "configs/demo-cpu.yaml"]
    assert arguments("sweep") == ["sweep", "configs/sweeps/learning-rate.yaml"]


def test_setup_leaves_a_linked_environment_alone(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "requirements" / "project.txt").touch()
    (tmp_path / "pyproject.toml").touch()
    other = tmp_path / "other"
    (other / "bin").mkdir(parents=True)
    (tmp_path / ".venv").symlink_to(other)
    environment = {name: value for name, value in os.environ.items() if not MAKE_VARIABLES.match(name)}
    done = subprocess.run(["make", "setup"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert ".venv is a link" in done.stdout
    assert (other / "bin").is_dir()
