"""Projects and shapes for the tests of planning."""

from __future__ import annotations

from typing import Any

from erniekit_adapter.architectures.models import published
from erniekit_adapter.planning.shape import ModelSizes, shape_of_catalogue
from erniekit_adapter.project.schema import Project

SMALL = "baidu/ERNIE-4.5-0.3B-Paddle"
MIDDLE = "baidu/ERNIE-4.5-21B-A3B-Paddle"
LARGE = "baidu/ERNIE-4.5-300B-A47B-Paddle"
PAGES = "baidu/ERNIE-4.5-VL-28B-A3B-Paddle"
OCR = "PaddlePaddle/PaddleOCR-VL"


def project(name: str = SMALL, **sections: Any) -> Project:
    return Project.model_validate({"model": {"model_name_or_path": name}, "output_dir": "./o", **sections})


def shape(name: str = SMALL) -> ModelSizes:
    return shape_of_catalogue(published(name))
