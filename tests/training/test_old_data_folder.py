"""Data folders that an earlier version wrote: `gates` and `wordings` instead of `filters` and `prompt_templates`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from training_examples import make_project, write_examples, write_model
from type_examples import write_type

from erniekit_adapter.errors import UsageError
from erniekit_adapter.evaluation.summary import _data_table
from erniekit_adapter.files import read_json, write_json
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.examples import read_data_manifest


def old_project(tmp_path: Path, **settings: Any) -> Project:
    """A project whose data folder has settings under their old names."""
    write_model(tmp_path / "model")
    project = make_project(tmp_path)
    path = write_examples(project.data_dir) / "manifest.json"
    manifest = read_json(path)
    gates = project.data.filters.model_dump()
    write_json(path, manifest | {"settings": manifest["settings"] | {"gates": gates, "wordings": 1} | settings})
    return project


def test_reads_a_data_folder_with_equal_settings(tmp_path: Path) -> None:
    assert read_data_manifest(old_project(tmp_path))["settings"]["wordings"] == 1


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"gates": {"dates": "error"}}, "data.filters"), ({"wordings": 4}, "data.prompt_templates")],
)
def test_names_the_key_of_a_changed_setting(tmp_path: Path, settings: dict[str, Any], key: str) -> None:
    with pytest.raises(
        UsageError, match=rf"built with other settings: {key} .*\n.*run erniekit-adapter data build PROJECT again"
    ):
        read_data_manifest(old_project(tmp_path, **settings))


def test_names_a_changed_definition_of_the_type(tmp_path: Path) -> None:
    slip = write_type(tmp_path / "slip", {"total": {"type": "number"}})
    project = old_project(tmp_path, document_type={"name": "slip", "digest": "0"})
    changed = project.model_copy(update={"document_type": slip.reference})
    with pytest.raises(UsageError, match=r"document_type \(schema.json or document_type.yaml of slip\)"):
        read_data_manifest(changed)


def test_data_folder_without_a_type_is_for_invoices(tmp_path: Path) -> None:
    project = old_project(tmp_path)
    receipt = write_type(tmp_path / "receipt", {"total": {"type": "number", "x-kind": "amount"}})
    changed = project.model_copy(update={"document_type": receipt.reference})
    with pytest.raises(UsageError, match=r"built with other settings: document_type \(.*invoice.*receipt"):
        read_data_manifest(changed)


@pytest.mark.parametrize("name", ["by_filter", "by_gate"])
def test_the_summary_reads_both_names_of_the_counts(name: str) -> None:
    by_split = {"train": 1, "eval": 0, "test": 0}
    data = {"read": 3, "written": 1, "rejected": 2, "duplicates": 0, "by_split": by_split, name: {"dates": 2}}
    console = Console(file=io.StringIO(), width=200)
    console.print(_data_table(data))
    assert isinstance(console.file, io.StringIO)
    assert "2 (dates 2)" in console.file.getvalue()
