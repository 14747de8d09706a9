"""Finding a toolkit. The interpreters are shell scripts that print the result of a probe."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.backends.environments import catalogue
from erniekit_adapter.backends.environments.installed import Toolkit, find_erniekit, find_toolkit, toolkit_version
from erniekit_adapter.backends.environments.probing import probe_python
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project

COMPLETE = {"erniekit": "1.0.1", "paddlepaddle": "3.1.1", "paddleformers": "0.1.6"}
FORMERS: dict[str, Any] = {"erniekit": None, "paddlepaddle": "3.3.1", "paddleformers": "1.2.0", "transformers": "5.3.0"}
START = Path(catalogue.__file__).parents[2] / "workers" / "start.py"
PACKAGES = ("erniekit", "ernie", "data_processor", "paddle", "paddleformers", "pip")


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables, nothing on PATH, and an empty checkout."""
    for name in ("ERNIEKIT_HOME", "ERNIEKIT_PYTHON", "PADDLEFORMERS_PYTHON", "ERNIEKIT_ADAPTER_VENVS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "pyproject.toml").touch()
    monkeypatch.setattr(catalogue, "PROJECT_ROOT", tmp_path / "repository")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def interpreter(path: Path, lacking: tuple[str, ...] = (), **versions: Any) -> Path:
    """Write an interpreter that prints the result of a probe for any arguments."""
    found = dict.fromkeys(("paddlepaddle-gpu", "paddlenlp")) | COMPLETE | versions
    report = {"python": "3.11.9", "versions": found, "packages": {name: name not in lacking for name in PACKAGES}}
    return script(path, f"echo '{json.dumps(report)}'")


def on_path(tmp_path: Path, **changes: Any) -> Path:
    python = interpreter(tmp_path / "path" / "python", **changes)
    script(tmp_path / "path" / "erniekit", "exit 1")
    return python


def made_by_setup(tmp_path: Path, backend: Backend = "erniekit", **changes: Any) -> Path:
    folder = tmp_path / "repository" / ".venvs" / backend
    python = interpreter(folder / "bin" / "python", **changes)
    (folder / ".ready").touch()
    return python


def erniekit_checkout(folder: Path, *packages: str, version: str = "1.4.0") -> Path:
    for name in packages:
        (folder / name).mkdir(parents=True)
    env = folder / "erniekit" / "utils" / "env.py"
    env.parent.mkdir(parents=True, exist_ok=True)
    env.write_text(f'import os\n\nVERSION = "{version}"\n')
    return folder


def error_text(backend: Backend = "erniekit") -> str:
    with pytest.raises(UsageError) as error:
        find_toolkit(backend)
    return str(error.value)


def test_no_toolkit_names_every_place_with_a_hint(tmp_path: Path) -> None:
    text = error_text()
    assert "PATH: no erniekit on PATH" in text
    assert f".venvs/erniekit: {tmp_path}/repository/.venvs/erniekit/bin/python does not exist" in text
    assert "run erniekit-adapter setup erniekit, or set ERNIEKIT_PYTHON to another Python" in text


def test_finds_the_environment_that_setup_makes(tmp_path: Path) -> None:
    python = made_by_setup(tmp_path)
    found = find_erniekit()
    assert (found.python, found.version, found.found_by) == (python, "1.0.1", ".venvs/erniekit")
    assert found.versions["paddleformers"] == "0.1.6"


def test_order_of_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_setup(tmp_path)
    on_path(tmp_path)
    assert find_erniekit().found_by == "PATH"
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(interpreter(tmp_path / "mine" / "python")))
    assert find_erniekit().found_by == "ERNIEKIT_PYTHON"
    home = erniekit_checkout(tmp_path / "ERNIE", "erniekit", "ernie", version="1.0.1")
    monkeypatch.setenv("ERNIEKIT_HOME", str(home))
    found = find_erniekit()
    assert (found.found_by, found.home) == ("ERNIEKIT_HOME", home)
    assert found.python == tmp_path / "mine" / "python"


def test_broken_toolkit_on_path_is_passed_over(tmp_path: Path) -> None:
    on_path(tmp_path, lacking=("ernie",))
    made_by_setup(tmp_path)
    assert find_erniekit().found_by == ".venvs/erniekit"


def test_refuses_a_home_without_ernie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_setup(tmp_path)
    home = erniekit_checkout(tmp_path / "ERNIE", "erniekit")
    monkeypatch.setenv("ERNIEKIT_HOME", str(home))
    text = error_text()
    assert text.startswith(f"ERNIEKIT_HOME: {home} is not an ERNIEKit checkout: it lacks the package ernie\n")
    assert "correct ERNIEKIT_HOME, or unset it" in text
    assert ".venvs" not in text


def test_empty_home_lacks_both_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIEKIT_HOME", str(tmp_path / "nowhere"))
    assert "it lacks the package erniekit and ernie" in error_text()


