"""ERNIEKit: from a project to the settings of `erniekit train` and `erniekit export`. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from erniekit_adapter.backends.keytable import accepted_keys, check_settings, minor_release
from erniekit_adapter.backends.same_names import (
    counts_no_epochs,
    data_settings,
    dpo_settings,
    evaluation_settings,
    model_settings,
    schedule_settings,
    training_settings,
)
from erniekit_adapter.backends.settings import RunFacts, Setting, Settings, asked, ruled, values
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.schema import Project

# On CPU no fused kernel exists, and flash attention is a GPU's.
_CPU_SETTINGS: Mapping[str, Any] = {
    "use_flash_attention": False,
    "use_sparse_flash_attn": False,
    "use_attn_mask_start_row_indices": False,
    "fuse_rope": False,
    "fuse_swiglu": False,
    "fuse_rms_norm": False,
    "use_sparse_head_and_loss_fn": False,
}
# Keys that a later version has under another name.
_LATER_NAMES: Mapping[str, str] = {"use_attn_mask_start_row_indices": "use_attn_mask_startend_row_indices"}
# The loss of 1.0 fails without scores of the pairs, which any offset brings into it.
_OFFSET_THAT_WORKS = 1.0e-8


def train_settings(project: Project, facts: RunFacts) -> Settings:
    """The settings of `erniekit train`, every one of them in the key table of `facts.version`."""
    settings = {
        **data_settings(project, facts, "erniekit"),
        **({} if facts.sees_pages else evaluation_settings(project, facts, "erniekit")),
        **model_settings(project, facts),
        **training_settings(project, facts),
        **_own_settings(project, facts),
        **_parallel_settings(project, facts),
        **schedule_settings(project, facts),
        **_stage_settings(project, facts),
    }
    if project.training.device == "cpu":
        cpu = {key: ruled(value, "no such kernel on CPU") for key, value in _CPU_SETTINGS.items()}
        settings = {**cpu, **settings}
    known = accepted_keys(facts.version, "train")
    return {key if key in known else _LATER_NAMES.get(key, key): setting for key, setting in settings.items()}


def export_settings(model_dir: str, toolkit_dir: str, device: str, version: str) -> Settings:
    """The settings of `erniekit export`, which merges the LoRA in `toolkit_dir` into `toolkit_dir/export`."""
    settings = {
        "model_name_or_path": asked(model_dir, "model.model_name_or_path"),
        "fine_tuning": ruled("LoRA", "export merges LoRA only"),
        "output_dir": ruled(toolkit_dir, "where the adapter is"),
        "device": asked(device, "training.device"),
        "max_shard_size": ruled(5, "gigabytes in a file"),
        "tensor_parallel_degree": ruled(1, "one process"),
        "pipeline_parallel_degree": ruled(1, "one process"),
        "compute_type": ruled("bf16", "not used by a merge"),
        "fp16_opt_level": ruled("O1", "not used by a merge"),
    }
    if problems := check_settings(values(settings), version, "export", "settings"):
        raise UsageError(problems)
    return settings


def _own_settings(project: Project, facts: RunFacts) -> Settings:
    """What ERNIEKit alone has, or has under its own name."""
    training = project.training
    on_gpu = training.device == "gpu"
    settings = {
        "batch_size": asked(training.per_device_train_batch_size, "training.per_device_train_batch_size"),
        "recompute": asked(training.recompute, "training.recompute"),
        "unified_checkpoint": ruled(True, "safetensors, never pickles, for weights"),
        "disable_ckpt_quant": ruled(True, "weights are kept as they are"),
    }
    if training.recompute is None:
        settings["recompute"] = ruled(on_gpu, "on a GPU, whose memory it spares")
    if training.quantization == "fp8":
        settings["optim"] = ruled("adamw_custom", "what compute_type fp8 brings with it")
    elif facts.raw_value("tensorwise_offload_optimizer") is True:
        settings["optim"] = ruled("adamw_custom", "no other optimizer is offloaded by tensorwise_offload_optimizer")
    return settings


def _parallel_settings(project: Project, facts: RunFacts) -> Settings:
    parallel = project.parallel
    settings = {
        "tensor_parallel_degree": asked(parallel.tensor, "parallel.tensor"),
        "pipeline_parallel_degree": asked(parallel.pipeline, "parallel.pipeline"),
    }
    if parallel.sharding > 1:
        settings |= {
            "sharding": asked(parallel.sharding_stage, "parallel.sharding_stage"),
            "sharding_parallel_degree": asked(parallel.sharding, "parallel.sharding"),
        }
    if parallel.sequence:
        settings["sequence_parallel"] = asked(True, "parallel.sequence")
    if facts.kind in ("moe", "vl-moe"):
        settings["moe_group"] = ruled("mp", "experts are spread over the tensor-parallel GPUs")
    if parallel.pipeline > 1:
        flags = [
            *(["enable_clear_every_step_cache"] if facts.stage == "DPO" else []),
            *(["disable_partial_send_recv"] if parallel.sequence else []),
        ]
        if flags:
            settings["pipeline_parallel_config"] = ruled(" ".join(flags), "its workflow stops without them")
    return settings


def _stage_settings(project: Project, facts: RunFacts) -> Settings:
    if facts.stage == "DPO":
        settings = dpo_settings(project, facts)
        # It sets this itself in every run, on CPU as well.
        settings["use_sparse_head_and_loss_fn"] = ruled(True, "DPO goes with nothing else")
        if minor_release(facts.version) == (1, 0):
            settings["offset_alpha"] = ruled(_OFFSET_THAT_WORKS, "at 0 the loss of 1.0 fails")
        return settings
    if not facts.sees_pages:
        return {}
    settings = {
        "multimodal": ruled(True, "the model takes images"),
        "from_scratch": ruled(0, "its default, 1, trains random weights"),
        "freeze_config": asked("freeze_vision" if project.training.freeze_vision else "", "training.freeze_vision"),
    }
    if facts.stage == "VL-SFT":
        settings["modality_ratio"] = ruled("[1,1]", "text and images alike")
        if project.parallel.pipeline > 1:
            pipeline = project.parallel.pipeline
            settings["pp_need_data"] = ruled(True, "images go to every stage of the pipeline")
            settings["pp_need_data_degree"] = Setting(pipeline, ("parallel.pipeline",), "every stage reads images")
    return settings


# Keys that ERNIEKit replaces after reading them, and by what.
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
# What one process, or data parallelism alone, makes of the degrees.
_NO_DEGREES: Mapping[str, Any] = {
    "tensor_parallel_degree": -1,
    "pipeline_parallel_degree": -1,
    "sharding": [],
    "sharding_parallel_degree": -1,
}
_ALL_CHECKPOINT_OPTIONS = ["skip_save_model_weight", "master_weight_compatible"]


def overwritten(settings: Mapping[str, Any], version: str, world_size: int) -> dict[str, tuple[Any, str]]:
    """What ERNIEKit holds after reading these settings, where that is another value or one that was not given.

    Args:
        settings: plain values.
        version: ERNIEKit's.
        world_size: processes of the run: in one, degrees of parallelism are set aside.

    Returns:
        `{key: (value, why)}`.
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
        why = "set aside: one process" if world_size == 1 else "set aside: no degree is over 1"
        found |= {key: (value, why) for key, value in _NO_DEGREES.items() if key in settings}
    elif settings["pipeline_parallel_degree"] > 1:
        found |= _in_a_pipeline(settings, version)
    return found | _checkpoints(settings, compute, world_size)


