"""Data folders of earlier versions: gates are filters, and wordings are prompt templates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_tools.inspect.data_folder import read_manifest, read_rejections
from data_tools.pipeline.manifest import DataManifest
from erniekit_adapter.cli.data_folders import rejections
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.former_data_names import current_manifest, current_rejection

REJECTION = {"source": "a.jsonl", "line": 1, "document_id": "x", "reason": "no OCR"}
COUNTS = {"read": 1, "written": 1, "rejected": 0, "duplicates": 0, "documents": 1}
EARLIER = {
    **COUNTS,
    "made_by": "data_tools 0.1",
    "settings": {"gates": {"dates": "warn"}, "wordings": 2, "seed": 1},
    "inputs": [{"path": "a.jsonl", "by_gate": {"visible": 1}}],
    "files": {},
    "by_gate": {"visible": 1},
    "warnings": [],
    "preferences": {"by_gate": {"visible": 2}},
}


def earlier_manifest() -> dict[str, object]:
    names = {"first_reasons", "by_split", "by_task", "by_language", "faults", "tokens", "tokens_counted"}
    names |= {"page_kilopixels", "unused_keys", "left_out", "masked", "warned"}
    return {**EARLIER, **{name: {} for name in names}}


def test_reads_the_manifest_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(earlier_manifest()))
    found: DataManifest = read_manifest(tmp_path)
    assert found.by_filter == {"visible": 1}
    assert found.inputs[0]["by_filter"] == {"visible": 1}
    assert found.settings == {"filters": {"dates": "warn"}, "prompt_templates": 2, "seed": 1}
    assert found.preferences == {"by_filter": {"visible": 2}}


def test_reads_the_rejections_of_an_earlier_version(tmp_path: Path) -> None:
    (tmp_path / "rejected.jsonl").write_text(json.dumps({**REJECTION, "gate": "visible"}) + "\n")
    assert [each.filter for each in read_rejections(tmp_path / "rejected.jsonl")] == ["visible"]
    assert [each["filter"] for each in rejections(tmp_path)] == ["visible"]


def test_damaged_rejections_give_an_error(tmp_path: Path) -> None:
    (tmp_path / "rejected.jsonl").write_text("{\n")
    with pytest.raises(AdapterError, match=r"rejected\.jsonl:1: not JSON"):
        list(read_rejections(tmp_path / "rejected.jsonl"))


@pytest.mark.parametrize("value", [{}, {"inputs": 1}, {"inputs": [1], "settings": None, "preferences": []}])
def test_values_of_other_types_stay(value: dict[str, object]) -> None:
    assert current_manifest(value) == value


def test_current_names_win() -> None:
    both = {"gate": "old", "filter": "new"}
    assert current_rejection(both) == both
    assert current_rejection({"filter": "new"}) == {"filter": "new"}
