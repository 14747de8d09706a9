"""Checks of the folder of the base model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doctor_examples import (
    checks_of,
    find,
    no_template,
    no_tokenizer,
    wrong_lines,
)

from erniekit_adapter.doctor.weights import count_lora_parameters, read_header


def cut_off(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def lfs_pointer(model: Path) -> None:
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def half_downloaded(model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def dangling(model: Path) -> None:
    (model / "more.safetensors").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        (cut_off, "model/model.safetensors is cut off: "),
        (lfs_pointer, "model/model.safetensors is not a safetensors file, or is cut off in its header"),
        (dangling, "model/more.safetensors is a link to nothing"),
        (half_downloaded, "model lacks model-00002-of-00002.safetensors"),
        (no_template, "model has no chat template"),
        (no_tokenizer, "model lacks tokenizer.model"),
    ],
)
def test_incomplete_model_folder(
    ready: dict[str, Any], model: Path, harm: Callable[[Path], None], finding: str
) -> None:
    harm(model)
    check = find(checks_of(ready), finding)
    assert check.state == "wrong"
    assert check.hint.startswith("copy the model")


def test_missing_model_has_one_line(ready: dict[str, Any]) -> None:
    checks = checks_of(ready, model={"model_name_or_path": "baidu/ERNIE-4.5-0.3B-Paddle"})
    check = find(checks, "no model in the folder baidu/ERNIE-4.5-0.3B-Paddle")
    assert check.hint.startswith("download it, for example: hf download baidu/ERNIE-4.5-0.3B-Paddle")
    assert len(wrong_lines(checks)) == 1


def test_chat_template_in_its_own_file(ready: dict[str, Any], model: Path) -> None:
    no_template(model)
    (model / "chat_template.jinja").write_text("{{- cls_token -}}")
    assert find(checks_of(ready), "chat template: chat_template.jinja").state == "ok"


def test_number_of_lora_parameters(model: Path) -> None:
    files = [read_header(model / "model.safetensors")]
    assert count_lora_parameters(files, frozenset({"q_proj"}), rank=2) == 2 * (4 + 8)
    assert count_lora_parameters(files, frozenset({"down_proj"}), rank=2) == 0
