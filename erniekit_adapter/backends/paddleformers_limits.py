"""What PaddleFormers 1.x cannot do. Pure functions.

Read in its sources and seen in runs; docs/toolkits.md lists each with its test.
"""

from __future__ import annotations

from collections.abc import Iterator

from erniekit_adapter.backends.lora_modules import needs_initial_adapter
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


def _vision(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if facts.kind != "ocr-vl" or project.training.freeze_vision or not project.lora.enabled:
        return
    if needs_initial_adapter(project, facts.kind):
        what = (
            "is false, and of the vision tower PaddleFormers adapts all or nothing: with other targets, dropout or "
            "alpha than its own it would adapt nothing"
        )
        yield Problem(f"{PROJECT} training.freeze_vision", what, "remove it, or lora.target_modules, dropout and alpha")


def _dpo(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if facts.stage == "DPO" and not project.lora.enabled and project.parallel.world_size == 1:
        what = "DPO of every weight fails in one process"
        yield Problem(f"{PROJECT} lora.enabled", what, "set it true, or backend: erniekit")


def _quantization(project: Project, facts: RunFacts) -> Iterator[Problem]:
    quantization = project.training.quantization
    if quantization and quantization not in _QUANTIZATIONS:
        what = f"found {quantization}; PaddleFormers has {', '.join(_QUANTIZATIONS)}"
        yield Problem(f"{PROJECT} training.quantization", what, "take one of these, or backend: erniekit")


def _in_parallel(project: Project, facts: RunFacts) -> Iterator[Problem]:
    training, parallel = project.training, project.parallel
    evaluated = training.per_device_eval_batch_size
    follows = not project.lora.enabled and facts.eval_lines != 0
    if follows and parallel.pipeline > 1 and evaluated not in (None, training.per_device_train_batch_size):
        what = f"found {evaluated}; in a pipeline it has to be that of training, {training.per_device_train_batch_size}"
        yield Problem(f"{PROJECT} training.per_device_eval_batch_size", what, "make it equal, or leave it out")
    for raw in facts.raw_keys:
        if raw.key == "amp_master_grad" and raw.value is False and parallel.sharding > 1:
            what = "is false, and PaddleFormers stops without it where the optimizer is sharded"
            yield Problem(raw.where, what, "remove it, or set parallel.sharding: 1")


LIMITS = (_stage, _vision, _dpo, _quantization, _in_parallel)
