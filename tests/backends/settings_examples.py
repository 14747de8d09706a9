"""Projects, with their settings or their errors."""

from __future__ import annotations

from typing import Any

import pytest

from erniekit_adapter.architectures.toolkits import RELEASES
from erniekit_adapter.backends.settings import RunContext, values
from erniekit_adapter.backends.translation import context_before_training, settings_of
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project

# Versions of ERNIEKit with a key table, the oldest first; without the development version.
RELEASED = [release.key_table for release in RELEASES["erniekit"].values()]
DENSE = "baidu/ERNIE-4.5-0.3B-Paddle"
MOE = "baidu/ERNIE-4.5-21B-A3B-Paddle"
VL = "baidu/ERNIE-4.5-VL-28B-A3B-Paddle"
OCR_VL = "PaddlePaddle/PaddleOCR-VL"


def project(model: str = DENSE, **sections: Any) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": model}, "output_dir": "./o", **sections})


def image_project(**sections: Any) -> Project:
    """Return a project of ERNIE-VL with LoRA in ERNIEKit 1.4."""
    usual = {
        "data": {"format": "erniekit-vl"},
        "parallel": {"tensor": 2, "pipeline": 2},
        "training": {"gradient_accumulation_steps": 4},
        "erniekit": {"version": "1.4"},
    }
    return project(VL, **{**usual, **sections})


def ocr_project(**sections: Any) -> Project:
    """Return a project that trains all weights of PaddleOCR-VL in ERNIEKit 1.5."""
    usual = {"lora": {"enabled": False}, "data": {"format": "erniekit-vl"}, "erniekit": {"version": "1.5"}}
    return project(OCR_VL, **{**usual, **sections})


def dpo_project(model: str = DENSE, **sections: Any) -> Project:
    training = {"method": "DPO", **sections.pop("training", {})}
    return project(model, training=training, data={"preference": True}, **sections)


def paddleformers_project(model: str = "baidu/ERNIE-4.5-0.3B-PT", **sections: Any) -> Project:
    return project(model, backend="paddleformers", **sections)


def context_of(of: Project, version: str | None = None, **more: Any) -> RunContext:
    from dataclasses import replace

    return replace(context_before_training(of, version), **more)


def settings(of: Project, version: str | None = None, **more: Any) -> dict[str, Any]:
    return values(settings_of(of, context_of(of, version, **more)))


def refusal(of: Project, version: str | None = None) -> str:
    with pytest.raises(UsageError) as error:
        settings(of, version)
    return str(error.value)
