"""Random valid projects of every kind that a toolkit can train, from a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from erniekit_adapter.architectures.families import Kind
from erniekit_adapter.architectures.models import MODELS
from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.backends.translation import context_before_training
from erniekit_adapter.lora.initial_adapter import needs_initial_adapter
from erniekit_adapter.lora.modules import matrices
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import LoraSection

LOSSES = ("sigmoid", "hinge", "simpo", "ipo", "dpop", "kto_pair", "sppo_hard", "nca_pair", "or", "orpo")
SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup")
# Texts that YAML or a command line could read as another type.
NAMES = (
    "run",
    "yes",
    "null",
    "1e-5",
    "2024-01-01",
    "~",
    "a: b # c",
    "'\"",
    "Größe 发票 🧾",
    " x ",
    "a\nb",
    "[1]",
)
KINDS: Mapping[str, tuple[Kind, ...]] = {
    "1.0.1": ("dense", "moe"),
    "1.3.0": ("dense", "moe", "vl-moe"),
    "1.2.0": ("dense", "moe", "vl-moe", "ocr-vl"),
}
# Keys of the toolkits with values of the right type that differ from the defaults.
EXTRA: Mapping[str, Any] = {
    "adam_beta2": 0.95,
    "adam_epsilon": 1.0e-6,
    "scale_loss": 1024,
    "dpop_lambda": 7.5,
    "amp_custom_white_list": ["matmul", "off"],
    "skip_data_intervals": [[1, 2], [5, 9]],
    "dataloader_drop_last": True,
    "random_shuffle": False,
    "ignore_data_skip": True,
    "hidden_dropout_prob": 0.25,
    "buffer_size": 7,
    "logging_strategy": "epoch",
    "metrics_output_path": "a, b",
    "continue_training": False,
    "max_evaluate_steps": 3,
}
EXTRA_OF: Mapping[str, Mapping[str, Any]] = {
    "1.0.1": {
        "amp_master_grad": True,
        "offload_optim": True,
        "use_sp_callback": True,
        "layerwise_lr_decay_bound": 0.5,
        "unified_checkpoint_config": "async_save remove_master_weight",
    },
    "1.3.0": {"amp_master_grad": True, "offload_optim": True, "adaptive_norm_clip": True, "vit_lr_ratio": 0.5},
    "1.2.0": {"padding_free": True, "packing": True, "aoa_config": {"a": ["b", "c"]}},
}


def some(draw: Random, **choices: Any) -> dict[str, Any]:
    """About half of these keys, each with one of its values."""
    return {key: draw.choice(values) for key, values in choices.items() if draw.random() < 0.5}


def generated_project(backend: Backend, version: str, seed: int) -> Project:
    """The project of this seed: each key that becomes a setting is given in some and left out of others."""
    draw = Random(f"{backend} {version} {seed}")  # noqa: S311 - not used for secrets
    kind = draw.choice(KINDS[version])
    is_multimodal = kind in ("vl-moe", "ocr-vl")
    on_cpu = (kind == "dense" or (kind, backend) == ("ocr-vl", "paddleformers")) and draw.random() < 0.3
    stage = draw.choice(["VL-SFT"] if is_multimodal else ["SFT", "DPO"])
    lora = _lora(draw, backend, kind)
    parallel = {} if on_cpu else _parallel(draw, backend, kind, LoraSection(**lora))
    training = _training(draw, on_cpu)
    if not on_cpu and (quantization := _quantization(draw, version, kind, LoraSection(**lora), parallel)):
        training = {key: value for key, value in training.items() if key not in ("fp16", "bf16")}
        training["quantization"] = quantization
    if is_multimodal and backend == "erniekit":
        training.pop("lr_scheduler_type", None)
    training |= {"method": "DPO"} if stage == "DPO" else some(draw, method=[stage])
    training |= _batches(draw, backend, training, parallel, is_multimodal, bool(lora.get("enabled", True)))
    if (
        backend == "paddleformers"
        and kind == "ocr-vl"
        and _starts_from_adapter(LoraSection(**lora), backend, kind, False)
    ):
        training.pop("freeze_vision", None)
    if backend == "paddleformers" and stage == "DPO":
        lora.pop("enabled", None)
    models = [model.id if backend == "erniekit" else model.torch_id for model in MODELS if model.kind == kind]
    extra = {**EXTRA, **EXTRA_OF[version]}
    image_lines = "erniekit-vl" if backend == "erniekit" else "paddleformers"
    _without_idle_keys(training, parallel, backend, is_multimodal, bool(lora.get("enabled", True)))
    evaluated = _evaluates(training, backend, is_multimodal, bool(lora.get("enabled", True)))
    extra = {key: value for key, value in extra.items() if evaluated or key != "max_evaluate_steps"}
    return Project.model_validate(
        {
            "backend": backend,
            "model": {"model_name_or_path": draw.choice(models)},
            "lora": lora,
            "training": training,
            "parallel": parallel,
            "dpo": _dpo(draw, training.get("max_seq_length", 4096)) if stage == "DPO" else {},
            "data": {"format": image_lines if is_multimodal else "erniekit", "preference": stage == "DPO"},
            "output_dir": "./runs/generated",
            "run_name": draw.choice(NAMES),
            backend: {"extra": {key: extra[key] for key in draw.sample(sorted(extra), draw.randint(0, 6))}},
        }
    )


def generated_context(project: Project, version: str, seed: int) -> RunContext:
    """Return the context of a run: without training examples, with them, or of a resumed run."""
    draw = Random(seed)  # noqa: S311 - not used for secrets
    context = context_before_training(project, version)
    if seed % 3:
        context = replace(
            context, train_examples=draw.randint(10**6, 10**7), eval_examples=draw.choice([0, 7]), model_dir="/m/ü 1"
        )
    if seed % 3 == 2 and project.lora.enabled:
        context = replace(context, remaining_steps=draw.randint(1, 999), initial_adapter_dir="earlier")
    return context


def _evaluates(training: Mapping[str, Any], backend: Backend, is_multimodal: bool, lora: bool) -> bool:
    can = not is_multimodal if backend == "erniekit" else not lora and training.get("method") != "DPO"
    return can and training.get("val_split_ratio") != 0


def _without_idle_keys(
    training: dict[str, Any], parallel: dict[str, Any], backend: Backend, is_multimodal: bool, lora: bool
) -> None:
    """Remove keys that would have no effect, as the project would be refused."""
    if not _evaluates(training, backend, is_multimodal, lora):
        idle = [key for key in ("val_split_ratio", "eval_steps", "per_device_eval_batch_size") if training.get(key)]
        for key in idle:
            del training[key]
    if training.get("lr_scheduler_type") == "constant" or training.get("max_steps") == 1:
        training.pop("warmup_steps", None)
    elif not training.get("warmup_steps") and training.get("seed") == 7:
        training["warmup_ratio"] = 0.25
    if parallel.get("sharding", 1) == 1:
        parallel.pop("sharding_stage", None)
    if backend == "erniekit" and is_multimodal and lora:
        training.pop("freeze_vision", None)


def _degrees(parallel: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return degrees of tensor and pipeline parallelism and of sharding."""
    return parallel.get("tensor", 1), parallel.get("pipeline", 1), parallel.get("sharding", 1)


