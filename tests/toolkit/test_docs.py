"""Every command of README.md, docs/ and the base model's card, in the order a newcomer reads them, run in a copy.

Three kinds are not run: `make test`, which is this, and those under `console cluster`, which need a GPU, and `console
long`, which take most of an hour: of these the make targets and the files they name are checked. Takes as long as `make
demo` and a small sweep.
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
    *(f"docs/{name}.md" for name in ("data", "formats", "tables", "einvoices", "gates", "visibility", "lines")),
    "docs/data-scale.md",
    *(f"docs/{name}.md" for name in ("configuration", "models", "toolkits", "planning", "doctor")),
    *(f"docs/{name}.md" for name in ("training", "export", "service", "evaluation", "sweep", "cluster")),
)
BLOCK = re.compile(r"^```console(?P<kind>[^\n]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
NOT_RUN = ("make test",)
LIMIT_S = 900


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
    """The repository's files, as a clone would have them, beside the environments that are there already."""
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
            shutil.copy2(ROOT / name, folder / name)  # with its time, so that make sees the environments as ready
    for name in (".venv", ".venvs"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(copy: Path, command: str) -> str:
    # `make test ARGS=…` hands its variables to every make below it; the reader's own commands have none.
    not_ours = re.compile(r"MAKE|MFLAGS|ARGS$|CONFIG$")
    environment = {name: value for name, value in os.environ.items() if not not_ours.match(name)}
    done = subprocess.run(
        shlex.split(command), cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_pages_hold_commands_and_every_page_is_read() -> None:
    assert {command.page for command in commands()} == set(PAGES)
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} < set(PAGES)


def check_only(copy: Path, command: str) -> None:
    """That the make target, the project file or sweep file, or the command's options exist."""
    config = command.partition("CONFIG=")[2]
    if not command.startswith("make "):
        run(copy, f"{command} --help")
        return
    run(copy, command.replace("make ", "make --dry-run ", 1))
    if "sweeps/" in config:
        assert load_sweep(copy / config)[1]
    else:
        run(copy, f"{sys.executable} -m erniekit_adapter check {config}")


def test_every_command_of_the_pages_ends_well(copy: Path) -> None:
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


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"
