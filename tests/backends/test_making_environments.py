"""Making a toolkit's environment, with stand-ins for venv and pip."""

from __future__ import annotations

import sys
from collections import namedtuple
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from erniekit_adapter.backends.environments import ENVIRONMENTS, catalogue, environment_dir, make_environment, making
from erniekit_adapter.backends.environments.catalogue import is_incomplete, requirements_file
from erniekit_adapter.backends.environments.installed import find_erniekit
from erniekit_adapter.errors import AdapterError, UsageError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=200)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run; venv makes a folder, pip fails if the file `no-network` exists."""
    monkeypatch.setenv("ERNIEKIT_ADAPTER_VENVS", str(tmp_path / "venvs"))
    run: list[list[str]] = []

    def run_attached(command: list[str]) -> int:
        run.append(command)
        if "venv" in command:
            folder = Path(command[-1])
            (folder / "bin").mkdir(parents=True)
            (folder / "pyvenv.cfg").touch()
            (folder / "bin" / "python").touch()
            return 0
        return int((tmp_path / "no-network").exists())

    monkeypatch.setattr(making, "run_attached", run_attached)
    return run


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_has_requirements(name: str) -> None:
    assert "==" in requirements_file(name).read_text()
    assert ENVIRONMENTS[name].name == name
    assert ENVIRONMENTS[name].size_gb > 1


def test_folder_in_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ERNIEKIT_ADAPTER_VENVS", raising=False)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(catalogue, "PROJECT_ROOT", tmp_path)
    assert environment_dir("erniekit") == tmp_path / ".venvs" / "erniekit"


def test_folder_of_an_installed_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ERNIEKIT_ADAPTER_VENVS", raising=False)
    monkeypatch.setattr(catalogue, "PROJECT_ROOT", tmp_path / "site-packages")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert environment_dir("erniekit") == tmp_path / "home" / ".cache" / "erniekit-adapter" / "venvs" / "erniekit"
    assert catalogue.environment_label("erniekit") == "~/.cache/erniekit-adapter/venvs/erniekit"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert environment_dir("erniekit") == tmp_path / "cache" / "erniekit-adapter" / "venvs" / "erniekit"
    monkeypatch.setenv("ERNIEKIT_ADAPTER_VENVS", str(tmp_path / "disk"))
    assert environment_dir("erniekit") == tmp_path / "disk" / "erniekit"


def test_makes_an_environment_once(commands: list[list[str]], console: Console, tmp_path: Path) -> None:
    folder = make_environment("erniekit", console)
    assert folder == tmp_path / "venvs" / "erniekit"
    assert [command[-2:] for command in commands] == [
        ["venv", str(folder)],
        ["-r", str(requirements_file("erniekit"))],
    ]
    assert not is_incomplete("erniekit")
    assert make_environment("erniekit", console) == folder
    assert len(commands) == 2
    assert sorted(path.name for path in folder.parent.iterdir()) == ["erniekit"]


def test_makes_it_again_for_other_requirements(commands: list[list[str]], console: Console) -> None:
    folder = make_environment("erniekit", console)
    (folder / "old").touch()
    (folder / ".ready").write_text("of other requirements")
    make_environment("erniekit", console)
    assert len(commands) == 4
    assert not (folder / "old").exists()


def test_environment_made_by_make_is_kept(commands: list[list[str]], console: Console) -> None:
    folder = make_environment("erniekit", console)
    (folder / ".ready").write_text("")
    make_environment("erniekit", console)
    assert len(commands) == 2


def test_failed_setup_is_not_used_and_can_be_repeated(
    commands: list[list[str]], console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ERNIEKIT_HOME", "ERNIEKIT_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    (tmp_path / "no-network").touch()
    with pytest.raises(AdapterError, match=r"pip ended with exit code 1\n.*run erniekit-adapter setup erniekit again"):
        make_environment("erniekit", console)
    assert is_incomplete("erniekit")
    with pytest.raises(UsageError, match=r"its setup did not finish\n.*run erniekit-adapter setup erniekit"):
        find_erniekit()
    (tmp_path / "no-network").unlink()
    make_environment("erniekit", console)
    assert not is_incomplete("erniekit")


def test_refuses_a_folder_with_other_files(commands: list[list[str]], console: Console, tmp_path: Path) -> None:
    (tmp_path / "venvs" / "erniekit").mkdir(parents=True)
    (tmp_path / "venvs" / "erniekit" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is not a virtual environment"):
        make_environment("erniekit", console)
    assert commands == []


def test_refuses_a_full_disk(commands: list[list[str]], console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, 10**9))
    with pytest.raises(AdapterError, match=r"needs 2\.8 GB, and 1\.0 GB are free\n.*ERNIEKIT_ADAPTER_VENVS"):
        make_environment("erniekit", console)
    assert commands == []


def test_refuses_an_unknown_name(console: Console) -> None:
    with pytest.raises(UsageError, match="found 'torch', expected one of erniekit, "):
        make_environment("torch", console)


def test_refuses_a_python_that_is_too_new(
    commands: list[list[str]], console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    with pytest.raises(UsageError, match=r"this is Python 3\.14"):
        make_environment("erniekit", console)


def test_refuses_a_python_without_ensurepip(
    commands: list[list[str]], console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=rf"apt install python3\.{sys.version_info[1]}-venv"):
        make_environment("erniekit", console)


def test_pip_leaves_no_temporary_files(commands: list[list[str]], console: Console, tmp_path: Path) -> None:
    make_environment("erniekit", console)
    pip = next(command for command in commands if "pip" in command)
    scratch = next(word for word in pip if word.startswith("TMPDIR=")).removeprefix("TMPDIR=")
    assert Path(scratch).parent == tmp_path / "venvs"
    assert [path.name for path in (tmp_path / "venvs").iterdir()] == ["erniekit"]
