"""Settings that ERNIEKit does not support, by version. Pure functions.

Sources: its code, and runs; docs/toolkits.md lists each limit with its test.
"""

from __future__ import annotations

from collections.abc import Iterator

from erniekit_adapter.architectures.families import family_of
from erniekit_adapter.architectures.toolkits import (
    IMAGE_METHODS,
    METHODS_SINCE,
    QUANTIZATIONS_SINCE,
    erniekit_has,
    minor_release,
)
from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project


def _batch(project: Project, context: RunContext) -> Iterator[Problem]:
    training = project.training
    evaluated = training.per_device_eval_batch_size
    if evaluated not in (None, training.per_device_train_batch_size):
        yield Problem(
            f"{PROJECT} training.per_device_eval_batch_size",
            f"found {evaluated}; ERNIEKit uses one batch_size for both, here {training.per_device_train_batch_size}",
            "set it to the value of per_device_train_batch_size, or remove it",
        )


def _method(project: Project, context: RunContext) -> Iterator[Problem]:
    since = METHODS_SINCE["erniekit"][context.method]
    key = f"{PROJECT} training.method" if project.training.method else f"{PROJECT} model.model_name_or_path"
    if minor_release(context.version) < since:
        finding = f"{context.method} needs ERNIEKit {since[0]}.{since[1]} or newer, and this is {context.version}"
        yield Problem(key, finding, "use a git checkout of ERNIEKit, and set erniekit.version to its version")
    if context.is_multimodal and context.method in IMAGE_METHODS:
        expected = family_of(context.kind).methods["erniekit"][0]
        if context.method != expected:
            yield Problem(key, f"found {context.method}; ERNIEKit trains this model with {expected}", "remove it")
    if context.is_multimodal and project.training.device == "cpu" and not family_of(context.kind).has_experts:
        finding = "ERNIEKit trains models that take images only on GPUs"
        yield Problem(
            f"{PROJECT} training.device", finding, "set backend: paddleformers, which trains PaddleOCR-VL on a CPU"
        )


def _images_in_parallel(project: Project, context: RunContext) -> Iterator[Problem]:
    parallel, key = project.parallel, f"{PROJECT} parallel"
    if context.method == "OCR-VL-SFT" and parallel.pipeline > 1:
        yield Problem(f"{key}.pipeline", "OCR-VL-SFT does not support pipelines", "set it to 1")
    if context.method != "VL-SFT" or project.training.device == "cpu":
        return
    if not erniekit_has("images without a pipeline", context.version) and parallel.pipeline < 2:
        finding = f"found {parallel.pipeline}; VL-SFT of {context.version} needs a pipeline"
        yield Problem(f"{key}.pipeline", finding, "set it to 2 or more (ERNIEKit's own project: tensor 2, pipeline 2)")
    elif parallel.model_parallel == 1:
        finding = "VL-SFT fails if tensor and pipeline are both 1"
        yield Problem(
            key, finding, "set tensor or pipeline to 2 or more (ERNIEKit's own project: tensor 2, pipeline 2)"
        )
    if parallel.pipeline > 1:
        steps = project.training.gradient_accumulation_steps
        if steps % parallel.pipeline:
            finding = f"found {steps}; with images it is divided among the {parallel.pipeline} pipeline ranks"
            yield Problem(
                f"{PROJECT} training.gradient_accumulation_steps",
                finding,
                f"set it to a multiple of {parallel.pipeline}",
            )
        if parallel.data > 1:
            finding = (
                f"{parallel.world_size} GPUs hold {parallel.data} copies of the model, which would all read the same "
                "examples: with pp_need_data ERNIEKit does not distinguish them"
            )
            yield Problem(f"{key}.gpus", finding, f"set it to {parallel.model_parallel}, or raise the degrees")


