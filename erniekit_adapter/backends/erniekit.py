"""ERNIEKit: from a project to the settings that `erniekit train` and `erniekit export` are given. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erniekit_adapter.backends.keytable import DEFAULT_VERSION, check_settings
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.project.catalogue import find_model, is_local, model_problems
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import LoraSection

# What ERNIEKit wraps, fixed in its code, and the projections that each fuses.
FUSED_MODULES: Mapping[str, tuple[str, ...]] = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "o_proj": ("o_proj",),
    "up_gate_proj": ("gate_proj", "up_proj"),
    "down_proj": ("down_proj",),
}

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


@dataclass(frozen=True)
class Setting:
    """One key that ERNIEKit is given.

    Attributes:
        value: with the exact YAML type that ERNIEKit needs: it converts nothing.
        origin: the project key it comes from, or the rule that wants it.
    """

    value: Any
    origin: str


Settings = dict[str, Setting]


@dataclass(frozen=True)
class RunFacts:
    """What the settings need to know beyond the project file.

    Attributes:
        model_dir: the folder with the Paddle weights, as ERNIEKit shall open it.
        train_path, eval_path: the lines' files, relative to the folder that ERNIEKit runs in; it strips blanks and
            splits at commas, so an absolute path is no safe thing to give.
        train_lines, eval_lines: how many lines each holds.
        toolkit_dir: where ERNIEKit writes, relative likewise.
        initial_adapter_dir: an adapter that training starts from (LoRA targets, dropout, or a run that goes on).
        remaining_steps: optimizer steps of a run that goes on; None for a run from the start.
        version: ERNIEKit's version.
    """

    model_dir: str
    train_path: str = "../data/train.jsonl"
    eval_path: str = "../data/eval.jsonl"
    train_lines: int | None = None
    eval_lines: int | None = None
    toolkit_dir: str = "output"
    initial_adapter_dir: str | None = None
    remaining_steps: int | None = None
    version: str = DEFAULT_VERSION


def facts_before_training(project: Project) -> RunFacts:
    """What can be known before there are lines, a model folder or a toolkit: enough to check and to show settings."""
    adapter = "initial_adapter" if needs_initial_adapter(project.lora) else None
    return RunFacts(project.model.model_name_or_path, initial_adapter_dir=adapter)


def project_problems(project: Project, where: str = "project") -> list[Problem]:
    """What this project asks and ERNIEKit cannot do, with the remedy; empty when it can do everything."""
    name = project.model.model_name_or_path
    problems = model_problems(name, f"{where} model.model_name_or_path")
    known = None if is_local(name) else find_model(name)
    if known and known.kind in ("vl-moe", "ocr-vl"):
        problems.append(
            Problem(
                f"{where} model.model_name_or_path",
                f"{name} takes images; this version trains text models (stage SFT)",
                "use a text model, for example baidu/ERNIE-4.5-0.3B-Paddle",
            )
        )
    if known and known.kind == "moe" and project.training.device == "cpu":
        problems.append(
            Problem(f"{where} training.device", f"{name} is a mixture of experts, which has no CPU kernels", "use gpu")
        )
    training = project.training
    evaluated = training.per_device_eval_batch_size
    if evaluated not in (None, training.per_device_train_batch_size):
        problems.append(
            Problem(
                f"{where} training.per_device_eval_batch_size",
                f"found {evaluated}; ERNIEKit has one batch_size for both, {training.per_device_train_batch_size} here",
                "make it equal to per_device_train_batch_size, or leave it out",
            )
        )
    if not project.erniekit.use_erniekit:
        problems.append(
            Problem(
                f"{where} erniekit.use_erniekit", "found false; ERNIEKit is the one backend there is", "set it true"
            )
        )
    return [*problems, *_target_problems(project.lora, where)]


def _target_problems(lora: LoraSection, where: str) -> list[Problem]:
    if not lora.modules:
        return [Problem(f"{where} lora.target_modules", "is empty: nothing would be trained", "name a projection")]
    return [
        Problem(
            f"{where} lora.target_modules",
            f"{', '.join(sorted(chosen))} without {', '.join(sorted(set(parts) - chosen))}: "
            f"ERNIEKit keeps them in one matrix, {fused}",
            f"take all of {', '.join(parts)}, or none",
        )
        for fused, parts in FUSED_MODULES.items()
        if (chosen := lora.modules & set(parts)) and chosen != set(parts)
    ]


def fused_targets(lora: LoraSection) -> tuple[str, ...]:
    """ERNIEKit's names of the target modules, for example `("qkv_proj", "o_proj")`."""
    return tuple(fused for fused, parts in FUSED_MODULES.items() if lora.modules >= set(parts))


def needs_initial_adapter(lora: LoraSection) -> bool:
    """Whether targets or dropout differ from what ERNIEKit fixes, so that training must start from an adapter."""
    return lora.enabled and (fused_targets(lora) != tuple(FUSED_MODULES) or lora.lora_dropout > 0)


