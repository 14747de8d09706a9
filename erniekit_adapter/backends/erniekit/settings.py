"""ERNIEKit: from a project to the settings of `erniekit train` and `erniekit export`. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from erniekit_adapter.architectures.families import family_of
from erniekit_adapter.architectures.toolkits import erniekit_has
from erniekit_adapter.backends.key_tables import accepted_keys, check_settings
from erniekit_adapter.backends.same_names import (
    data_settings,
    dpo_settings,
    evaluation_settings,
    is_counted_in_steps,
    model_settings,
    schedule_settings,
    training_settings,
)
from erniekit_adapter.backends.settings import RunContext, Setting, Settings, from_project, from_rule, values
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project

# A CPU has neither fused kernels nor flash attention.
_CPU_SETTINGS: Mapping[str, Any] = {
    "use_flash_attention": False,
    "use_sparse_flash_attn": False,
    "use_attn_mask_start_row_indices": False,
    "fuse_rope": False,
    "fuse_swiglu": False,
    "fuse_rms_norm": False,
    "use_sparse_head_and_loss_fn": False,
}
# Keys that have another name in a later version.
_LATER_NAMES: Mapping[str, str] = {"use_attn_mask_start_row_indices": "use_attn_mask_startend_row_indices"}
# The loss of 1.0 fails without scores of the answers, which any offset adds.
_OFFSET_THAT_WORKS = 1.0e-8


def train_settings(project: Project, context: RunContext) -> Settings:
    """Return the settings of `erniekit train`, all of them in the key table of `context.version`."""
    settings = {
        **data_settings(project, context, "erniekit"),
        **({} if context.is_multimodal else evaluation_settings(project, context, "erniekit")),
        **model_settings(project, context),
        **training_settings(project, context),
        **_own_settings(project, context),
        **_parallel_settings(project, context),
        **schedule_settings(project, context),
        **_method_settings(project, context),
    }
    if project.training.device == "cpu":
        cpu = {key: from_rule(value, "a CPU has no such kernel") for key, value in _CPU_SETTINGS.items()}
        settings = {**cpu, **settings}
    known = accepted_keys(context.version, "train")
    return {key if key in known else _LATER_NAMES.get(key, key): setting for key, setting in settings.items()}


def export_settings(model_dir: str, toolkit_dir: str, device: str, version: str) -> Settings:
    """Return the settings of `erniekit export`, which merges the LoRA in `toolkit_dir` into `toolkit_dir/export`."""
    settings = {
        "model_name_or_path": from_project(model_dir, "model.model_name_or_path"),
        "fine_tuning": from_rule("LoRA", "export merges LoRA only"),
        "output_dir": from_rule(toolkit_dir, "folder of the adapter"),
        "device": from_project(device, "training.device"),
        "max_shard_size": from_rule(5, "gigabytes per file"),
        "tensor_parallel_degree": from_rule(1, "one process"),
        "pipeline_parallel_degree": from_rule(1, "one process"),
        "compute_type": from_rule("bf16", "not used by a merge"),
        "fp16_opt_level": from_rule("O1", "not used by a merge"),
    }
    if problems := check_settings(values(settings), version, "export", "settings"):
        raise UsageError(problems)
    return settings


def _own_settings(project: Project, context: RunContext) -> Settings:
    """Return settings that only ERNIEKit has, or that have another name there."""
    training = project.training
    on_gpu = training.device == "gpu"
    settings = {
        "batch_size": from_project(training.per_device_train_batch_size, "training.per_device_train_batch_size"),
        "recompute": from_project(training.recompute, "training.recompute"),
        "unified_checkpoint": from_rule(True, "weights in safetensors, never in pickles"),
        "disable_ckpt_quant": from_rule(True, "weights are saved unchanged"),
    }
    if training.recompute is None:
        settings["recompute"] = from_rule(on_gpu, "on a GPU, to save memory")
    if training.quantization == "fp8":
        settings["optim"] = from_rule("adamw_custom", "the optimizer of compute_type fp8")
    elif context.raw_value("tensorwise_offload_optimizer") is True:
        settings["optim"] = from_rule("adamw_custom", "the only optimizer for tensorwise_offload_optimizer")
    return settings


def _parallel_settings(project: Project, context: RunContext) -> Settings:
    parallel = project.parallel
    settings = {
        "tensor_parallel_degree": from_project(parallel.tensor, "parallel.tensor"),
        "pipeline_parallel_degree": from_project(parallel.pipeline, "parallel.pipeline"),
    }
    if parallel.sharding > 1:
        settings |= {
            "sharding": from_project(parallel.sharding_stage, "parallel.sharding_stage"),
            "sharding_parallel_degree": from_project(parallel.sharding, "parallel.sharding"),
        }
    if parallel.sequence:
        settings["sequence_parallel"] = from_project(True, "parallel.sequence")
    if family_of(context.kind).has_experts:
        settings["moe_group"] = from_rule("mp", "experts are spread over the tensor-parallel GPUs")
    if parallel.pipeline > 1:
        flags = [
            *(["enable_clear_every_step_cache"] if context.method == "DPO" else []),
            *(["disable_partial_send_recv"] if parallel.sequence else []),
        ]
        if flags:
            settings["pipeline_parallel_config"] = from_rule(" ".join(flags), "the pipeline stops without them")
    return settings


def _method_settings(project: Project, context: RunContext) -> Settings:
    if context.method == "DPO":
        settings = dpo_settings(project, context)
        # ERNIEKit sets this in every run, also on a CPU.
        settings["use_sparse_head_and_loss_fn"] = from_rule(True, "DPO needs it")
        if not erniekit_has("DPO at offset 0", context.version):
            settings["offset_alpha"] = from_rule(_OFFSET_THAT_WORKS, "with 0 the loss of 1.0 fails")
        return settings
    if not context.is_multimodal:
        return {}
    settings = {
        "multimodal": from_rule(True, "the model takes images"),
        "from_scratch": from_rule(0, "its default, 1, trains random weights"),
        "freeze_config": from_project(
            "freeze_vision" if project.training.freeze_vision else "", "training.freeze_vision"
        ),
    }
    if context.method == "VL-SFT":
        settings["modality_ratio"] = from_rule("[1,1]", "the same weight for text and images")
        if project.parallel.pipeline > 1:
            pipeline = project.parallel.pipeline
            settings["pp_need_data"] = from_rule(True, "all pipeline ranks get images")
            settings["pp_need_data_degree"] = Setting(pipeline, ("parallel.pipeline",), "all ranks read images")
    return settings


# Keys that ERNIEKit replaces after reading them, with the source of the new value.
OVERWRITTEN: Mapping[str, str] = {
    "bf16": "overwrites it from compute_type",
    "fp16": "overwrites it from compute_type",
    "per_device_train_batch_size": "overwrites it from batch_size",
    "per_device_eval_batch_size": "overwrites it from batch_size",
    "lora": "overwrites it from fine_tuning",
    "server_tp_degree": "overwrites it from tensor_parallel_degree",
    "weight_quantize_algo": "overwrites it from compute_type",
}
_QUANTIZE_ALGORITHMS: Mapping[str, str] = {
    "wint8": "weight_only_int8",
    "wint4/8": "weight_only_mix",
    "fp8": "fp8linear",
    "nf4": "nf4",
}
_WITH_FP8: Mapping[str, Any] = {
    "apply_hadamard": True,
    "optim": "adamw_custom",
    "use_lowprecision_moment": True,
    "tensorwise_offload_optimizer": True,
    "optim_shard_num": 8,
    "unified_checkpoint_config": "ignore_merge_optimizer",
}
# Values of the degrees in one process, or with data parallelism only.
_NO_DEGREES: Mapping[str, Any] = {
    "tensor_parallel_degree": -1,
    "pipeline_parallel_degree": -1,
    "sharding": [],
    "sharding_parallel_degree": -1,
}
_ALL_CHECKPOINT_OPTIONS = ["skip_save_model_weight", "master_weight_compatible"]


def overwritten(settings: Mapping[str, Any], version: str, world_size: int) -> dict[str, tuple[Any, str]]:
    """Return the values that differ in ERNIEKit after it has read the settings, or that were not given.

    Args:
        settings: plain values.
        version: version of ERNIEKit.
        world_size: number of processes; in one process degrees of parallelism are ignored.

    Returns:
        `{key: (value, reason)}`.
    """
    compute = settings["compute_type"]
    batch = settings["batch_size"]
    found: dict[str, tuple[Any, str]] = {
        "bf16": (compute != "fp16", "from compute_type"),
        "fp16": (compute == "fp16", "from compute_type"),
        "weight_quantize_algo": (_QUANTIZE_ALGORITHMS.get(compute), "from compute_type"),
        "per_device_train_batch_size": (batch, "from batch_size"),
        "per_device_eval_batch_size": (batch, "from batch_size"),
        "lora": (settings["fine_tuning"].lower() == "lora", "from fine_tuning"),
        "server_tp_degree": (settings["tensor_parallel_degree"], "from tensor_parallel_degree"),
    }
    if compute == "fp8":
        found |= {key: (value, "from compute_type fp8") for key, value in _WITH_FP8.items()}
    degrees = (settings[key] for key in ("tensor_parallel_degree", "pipeline_parallel_degree"))
    if world_size == 1 or max(*degrees, settings.get("sharding_parallel_degree", 1)) == 1:
        reason = "ignored: one process" if world_size == 1 else "ignored: no degree is over 1"
        found |= {key: (value, reason) for key, value in _NO_DEGREES.items() if key in settings}
    elif settings["pipeline_parallel_degree"] > 1:
        found |= _in_a_pipeline(settings, version)
    return found | _checkpoints(settings, compute, world_size)


def _checkpoints(settings: Mapping[str, Any], compute: str, world_size: int) -> dict[str, tuple[Any, str]]:
    """Return the settings of safetensors checkpoints: options are split at blanks, and stage3 writes none."""
    if world_size > 1 and settings.get("sharding") == "stage3":
        return {"unified_checkpoint": (False, "sharding stage3 writes another kind of checkpoint")}
    given = _WITH_FP8 if compute == "fp8" else settings
    options = str(given.get("unified_checkpoint_config", "")).split(" ")
    if "unified_checkpoint_config" not in given:
        return {}
    parsed = _ALL_CHECKPOINT_OPTIONS if "enable_all_options" in options else options
    return {"unified_checkpoint_config": (parsed, "split at blanks")}


def _in_a_pipeline(settings: Mapping[str, Any], version: str) -> dict[str, tuple[Any, str]]:
    """Return the batches in a pipeline: it evaluates whole steps, and from 1.1 on its ranks share images."""
    steps, later = settings["gradient_accumulation_steps"], erniekit_has("evaluates whole steps", version)
    found: dict[str, tuple[Any, str]] = {}
    if later or settings.get("do_eval"):
        found["per_device_eval_batch_size"] = (settings["batch_size"] * steps, "a pipeline evaluates whole steps")
    if later and (degree := settings.get("pp_need_data_degree")):
        found["gradient_accumulation_steps"] = (steps // degree, "divided by pp_need_data_degree")
    return found


def derived(project: Project, context: RunContext) -> list[tuple[str, str, str]]:
    """Return the settings that ERNIEKit derives when it starts: (key, value, reason)."""
    rows = [("decay_steps", "max_steps", "no value given")]
    if is_counted_in_steps(project, context):
        if project.training.max_steps is None and context.train_examples is None:
            rows.append(("max_steps", "examples × epochs / global batch", "known after data build"))
    elif project.training.max_steps is None and not context.is_resumed:
        rows.append(("max_steps", "packs × epochs / global batch", "counted when training starts"))
    if project.training.device == "cpu":
        rows.append(("bf16", "no effect", "a CPU computes in float32"))
    return rows
