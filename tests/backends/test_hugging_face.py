"""Finding an environment with transformers and PEFT. The interpreters print the result of a probe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from erniekit_adapter.backends.environments.hugging_face import Transformers, find_transformers, setup_hint


def interpreter(path: Path, **versions: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    probed = json.dumps({"python": "3.11.9", "versions": versions, "packages": {}})
    path.write_text(f"#!/bin/sh\necho '{probed}'\n")
    path.chmod(0o755)
    return path


def environment(root: Path, name: str, **versions: str) -> Path:
    python = interpreter(root / ".venvs" / name / "bin" / "python", **versions)
    (root / ".venvs" / name / ".ready").touch()
    return python


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with both environments."""
    monkeypatch.delenv("TRANSFORMERS_PYTHON", raising=False)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.delenv("ERNIEKIT_ADAPTER_VENVS", raising=False)
    monkeypatch.setattr("erniekit_adapter.backends.environments.catalogue.PROJECT_ROOT", tmp_path)
    for name, version in (("transformers", "4.57.6"), ("transformers5", "5.23.0")):
        environment(tmp_path, name, torch="2", transformers=version, peft="0.21.2")
    return tmp_path


@pytest.mark.parametrize(("majors", "version"), [((4, 5), "4.57.6"), ((5,), "5.23.0"), ((4,), "4.57.6")])
def test_takes_the_environment_with_a_suitable_version(root: Path, majors: tuple[int, ...], version: str) -> None:
    found = find_transformers(*majors)
    assert isinstance(found, Transformers)
    assert found.version == version
    assert found.name == f"transformers {version}, PEFT 0.21.2"


def test_python_named_by_the_user_comes_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = interpreter(root / "own", torch="2", transformers="4.58.0", peft="0.18.0")
    monkeypatch.setenv("TRANSFORMERS_PYTHON", str(own))
    found = find_transformers(4, 5)
    assert isinstance(found, Transformers)
    assert found.python == own


def test_named_python_of_another_version_is_passed_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = interpreter(root / "own", torch="2", transformers="4.58.0", peft="0.18.0")
    monkeypatch.setenv("TRANSFORMERS_PYTHON", str(own))
    found = find_transformers(5)
    assert isinstance(found, Transformers)
    assert found.version == "5.23.0"


@pytest.mark.parametrize("versions", [{}, {"torch": "2", "transformers": "4.57.6"}])
def test_broken_named_python_is_not_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]
) -> None:
    monkeypatch.setenv("TRANSFORMERS_PYTHON", str(interpreter(root / "own", **versions)))
    found = find_transformers(4, 5)
    assert isinstance(found, str)
    assert found.startswith("TRANSFORMERS_PYTHON: lacks ")
    assert setup_hint(4, 5) == "correct TRANSFORMERS_PYTHON, or unset it"


def test_no_transformers_names_what_each_place_lacks(root: Path) -> None:
    environment(root, "transformers", torch="2", transformers="4.57.6")
    (root / ".venvs" / "transformers5" / "bin" / "python").unlink()
    gone = root / ".venvs" / "transformers5" / "bin" / "python"
    assert find_transformers(4, 5) == f".venvs/transformers: lacks peft; .venvs/transformers5: {gone} does not exist"
    assert setup_hint(4, 5) == "run erniekit-adapter setup transformers, or set TRANSFORMERS_PYTHON"
