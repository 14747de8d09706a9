"""Checks of training examples, folders and disk space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from doctor_examples import (
    checks_of,
    find,
    wrong_lines,
)

from erniekit_adapter.doctor.disk import disk_need
from erniekit_adapter.project.schema import Project


def test_missing_sources_are_named_by_key(ready: dict[str, Any]) -> None:
    checks = checks_of(ready, data={"test_sources": [{"kind": "training_examples", "path": "./b.jsonl"}]})
    check = find(checks, "missing sources: data.test_sources[0].path: b.jsonl: no such file")
    assert check.hint == "correct their paths"
    assert find(checks_of(ready, dataset={}), "the project names no documents").state == "wrong"


@pytest.mark.parametrize("content", ["[]", "{}", '{"by_split": {}}', "no JSON"])
def test_damaged_manifest(ready: dict[str, Any], tmp_path: Path, content: str) -> None:
    (tmp_path / "run" / "data").mkdir(parents=True)
    (tmp_path / "run" / "data" / "manifest.json").write_text(content)
    (tmp_path / "run" / "data" / "train.jsonl").touch()
    assert [line for line in wrong_lines(checks_of(ready)) if "manifest" in line and " again" in line]


def test_comma_in_the_path_of_the_examples(ready: dict[str, Any], model: Path) -> None:
    odd = {"output_dir": "./a,b c"}
    assert find(checks_of(ready, **odd), "the path of the training examples contains").state == "skipped"
    (model / "config.json").write_text(json.dumps({"model_type": "paddleocr_vl"}))
    assert find(checks_of(ready, **odd), "the path of the training examples contains").state == "wrong"


@pytest.mark.parametrize("target", ["nowhere", "run"])
def test_output_dir_is_a_broken_link(ready: dict[str, Any], tmp_path: Path, target: str) -> None:
    (tmp_path / "run").symlink_to(target)
    found = wrong_lines(checks_of(ready, output_dir=str(tmp_path / "run")))
    assert any("which does not exist or links back to itself" in each for each in found)


def test_disk_need_of_model_and_checkpoints() -> None:
    project = Project.model_validate(
        {
            "model": {"model_name_or_path": "./model"},
            "training": {"save_steps": 10, "max_steps": 100, "save_total_limit": 2},
            "output_dir": "./run",
        }
    )
    need = disk_need(project, model_bytes=700, parameters=350, lora_parameters=10)
    assert (need.checkpoints, need.checkpoint_bytes, need.weights_bytes) == (3, 160, 1400)
    without_merge = project.model_copy(update={"export": project.export.model_copy(update={"formats": ["peft"]})})
    assert disk_need(without_merge, 700, 350, 10).weights_bytes == 0
    full = project.model_copy(update={"lora": project.lora.model_copy(update={"enabled": False})})
    assert disk_need(full, 700, 350, 0).checkpoint_bytes == 350 * 16


def test_disk_that_is_too_small(ready: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erniekit_adapter.doctor.disk.MIN_FREE_BYTES", 2**60)
    check = next(check for check in checks_of(ready) if "needed at most" in check.finding)
    assert check.state == "wrong"
    assert "leave merged out of export.formats" in check.hint
