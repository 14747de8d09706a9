"""Reading of the records of a training run, including damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.run_records import read_run, read_training_manifest

MANIFEST: dict[str, Any] = {
    "toolkit": {"name": "erniekit", "version": "1.0.1"},
    "steps": 6,
    "first_loss": 7.0,
    "last_loss": None,
    "last_eval_loss": None,
    "adapter": "output",
    "settings": {},
    "data": "d",
    "base_model": "b",
}
GARBAGE = [b"", b"{x", b"[]", b"null", b'"x"', b"\xff\x00", b"[" * 100_000]


def test_empty_folder_has_no_run(tmp_path: Path) -> None:
    assert (read_run(tmp_path), read_training_manifest(tmp_path)) == (None, None)


def test_reads_a_complete_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert read_training_manifest(tmp_path) == MANIFEST


@pytest.mark.parametrize("content", GARBAGE)
def test_garbage_is_reported_as_damage(tmp_path: Path, content: bytes) -> None:
    for name, read in (("run.json", read_run), ("manifest.json", read_training_manifest)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AdapterError, match=rf"{name}: is damaged: .*\n.*--restart"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, []) for name in MANIFEST),
        ("steps", "6"),
        ("adapter", "../elsewhere"),
        ("toolkit", {}),
        ("toolkit", {"name": 1, "version": "1"}),
    ],
)
def test_field_of_another_type_is_damage(tmp_path: Path, name: str, value: object) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({**MANIFEST, name: value}))
    with pytest.raises(AdapterError, match=f"is damaged: {name} "):
        read_training_manifest(tmp_path)


@pytest.mark.parametrize("name", MANIFEST)
def test_missing_field_is_damage(tmp_path: Path, name: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({key: MANIFEST[key] for key in MANIFEST if key != name}))
    with pytest.raises(AdapterError, match=f"is damaged: {name} "):
        read_training_manifest(tmp_path)


@pytest.mark.parametrize("run", [{"settings": []}, {"length": 3}, {"length": {"max_steps": "8"}}, {"settings": None}])
def test_malformed_run_is_damage(tmp_path: Path, run: dict[str, Any]) -> None:
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(AdapterError, match=r"run\.json: is damaged"):
        read_run(tmp_path)


def test_folder_instead_of_a_file_is_damage(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(AdapterError, match="not a regular file"):
        read_training_manifest(tmp_path)
