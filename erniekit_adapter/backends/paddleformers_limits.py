"""What PaddleFormers 1.x cannot do. Pure functions.

Read in its sources and seen in runs; docs/toolkits.md lists each with its test.
"""

from __future__ import annotations

from collections.abc import Iterator

from erniekit_adapter.backends.settings import RunFacts
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project

_QUANTIZATIONS = ("wint8", "wint4", "wint4/8", "nf4")


def _stage(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if facts.stage == "OCR-VL-SFT":
        what = "PaddleFormers trains PaddleOCR-VL in stage VL-SFT"
        yield Problem(f"{PROJECT} training.stage", what, "leave it out: the model decides")
    if facts.kind == "vl-moe" and project.lora.enabled and project.parallel.pipeline == 1:
        what = "without a pipeline it passes neither images nor positions to a model with LoRA (read in 1.2.0)"
        remedy = "set parallel.pipeline: 2, or take PaddleOCR-VL, or backend: erniekit"
        yield Problem(f"{PROJECT} lora.enabled", what, remedy)


def _quantization(project: Project, facts: RunFacts) -> Iterator[Problem]:
    quantization = project.training.quantization
    if quantization and quantization not in _QUANTIZATIONS:
        what = f"found {quantization}; PaddleFormers has {', '.join(_QUANTIZATIONS)}"
        yield Problem(f"{PROJECT} training.quantization", what, "take one of these, or backend: erniekit")


LIMITS = (_stage, _quantization)
