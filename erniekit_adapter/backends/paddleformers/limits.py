"""Settings that PaddleFormers 1.x does not support. Pure functions.

Sources: its code, and runs; docs/toolkits.md lists each limit with its test.
"""

from __future__ import annotations

from collections.abc import Iterator

from erniekit_adapter.architectures.families import family_of
from erniekit_adapter.architectures.toolkits import METHODS_SINCE, QUANTIZATIONS_SINCE
from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project


def _method(project: Project, context: RunContext) -> Iterator[Problem]:
    if context.method not in METHODS_SINCE["paddleformers"]:
        finding = "PaddleFormers trains PaddleOCR-VL with VL-SFT"
        yield Problem(f"{PROJECT} training.method", finding, "remove it: the model decides")
    has_image_experts = context.is_multimodal and family_of(context.kind).has_experts
    if has_image_experts and project.lora.enabled and project.parallel.pipeline == 1:
        finding = "without a pipeline it passes neither images nor positions to a model with LoRA (source of 1.2.0)"
        hint = "set parallel.pipeline: 2, or use PaddleOCR-VL, or set backend: erniekit"
        yield Problem(f"{PROJECT} lora.enabled", finding, hint)


def _dpo(project: Project, context: RunContext) -> Iterator[Problem]:
    if context.method == "DPO" and not project.lora.enabled and project.parallel.world_size == 1:
        finding = "DPO of all weights fails in one process"
        yield Problem(f"{PROJECT} lora.enabled", finding, "set it to true, or set backend: erniekit")


def _quantization(project: Project, context: RunContext) -> Iterator[Problem]:
    quantization = project.training.quantization
    if quantization and quantization not in QUANTIZATIONS_SINCE["paddleformers"]:
        finding = f"found {quantization}; PaddleFormers has {', '.join(QUANTIZATIONS_SINCE['paddleformers'])}"
        yield Problem(f"{PROJECT} training.quantization", finding, "set one of these, or backend: erniekit")


def _in_parallel(project: Project, context: RunContext) -> Iterator[Problem]:
    training, parallel = project.training, project.parallel
    evaluated = training.per_device_eval_batch_size
    evaluates_loss = not project.lora.enabled and context.eval_examples != 0
    if evaluates_loss and parallel.pipeline > 1 and evaluated not in (None, training.per_device_train_batch_size):
        finding = (
            f"found {evaluated}; in a pipeline it must equal that of training, {training.per_device_train_batch_size}"
        )
        yield Problem(f"{PROJECT} training.per_device_eval_batch_size", finding, "set the same value, or remove it")
    for raw in context.raw_keys:
        if raw.key == "amp_master_grad" and raw.value is False and parallel.sharding > 1:
            finding = "is false, and PaddleFormers stops without it if the optimizer is sharded"
            yield Problem(raw.location, finding, "remove it, or set parallel.sharding: 1")


LIMITS = (_method, _dpo, _quantization, _in_parallel)
