"""Commands in hints: each can be typed by its reader."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from data_tools.optional_packages import OCR_ENGINE, RAY
from erniekit_adapter.backends.environments import ENVIRONMENTS
from erniekit_adapter.backends.environments.hugging_face import setup_hint
from erniekit_adapter.backends.environments.installed import Candidate

ROOT = Path(__file__).resolve().parents[1]
# A command follows one of these words or characters.
BEFORE = r"(?:\brun |\bthen |: |\()"


@cache
def texts() -> tuple[str, ...]:
    """Return the texts of the product, without docstrings; values in f-strings are written as `{}`."""
    return tuple(
        text
        for package in ("erniekit_adapter", "data_tools")
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in texts_of(ast.parse(path.read_text()))
    )


def texts_of(tree: ast.Module) -> Iterator[str]:
    docstrings, parts = set(), set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            docstrings.add(id(body[0].value))
        if isinstance(node, ast.JoinedStr):
            parts.update(id(part) for part in node.values)
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | parts:
            yield node.value


def commands(pattern: str) -> set[str]:
    return {match[1] for text in texts() for match in re.finditer(BEFORE + pattern, text)}


def test_names_no_make_targets() -> None:
    """An installed copy has no Makefile."""
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    target = re.compile(rf"\bmake (?:{'|'.join(targets)})\b|\bmake \{{\}}")
    assert [text for text in texts() if target.search(text)] == []


def test_names_no_path_of_a_checkout() -> None:
    assert [text for text in texts() if ".venv/bin" in text] == []


def test_subcommands_exist() -> None:
    verbs = commands(r"erniekit-adapter ((?:data )?[a-z][a-z-]*)")
    assert {"train", "export", "data build", "data rejected"} <= verbs
    for verb in verbs:
        command = [sys.executable, "-m", "erniekit_adapter", *verb.split(), "--help"]
        assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0, verb


def test_commands_on_a_project_name_it() -> None:
    """Each of these commands stops without its argument."""
    on_a_project = r"erniekit-adapter (?:data build|train|export|evaluate|plan|check)\b"
    bare = re.compile(rf"{BEFORE}{on_a_project}(?! PROJECT| configs/| project\.yaml|\))")
    assert [text for text in texts() if bare.search(text)] == []


@pytest.mark.parametrize("backend", ["erniekit", "paddleformers"])
def test_environments_exist(backend: str) -> None:
    hints = [Candidate("PATH", None, problem="x").hint(backend), setup_hint(4), setup_hint(5)]  # type: ignore[arg-type]
    named = {name for hint in hints for name in re.findall(r"erniekit-adapter setup (\w+)", hint)}
    assert named == {backend, "transformers", "transformers5"}
    assert named | commands(r"erniekit-adapter setup (\w+)") <= set(ENVIRONMENTS)


def test_no_hint_installs_this_package_from_the_registry() -> None:
    """It is not published there."""
    assert [text for text in texts() if re.search(r"pip install [^,;]*erniekit", text)] == []


@pytest.mark.parametrize(("extra", "command"), [("ocr", OCR_ENGINE), ("ray", RAY)])
def test_installs_the_packages_of_an_extra(extra: str, command: str) -> None:
    listed = re.search(rf"^{extra} = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert listed is not None
    assert shlex.split(command) == ["pip", "install", *ast.literal_eval(listed[1])]
