"""PaddleFormers 1.x, ERNIEKit's successor: from a project to the settings of its `train`. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from erniekit_adapter.architectures.families import family_of
from erniekit_adapter.backends.key_tables import accepted_keys
from erniekit_adapter.backends.same_names import (
    data_settings,
    dpo_settings,
    evaluation_settings,
    model_settings,
    schedule_settings,
    steps_of,
    training_settings,
)
from erniekit_adapter.backends.settings import RunContext, Setting, Settings, from_project, from_rule
from erniekit_adapter.project.schema import Project

# Keys that have another name in an earlier version.
_EARLIER_NAMES: Mapping[str, str] = {"_attn_implementation": "attn_impl"}


def train_settings(project: Project, context: RunContext) -> Settings:
    """Return the settings of PaddleFormers' `train`, all of them in the key table of `context.version`."""
    line_type = "messages" if context.is_multimodal else "erniekit"
    chat_template = family_of(context.kind).chat_template
    settings = {
        **data_settings(project, context, line_type),
        **_evaluation_settings(project, context, line_type),
        "template_backend": from_rule("custom", "its own chat templates"),
        "template": Setting(chat_template, ("model.model_name_or_path",), "the model's chat template"),
        **model_settings(project, context),
        **training_settings(project, context),
        **_own_settings(project),
        **_parallel_settings(project, context),
        **schedule_settings(project, context),
        **(dpo_settings(project, context) if context.method == "DPO" else {}),
    }
    if context.is_multimodal:
        frozen = "freeze_vision" if project.training.freeze_vision else ""
        settings["freeze_config"] = from_project(frozen, "training.freeze_vision")
    if project.lora.enabled and "lora_path" not in settings:
        settings["lora_alpha"] = Setting(project.lora.alpha, ("lora.lora_alpha",), "its own default")
    known = accepted_keys(context.version, "train", "paddleformers")
    return {key if key in known else _EARLIER_NAMES.get(key, key): setting for key, setting in settings.items()}


def _evaluation_settings(project: Project, context: RunContext, line_type: str) -> Settings:
    settings = evaluation_settings(project, context, line_type)
    if project.lora.enabled or context.method == "DPO":
        reason = "evaluation with LoRA or DPO needs the package paddlefleet, which is not published"
        settings |= {"do_eval": from_rule(False, reason), "evaluation_strategy": from_rule("no", reason)}
        del settings["eval_steps"]
        return settings
    steps = project.training.max_steps or (
        steps_of(project, context.train_examples) if context.train_examples else None
    )
    if steps and steps < project.training.eval_steps:
        reason = "at the last step, as it does not evaluate at the end"
        settings["eval_steps"] = Setting(steps, ("training.eval_steps",), reason)
    return settings


def _own_settings(project: Project) -> Settings:
    """Return settings that only PaddleFormers has, or that have another name there."""
    training = project.training
    on_gpu = training.device == "gpu"
    evaluated = training.per_device_eval_batch_size
    settings = {
        "per_device_train_batch_size": from_project(
            training.per_device_train_batch_size, "training.per_device_train_batch_size"
        ),
        "per_device_eval_batch_size": from_project(
            training.per_device_train_batch_size if evaluated is None else evaluated,
            "training.per_device_eval_batch_size",
        ),
        "save_checkpoint_format": from_rule("flex_checkpoint", "the format for resuming"),
        "load_checkpoint_format": from_rule("flex_checkpoint", "the format for resuming"),
    }
    if not on_gpu:
        settings["_attn_implementation"] = from_rule("eager", "a CPU has no such kernel")
    if training.recompute or (training.recompute is None and on_gpu):
        keys = ("training.recompute",) if training.recompute else ()
        rule = "" if training.recompute else "on a GPU, to save memory"
        recompute = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
        settings |= {key: Setting(value, keys, rule) for key, value in recompute.items()}
    return settings


def _parallel_settings(project: Project, context: RunContext) -> Settings:
    parallel = project.parallel
    settings = {
        "tensor_model_parallel_size": from_project(parallel.tensor, "parallel.tensor"),
        "pipeline_model_parallel_size": from_project(parallel.pipeline, "parallel.pipeline"),
    }
    if parallel.sharding == 1:
        settings["sharding"] = from_rule("", "its default, stage1, would shard among all GPUs")
    else:
        settings |= {
            "sharding": from_project(parallel.sharding_stage, "parallel.sharding_stage"),
            "sharding_parallel_size": from_project(parallel.sharding, "parallel.sharding"),
        }
    if parallel.sequence:
        settings["sequence_parallel"] = from_project(True, "parallel.sequence")
    if context.method == "DPO" and parallel.pipeline > 1:
        settings["clear_every_step_cache"] = from_rule(True, "the pipeline stops without it")
        if parallel.sequence:
            settings["partial_send_recv"] = from_rule(False, "the pipeline stops with it")
    return settings


