"""Settings that save memory: their order, and when they apply."""

from __future__ import annotations

from typing import Any

import pytest
from plan_examples import LARGE, MIDDLE, OCR, PAGES, SMALL, project, shape

from erniekit_adapter.architectures.models import find_model
from erniekit_adapter.planning.memory import memory_use
from erniekit_adapter.planning.out_of_memory import reliefs
from erniekit_adapter.planning.recommend import changed

EVERY = {"enabled": False}


def keys(name: str = SMALL, longest: int | None = None, **sections: Any) -> list[str]:
    example = project(name, **sections)
    return [relief.keys for relief in reliefs(example, shape(name), longest=longest, model=find_model(name))]


def test_reliefs_are_ordered_by_cost() -> None:
    training = {"recompute": False, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    assert keys(MIDDLE, longest=1024, training=training) == [
        "erniekit.extra.use_sparse_head_and_loss_fn: true",
        "training.recompute: true",
        "training.per_device_train_batch_size: 1, gradient_accumulation_steps: 8",
        "training.max_seq_length: 1024",
        "erniekit.extra.offload_optim: true",
        "training.quantization: wint8",
        "training.quantization: wint4/8",
        "lora.r: 8",
        "lora.target_modules: [q_proj, k_proj, v_proj, o_proj]",
        "parallel.tensor: 2, sequence: true",
        "model.model_name_or_path: baidu/ERNIE-4.5-0.3B-Paddle",
    ]


@pytest.mark.parametrize(
    ("name", "sections", "not_offered"),
    [
        (SMALL, {}, "training.recompute"),
        (SMALL, {}, "training.per_device_train_batch_size"),
        (SMALL, {}, "training.max_seq_length"),
        (SMALL, {}, "model.model_name_or_path"),
        (SMALL, {"lora": EVERY}, "training.quantization"),
        (SMALL, {"lora": {"rslora": True}}, "training.quantization"),
        (SMALL, {"training": {"quantization": "wint8"}}, "training.quantization"),
        (SMALL, {"lora": {"r": 8}}, "lora.r"),
        (SMALL, {"lora": {"target_modules": ["o_proj"]}}, "lora.target_modules"),
        (SMALL, {"lora": {"lora_dropout": 0.1}}, "parallel.tensor"),
        (SMALL, {"parallel": {"tensor": 2}}, "parallel.tensor"),
        (SMALL, {"parallel": {"tensor": 2}}, "lora.target_modules"),
        (SMALL, {"parallel": {"gpus": 4}}, "erniekit.extra.offload_optim"),
        (SMALL, {"training": {"method": "DPO"}}, "erniekit.extra.use_sparse"),
        (PAGES, {}, "lora.target_modules"),
        (OCR, {}, "model.model_name_or_path"),
    ],
)
def test_omits_reliefs_that_do_not_apply(name: str, sections: dict[str, Any], not_offered: str) -> None:
    assert not [key for key in keys(name, **sections) if key.startswith(not_offered)]


@pytest.mark.parametrize(
    ("name", "sections", "offered"),
    [
        (SMALL, {"lora": EVERY}, "lora.enabled: true"),
        (OCR, {"lora": EVERY, "training": {"freeze_vision": False}}, "training.freeze_vision: true"),
        (SMALL, {"lora": EVERY, "parallel": {"gpus": 4}}, "parallel.sharding: 4"),
        (OCR, {"backend": "paddleformers"}, "paddleformers.extra.use_filtered_label_loss: true"),
        (OCR, {"backend": "paddleformers"}, "paddleformers.extra.tensorwise_offload_optimizer: true"),
        (LARGE, {}, "model.model_name_or_path: baidu/ERNIE-4.5-21B-A3B-Paddle"),
        (PAGES, {}, "model.model_name_or_path: PaddlePaddle/PaddleOCR-VL"),
    ],
)
def test_offers_special_reliefs(name: str, sections: dict[str, Any], offered: str) -> None:
    assert offered in keys(name, **sections)


def test_saved_bytes_of_each_relief() -> None:
    example = project(MIDDLE, training={"recompute": False})
    found = {relief.keys: relief.saved_bytes for relief in reliefs(example, shape(MIDDLE))}
    after = changed(example, training={"recompute": True})
    saved = memory_use(example, shape(MIDDLE)).total - memory_use(after, shape(MIDDLE)).total
    assert found["training.recompute: true"] == saved > 0
    assert all(size > 0 for size in found.values())