def _checkpoints(settings: Mapping[str, Any], compute: str, world_size: int) -> dict[str, tuple[Any, str]]:
    """What becomes of the safetensors checkpoints: their options are split at blanks, and stage3 has none."""
    if world_size > 1 and settings.get("sharding") == "stage3":
        return {"unified_checkpoint": (False, "sharding stage3 writes another kind of checkpoint")}
    given = _WITH_FP8 if compute == "fp8" else settings
    options = str(given.get("unified_checkpoint_config", "")).split(" ")
    if "unified_checkpoint_config" not in given:
        return {}
    held = _ALL_CHECKPOINT_OPTIONS if "enable_all_options" in options else options
    return {"unified_checkpoint_config": (held, "split at blanks")}


def _in_a_pipeline(settings: Mapping[str, Any], version: str) -> dict[str, tuple[Any, str]]:
    """What a pipeline makes of the batches: it evaluates by whole steps, and 1.1 on shares images among its stages."""
    steps, later = settings["gradient_accumulation_steps"], minor_release(version) > (1, 0)
    found: dict[str, tuple[Any, str]] = {}
    if later or settings.get("do_eval"):
        found["per_device_eval_batch_size"] = (settings["batch_size"] * steps, "a pipeline evaluates whole steps")
    if later and (degree := settings.get("pp_need_data_degree")):
        found["gradient_accumulation_steps"] = (steps // degree, "divided by pp_need_data_degree")
    return found


def worked_out(project: Project, facts: RunFacts) -> list[tuple[str, str, str]]:
    """What ERNIEKit works out by itself while it starts: (key, value, why)."""
    rows = [("decay_steps", "max_steps", "no value given")]
    if counts_no_epochs(project, facts):
        if project.training.max_steps is None and facts.train_lines is None:
            rows.append(("max_steps", "lines × epochs / global batch", "counted by us once make data has run"))
    elif project.training.max_steps is None and not facts.goes_on:
        rows.append(("max_steps", "packs × epochs / global batch", "counted from the lines when training starts"))
    if project.training.device == "cpu":
        rows.append(("bf16", "no effect", "on CPU it computes in float32"))
    return rows
