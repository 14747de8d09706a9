"""Checks of the toolkit and its packages; each test changes one thing on a machine that is ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from doctor_examples import (
    FORMERS,
    checks_of,
    find,
    toolkit,
    wrong_lines,
)

from erniekit_adapter.backends.environments import environment_dir


def test_ready_machine(ready: dict[str, Any]) -> None:
    checks = checks_of(ready)
    assert wrong_lines(checks) == []
    lines = [str(check) for check in checks]
    assert "✓ ERNIEKit 1.0.1 (ERNIEKIT_PYTHON), paddle 3.1.1, paddleformers 0.1.6" in lines
    assert "✓ erniekit 1.0.1 works with paddleformers 0.1, 0.2, 0.3.0, 0.3.1, 0.3.2" in lines
    assert "⊘ no training examples yet\n    → run erniekit-adapter data build PROJECT" in lines


def test_no_toolkit(ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERNIEKIT_PYTHON")
    checks = checks_of(ready)
    hint = "run erniekit-adapter setup erniekit, or set ERNIEKIT_PYTHON to another Python"
    assert find(checks, "PATH: no erniekit on PATH").hint == hint
    assert find(checks, str(environment_dir("erniekit"))).state == "wrong"
    assert find(checks, "paddle build and pinned versions").state == "skipped"


def test_incomplete_wheel(ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"erniekit": "1.3.0", "paddleformers": "0.3.1"}
    python = toolkit(monkeypatch, tmp_path, versions, lacking=("ernie", "data_processor"))
    checks = checks_of(ready)
    assert wrong_lines(checks) == [
        f"✗ ERNIEKIT_PYTHON: {python}: this erniekit 1.3.0 lacks the packages ernie and data_processor "
        "(the wheels 1.1.0 to 1.3.0 are incomplete; use a git checkout)\n"
        "    → correct ERNIEKIT_PYTHON, or unset it"
    ]
    assert find(checks, "numpy 1.26.4, pyarrow 19.0.1").state == "ok"


@pytest.mark.parametrize(
    ("versions", "finding", "typed"),
    [
        ({"numpy": "2.2.6"}, "numpy 2.2.6", "pip install numpy==1.26.4"),
        ({"pyarrow": "22.0.0"}, "pyarrow 22.0.0 with numpy 1.26.4", "pip install 'pyarrow<20'"),
        ({"datasets": "4.1.0"}, "datasets 4.1.0 with numpy 1.26.4", "pip install 'datasets<4'"),
        ({"protobuf": "7.36.2"}, "protobuf 7.36.2: visualdl fails", "pip install 'protobuf<5'"),
        ({"visualdl": None}, "training.use_tensorboard is false, and visualdl", "pip install visualdl"),
        ({"paddlepaddle-gpu": "3.1.1"}, "paddlepaddle 3.1.1 and paddlepaddle-gpu 3.1.1 are both", "pip uninstall both"),
        ({"paddlepaddle": "2.6.2"}, "paddlepaddle 2.6.2 is too old", "install 3.x"),
    ],
)
def test_versions_that_break(
    ready: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    versions: dict[str, str | None],
    finding: str,
    typed: str,
) -> None:
    toolkit(monkeypatch, tmp_path, versions)
    check = find(checks_of(ready), finding)
    assert check.state == "wrong"
    assert typed in check.hint


def test_newer_pyarrow_and_datasets_with_numpy_2(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = {"numpy": "2.2.6", "pyarrow": "22.0.0", "datasets": "4.1.0"}
    toolkit(monkeypatch, tmp_path, FORMERS | newer, backend="paddleformers")
    checks = checks_of(ready, backend="paddleformers")
    assert find(checks, "numpy 2.2.6: PaddleFormers was tested").state == "skipped"
    assert find(checks, "numpy 2.2.6, pyarrow 22.0.0").state == "ok"


def test_unmet_requirements(ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unmet = {"transformers": ["tokenizers<=0.23.0,>=0.22.0, found 0.21.4"], "paddleformers": ["librosa, found none"]}
    toolkit(monkeypatch, tmp_path, FORMERS, unmet=unmet, backend="paddleformers")
    checks = checks_of(ready, backend="paddleformers")
    refused = find(checks, "transformers 5.3.0 requires tokenizers")
    assert refused.state == "wrong"
    assert refused.hint.endswith("-m pip install 'tokenizers<=0.23.0,>=0.22.0'")
    assert find(checks, "paddleformers 1.2.0 requires librosa").state == "skipped"


def test_paddlenlp_is_a_note(ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolkit(monkeypatch, tmp_path, {"paddlenlp": "3.0.0b4"}, unmet={"paddlenlp": ["dill<0.3.5, found 0.3.8"]})
    check = find(checks_of(ready), "paddlenlp 3.0.0b4 beside paddleformers 0.1.6")
    assert check.state == "skipped"
    assert "no ERNIE 4.5 classes and is not used here, and requires dill<0.3.5, found 0.3.8" in check.finding
    assert "pip uninstall paddlenlp" in check.hint


def test_project_names_another_version(ready: dict[str, Any]) -> None:
    assert find(checks_of(ready, erniekit={"version": "1.4"}), "erniekit.version is 1.4, and 1.0.1").state == "wrong"
    assert wrong_lines(checks_of(ready, erniekit={"version": "1.0"})) == []


@pytest.mark.parametrize(
    ("lacking", "finding", "hint"),
    [
        (("pip",), "pip cannot be imported", "-m ensurepip"),
        (("distutils",), "distutils cannot be imported", "-m pip install 'setuptools<80'"),
    ],
)
def test_packages_that_the_launcher_imports(
    ready: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacking: tuple[str, ...],
    finding: str,
    hint: str,
) -> None:
    toolkit(monkeypatch, tmp_path, lacking=lacking)
    assert find(checks_of(ready), finding).hint.endswith(hint)


def test_toolkit_in_a_path_with_a_blank(ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolkit(monkeypatch, tmp_path / "My Documents")
    assert [line for line in wrong_lines(checks_of(ready)) if "contains a blank" in line]


def test_checkout_in_a_path_with_a_blank(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "My Documents" / "ERNIE"
    for package in ("erniekit", "ernie"):
        (home / package).mkdir(parents=True)
    monkeypatch.setenv("ERNIEKIT_HOME", str(home))
    assert find(checks_of(ready), f"the path {home} contains a blank").state == "wrong"


def test_launcher_needs_a_command_named_python(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = toolkit(monkeypatch, tmp_path)
    python.rename(python.with_name("python3.11"))
    monkeypatch.setenv("ERNIEKIT_PYTHON", str(python.with_name("python3.11")))
    check = find(checks_of(ready), "the launcher starts `python`, which is neither")
    assert check.hint == f"ln -s python3.11 {python}"


def test_paddleformers_as_backend(ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolkit(monkeypatch, tmp_path, FORMERS, backend="paddleformers")
    checks = checks_of(ready, backend="paddleformers")
    assert find(checks, "PaddleFormers 1.2.0 (PADDLEFORMERS_PYTHON), paddle 3.3.1, transformers 5.3.0").state == "ok"
    assert find(checks, "paddleformers 1.0 to 1.2, paddle 3.3").state == "ok"
    toolkit(monkeypatch, tmp_path, FORMERS | {"safetensors": "0.8.0"}, backend="paddleformers")
    assert (
        find(checks_of(ready, backend="paddleformers"), "safetensors 0.8.0: PaddleFormers' own export").state
        == "skipped"
    )


def test_paddleocr_vl_needs_triton_in_paddleformers(
    ready: dict[str, Any], tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "config.json").write_text(json.dumps({"model_type": "paddleocr_vl"}))
    toolkit(monkeypatch, tmp_path, FORMERS, backend="paddleformers")
    checks = checks_of(ready, backend="paddleformers")
    assert find(checks, "PaddleOCR-VL needs triton").hint.endswith("-m pip install triton")
    assert find(checks, "model lacks preprocessor_config.json").state == "wrong"


def test_packages_from_pythonpath_are_named(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit(monkeypatch, tmp_path, {"numpy": "2.4.6"}, foreign={"numpy": "/site", "safetensors": "/site"})
    checks = checks_of(ready)
    check = find(checks, "the toolkit imports numpy, safetensors from /site, which is on PYTHONPATH")
    assert (check.state, check.hint) == ("skipped", "unset PYTHONPATH, or remove that folder from it")
    replaced = find(checks, "numpy 2.4.6")
    assert (replaced.state, replaced.hint) == ("wrong", check.hint)
