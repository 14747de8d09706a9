"""Which bundles can be evaluated; what cannot is told before any answer is generated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.adapters.measured import adapter_fingerprint
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
    """A project with a bundle, whose manifest is changed."""
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


def test_the_native_adapter_of_a_bundle_is_evaluated(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    assert native_adapter(project) == project.bundle_dir / "native"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"adapter": None}, r"was exported by an earlier version\n.*run make export again"),
        ({"training": {"toolkit": {"name": "paddleformers"}}}, "is PaddleFormers' adapter"),
        ({"base_model": {"fingerprint": "b" * 64}}, "is not the base model of this bundle"),
    ],
)
def test_other_bundles_are_refused_with_the_remedy(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        native_adapter(project_with(tmp_path, **changed))


def test_without_a_native_form_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    (project.bundle_dir / "native" / "lora_config.json").unlink()
    with pytest.raises(UsageError, match=r"add native to export\.forms"):
        native_adapter(project)


@pytest.mark.parametrize("is_same", [True, False])
def test_a_bundle_of_an_earlier_adapter_is_refused(tmp_path: Path, is_same: bool) -> None:
    project = project_with(tmp_path)
    weights = project.training_dir / "output" / "peft_model-00001-of-00001.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"now")
    write_json(project.training_dir / "manifest.json", MANIFEST)
    if is_same:
        project = project_with(tmp_path, adapter=adapter_fingerprint(weights.parent))
        assert native_adapter(project)
        return
    with pytest.raises(UsageError, match=r"holds another adapter than .*\n.*run make export again"):
        native_adapter(project)