def _lora(draw: Random, backend: Backend, kind: Kind) -> dict[str, Any]:
    if draw.random() < 0.25:
        return {"enabled": False}
    rank = draw.choice([1, 8, 16, 32])
    lora = {
        "r": rank,
        **some(draw, lora_alpha=[rank, 2 * rank, 4], rslora=[True, False], lora_plus_scale=[1.0, 4.0, 12.5]),
    }
    if kind == "vl-moe":
        # Neither toolkit trains it from an initial adapter, which PaddleFormers needs for another alpha.
        if backend == "paddleformers":
            lora["lora_alpha"] = 4 if lora.get("rslora") else 2 * rank
        return {**lora, **some(draw, target_modules=["all-linear"], lora_dropout=[0.0])}
    parts = list(matrices(backend, kind).values())
    chosen = [name for part in draw.sample(parts, draw.randint(1, len(parts))) for name in part]
    return {**lora, **some(draw, enabled=[True], target_modules=["all-linear", chosen], lora_dropout=[0.0, 0.05])}


def _parallel(draw: Random, backend: Backend, kind: Kind, lora: LoraSection) -> dict[str, Any]:
    """Return degrees that fit the model and LoRA; with images in a pipeline of ERNIEKit, GPUs for one copy only."""
    with_images = backend == "erniekit" and kind == "vl-moe"
    needs_pipeline = with_images or (backend == "paddleformers" and kind == "vl-moe" and lora.enabled)
    alone = _starts_from_adapter(lora, backend, kind, frozen=True)
    # Key-value heads of the smallest model of each kind: 2 in the dense one, 4 in the others.
    tensors = [1, 2] if kind in ("dense", "ocr-vl") else [1, 2, 4]
    parallel: dict[str, Any] = {} if alone else some(draw, tensor=tensors, pipeline=[1, 2, 4])
    if needs_pipeline and not alone:
        parallel["pipeline"] = draw.choice([2, 4])
    if not with_images:
        parallel |= some(draw, sharding=[1, 2, 4])
        stages = ["stage1"] if parallel.get("pipeline", 1) > 1 else ["stage1", "stage2"]
        stages += ["stage3"] if backend == "paddleformers" and len(stages) > 1 else []
        parallel |= some(draw, sharding_stage=stages)
    if parallel.get("tensor", 1) > 1:
        parallel |= some(draw, sequence=[True, False])
    return {**parallel, **some(draw, gpus=[math.prod(_degrees(parallel)) * (1 if with_images else draw.randint(1, 3))])}


