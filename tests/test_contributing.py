"""CONTRIBUTING.md: its tree and its recipes name files that exist, and its layers are those of the import contract."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# Files that a recipe adds.
NEW = re.compile(r"NAME|TOOLKIT|VERSION")


def test_named_files_exist() -> None:
    named = re.findall(r"`((?:erniekit_adapter|data_tools|tests|docs|configs)/[\w./-]+)", PAGE)
    assert len(named) > 20
    assert [name for name in named if not NEW.search(name) and not (ROOT / name).exists()] == []


def test_tree_lists_every_package() -> None:
    tree = PAGE.partition("## The tree")[2].partition("```\n\n")[0]
    for package in ("erniekit_adapter", "data_tools"):
        block = tree.partition(f"\n{package}/")[2]
        block = re.split(r"\n(?=\S)", block)[0]
        paths = [path for path in (ROOT / package).iterdir() if not path.name.startswith("__")]
        packages = {f"{path.name}/" for path in paths if (path / "__init__.py").is_file()}
        modules = {path.name for path in paths if path.suffix == ".py"}
        assert set(re.findall(r"[\w.]+/(?= )|\w+\.py", block)) == packages | modules


def test_list_of_layers_equals_the_contract() -> None:
    listed = PAGE.partition("## Dependencies")[2].split("```")[1].strip().splitlines()
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition('containers = ["erniekit_adapter"]')[2]
    layers = re.findall(r'"(.+)",', contract.partition("layers = [")[2].partition("]")[0])
    assert [set(line.split(" · ")) for line in listed] == [set(layer.split(" | ")) for layer in layers]


def test_tree_lists_every_module_at_the_top() -> None:
    tree = PAGE.partition("## The tree")[2].partition("```\n\n")[0].partition("\ndata_tools/")[0]
    names = {path.name for path in (ROOT / "erniekit_adapter").glob("*.py") if not path.name.startswith("__")}
    assert names - set(re.findall(r"\w+\.py", tree)) == set()


def test_layers_are_those_of_the_import_contract() -> None:
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition('containers = ["erniekit_adapter"]')[2]
    layers = re.findall(r'^ +"(.+)",$', contract.partition("layers = [")[2].partition("]")[0], re.MULTILINE)
    listed = PAGE.partition("## Dependencies")[2].split("```")[1].split("\n")[1:-1]
    assert [line.replace(" · ", " | ") for line in listed] == layers


def test_glossary_has_no_retired_words() -> None:
    assert "instead of" not in PAGE
