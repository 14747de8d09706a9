"""PaddleFormers 1.x, ERNIEKit's successor: from a project to the settings of its `train`. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from erniekit_adapter.backends.keytable import accepted_keys
from erniekit_adapter.backends.same_names import (
    data_settings,
    dpo_settings,
    evaluation_settings,
    model_settings,
    schedule_settings,
    steps_of,
    training_settings,
)
from erniekit_adapter.backends.settings import RunFacts, Setting, Settings, asked, ruled
from erniekit_adapter.project.catalogue import Kind
from erniekit_adapter.project.schema import Project

# Its names for the chat templates, none of which adds a thought to the answer.
_TEMPLATES: Mapping[Kind, str] = {
    "dense": "ernie_nothink",
    "moe": "ernie_nothink",
    "vl-moe": "ernie_vl_nothink",
    "ocr-vl": "paddleocr_vl",
}
# Keys that an earlier version has under another name.
_EARLIER_NAMES: Mapping[str, str] = {"_attn_implementation": "attn_impl"}


def train_settings(project: Project, facts: RunFacts) -> Settings:
    """The settings of PaddleFormers' `train`, every one of them in the key table of `facts.version`."""
    line_type = "messages" if facts.sees_pages else "erniekit"
    settings = {
        **data_settings(project, facts, line_type),
        **_evaluation_settings(project, facts, line_type),
        "template_backend": ruled("custom", "its own chat templates"),
        "template": Setting(_TEMPLATES[facts.kind], ("model.model_name_or_path",), "the model's chat template"),
        **model_settings(project, facts),
        **training_settings(project, facts),
        **_own_settings(project),
        **_parallel_settings(project, facts),
        **schedule_settings(project, facts),
        **(dpo_settings(project, facts) if facts.stage == "DPO" else {}),
    }
    if facts.sees_pages:
        frozen = "freeze_vision" if project.training.freeze_vision else ""
        settings["freeze_config"] = asked(frozen, "training.freeze_vision")
    if project.lora.enabled and "lora_path" not in settings:
        settings["lora_alpha"] = Setting(project.lora.alpha, ("lora.lora_alpha",), "what it goes by on its own")
    known = accepted_keys(facts.version, "train", "paddleformers")
    return {key if key in known else _EARLIER_NAMES.get(key, key): setting for key, setting in settings.items()}


def _evaluation_settings(project: Project, facts: RunFacts, line_type: str) -> Settings:
    settings = evaluation_settings(project, facts, line_type)
    if project.lora.enabled or facts.stage == "DPO":
        why = "following the loss with LoRA or DPO needs the package paddlefleet, which is not to be had"
        settings |= {"do_eval": ruled(False, why), "evaluation_strategy": ruled("no", why)}
        del settings["eval_steps"]
        return settings
    steps = project.training.max_steps or (steps_of(project, facts.train_lines) if facts.train_lines else None)
    if steps and steps < project.training.eval_steps:
        why = "at the last step: it does not evaluate at the end by itself"
        settings["eval_steps"] = Setting(steps, ("training.eval_steps",), why)
    return settings


def _own_settings(project: Project) -> Settings:
    """What PaddleFormers alone has, or has under its own name."""
    training = project.training
    on_gpu = training.device == "gpu"
    evaluated = training.per_device_eval_batch_size
    settings = {
        "per_device_train_batch_size": asked(
            training.per_device_train_batch_size, "training.per_device_train_batch_size"
        ),
        "per_device_eval_batch_size": asked(
            training.per_device_train_batch_size if evaluated is None else evaluated,
            "training.per_device_eval_batch_size",
        ),
        "save_checkpoint_format": ruled("flex_checkpoint", "the format that it resumes from"),
        "load_checkpoint_format": ruled("flex_checkpoint", "the format that it resumes from"),
    }
    if not on_gpu:
        settings["_attn_implementation"] = ruled("eager", "no such kernel on CPU")
    if training.recompute or (training.recompute is None and on_gpu):
        keys = ("training.recompute",) if training.recompute else ()
        rule = "" if training.recompute else "on a GPU, whose memory it spares"
        recompute = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
        settings |= {key: Setting(value, keys, rule) for key, value in recompute.items()}
    return settings