def _starts_from_adapter(lora: LoraSection, backend: Backend, kind: Kind, frozen: bool) -> bool:
    sections = {"model": {"model_name_or_path": "m"}, "lora": lora, "training": {"freeze_vision": frozen}}
    return needs_initial_adapter(Project.model_validate({"backend": backend, "output_dir": "o", **sections}), kind)


def _training(draw: Random, on_cpu: bool) -> dict[str, Any]:
    precisions: list[dict[str, Any]] = [{}, {"fp16": True}, {"bf16": True}, {"fp16": True, "bf16": False}]
    return {
        **some(
            draw,
            num_train_epochs=[1, 0.5, 7.25],
            max_steps=[1, 1000],
            max_seq_length=[128, 8192, 131_072],
            per_device_train_batch_size=[1, 2, 16],
            gradient_accumulation_steps=[1, 3, 8],
            learning_rate=[1.0e-5, 5.0e-7, 0.1],
            lr_scheduler_type=SCHEDULES,
            warmup_steps=[0, 5, 100],
            weight_decay=[0, 0.1],
            max_grad_norm=[1, 0.5],
            logging_steps=[1, 10],
            save_steps=[1, 250],
            eval_steps=[1, 250],
            save_total_limit=[1, 5],
            val_split_ratio=[0.0, 0.2],
            recompute=[True, False],
            use_tensorboard=[True, False],
            seed=[0, 7, 2**31 - 1],
        ),
        **({"device": "cpu", **some(draw, bf16=[False])} if on_cpu else {**some(draw, device=["gpu"])}),
        **({} if on_cpu else draw.choice(precisions)),
    }


def _batches(
    draw: Random,
    backend: Backend,
    training: Mapping[str, Any],
    parallel: Mapping[str, Any],
    is_multimodal: bool,
    lora: bool,
) -> dict[str, Any]:
    """Return batches that fit together: pipeline ranks divide images, and most runs have one batch size."""
    pipeline, batch = parallel.get("pipeline", 1), training.get("per_device_train_batch_size", 1)
    batches: dict[str, Any] = {}
    if is_multimodal:
        batches |= {
            **some(draw, freeze_vision=[True, False]),
            "gradient_accumulation_steps": pipeline * draw.randint(1, 4),
        }
    if backend == "erniekit" or (pipeline > 1 and not lora):
        return {**batches, **some(draw, per_device_eval_batch_size=[batch])}
    return {**batches, **some(draw, per_device_eval_batch_size=[1, 2, 3])}


def _quantization(draw: Random, version: str, kind: Kind, lora: LoraSection, parallel: Mapping[str, Any]) -> str | None:
    """Return a quantization in about half of the projects that allow it."""
    degrees = math.prod(_degrees(parallel))
    copies, pipeline = parallel.get("gpus", degrees) // degrees, parallel.get("pipeline", 1)
    if draw.random() < 0.5 or (pipeline > 1 and kind in ("dense", "ocr-vl")):
        return None
    if not lora.enabled:
        return "fp8" if version != "1.2.0" and copies == 1 else None
    if lora.rslora or lora.lora_plus_scale != 1:
        return None
    known = {"1.0.1": ["wint8", "wint4/8"], "1.3.0": ["wint8", "wint4/8", "nf4"]}
    return draw.choice(known.get(version, ["wint8", "wint4", "wint4/8", "nf4"]))


def _dpo(draw: Random, max_seq_length: int) -> dict[str, Any]:
    """Return keys of the loss without those that its type does not read, as the project would be refused."""
    given = some(
        draw,
        beta=[0.1, 1, 0.05],
        loss_type=LOSSES,
        label_smoothing=[0, 0.25],
        pref_loss_ratio=[0, 2.5],
        sft_loss_ratio=[0, 1],
        simpo_gamma=[0, 1.5],
        reference_free=[True, False],
        max_prompt_length=[16, max_seq_length - 10],
    )
    loss = given.get("loss_type", "sigmoid")
    idle = {
        *([] if loss in ("sigmoid", "simpo") else ["label_smoothing"]),
        *([] if loss == "simpo" else ["simpo_gamma"]),
        *(["beta"] if loss in ("or", "orpo") else []),
        *(["sft_loss_ratio"] if loss == "orpo" else []),
        *(["reference_free"] if loss in ("or", "orpo", "simpo") else []),
    }
    return {key: value for key, value in given.items() if key not in idle}