def train_settings(project: Project, facts: RunFacts, extra: Mapping[str, Any] | None = None) -> Settings:
    """The settings of `erniekit train` for stage SFT.

    Args:
        project: what the user asks.
        facts: what is known of model, lines and folders.
        extra: more of ERNIEKit's own keys, from `erniekit.erniekit_config_path`.

    Raises:
        UsageError: all that ERNIEKit cannot do, does not know, or that `extra` sets beside the project, at once.
    """
    settings = {
        **_data_settings(project, facts),
        **_model_settings(project, facts),
        **_training_settings(project, facts),
        **_schedule_settings(project, facts),
    }
    if project.training.device == "cpu":
        settings |= {key: Setting(value, "rule: no such kernel on CPU") for key, value in _CPU_SETTINGS.items()}
    problems = project_problems(project)
    source = str(project.erniekit.erniekit_config_path)
    for key, value in (extra or {}).items():
        if key in settings:
            problems.append(
                Problem(f"{source} {key}", f"is already set by {settings[key].origin}", "set it in one place only")
            )
        elif key in OVERWRITTEN:
            problems.append(Problem(f"{source} {key}", OVERWRITTEN[key], "remove it"))
        else:
            settings[key] = Setting(value, source)
    problems += check_settings(values(settings), facts.version, "train", "settings")
    if problems:
        raise UsageError(problems)
    return settings


def export_settings(model_dir: str, toolkit_dir: str, device: str, version: str) -> Settings:
    """The settings of `erniekit export`, which merges the LoRA in `toolkit_dir` into `toolkit_dir/export`."""
    settings = {
        "model_name_or_path": Setting(model_dir, "model.model_name_or_path"),
        "fine_tuning": Setting("LoRA", "rule: export merges LoRA only"),
        "output_dir": Setting(toolkit_dir, "rule: where the adapter is"),
        "device": Setting(device, "training.device"),
        "max_shard_size": Setting(5, "rule: gigabytes in a file"),
        "tensor_parallel_degree": Setting(1, "rule: one process"),
        "pipeline_parallel_degree": Setting(1, "rule: one process"),
        "compute_type": Setting("bf16", "rule: not used by a merge"),
        "fp16_opt_level": Setting("O1", "rule: not used by a merge"),
    }
    if problems := check_settings(values(settings), version, "export", "settings"):
        raise UsageError(problems)
    return settings


def values(settings: Settings) -> dict[str, Any]:
    """The settings as ERNIEKit reads them: plain values by key."""
    return {key: setting.value for key, setting in settings.items()}


# Keys that ERNIEKit replaces after reading them, and by what.
OVERWRITTEN: Mapping[str, str] = {
    "bf16": "ERNIEKit overwrites it from compute_type",
    "fp16": "ERNIEKit overwrites it from compute_type",
    "per_device_train_batch_size": "ERNIEKit overwrites it from batch_size",
    "per_device_eval_batch_size": "ERNIEKit overwrites it from batch_size",
    "lora": "ERNIEKit overwrites it from fine_tuning",
    "server_tp_degree": "ERNIEKit overwrites it from tensor_parallel_degree",
    "weight_quantize_algo": "ERNIEKit overwrites it from compute_type",
}


def derived_by_erniekit(project: Project) -> list[tuple[str, str, str]]:
    """What ERNIEKit will overwrite or work out by itself: (key, value, why)."""
    training = project.training
    compute = _compute_type(project)
    rows = [
        ("fp16", str(compute == "fp16").lower(), "from compute_type"),
        ("bf16", str(compute == "bf16").lower(), "from compute_type"),
        ("per_device_train_batch_size", str(training.per_device_train_batch_size), "from batch_size"),
        ("per_device_eval_batch_size", str(training.per_device_train_batch_size), "from batch_size"),
        ("lora", str(project.lora.enabled).lower(), "from fine_tuning"),
        ("decay_steps", "max_steps", "no value given"),
    ]
    if training.max_steps is None:
        rows.append(("max_steps", "packs × epochs / global batch", "counted from the lines when training starts"))
    if training.device == "cpu":
        rows.append(("bf16", "no effect", "on CPU it computes in float32"))
    return rows


def _data_settings(project: Project, facts: RunFacts) -> Settings:
    settings = {
        "train_dataset_type": Setting("erniekit", "rule: lines of src and tgt"),
        "train_dataset_path": Setting(facts.train_path, "the data stage"),
        "train_dataset_prob": Setting("1.0", "rule: one file"),
        "eval_dataset_type": Setting("erniekit", "rule: lines of src and tgt"),
        "eval_dataset_path": Setting(facts.eval_path, "the data stage"),
        "eval_dataset_prob": Setting("1.0", "rule: one file"),
        "max_seq_len": Setting(project.training.max_seq_length, "training.max_seq_length"),
    }
    if facts.train_lines is not None:
        # Its default is a virtual epoch of 6,000,000 lines, which costs seconds and megabytes each time.
        settings["num_samples_each_epoch"] = Setting(facts.train_lines, "rule: an epoch is every line once")
    return settings


