"""Metrics in a bundle's manifest and model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundle_examples import exported, trained

from erniekit_adapter.bundle.metrics import adapter_fingerprint, add_metrics
from erniekit_adapter.bundle.verify import verify
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.files import write_json
from erniekit_adapter.metrics import shown_metrics
from erniekit_adapter.project.schema import Project

FIGURES = [metric.name for metric in shown_metrics()]
pytestmark = pytest.mark.usefixtures("no_readers")


def results(adapter: str = "a" * 64) -> dict[str, Any]:
    """Return results of an evaluation: the tuned model is right in 90 %, the base model never answers in JSON."""
    base = {key: {"value": 0.0} for key in FIGURES} | {"arithmetic_verified": {"value": None}}
    tuned = {key: {"value": 0.9} for key in FIGURES} | {"arithmetic_verified": {"value": None}}
    compared = {"difference": 0.9, "low": 0.8, "high": 1.0, "verdict": "better"}
    comparison = dict.fromkeys(FIGURES, compared)
    return {
        "samples": 24,
        "test_lines": "e" * 64,
        "base": base,
        "tuned": tuned,
        "comparison": comparison,
        "adapter": adapter,
    }


def files_of(project: Project) -> dict[str, bytes]:
    folder = project.bundle_dir
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_adds_metrics_to_manifest_and_model_card_only(tmp_path: Path) -> None:
    project = trained(tmp_path)
    before = exported(project)
    assert add_metrics(project.bundle_dir, results(), INVOICE)
    after = files_of(project)
    assert {name for name in after if after[name] != before[name]} == {"README.md", "manifest.json"}
    assert json.loads(after["manifest.json"])["metrics"]["figures"]["field_f1"] == {
        "base": 0.0,
        "tuned": 0.9,
        "low": 0.8,
        "high": 1.0,
        "verdict": "better",
    }
    assert "| field F1 | 0.000 | 0.900 | 0.800 to 1.000 | better |" in after["README.md"].decode()
    verify(project.bundle_dir, trust="unsigned")


def test_front_matter_has_a_model_index(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    add_metrics(project.bundle_dir, results(), INVOICE)
    front = yaml.safe_load((project.bundle_dir / "README.md").read_text().split("---\n")[1])
    assert front["library_name"] == "peft"
    (model,) = front["model-index"]
    (result,) = model["results"]
    assert model["name"] == "invoices"
    assert {"type", "name"} <= set(result["task"]) & set(result["dataset"])
    # Metrics without a value are omitted.
    assert {metric["type"] for metric in result["metrics"]} == set(FIGURES) - {"arithmetic_verified"}
    assert all(metric["value"] == 0.9 for metric in result["metrics"])


def test_export_after_evaluation_gives_equal_bytes(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    found = results(adapter_fingerprint(project.training_dir / "output"))
    add_metrics(project.bundle_dir, found, INVOICE)
    before = files_of(project)
    project.evaluation_dir.mkdir()
    write_json(project.evaluation_dir / "results.json", found)
    assert exported(project) == before


def test_ignores_metrics_of_another_adapter(tmp_path: Path) -> None:
    project = trained(tmp_path)
    project.evaluation_dir.mkdir()
    write_json(project.evaluation_dir / "results.json", results("b" * 64))
    assert "metrics" not in json.loads(exported(project)["manifest.json"])


def test_keeps_a_signed_bundle_unchanged(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    (project.bundle_dir / "manifest.sig").write_text("signed")
    before = files_of(project)
    assert not add_metrics(project.bundle_dir, results(), INVOICE)
    assert files_of(project) == before


def test_verify_finds_a_file_changed_before_metrics(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    file = project.bundle_dir / "native" / "lora_config.json"
    file.write_bytes(file.read_bytes().replace(b"3", b"4"))
    add_metrics(project.bundle_dir, results(), INVOICE)
    with pytest.raises(Exception, match="was changed"):
        verify(project.bundle_dir, trust="unsigned")