def _images_with_lora(project: Project, context: RunContext) -> Iterator[Problem]:
    """Problems of LoRA on a model with images.

    The trainers of both methods override `save_model(output_dir)`, and PaddleFormers calls it with a second argument
    unless the model is quantized or in a pipeline (source of 1.3.0; ERNIE issues 1397 and 1430).
    """
    if not context.is_multimodal or not project.lora.enabled:
        return
    key, parallel = f"{PROJECT} lora.enabled", project.parallel
    if context.method == "OCR-VL-SFT":
        finding = "with LoRA, OCR-VL-SFT of ERNIEKit stops at its first checkpoint (TypeError in save_model)"
        hint = "set backend: paddleformers (configs/paddleocr-vl-paddleformers.yaml), or lora.enabled: false"
        yield Problem(key, finding, hint)
    elif context.method == "VL-SFT" and parallel.pipeline == 1 and project.training.quantization is None:
        finding = "with LoRA and no pipeline, VL-SFT stops at its first checkpoint (TypeError in save_model)"
        yield Problem(key, finding, "set parallel.pipeline to 2 or more, or lora.enabled: false")
    if not project.training.freeze_vision:
        finding = (
            "is false, and with LoRA ERNIEKit adapts no layer of the vision tower: it would train these weights and "
            "save none of them, as an adapter does not contain them"
        )
        yield Problem(f"{PROJECT} training.freeze_vision", finding, "remove it, or set lora.enabled: false")


def _quantization(project: Project, context: RunContext) -> Iterator[Problem]:
    quantization, key = project.training.quantization, f"{PROJECT} training.quantization"
    if quantization is None:
        return
    since = QUANTIZATIONS_SINCE["erniekit"].get(quantization)
    if since is None:
        known = ", ".join(QUANTIZATIONS_SINCE["erniekit"])
        yield Problem(key, f"found {quantization}; ERNIEKit has {known}", "set one of these, or backend: paddleformers")
    elif minor_release(context.version) < since:
        yield Problem(key, f"{quantization} needs ERNIEKit 1.1 or newer, and this is {context.version}", "set wint4/8")
    if quantization == "fp8" and project.lora.enabled:
        yield Problem(key, "ERNIEKit uses fp8 only to train all weights", "set lora.enabled: false, or set wint4/8")
    if not family_of(context.kind).has_experts and project.parallel.pipeline > 1:
        finding = "a model that shares its embedding with its output head cannot be quantised in a pipeline"
        yield Problem(key, finding, "set parallel.pipeline: 1")


def _offload(project: Project, context: RunContext) -> Iterator[Problem]:
    offloads = [raw for raw in context.raw_keys if raw.key == "tensorwise_offload_optimizer" and raw.value is True]
    copies = project.parallel.data // project.parallel.sharding
    if copies > 1 and (offloads or project.training.quantization == "fp8"):
        place = offloads[0].location if offloads else f"{PROJECT} training.quantization"
        finding = f"the optimizer cannot be offloaded with {copies} data-parallel copies of the model"
        yield Problem(place, finding, f"set parallel.sharding: {project.parallel.data}")


def _schedule(project: Project, context: RunContext) -> Iterator[Problem]:
    given = project.training.lr_scheduler_type
    if context.is_multimodal and given != "cosine":
        finding = f"found {given}; the methods for images always use a cosine (source of 1.3.0)"
        yield Problem(f"{PROJECT} training.lr_scheduler_type", finding, "set it to cosine, or remove it")


def _sharding(project: Project, context: RunContext) -> Iterator[Problem]:
    parallel = project.parallel
    if parallel.sharding > 1 and parallel.sharding_stage == "stage3":
        finding = "with stage3 ERNIEKit writes another kind of checkpoint, which export does not read, and only logs it"
        yield Problem(f"{PROJECT} parallel.sharding_stage", finding, "set it to stage1 or stage2")


LIMITS = (_sharding, _batch, _schedule, _method, _images_in_parallel, _images_with_lora, _quantization, _offload)
