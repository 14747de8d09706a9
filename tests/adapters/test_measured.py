"""What was measured gets into a bundle's manifest and model card, and nothing else of the bundle changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundle_examples import exported, trained

from erniekit_adapter.adapters.card import FIGURES
from erniekit_adapter.adapters.measured import adapter_fingerprint, add_metrics
from erniekit_adapter.adapters.verify import verify
from erniekit_adapter.files import write_json
from erniekit_adapter.project.schema import Project

pytestmark = pytest.mark.usefixtures("nothing_to_read_with")


def results(adapter: str = "a" * 64) -> dict[str, Any]:
    """As evaluate writes them: the tuned model is right nine times in ten, the base model never answers in JSON."""
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


def test_the_card_and_the_manifest_have_the_figures_and_no_other_file_changes(tmp_path: Path) -> None:
    project = trained(tmp_path)
    before = exported(project)
    assert add_metrics(project.bundle_dir, results())
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


def test_the_front_matter_is_a_model_index_as_the_hub_reads_it(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    add_metrics(project.bundle_dir, results())
    front = yaml.safe_load((project.bundle_dir / "README.md").read_text().split("---\n")[1])
    assert front["library_name"] == "peft"
    (model,) = front["model-index"]
    (result,) = model["results"]
    assert model["name"] == "invoices"
    assert {"type", "name"} <= set(result["task"]) & set(result["dataset"])
    # What has no value is left out.
    assert {metric["type"] for metric in result["metrics"]} == set(FIGURES) - {"arithmetic_verified"}
    assert all(metric["value"] == 0.9 for metric in result["metrics"])


def test_an_export_after_the_evaluation_gives_the_same_bytes(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    found = results(adapter_fingerprint(project.training_dir / "output"))
    add_metrics(project.bundle_dir, found)
    before = files_of(project)
    project.evaluation_dir.mkdir()
    write_json(project.evaluation_dir / "results.json", found)
    assert exported(project) == before


def test_figures_of_another_adapter_are_not_taken_over(tmp_path: Path) -> None:
    project = trained(tmp_path)
    project.evaluation_dir.mkdir()
    write_json(project.evaluation_dir / "results.json", results("b" * 64))
    assert "metrics" not in json.loads(exported(project)["manifest.json"])


def test_a_signed_bundle_stays_as_it_was_signed(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    (project.bundle_dir / "manifest.sig").write_text("signed")
    before = files_of(project)
    assert not add_metrics(project.bundle_dir, results())
    assert files_of(project) == before


def test_a_file_that_was_changed_in_between_is_still_found(tmp_path: Path) -> None:
    project = trained(tmp_path)
    exported(project)
    file = project.bundle_dir / "native" / "lora_config.json"
    file.write_bytes(file.read_bytes().replace(b"3", b"4"))
    add_metrics(project.bundle_dir, results())
    with pytest.raises(Exception, match="was changed"):
        verify(project.bundle_dir, trust="unsigned")
