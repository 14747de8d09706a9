"""Export and verification of every kind of model, format and file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from bundle_examples import LORA_CONFIG, exported, trained
from layout_examples import OCR_VL
from merge_examples import (
    EXPERT_CONFIG,
    GROUPED,
    Tensors,
    random_adapter,
    random_adapter_of,
    random_base,
    random_expert_adapter,
    random_expert_base,
    write_adapter,
    write_base,
)

from erniekit_adapter.bundle.verify import verify
from erniekit_adapter.files import read_json, write_json
from erniekit_adapter.layouts.paddleformers import paddleocr_vl_linears
from erniekit_adapter.project.model_folder import model_fingerprint
from erniekit_adapter.project.schema import Project

pytestmark = pytest.mark.usefixtures("no_readers")
MODEL_FILES: dict[str, Any] = {
    "generation_config.json": {"top_p": 0.8, "temperature": 0.8, "do_sample": True, "eos_token_id": [2, 3]},
    "special_tokens_map.json": {
        "eos_token": {"content": "</s>", "lstrip": False},
        "additional_special_tokens": ["<x>"],
    },
    "added_tokens.json": {"<mask:1>": 4},
    "tokenizer.json": {"version": "1.0", "model": {"type": "BPE", "vocab": {"auto_map": 0}, "merges": []}},
    "chat_template.json": {"chat_template": "{{ messages[0]['content'] }}"},
    "preprocessor_config.json": {
        "image_processor_type": "PaddleOCRVLImageProcessor",
        "image_mean": [0.5],
        "patch_size": 14,
    },
    "processor_config.json": {"processor_class": "PaddleOCRVLProcessor", "image_processor": {"do_resize": True}},
    "video_preprocessor_config.json": {"video_processor_type": "Ernie4_5_VLMoeVideoProcessor"},
}


def trained_on(folder: Path, base: Tensors, config: Any, adapter: Tensors, shards: int = 1, **more: Any) -> Project:
    """Write a trained project with another base model and adapter, and with all files beside the weights."""
    project = trained(folder, **more)
    model, training = folder / "model", project.training_dir
    shutil.rmtree(model)
    write_base(model, base, config, shards)
    for name, content in MODEL_FILES.items():
        write_json(model / name, content)
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    shutil.rmtree(training / "output")
    write_adapter(training / "output", adapter, {**LORA_CONFIG, "target_modules": [".*"]})
    manifest = read_json(training / "manifest.json") | {"base_model": model_fingerprint(model)}
    write_json(training / "manifest.json", manifest)
    return project


def files_of(project: Project) -> set[str]:
    exported(project)
    assert verify(project.bundle_dir, trust="unsigned", base_dir=Path(project.model.model_name_or_path))
    return set(read_json(project.bundle_dir / "manifest.json")["files"])


@pytest.mark.parametrize("shards", [1, 2])
def test_a_dense_model(shards: int, tmp_path: Path) -> None:
    formats = ("native", "peft", "merged", "merged-hf")
    project = trained_on(tmp_path, random_base(GROUPED), GROUPED, random_adapter(GROUPED), shards, formats=formats)
    files = files_of(project)
    assert {f"merged/{name}" for name in MODEL_FILES} <= files
    assert ("merged/model.safetensors.index.json" in files) == (shards == 2)


def test_a_mixture_of_experts(tmp_path: Path) -> None:
    formats = ("native", "peft", "peft-v5", "merged", "merged-hf")
    base, adapter = random_expert_base(), random_expert_adapter()
    assert files_of(trained_on(tmp_path, base, EXPERT_CONFIG, adapter, formats=formats))


def test_an_adapter_of_paddleocr_vl(tmp_path: Path) -> None:
    adapter = random_adapter_of(paddleocr_vl_linears(OCR_VL))
    assert files_of(trained_on(tmp_path, random_base(GROUPED), OCR_VL, adapter, formats=("native", "peft")))
