"""Finding a toolkit that works. The interpreters are small shell scripts that print what a probe would."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.backends import installed
from erniekit_adapter.backends.installed import Toolkit, find_erniekit, find_toolkit, toolkit_version
from erniekit_adapter.backends.probing import probe_python
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import Backend

COMPLETE = {"erniekit": "1.0.1", "paddlepaddle": "3.1.1", "paddleformers": "0.1.6"}
FORMERS: dict[str, Any] = {"erniekit": None, "paddlepaddle": "3.3.1", "paddleformers": "1.2.0", "transformers": "5.3.0"}
PACKAGES = ("erniekit", "ernie", "data_processor", "paddle", "paddleformers", "pip")


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, nothing on PATH but the shell's own tools, and an empty repository."""
    for name in ("ERNIEKIT_HOME", "ERNIEKIT_PYTHON", "PADDLEFORMERS_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(installed, "PROJECT_ROOT", tmp_path / "repository")


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def interpreter(path: Path, lacking: tuple[str, ...] = (), **versions: Any) -> Path:
    """A stand-in for a python: whatever it is asked, it prints what a probe of such an environment prints."""
    found = dict.fromkeys(("paddlepaddle-gpu", "paddlenlp")) | COMPLETE | versions
    report = {"python": "3.11.9", "versions": found, "packages": {name: name not in lacking for name in PACKAGES}}
    return script(path, f"echo '{json.dumps(report)}'")


def on_path(tmp_path: Path, **changes: Any) -> Path:
    python = interpreter(tmp_path / "path" / "python", **changes)
    script(tmp_path / "path" / "erniekit", "exit 1")
    return python


def made_by_setup(tmp_path: Path, backend: Backend = "erniekit", **changes: Any) -> Path:
    return interpreter(tmp_path / "repository" / ".venvs" / backend / "bin" / "python", **changes)


def checkout(folder: Path, *packages: str, version: str = "1.4.0") -> Path:
    for name in packages:
        (folder / name).mkdir(parents=True)
    env = folder / "erniekit" / "utils" / "env.py"
    env.parent.mkdir(parents=True, exist_ok=True)
    env.write_text(f'import os\n\nVERSION = "{version}"\n')
    return folder


def refusal(backend: Backend = "erniekit") -> str:
    with pytest.raises(UsageError) as error:
        find_toolkit(backend)
    return str(error.value)


def test_where_there_is_none_every_place_is_named_with_a_remedy(tmp_path: Path) -> None:
    said = refusal()
    assert "PATH: no erniekit on PATH" in said
    assert f".venvs/erniekit: {tmp_path}/repository/.venvs/erniekit/bin/python does not exist" in said
    assert "run make setup-erniekit" in said


def test_the_one_that_setup_makes_is_found(tmp_path: Path) -> None:
    python = made_by_setup(tmp_path)
    found = find_erniekit()
    assert (found.python, found.version, found.found_by) == (python, "1.0.1", ".venvs/erniekit")
    assert found.versions["paddleformers"] == "0.1.6"


def test_the_user_s_choices_come_first_then_path_then_setup_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_setup(tmp_path)
    on_path(tmp_path)
    assert find_erniekit().found_by == "PATH"
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(interpreter(tmp_path / "mine" / "python")))
    assert find_erniekit().found_by == "ERNIEKIT_PYTHON"
    home = checkout(tmp_path / "ERNIE", "erniekit", "ernie", version="1.0.1")
    monkeypatch.setenv("ERNIEKIT_HOME", str(home))
    found = find_erniekit()
    assert (found.found_by, found.home) == ("ERNIEKIT_HOME", home)
    assert found.python == tmp_path / "mine" / "python"


def test_one_on_path_that_is_broken_gives_way_to_setup_s(tmp_path: Path) -> None:
    on_path(tmp_path, lacking=("ernie",))
    made_by_setup(tmp_path)
    assert find_erniekit().found_by == ".venvs/erniekit"


def test_a_home_without_ernie_is_refused_by_name_and_nothing_else_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_setup(tmp_path)
    home = checkout(tmp_path / "ERNIE", "erniekit")
    monkeypatch.setenv("ERNIEKIT_HOME", str(home))
    said = refusal()
    assert said.startswith(f"ERNIEKIT_HOME: {home} is no ERNIEKit checkout: it lacks the package ernie\n")
    assert "correct ERNIEKIT_HOME, or unset it" in said
    assert ".venvs" not in said