# Keys that PaddleFormers replaces after reading them, with the source of the new value.
OVERWRITTEN: Mapping[str, str] = {
    "bf16": "overwrites it from compute_type",
    "fp16": "overwrites it from compute_type",
    "weight_quantize_algo": "overwrites it from compute_type",
    "lora": "overwrites it from fine_tuning",
    "global_batch_size": "overwrites it from batch, accumulation and processes",
}
_ALL_LAYERS = [".*mlp.*", ".*self_attn.*"]
_ATTENTION = [f".*self_attn.{name}_proj.*" for name in ("qkv", "q", "k", "v", "o")]
_MLP = [f".*mlp.{name}_proj.*" for name in ("up_gate", "up", "gate", "down")]
# Patterns of layer names by algorithm.
_QUANTIZE_ALGORITHMS: Mapping[str, Mapping[str, list[str]]] = {
    "wint8": {"weight_only_int8": _ALL_LAYERS},
    "wint4": {"weight_only_int4": _ALL_LAYERS},
    "wint4/8": {
        "weight_only_int4": [".*mlp.experts.*", ".*mlp.shared_expert.*", ".*mlp.shared_experts.*"],
        "weight_only_int8": [*_ATTENTION, *_MLP],
    },
    "nf4": {"nf4": _ALL_LAYERS},
}
# Values of the degrees in one process, or with data parallelism only.
_NO_DEGREES: Mapping[str, Any] = {
    "tensor_model_parallel_size": -1,
    "pipeline_model_parallel_size": -1,
    "sharding": [],
    "sharding_parallel_size": -1,
}
_OWN_SHARDING = "stage1"


def overwritten(settings: Mapping[str, Any], version: str, world_size: int) -> dict[str, tuple[Any, str]]:
    """Return the values that differ in PaddleFormers after it has read the settings, or that were not given.

    Args:
        settings: plain values.
        version: version of PaddleFormers.
        world_size: number of processes; in one process degrees of parallelism are ignored.

    Returns:
        `{key: (value, reason)}`.
    """
    compute = settings["compute_type"]
    tensor, pipeline = settings["tensor_model_parallel_size"], settings["pipeline_model_parallel_size"]
    one_batch = settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"]
    groups = 1 if world_size == 1 else world_size // (tensor * pipeline)
    found: dict[str, tuple[Any, str]] = {
        "bf16": (compute != "fp16", "from compute_type"),
        "fp16": (compute == "fp16", "from compute_type"),
        "weight_quantize_algo": (_QUANTIZE_ALGORITHMS.get(compute), "from compute_type"),
        "lora": (settings["fine_tuning"].lower() == "lora", "from fine_tuning"),
        "global_batch_size": (one_batch * groups, "from batch, accumulation and processes"),
    }
    # By default the GPUs that no degree uses share the optimizer's states.
    sharding = settings.get("sharding", _OWN_SHARDING)
    sharing = settings.get("sharding_parallel_size", groups) if sharding else 1
    if world_size == 1 or max(tensor, pipeline, sharing) == 1:
        reason = "ignored: one process" if world_size == 1 else "ignored: no degree is over 1"
        found |= {key: (value, reason) for key, value in _NO_DEGREES.items() if key in settings}
    elif sharing == 1 and "sharding" in settings:
        found["sharding"] = ([], "no GPUs to share")
    elif sharing > 1 and "sharding_parallel_size" not in settings:
        reason = "its default"
        found |= {"sharding": (sharding, reason), "sharding_parallel_size": (sharing, reason)}
    return found


def derived(project: Project, context: RunContext) -> list[tuple[str, str, str]]:
    """Return the settings that PaddleFormers derives when it starts: (key, value, reason)."""
    rows = [("decay_steps", "max_steps", "no value given")]
    if project.training.max_steps is None and not context.is_resumed:
        rows.append(("max_steps", "examples × epochs / global batch", "counted when training starts"))
    if project.training.device == "cpu":
        rows.append(("bf16", "no effect", "a CPU computes in float32"))
    if project.lora.enabled and context.method != "DPO":
        alpha = "4" if project.lora.rslora else "2 × lora_rank"
        note = "the initial adapter has another" if context.initial_adapter_dir else "the same as in the project"
        rows.append(("lora_alpha", alpha, f"not read from the settings: {note}"))
    return rows
