"""What ERNIEKit cannot do, by version. Pure functions.

Read in its sources and seen in runs; docs/toolkits.md lists each with its test.
"""

from __future__ import annotations

from collections.abc import Iterator

from erniekit_adapter.backends.keytable import minor_release
from erniekit_adapter.backends.lora_modules import needs_initial_adapter
from erniekit_adapter.backends.settings import RunFacts
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project

# The first release that has a stage.
_STAGES_SINCE = {"SFT": (1, 0), "DPO": (1, 0), "VL-SFT": (1, 1), "OCR-VL-SFT": (1, 4)}
_QUANTIZATIONS_SINCE = {"wint8": (1, 0), "wint4/8": (1, 0), "fp8": (1, 0), "nf4": (1, 1)}


def _batch(project: Project, facts: RunFacts) -> Iterator[Problem]:
    training = project.training
    evaluated = training.per_device_eval_batch_size
    if evaluated not in (None, training.per_device_train_batch_size):
        yield Problem(
            f"{PROJECT} training.per_device_eval_batch_size",
            f"found {evaluated}; ERNIEKit has one batch_size for both, {training.per_device_train_batch_size} here",
            "make it equal to per_device_train_batch_size, or leave it out",
        )


def _stage(project: Project, facts: RunFacts) -> Iterator[Problem]:
    since = _STAGES_SINCE[facts.stage]
    key = f"{PROJECT} training.stage" if project.training.stage else f"{PROJECT} model.model_name_or_path"
    if minor_release(facts.version) < since:
        what = f"stage {facts.stage} came with ERNIEKit {since[0]}.{since[1]}, and this is {facts.version}"
        yield Problem(key, what, "use a git checkout of ERNIEKit, and set erniekit.version to what you will run")
    if facts.sees_pages and facts.stage in ("VL-SFT", "OCR-VL-SFT"):
        wanted = "OCR-VL-SFT" if facts.kind == "ocr-vl" else "VL-SFT"
        if facts.stage != wanted:
            yield Problem(key, f"found {facts.stage}; ERNIEKit trains this model in {wanted}", "leave it out")
    if facts.sees_pages and project.training.device == "cpu" and facts.kind == "ocr-vl":
        what = "ERNIEKit trains models with images on GPUs alone"
        yield Problem(
            f"{PROJECT} training.device", what, "set backend: paddleformers, which trains PaddleOCR-VL on a CPU"
        )


def _images_in_parallel(project: Project, facts: RunFacts) -> Iterator[Problem]:
    parallel, key = project.parallel, f"{PROJECT} parallel"
    if facts.stage == "OCR-VL-SFT" and parallel.pipeline > 1:
        yield Problem(f"{key}.pipeline", "stage OCR-VL-SFT has no pipelines", "set it to 1")
    if facts.stage != "VL-SFT" or project.training.device == "cpu":
        return
    if minor_release(facts.version) <= (1, 3) and parallel.pipeline < 2:
        what = f"found {parallel.pipeline}; stage VL-SFT of {facts.version} needs a pipeline"
        yield Problem(f"{key}.pipeline", what, "set it to 2 or more (ERNIEKit's own project: tensor 2, pipeline 2)")
    elif parallel.model_parallel == 1:
        what = "stage VL-SFT fails with tensor and pipeline both 1"
        yield Problem(key, what, "set tensor or pipeline to 2 or more (ERNIEKit's own project: tensor 2, pipeline 2)")
    if parallel.pipeline > 1:
        steps = project.training.gradient_accumulation_steps
        if steps % parallel.pipeline:
            what = f"found {steps}; with images in a pipeline it is divided among its {parallel.pipeline} stages"
            yield Problem(f"{PROJECT} training.gradient_accumulation_steps", what, f"a multiple of {parallel.pipeline}")
        if parallel.data > 1:
            what = (
                f"{parallel.world_size} gpus are {parallel.data} copies of the model, which would all read the same "
                "lines: with pp_need_data ERNIEKit does not tell them apart"
            )
            yield Problem(f"{key}.gpus", what, f"use {parallel.model_parallel}, or larger degrees")


