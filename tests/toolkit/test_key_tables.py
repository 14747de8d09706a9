"""The key tables of this package, compared with the toolkits that `erniekit-adapter setup` installs."""

from __future__ import annotations

from pathlib import Path

import pytest

from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.backends.environments.catalogue import environment_python, setup_command
from erniekit_adapter.backends.key_tables import TABLES_FOLDER
from erniekit_adapter.backends.read_keys import read_table, table_text

pytestmark = pytest.mark.toolkit


def python_of(environment: str) -> Path:
    python = environment_python(environment)
    if not python.is_file():
        pytest.fail(f"{python} is missing: run {setup_command(environment)}", pytrace=False)
    return python


@pytest.mark.parametrize(
    ("backend", "environment", "version"),
    [
        ("erniekit", "erniekit", "1.0.1"),
        ("erniekit", "erniekit13", "1.3.0"),
        ("paddleformers", "paddleformers", "1.2.0"),
    ],
)
def test_table_is_what_the_toolkit_declares(backend: Backend, environment: str, version: str) -> None:
    shipped = TABLES_FOLDER / f"{backend}-{version}.json"
    assert table_text(read_table(backend, python_of(environment))) == shipped.read_text()


def test_table_of_a_checkout_that_was_never_installed(tmp_path: Path) -> None:
    parser = tmp_path / "erniekit" / "hparams" / "parser.py"
    parser.parent.mkdir(parents=True)
    parser.write_text(
        "from dataclasses import dataclass, field\n"
        "from typing import List, Optional\n"
        "@dataclass\n"
        "class Arguments:\n"
        "    names: Optional[List[str]] = field(default=None)\n"
        "    rate: float = 0.1\n"
        "    derived: int = field(init=False, default=0)\n"
        "_TRAIN_ARGS = _EXPORT_ARGS = [Arguments]\n"
    )
    table = read_table("erniekit", python_of("paddleformers"), home=tmp_path)
    assert table["train"] == {"names": ["Optional[List[str]]", None], "rate": ["float", 0.1]}
    assert (table["erniekit"], table["paddleformers"]) == (None, "1.2.0")