def test_a_home_that_is_empty_lacks_both_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIEKIT_HOME", str(tmp_path / "nowhere"))
    assert "it lacks the package erniekit and ernie" in refusal()


def test_a_checkout_that_was_never_installed_says_its_version_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = checkout(tmp_path / "ERNIE", "erniekit", "ernie", version="1.4.0")
    python = interpreter(tmp_path / "mine" / "python", erniekit=None, paddleformers="0.3.2")
    monkeypatch.setenv("ERNIEKIT_HOME", str(home))
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(python))
    assert find_erniekit().version == "1.4.0"


def test_a_python_that_does_not_exist_is_refused_and_nothing_else_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_setup(tmp_path)
    monkeypatch.setenv("ERNIEKIT_PYTHON", "/nowhere/python")
    assert refusal() == ("ERNIEKIT_PYTHON: /nowhere/python does not exist\n    → correct ERNIEKIT_PYTHON, or unset it")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'ImportError: libssl.so' >&2; exit 1", "does not run: ImportError: libssl.so"),
        ("exit 3", "does not run"),
    ],
)
def test_a_python_that_fails_is_refused_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(script(tmp_path / "python", text)))
    assert said in refusal()


@pytest.mark.parametrize("made", ["not executable", "a folder"])
def test_a_python_that_cannot_be_started_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str) -> None:
    python = tmp_path / "python"
    if made == "a folder":
        python.mkdir()
    else:
        python.write_text("#!/bin/sh\n")
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(python))
    assert f"{python} does not run" in refusal()


def test_a_python_that_prints_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(script(tmp_path / "python", "echo welcome to this cluster")))
    assert "ERNIEKIT_PYTHON" in refusal()


def test_a_script_on_path_may_name_its_python_through_env(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "elsewhere" / "python3")
    tool = tmp_path / "path" / "erniekit"
    tool.write_text("#!/usr/bin/env python3\n")
    tool.chmod(0o755)
    (tmp_path / "path" / "python3").symlink_to(python)
    assert find_erniekit().found_by == "PATH"


def test_a_script_on_path_names_its_python_in_its_first_line(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "elsewhere" / "python3")
    tool = tmp_path / "path" / "erniekit"
    tool.write_text(f"#!{python} -s\n")
    tool.chmod(0o755)
    assert find_erniekit().python == python


