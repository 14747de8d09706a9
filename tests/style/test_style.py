"""Plain English, one name for one thing, and files of a readable size: checks of the source code itself."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from wording import ROOT, RULES, Rule, counts

PACKAGES = ("erniekit_adapter", "data_tools")
MAX_TEST_NAME = 60
MAX_LINES = 400
# First words of a clause; a docstring does not begin with "What the …" or "Whether a …".
_WORDS = "what where whether which who why how when if is are does do from to as so that for"
CLAUSE = re.compile(rf"(?:{_WORDS.replace(chr(32), chr(124))})\b", re.IGNORECASE)


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def docstrings(path: Path) -> list[tuple[int, str]]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, documented)]
    return [(getattr(node, "lineno", 1), text) for node in nodes if (text := ast.get_docstring(node))]


@pytest.fixture(scope="module")
def measured() -> tuple[int, dict[str, int]]:
    return counts()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_wording_is_within_its_limit(measured: tuple[int, dict[str, int]], rule: Rule) -> None:
    words, found = measured
    assert found[rule.name] * 10_000 / words <= rule.limit, "python tests/style/wording.py --where lists the places"


def test_docstrings_begin_with_verb_or_noun() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.partition(chr(10))[0]}"
        for path in python_files(*PACKAGES, "benchmarks", "tiny_base")
        for line, text in docstrings(path)
        if CLAUSE.match(text)
    ]
    assert found == []


def test_test_names_are_short() -> None:
    names = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files("tests")
        for name in re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if len(name) > MAX_TEST_NAME
    ]
    assert names == []


def test_class_names_are_unique() -> None:
    names = Counter(
        node.name
        for path in python_files(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_files_are_short() -> None:
    folders = (*PACKAGES, "tests", "benchmarks", "tiny_base")
    lengths = {path.relative_to(ROOT): path.read_text(encoding="utf-8").count("\n") for path in python_files(*folders)}
    assert {str(path): length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_modules_of_tests_have_unique_names() -> None:
    names = Counter(path.name for path in python_files("tests") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