def _parallel_settings(project: Project, facts: RunFacts) -> Settings:
    parallel = project.parallel
    settings = {
        "tensor_model_parallel_size": asked(parallel.tensor, "parallel.tensor"),
        "pipeline_model_parallel_size": asked(parallel.pipeline, "parallel.pipeline"),
    }
    if parallel.sharding == 1:
        settings["sharding"] = ruled("", "its default, stage1, shards among all GPUs unasked")
    else:
        settings |= {
            "sharding": asked(parallel.sharding_stage, "parallel.sharding_stage"),
            "sharding_parallel_size": asked(parallel.sharding, "parallel.sharding"),
        }
    if parallel.sequence:
        settings["sequence_parallel"] = asked(True, "parallel.sequence")
    if facts.stage == "DPO" and parallel.pipeline > 1:
        settings["clear_every_step_cache"] = ruled(True, "its workflow stops without it")
        if parallel.sequence:
            settings["partial_send_recv"] = ruled(False, "its workflow stops with it")
    return settings


# Keys that PaddleFormers replaces after reading them, and by what.
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
# Patterns of layers' names, by algorithm.
_QUANTIZE_ALGORITHMS: Mapping[str, Mapping[str, list[str]]] = {
    "wint8": {"weight_only_int8": _ALL_LAYERS},
    "wint4": {"weight_only_int4": _ALL_LAYERS},
    "wint4/8": {
        "weight_only_int4": [".*mlp.experts.*", ".*mlp.shared_expert.*", ".*mlp.shared_experts.*"],
        "weight_only_int8": [*_ATTENTION, *_MLP],
    },
    "nf4": {"nf4": _ALL_LAYERS},
}
# What one process, or data parallelism alone, makes of the degrees.
_NO_DEGREES: Mapping[str, Any] = {
    "tensor_model_parallel_size": -1,
    "pipeline_model_parallel_size": -1,
    "sharding": [],
    "sharding_parallel_size": -1,
}
_OWN_SHARDING = "stage1"


def overwritten(settings: Mapping[str, Any], version: str, world_size: int) -> dict[str, tuple[Any, str]]:
    """What PaddleFormers holds after reading these settings, where that is another value or one that was not given.

    Args:
        settings: plain values.
        version: PaddleFormers'.
        world_size: processes of the run: in one, degrees of parallelism are set aside.

    Returns:
        `{key: (value, why)}`.
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
    # Not told otherwise, the GPUs that no degree takes up share the optimizer's states.
    sharding = settings.get("sharding", _OWN_SHARDING)
    sharing = settings.get("sharding_parallel_size", groups) if sharding else 1
    if world_size == 1 or max(tensor, pipeline, sharing) == 1:
        why = "set aside: one process" if world_size == 1 else "set aside: no degree is over 1"
        found |= {key: (value, why) for key, value in _NO_DEGREES.items() if key in settings}
    elif sharing == 1 and "sharding" in settings:
        found["sharding"] = ([], "no GPUs that share")
    elif sharing > 1 and "sharding_parallel_size" not in settings:
        why = "what it does where it is not told otherwise"
        found |= {"sharding": (sharding, why), "sharding_parallel_size": (sharing, why)}
    return found


def worked_out(project: Project, facts: RunFacts) -> list[tuple[str, str, str]]:
    """What PaddleFormers works out by itself while it starts: (key, value, why)."""
    rows = [("decay_steps", "max_steps", "no value given")]
    if project.training.max_steps is None and not facts.goes_on:
        rows.append(("max_steps", "lines × epochs / global batch", "counted from the lines when training starts"))
    if project.training.device == "cpu":
        rows.append(("bf16", "no effect", "on CPU it computes in float32"))
    if project.lora.enabled and facts.stage != "DPO":
        alpha = "4" if project.lora.rslora else "2 × lora_rank"
        why = "an initial adapter carries another" if facts.initial_adapter_dir else "the same as asked"
        rows.append(("lora_alpha", alpha, f"not read from the settings: {why}"))
    return rows
