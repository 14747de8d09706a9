"""Names that `make` passes to the commands: as they are typed, and nothing in them is run."""

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
OF_MAKE = re.compile(r"MAKE|MFLAGS|ARGS$|CONFIG$")
TARGETS = {
    "data": ["build", "--project", "FILE"],
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
    """Return what the command of a target is given; a program that prints it is run instead, and nothing is set up."""
    show = f'{sys.executable} -c "{SHOW}"'
    command = ["make", "-s", "-f", str(MAKEFILE), "-o", "setup", target, f"ADAPTER={show}", f"DATA={show}", *settings]
    # `make test ARGS=…` passes its variables to every make below it; a user's own command has none.
    environment = {name: value for name, value in os.environ.items() if not OF_MAKE.match(name)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=MAKEFILE.parent, env=environment)
    return done.stdout.splitlines()


@pytest.mark.parametrize("target", TARGETS)
def test_a_name_with_blanks_is_one_argument(target: str) -> None:
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
def test_any_name_comes_as_it_was_typed(name: str) -> None:
    assert arguments("check", f"CONFIG={name}") == ["check", name]


def test_arguments_are_read_by_the_shell() -> None:
    given = arguments("train", "CONFIG=a.yaml", "ARGS=--set 'run_name=my run' --set \"model.name=$(printf b)\"")
    assert given == ["train", "a.yaml", "--set", "run_name=my run", "--set", "model.name=b"]


def test_each_target_has_a_project_without_a_name() -> None:
    assert arguments("check") == ["check", "configs/demo-cpu.yaml"]
    assert arguments("sweep") == ["sweep", "configs/sweeps/learning-rate.yaml"]