def test_version_of_a_checkout_that_was_never_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = erniekit_checkout(tmp_path / "ERNIE", "erniekit", "ernie", version="1.4.0")
    python = interpreter(tmp_path / "mine" / "python", erniekit=None, paddleformers="0.3.2")
    monkeypatch.setenv("ERNIEKIT_HOME", str(home))
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(python))
    assert find_erniekit().version == "1.4.0"


def test_refuses_a_python_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_setup(tmp_path)
    monkeypatch.setenv("ERNIEKIT_PYTHON", "/nowhere/python")
    assert error_text() == (
        "ERNIEKIT_PYTHON: /nowhere/python does not exist\n    → correct ERNIEKIT_PYTHON, or unset it"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo 'ImportError: libssl.so' >&2; exit 1", "does not run: ImportError: libssl.so"),
        ("exit 3", "does not run"),
    ],
)
def test_refuses_a_python_that_fails_with_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(script(tmp_path / "python", text)))
    assert message in error_text()


@pytest.mark.parametrize("made", ["not executable", "a folder"])
def test_refuses_a_python_that_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    python = tmp_path / "python"
    if made == "a folder":
        python.mkdir()
    else:
        python.write_text("#!/bin/sh\n")
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(python))
    assert f"{python} does not run" in error_text()


def test_refuses_a_python_that_prints_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(script(tmp_path / "python", "echo welcome to this cluster")))
    assert "ERNIEKIT_PYTHON" in error_text()


def test_script_on_path_that_names_python_through_env(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "elsewhere" / "python3")
    tool = tmp_path / "path" / "erniekit"
    tool.write_text("#!/usr/bin/env python3\n")
    tool.chmod(0o755)
    (tmp_path / "path" / "python3").symlink_to(python)
    assert find_erniekit().found_by == "PATH"


