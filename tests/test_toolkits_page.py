"""docs/toolkits.md: each fact about a toolkit names a test that exists."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from erniekit_adapter.cli import main

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "toolkits.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)


def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_tests_that_the_page_names_exist() -> None:
    assert len(NAMED) > 50
    assert [f"{file}::{name}" for file, name in NAMED if name not in names_in(TESTS / file)] == []


def test_every_fact_of_the_table_has_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and line.count("|") == 4]
    facts = [row for row in rows[rows.index("| --- | --- | --- |") + 1 :] if not row.startswith("| **")]
    facts = facts[facts.index(next(row for row in facts if "ignores an unknown key" in row)) :]
    assert len(facts) > 40
    assert [row for row in facts if "::test_" not in row] == []


def test_settings_on_the_page_are_printed_by_translate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(TESTS.parent)
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter", "translate", "configs/ernie-vl-28b-lora.yaml"])
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr().out.splitlines()
    shown = PAGE.partition("```text\n")[2].partition("```")[0].splitlines()
    assert [line for line in shown if line != "…" and line not in printed] == []