def _images_with_lora(project: Project, facts: RunFacts) -> Iterator[Problem]:
    """Problems of LoRA on a model with images.

    The trainers of both stages override `save_model(output_dir)`, and PaddleFormers calls it with a second argument
    unless the model is quantized or in a pipeline (read in 1.3.0; ERNIE issues 1397 and 1430).
    """
    if not facts.sees_pages or not project.lora.enabled:
        return
    key, parallel = f"{PROJECT} lora.enabled", project.parallel
    if facts.stage == "OCR-VL-SFT":
        what = "with LoRA stage OCR-VL-SFT of ERNIEKit stops at its first checkpoint (TypeError in save_model)"
        remedy = "set backend: paddleformers (configs/paddleocr-vl-paddleformers.yaml), or lora.enabled: false"
        yield Problem(key, what, remedy)
    elif facts.stage == "VL-SFT" and parallel.pipeline == 1 and project.training.quantization is None:
        what = "with LoRA and no pipeline stage VL-SFT stops at its first checkpoint (TypeError in save_model)"
        yield Problem(key, what, "set parallel.pipeline to 2 or more, or lora.enabled: false")
    if not project.training.freeze_vision:
        what = (
            "is false, and with LoRA ERNIEKit adapts no layer of the vision tower: it would train these weights and "
            "save none of them, as an adapter does not contain them"
        )
        yield Problem(f"{PROJECT} training.freeze_vision", what, "remove it, or set lora.enabled: false")


def _lora(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if facts.sees_pages and needs_initial_adapter(project, facts.kind):
        what = (
            "of a model with images ERNIEKit adapts all linear layers, without dropout; no other way is known to work"
        )
        yield Problem(f"{PROJECT} lora", what, "set target_modules: all-linear and lora_dropout: 0.0")


def _quantization(project: Project, facts: RunFacts) -> Iterator[Problem]:
    quantization, key = project.training.quantization, f"{PROJECT} training.quantization"
    if quantization is None:
        return
    since = _QUANTIZATIONS_SINCE.get(quantization)
    if since is None:
        known = ", ".join(_QUANTIZATIONS_SINCE)
        yield Problem(
            key, f"found {quantization}; ERNIEKit has {known}", "take one of these, or backend: paddleformers"
        )
    elif minor_release(facts.version) < since:
        yield Problem(key, f"{quantization} came with ERNIEKit 1.1, and this is {facts.version}", "take wint4/8")
    if quantization == "fp8" and project.lora.enabled:
        yield Problem(key, "fp8 is ERNIEKit's way to train every weight", "set lora.enabled: false, or take wint4/8")
    if facts.kind in ("dense", "ocr-vl") and project.parallel.pipeline > 1:
        what = "a model that shares its embedding with its output head cannot be quantised in a pipeline"
        yield Problem(key, what, "set parallel.pipeline: 1")


def _offload(project: Project, facts: RunFacts) -> Iterator[Problem]:
    offloads = [raw for raw in facts.raw_keys if raw.key == "tensorwise_offload_optimizer" and raw.value is True]
    copies = project.parallel.data // project.parallel.sharding
    if copies > 1 and (offloads or project.training.quantization == "fp8"):
        place = offloads[0].where if offloads else f"{PROJECT} training.quantization"
        what = f"the optimizer cannot be offloaded beside {copies} data-parallel copies of the model"
        yield Problem(place, what, f"set parallel.sharding: {project.parallel.data}")


def _schedule(project: Project, facts: RunFacts) -> Iterator[Problem]:
    asked = project.training.lr_scheduler_type
    if facts.sees_pages and asked != "cosine":
        what = f"found {asked}; the stages for images take a cosine whatever they are told (read in 1.3.0)"
        yield Problem(f"{PROJECT} training.lr_scheduler_type", what, "set it to cosine, or leave it out")


def _sharding(project: Project, facts: RunFacts) -> Iterator[Problem]:
    parallel = project.parallel
    if parallel.sharding > 1 and parallel.sharding_stage == "stage3":
        what = "with stage3 ERNIEKit writes another kind of checkpoint, which export does not read, and only logs it"
        yield Problem(f"{PROJECT} parallel.sharding_stage", what, "take stage1 or stage2")


LIMITS = (_sharding, _batch, _schedule, _stage, _images_in_parallel, _images_with_lora, _lora, _quantization, _offload)