def test_script_on_path_that_names_python_in_its_first_line(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "elsewhere" / "python3")
    tool = tmp_path / "path" / "erniekit"
    tool.write_text(f"#!{python} -s\n")
    tool.chmod(0o755)
    assert find_erniekit().python == python


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"erniekit": "1.3.0", "paddleformers": "0.3.2", "lacking": ("ernie", "data_processor")},
            "this erniekit 1.3.0 lacks the packages ernie and data_processor (the wheels 1.1.0 to 1.3.0 are ",
        ),
        (
            {"erniekit": "1.3.0", "paddleformers": "0.3.2", "lacking": ("data_processor",)},
            "this erniekit 1.3.0 lacks the package data_processor",
        ),
        ({"erniekit": None, "lacking": ("erniekit", "ernie")}, "erniekit is not installed"),
        ({"paddlepaddle": None, "lacking": ("paddle",)}, "paddle not installed"),
        (
            {"paddleformers": "1.0.0"},
            "paddleformers 1.0.0 does not work with erniekit 1.0.1 (works with 0.1, 0.2, 0.3.0, 0.3.1, 0.3.2)",
        ),
        ({"paddleformers": "0.4.0"}, "paddleformers 0.4.0 does not work with erniekit 1.0.1"),
        ({"paddleformers": "0.10.0"}, "paddleformers 0.10.0 does not work with erniekit 1.0.1"),
        ({"erniekit": "1.2.0", "paddleformers": "0.3.2"}, "paddleformers 0.3.2 does not work with erniekit 1.2.0"),
    ],
)
def test_reason_for_an_unusable_environment(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    made_by_setup(tmp_path, **changes)
    assert reason in error_text()


@pytest.mark.parametrize(
    ("erniekit", "paddleformers"),
    [
        ("1.0.0", "0.1.6"),
        ("1.0.1", "0.3.2"),
        ("1.2.0", "0.2.4"),
        ("1.3.0", "0.3.1"),
        ("1.4.0", "0.3.2"),
        ("1.5.0", "0.4.0"),
    ],
)
def test_accepts_versions_that_work_together(tmp_path: Path, erniekit: str, paddleformers: str) -> None:
    made_by_setup(tmp_path, erniekit=erniekit, paddleformers=paddleformers)
    assert find_erniekit().version == erniekit


def test_command_lines_and_python_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    toolkit = Toolkit(Path("/env/bin/python"), "1.4.0", "ERNIEKIT_HOME", home=Path("/ERNIE"))
    assert toolkit.command("train", "a.yaml") == ["/env/bin/python", "-m", "erniekit.cli", "train", "a.yaml"]
    assert toolkit.worker("erniekit_generate")[1:] == [str(START), "erniekit_generate"]
    variables = toolkit.environment(on_cpu=False)
    assert variables["PYTHONPATH"].split(os.pathsep) == ["/ERNIE", "/mine"]
    assert variables["PATH"].startswith(f"/env/bin{os.pathsep}")


def test_cpu_run_names_a_gpu_for_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    toolkit = Toolkit(Path("/env/bin/python"), "1.0.1", "PATH")
    assert toolkit.environment(on_cpu=True)["CUDA_VISIBLE_DEVICES"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in toolkit.environment(on_cpu=False)


def test_cpu_threads_unless_the_user_limits_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    toolkit = Toolkit(Path("/env/bin/python"), "1.0.1", "PATH")
    variables = toolkit.environment(on_cpu=True)
    assert (variables["MKL_NUM_THREADS"], variables["OMP_NUM_THREADS"]) == ("2", "1")
    assert "MKL_NUM_THREADS" not in toolkit.environment(on_cpu=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "MKL_NUM_THREADS" not in toolkit.environment(on_cpu=True)


def test_places_of_paddleformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_setup(tmp_path)
    text = error_text("paddleformers")
    assert "PATH: no paddleformers-cli on PATH" in text
    assert "run erniekit-adapter setup paddleformers, or set PADDLEFORMERS_PYTHON to another Python" in text
    made_by_setup(tmp_path, "paddleformers", **FORMERS)
    assert find_toolkit("paddleformers").found_by == ".venvs/paddleformers"
    python = interpreter(tmp_path / "path" / "python", **FORMERS)
    script(tmp_path / "path" / "paddleformers-cli", "exit 1")
    assert (find_toolkit("paddleformers").found_by, find_toolkit("paddleformers").python) == ("PATH", python)
    monkeypatch.setenv("PADDLEFORMERS_PYTHON", str(interpreter(tmp_path / "mine" / "python", **FORMERS)))
    found = find_toolkit("paddleformers")
    assert (found.found_by, found.version, found.backend) == ("PADDLEFORMERS_PYTHON", "1.2.0", "paddleformers")
    assert find_erniekit().found_by == ".venvs/erniekit"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"paddleformers": "0.4.1"}, "paddleformers 0.4.1: PaddleFormers 1.x is needed"),
        ({"paddleformers": None, "lacking": ("paddleformers",)}, "paddleformers is not installed"),
        ({"paddlepaddle": None, "lacking": ("paddle",)}, "paddle not installed"),
        ({"transformers": "4.57.6"}, "transformers 4.57.6: paddleformers 1.x needs transformers 5"),
        ({"transformers": None}, "transformers is not installed: paddleformers 1.x needs transformers 5"),
        ({"lacking": ("pip",)}, "pip cannot be imported"),
    ],
)
def test_reason_for_an_unusable_paddleformers(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    made_by_setup(tmp_path, "paddleformers", **(FORMERS | changes))
    assert reason in error_text("paddleformers")


def test_refuses_a_named_paddleformers_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_setup(tmp_path, "paddleformers", **FORMERS)
    monkeypatch.setenv("PADDLEFORMERS_PYTHON", "/nowhere/python")
    text = error_text("paddleformers")
    assert text.startswith("PADDLEFORMERS_PYTHON: /nowhere/python does not exist\n")
    assert ".venvs" not in text


def test_paddleformers_runs_as_a_module() -> None:
    toolkit = Toolkit(Path("/env/bin/python"), "1.2.0", "PATH", backend="paddleformers")
    assert toolkit.command("train", "a.yaml") == ["/env/bin/python", "-m", "paddleformers.cli.cli", "train", "a.yaml"]
    assert toolkit.environment(on_cpu=True)["CUDA_VISIBLE_DEVICES"] == "0"


def project(backend: Backend = "erniekit", **sections: Any) -> Project:
    least = {"model": {"model_name_or_path": "./model"}, "output_dir": "./run"}
    return Project.model_validate({**least, "backend": backend, **sections})


@pytest.mark.parametrize(("backend", "newest"), [("erniekit", "1.0.1"), ("paddleformers", "1.2.0")])
def test_version_of_the_settings(tmp_path: Path, backend: Backend, newest: str) -> None:
    assert toolkit_version(project(backend)) == (newest, "none is usable here")
    older = {"erniekit": "1.4.0", "paddleformers": "0.3.2"}
    versions = older if backend == "erniekit" else FORMERS | {"paddleformers": "1.1.1"}
    made_by_setup(tmp_path, backend, **versions)
    assert toolkit_version(project(backend)) == (versions[backend], f"installed, .venvs/{backend}")
    named = project(backend, **{backend: {"version": "1.0"}})
    assert toolkit_version(named) == ("1.0", f"{backend}.version")


def test_broken_toolkit_does_not_decide_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_setup(tmp_path)
    monkeypatch.setenv("ERNIEKIT_PYTHON", "/nowhere/python")
    assert toolkit_version(project()) == ("1.0.1", "none is usable here")
    monkeypatch.setenv("ERNIEKIT_HOME", str(tmp_path / "nowhere"))
    assert toolkit_version(project()) == ("1.0.1", "none is usable here")


def test_probe_finds_an_unmet_requirement(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name, version, asks in (("paddlenlp", "3.0.0b4", "dill<0.3.5"), ("dill", "0.3.8", "")):
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        requires = f"Requires-Dist: {asks}\nRequires-Dist: nothing; extra == 'x'\n" if asks else ""
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
    found = probe_python(Path(sys.executable), home=site)
    assert not isinstance(found, str)
    assert found.versions["paddlenlp"] == "3.0.0b4"
    assert found.unmet == {"paddlenlp": ["dill<0.3.5, found 0.3.8"]}
    assert found.python.startswith("3.")