@pytest.mark.parametrize(
    ("changes", "said"),
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
            "paddleformers 1.0.0 does not go with erniekit 1.0.1 (works with 0.1, 0.2, 0.3.0, 0.3.1, 0.3.2)",
        ),
        ({"paddleformers": "0.4.0"}, "paddleformers 0.4.0 does not go with erniekit 1.0.1"),
        ({"paddleformers": "0.10.0"}, "paddleformers 0.10.0 does not go with erniekit 1.0.1"),
        ({"erniekit": "1.2.0", "paddleformers": "0.3.2"}, "paddleformers 0.3.2 does not go with erniekit 1.2.0"),
    ],
)
def test_an_environment_that_cannot_work_is_told_why(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    made_by_setup(tmp_path, **changes)
    assert said in refusal()


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
def test_pairs_that_work_are_accepted(tmp_path: Path, erniekit: str, paddleformers: str) -> None:
    made_by_setup(tmp_path, erniekit=erniekit, paddleformers=paddleformers)
    assert find_erniekit().version == erniekit


def test_a_command_runs_in_the_toolkit_s_python_with_both_projects_importable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    toolkit = Toolkit(Path("/env/bin/python"), "1.4.0", "ERNIEKIT_HOME", home=Path("/ERNIE"))
    assert toolkit.command("train", "a.yaml") == ["/env/bin/python", "-m", "erniekit.cli", "train", "a.yaml"]
    assert toolkit.worker("erniekit_generate")[1:] == ["-m", "erniekit_adapter.workers.erniekit_generate"]
    variables = toolkit.environment(on_cpu=False)
    assert variables["PYTHONPATH"].split(os.pathsep) == ["/ERNIE", str(tmp_path / "repository"), "/mine"]
    assert variables["PATH"].startswith(f"/env/bin{os.pathsep}")


def test_on_cpu_a_card_is_named_since_the_launcher_wants_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    toolkit = Toolkit(Path("/env/bin/python"), "1.0.1", "PATH")
    assert toolkit.environment(on_cpu=True)["CUDA_VISIBLE_DEVICES"] == "0"
    assert "CUDA_VISIBLE_DEVICES" not in toolkit.environment(on_cpu=False)


def test_on_cpu_matrices_are_multiplied_on_every_core_unless_the_user_limits_threads(
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


def test_paddleformers_is_looked_for_in_places_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_setup(tmp_path)
    said = refusal("paddleformers")
    assert "PATH: no paddleformers-cli on PATH" in said
    assert "run make setup-paddleformers" in said
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
    ("changes", "said"),
    [
        ({"paddleformers": "0.4.1"}, "paddleformers 0.4.1: PaddleFormers trains here from 1.0 on, before 2.0"),
        ({"paddleformers": None, "lacking": ("paddleformers",)}, "paddleformers is not installed"),
        ({"paddlepaddle": None, "lacking": ("paddle",)}, "paddle not installed"),
        ({"transformers": "4.57.6"}, "transformers 4.57.6: paddleformers 1.x goes with transformers 5"),
        ({"transformers": None}, "transformers is not installed: paddleformers 1.x goes with transformers 5"),
        ({"lacking": ("pip",)}, "pip cannot be imported"),
    ],
)
def test_a_paddleformers_that_cannot_work_is_told_why(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    made_by_setup(tmp_path, "paddleformers", **(FORMERS | changes))
    assert said in refusal("paddleformers")


def test_a_paddleformers_that_the_user_named_is_honoured_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_setup(tmp_path, "paddleformers", **FORMERS)
    monkeypatch.setenv("PADDLEFORMERS_PYTHON", "/nowhere/python")
    said = refusal("paddleformers")
    assert said.startswith("PADDLEFORMERS_PYTHON: /nowhere/python does not exist\n")
    assert ".venvs" not in said


def test_paddleformers_runs_as_a_module_of_its_own_python() -> None:
    toolkit = Toolkit(Path("/env/bin/python"), "1.2.0", "PATH", backend="paddleformers")
    assert toolkit.command("train", "a.yaml") == ["/env/bin/python", "-m", "paddleformers.cli.cli", "train", "a.yaml"]
    assert toolkit.environment(on_cpu=True)["CUDA_VISIBLE_DEVICES"] == "0"


def project(backend: Backend = "erniekit", **sections: Any) -> Project:
    least = {"model": {"model_name_or_path": "./model"}, "output_dir": "./run"}
    return Project.model_validate({**least, "backend": backend, **sections})


@pytest.mark.parametrize(("backend", "newest"), [("erniekit", "1.0.1"), ("paddleformers", "1.2.0")])
def test_settings_are_written_for_the_version_named_else_installed_else_the_one_that_setup_installs(
    tmp_path: Path, backend: Backend, newest: str
) -> None:
    assert toolkit_version(project(backend)) == (newest, "none is usable here")
    older = {"erniekit": "1.4.0", "paddleformers": "0.3.2"}
    versions = older if backend == "erniekit" else FORMERS | {"paddleformers": "1.1.1"}
    made_by_setup(tmp_path, backend, **versions)
    assert toolkit_version(project(backend)) == (versions[backend], f"installed, .venvs/{backend}")
    named = project(backend, **{backend: {"version": "1.0"}})
    assert toolkit_version(named) == ("1.0", f"{backend}.version")


def test_a_broken_toolkit_counts_as_none_for_the_version_and_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by_setup(tmp_path)
    monkeypatch.setenv("ERNIEKIT_PYTHON", "/nowhere/python")
    assert toolkit_version(project()) == ("1.0.1", "none is usable here")
    monkeypatch.setenv("ERNIEKIT_HOME", str(tmp_path / "nowhere"))
    assert toolkit_version(project()) == ("1.0.1", "none is usable here")


def test_a_package_s_unmet_requirement_is_found_in_a_real_environment(tmp_path: Path) -> None:
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
