"""Run every command of README.md, docs/ and tiny_base/README.md in a copy of the repository, in reading order.

Three kinds are not run: `make test`, which runs this file; blocks with `console cluster`, which need a GPU; and blocks
with `console long`, which take up to an hour. For the last two, the commands and the project files are checked.
The whole file takes as long as `make demo` and a small sweep.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from erniekit_adapter.sweep.sweep_file import load_sweep

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "tiny_base/README.md",
    *(f"docs/{name}.md" for name in ("data", "formats", "tables", "einvoices", "filters", "visibility")),
    *(f"docs/{name}.md" for name in ("types", "document-types")),
    "docs/training-examples.md",
    "docs/data-scale.md",
    "docs/your-own-document.md",
    *(f"docs/{name}.md" for name in ("configuration", "models", "toolkits", "planning", "doctor")),
    *(f"docs/{name}.md" for name in ("training", "export", "service", "evaluation", "structured", "sweep", "cluster")),
)
BLOCK = re.compile(r"^```console(?P<kind>[^\n]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
NOT_RUN = ("make test",)
LIMIT_S = 900
# The command of the environment runs the checkout that was installed; the pages are tested with the copy's own code.
PROGRAM = ".venv/bin/erniekit-adapter"
COPY_PROGRAM = [sys.executable, "-m", "erniekit_adapter"]


@dataclass(frozen=True)
class Command:
    page: str
    text: str
    only_checked: bool


def commands() -> Iterator[Command]:
    for page in PAGES:
        for block in BLOCK.finditer((ROOT / page).read_text()):
            for line in block["text"].splitlines():
                if line.startswith("$ "):
                    yield Command(page, line.removeprefix("$ "), block["kind"].strip() in ("cluster", "long"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the repository's files, with links to the existing environments."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)  # keeps the time, so make takes the environments as ready
    for name in (".venv", ".venvs"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def arguments_of(command: str) -> list[str]:
    """Return the arguments of a command of a page, changed to run the code of the copy."""
    program, *arguments = shlex.split(command)
    if program == PROGRAM:
        return [*COPY_PROGRAM, *arguments]
    if program == "make":
        return [program, f"ADAPTER={shlex.join(COPY_PROGRAM)}", *arguments]
    return [program, *arguments]


def run(copy: Path, command: str) -> str:
    # `make test ARGS=…` passes its variables to every make that it starts; the commands of a reader have none.
    make_variables = re.compile(r"MAKE|MFLAGS|ARGS$|CONFIG$")
    environment = {name: value for name, value in os.environ.items() if not make_variables.match(name)}
    done = subprocess.run(
        arguments_of(command), cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_every_page_has_commands() -> None:
    assert {command.page for command in commands()} == set(PAGES)
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} < set(PAGES)


def check_only(copy: Path, command: str) -> None:
    """Check that the command exists and accepts its options, and that the project or sweep file is valid."""
    run(copy, f"{command} --help")
    for config in re.findall(r"configs/\S+\.yaml", command):
        if "sweeps/" in config:
            assert load_sweep(copy / config)[1]
        else:
            run(copy, f"{PROGRAM} check {config}")


def test_every_command_of_the_pages_succeeds(copy: Path) -> None:
    for command in commands():
        if command.text in NOT_RUN:
            continue
        if command.only_checked:
            check_only(copy, command.text)
        else:
            run(copy, command.text)
    results = json.loads((copy / "runs/demo/evaluation/results.json").read_text())
    assert results["comparison"]["strict_json"]["verdict"] == "better"
    assert results["base"]["strict_json"]["value"] < 0.2


def test_links_between_the_pages_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"
