"""Key tables of the toolkits' versions, and the check of settings with them."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
from settings_examples import RELEASED

from erniekit_adapter.architectures.toolkits import RELEASES, minor_release
from erniekit_adapter.backends.key_tables import accepted_keys, check_settings, table_version
from erniekit_adapter.errors import UsageError

VERSIONS = ["1.0.0", *RELEASED, "develop", "develop-20251124"]
MINORS = list(RELEASES["erniekit"])


def problem(key: str, value: Any, version: str = "1.0.1") -> str:
    return "\n".join(map(str, check_settings({key: value}, version, "train", "settings")))


@pytest.mark.parametrize("version", VERSIONS)
def test_tables_of_all_versions_load(version: str) -> None:
    train, export = accepted_keys(version, "train"), accepted_keys(version, "export")
    assert train["learning_rate"][0] == "float"
    assert "output_dir" in export


@pytest.mark.parametrize("version", VERSIONS)
def test_defaults_have_the_declared_type(version: str) -> None:
    known = accepted_keys(version, "train")
    wrong = [
        key
        for key, (kind, default) in known.items()
        if isinstance(default, bool) != kind.endswith(("bool", "bool]")) and kind in ("bool", "str", "float")
        if default is not None
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("version", "table"),
    [
        ("1.0.0", "1.0.1"),
        ("1.0.5", "1.0.1"),
        ("1.1.2", "1.1.0"),
        ("1.4.0", "1.4"),
        ("1.5.3", "1.5"),
        ("1.3.0.post1", "1.3.0"),
    ],
)
def test_version_uses_the_table_of_its_minor_release(version: str, table: str) -> None:
    assert table_version(version) == table
    assert resources.files("erniekit_adapter.backends").joinpath("keys").joinpath(f"erniekit-{table}.json").is_file()


@pytest.mark.parametrize("version", ["0.9.0", "2.0.0", "1.99.0", "", "unknown"])
def test_refuses_an_unknown_version(version: str) -> None:
    with pytest.raises(UsageError, match=rf"is not known here\n.*known: {MINORS[0]} to {MINORS[-1]}, develop"):
        table_version(version)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lora_rank", 16),
        ("learning_rate", 1.0e-4),
        ("learning_rate", 1),
        ("do_train", True),
        ("device", None),
        ("device", "cpu"),
        ("report_to", ["visualdl"]),
        ("evaluation_strategy", "steps"),
    ],
)
def test_accepts_a_value_of_the_right_type(key: str, value: Any) -> None:
    assert problem(key, value) == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lora_rank", True),
        ("lora_rank", 16.0),
        ("lora_rank", "16"),
        ("lora_rank", None),
        ("learning_rate", "1e-4"),
        ("learning_rate", False),
        ("do_train", 1),
        ("do_train", "false"),
        ("run_name", 5),
    ],
)
def test_refuses_a_value_of_another_type(key: str, value: Any) -> None:
    assert f"settings {key}: found {value!r}, expected" in problem(key, value)


def test_unknown_key_of_our_own_is_a_bug() -> None:
    assert "report this as a bug" in problem("lora_rnk", 8)


def test_key_of_a_later_version_is_unknown_before() -> None:
    later = set(accepted_keys("1.5", "train")) - set(accepted_keys("1.0.1", "train"))
    assert later
    assert "has no such key" in problem(min(later), 1)


@pytest.mark.parametrize(("version", "table"), [("1.0.3", "1.0.0"), ("1.1.0", "1.1.1"), ("1.2.0", "1.2.0")])
def test_tables_of_paddleformers(version: str, table: str) -> None:
    assert table_version(version, "paddleformers") == table
    assert accepted_keys(version, "train", "paddleformers")["per_device_train_batch_size"][0] == "int"


def test_refuses_paddleformers_before_1_0() -> None:
    with pytest.raises(UsageError, match=r"PaddleFormers: version 0\.4\.1 is not known here\n.*known: 1\.0 to 1\.2"):
        table_version("0.4.1", "paddleformers")


@pytest.mark.parametrize(
    ("version", "release"), [("1.0.1", (1, 0)), ("1.4", (1, 4)), ("1.3.0.post1", (1, 3)), ("develop-20251124", (99, 0))]
)
def test_versions_compare_by_minor_release(version: str, release: tuple[int, int]) -> None:
    assert minor_release(version) == release
