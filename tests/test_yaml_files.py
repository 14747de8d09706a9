"""YAML and JSON files whose values keep their lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erniekit_adapter.errors import UsageError
from erniekit_adapter.yaml_files import LocatedFile, read_json, read_yaml

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def read(folder: Path, text: str, name: str = "file.json") -> LocatedFile:
    (folder / name).write_text(text, encoding="utf-8")
    return (read_json if name.endswith("json") else read_yaml)(folder / name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(JSON, st.booleans(), st.sampled_from([None, 2, "\t"]))
def test_json_file_has_the_content_of_its_json(tmp_path: Path, value: Any, ascii_only: bool, indent: Any) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert read(tmp_path, text).data == value


@pytest.mark.parametrize(
    ("text", "content"),
    [('{"a": "\\/"}', {"a": "/"}), ('{"a": "\\ud842\\udfb7"}', {"a": "𠮷"}), ('\t{\n\t"a": 1e3}', {"a": 1000.0})],
)
def test_json_is_read_by_its_own_rules(tmp_path: Path, text: str, content: Any) -> None:
    assert read(tmp_path, text).data == content


def test_key_has_its_line_in_both_formats(tmp_path: Path) -> None:
    assert read(tmp_path, '{\n"a": [\n{"b": 1}]}').location(("a", 0, "b")).endswith("file.json:3 a[0].b")
    assert read(tmp_path, "a:\n- b: 1\n", "file.yaml").location(("a", 0, "c")).endswith("file.yaml:2 a[0].c")


@pytest.mark.parametrize("text", ["a: 2025-13-45", "a: [", "a: !!python/object:os.system x", "a: &b [*b]", "a: *b"])
def test_refuses_yaml_that_has_no_value(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"file\.yaml"):
        read(tmp_path, text, "file.yaml")


def test_refuses_aliases_that_multiply(tmp_path: Path) -> None:
    levels = [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 9)]
    with pytest.raises(UsageError, match="more than 20,000 values"):
        read(tmp_path, "\n".join(["a0: &a0 [1]", *levels]), "file.yaml")