def _model_settings(project: Project, facts: RunFacts) -> Settings:
    lora = project.lora
    settings = {
        "model_name_or_path": Setting(facts.model_dir, "model.model_name_or_path"),
        "stage": Setting("SFT", "rule: text models"),
        "fine_tuning": Setting("LoRA" if lora.enabled else "Full", "lora.enabled"),
    }
    if lora.enabled:
        settings |= {
            "lora_rank": Setting(lora.r, "lora.r"),
            "lora_alpha": Setting(lora.alpha, "lora.lora_alpha"),
            "rslora": Setting(lora.rslora, "lora.rslora"),
        }
    if facts.initial_adapter_dir is not None:
        why = "the run that goes on" if facts.remaining_steps is not None else "lora.target_modules, lora.lora_dropout"
        settings["lora_path"] = Setting(facts.initial_adapter_dir, why)
    return settings


def _compute_type(project: Project) -> str:
    return "fp16" if project.training.fp16 else "bf16"


def _training_settings(project: Project, facts: RunFacts) -> Settings:
    training = project.training
    on_cpu = training.device == "cpu"
    return {
        "do_train": Setting(True, "rule: this is training"),
        "do_eval": Setting(facts.eval_lines != 0, "training.val_split_ratio"),
        "device": Setting(training.device, "training.device"),
        "seed": Setting(training.seed, "training.seed"),
        "batch_size": Setting(training.per_device_train_batch_size, "training.per_device_train_batch_size"),
        "gradient_accumulation_steps": Setting(
            training.gradient_accumulation_steps, "training.gradient_accumulation_steps"
        ),
        "compute_type": Setting(_compute_type(project), "training.fp16, training.bf16"),
        "fp16_opt_level": Setting("O1" if on_cpu else "O2", f"rule: device {training.device}"),
        "optim": Setting("adamw", "rule: AdamW"),
        "weight_decay": Setting(training.weight_decay, "training.weight_decay"),
        "max_grad_norm": Setting(training.max_grad_norm, "training.max_grad_norm"),
        "recompute": Setting(not on_cpu, "rule: spares GPU memory"),
        "tensor_parallel_degree": Setting(1, "rule: one device holds the model"),
        "pipeline_parallel_degree": Setting(1, "rule: one device holds the model"),
        "dataloader_num_workers": Setting(0, "rule: the lines are read in the process"),
        "distributed_dataloader": Setting(False, "rule: the lines are read in the process"),
        "unified_checkpoint": Setting(True, "rule: safetensors, never pickles, for weights"),
        "disable_ckpt_quant": Setting(True, "rule: weights are kept as they are"),
        "output_dir": Setting(facts.toolkit_dir, "output_dir"),
        # Whether there is something to resume from is decided here, not by ERNIEKit.
        "overwrite_output_dir": Setting(False, "rule: the newest checkpoint is resumed"),
        "disable_tqdm": Setting(True, "rule: its log is followed instead"),
    }


def _schedule_settings(project: Project, facts: RunFacts) -> Settings:
    training = project.training
    goes_on = facts.remaining_steps is not None
    steps = facts.remaining_steps if goes_on else training.max_steps
    settings = {
        "num_train_epochs": Setting(training.num_train_epochs, "training.num_train_epochs"),
        "max_steps": Setting(
            -1 if steps is None else steps, "the run that goes on" if goes_on else "training.max_steps"
        ),
        "learning_rate": Setting(training.learning_rate, "training.learning_rate"),
        "lr_scheduler_type": Setting(training.lr_scheduler_type, "training.lr_scheduler_type"),
        "warmup_steps": Setting(0 if goes_on else training.warmup_steps, "training.warmup_steps"),
        "logging_steps": Setting(training.logging_steps, "training.logging_steps"),
        "logging_dir": Setting("tensorboard" if training.use_tensorboard else "visualdl", "training.use_tensorboard"),
        "report_to": Setting(["tensorboard" if training.use_tensorboard else "visualdl"], "training.use_tensorboard"),
        "run_name": Setting(project.run_name, "run_name"),
        "evaluation_strategy": Setting("no" if facts.eval_lines == 0 else "steps", "training.val_split_ratio"),
        "eval_steps": Setting(training.eval_steps, "training.eval_steps"),
        "save_strategy": Setting("steps", "rule: checkpoints by steps"),
        "save_steps": Setting(training.save_steps, "training.save_steps"),
    }
    if training.save_total_limit is not None:
        settings["save_total_limit"] = Setting(training.save_total_limit, "training.save_total_limit")
    return settings


def local_model_dir(project: Project) -> Path:
    """The folder that the base model must lie in: the path as given, or a published id as a path, as ERNIEKit's own
    documentation downloads it."""
    return Path(project.model.model_name_or_path).expanduser()
