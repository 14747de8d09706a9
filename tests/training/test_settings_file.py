"""The settings file: YAML that ERNIEKit's parser reads with the same types, and comments with the origins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.backends.settings import Setting
from erniekit_adapter.training.settings_file import differences, settings_text, write_settings

texts = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=300)
scalars = st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | texts


def text_of(**settings: Any) -> str:
    return settings_text({key: Setting(value, ("a key",), "a rule") for key, value in settings.items()})


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (1e-5, "1.0e-05"),
        (2e-4, "0.0002"),
        (3.0, "3.0"),
        (1e20, "1.0e+20"),
        (True, "true"),
        (-1, "-1"),
        ("1.0", "'1.0'"),
        ("true", "'true'"),
        ("1e-5", "1e-5"),
        ("a: b # c", "'a: b # c'"),
        (["visualdl"], "[visualdl]"),
        (None, "null"),
        ("", "''"),
    ],
)
def test_keeps_the_type_of_each_value(value: Any, line: str) -> None:
    text = text_of(key=value)
    assert f"\nkey: {line}  # a key; rule: a rule\n" in text
    assert yaml.safe_load(text) == {"key": value}


@given(values=st.lists(scalars | st.lists(scalars, max_size=3), max_size=5))
def test_round_trip_keeps_types(values: list[Any]) -> None:
    settings = {f"key_{index}": value for index, value in enumerate(values)}
    read = yaml.safe_load(text_of(**settings)) or {}
    assert repr(read) == repr(settings)


@given(name=st.text(max_size=200))
def test_any_run_name_leaves_other_keys_intact(name: str) -> None:
    read = yaml.safe_load(text_of(before=1, run_name=name, after=2.5))
    assert (read["before"], read["run_name"], read["after"]) == (1, name, 2.5)


def test_computed_settings_follow_as_comments() -> None:
    text = settings_text({"a": Setting(1, "x")}, [("fp16", "true", "from compute_type")])
    assert text.splitlines()[-1].split() == ["#", "fp16", "true", "from", "compute_type"]
    assert yaml.safe_load(text) == {"a": 1}


def test_writes_the_text_to_the_file(tmp_path: Path) -> None:
    write_settings(tmp_path / "settings.yaml", {"a": Setting(1, "x")})
    assert (tmp_path / "settings.yaml").read_text() == settings_text({"a": Setting(1, "x")})


PLACES = {"training.seed": "mine.yaml:12", "training.fp16": "--set"}


@pytest.mark.parametrize(
    ("setting", "origin"),
    [
        (Setting(1, ("training.seed",)), "mine.yaml:12 training.seed"),
        (Setting(1, ("lora.r",)), "default lora.r"),
        (Setting(1, ("training.fp16", "training.bf16")), "--set training.fp16"),
        (Setting(1, rule="one process"), "rule: one process"),
        (Setting(1, ("training.seed",), "why"), "mine.yaml:12 training.seed; rule: why"),
        (Setting(1, ("more.yaml adam_beta2",)), "more.yaml adam_beta2"),
    ],
)
def test_names_the_origin_of_each_key(setting: Setting, origin: str) -> None:
    assert settings_text({"key": setting}, places=PLACES).endswith(f"key: 1  # {origin}\n")


def test_diff_of_two_projects_includes_types() -> None:
    ours = {"a": Setting(1, ("x",)), "b": Setting(1, ("x",)), "c": Setting(True, ("x",))}
    theirs = {"a": Setting(1, ("y",)), "b": Setting(1.0, ("y",)), "d": Setting("t", ("y",))}
    assert differences(ours, theirs, ("one.yaml", "two.yaml")) == (
        "--- one.yaml\n+++ two.yaml\n- b: 1  # x\n+ b: 1.0  # y\n- c: true  # x\n+ d: t  # y\n"
    )
    assert differences(ours, ours, ("one.yaml", "two.yaml")) == ""
