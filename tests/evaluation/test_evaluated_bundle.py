"""Checks of a bundle before answers are generated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.bundle.metrics import adapter_fingerprint
from erniekit_adapter.errors import UsageError
from erniekit_adapter.evaluation.stage import native_adapter
from erniekit_adapter.files import write_json
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project

MANIFEST = {
    "toolkit": {"name": "erniekit", "version": "1.0.1"},
    "steps": 6,
    "first_loss": 7.0,
    "last_loss": 5.5,
    "last_eval_loss": None,
    "adapter": "output",
    "settings": {},
    "data": "d" * 64,
    "base_model": "b" * 64,
}


def project_with(folder: Path, **changed: Any) -> Project:
    """Return a project with a bundle and a changed manifest."""
    write_json(folder / "model" / "config.json", {"hidden_size": 8})
    manifest = {
        "adapter": "a" * 64,
        "training": {"toolkit": {"name": "erniekit"}},
        "base_model": {"fingerprint": model_fingerprint(folder / "model")},
    } | changed
    bundle = folder / "run" / "bundle"
    write_json(bundle / "native" / "lora_config.json", {})
    write_json(bundle / "manifest.json", {key: value for key, value in manifest.items() if value is not None})
    given = {"model": {"model_name_or_path": str(folder / "model")}, "output_dir": str(folder / "run")}
    return Project.model_validate(given)


def test_returns_the_native_adapter_of_a_bundle(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    assert native_adapter(project) == project.bundle_dir / "native"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"adapter": None}, r"was exported by an earlier version\n.*run erniekit-adapter export PROJECT again"),
        ({"base_model": {"name": "x"}}, r"is damaged: .*\n.*run erniekit-adapter export PROJECT again"),
        ({"training": ["x"]}, "is damaged"),
        ({"training": {"toolkit": {"name": "paddleformers"}}}, "is PaddleFormers' adapter"),
        ({"base_model": {"fingerprint": "b" * 64}}, "is not the base model of this bundle"),
    ],
)
def test_rejects_other_bundles_with_a_hint(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        native_adapter(project_with(tmp_path, **changed))


def test_rejects_a_bundle_without_native_format(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    (project.bundle_dir / "native" / "lora_config.json").unlink()
    with pytest.raises(UsageError, match=r"add native to export\.formats"):
        native_adapter(project)


@pytest.mark.parametrize("is_same", [True, False])
def test_rejects_a_bundle_of_an_earlier_adapter(tmp_path: Path, is_same: bool) -> None:
    project = project_with(tmp_path)
    weights = project.training_dir / "output" / "peft_model-00001-of-00001.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"now")
    write_json(project.training_dir / "manifest.json", MANIFEST)
    if is_same:
        project = project_with(tmp_path, adapter=adapter_fingerprint(weights.parent))
        assert native_adapter(project)
        return
    with pytest.raises(UsageError, match=r"contains another adapter than .*\n.*run erniekit-adapter export PROJECT"):
        native_adapter(project)
