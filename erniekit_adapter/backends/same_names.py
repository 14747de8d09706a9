"""Settings that have the same names in both toolkits. Pure functions."""

from __future__ import annotations

import math

from erniekit_adapter.backends.settings import RunContext, Setting, Settings, from_project, from_rule
from erniekit_adapter.project.schema import Project

# The toolkits cut a request longer than max_prompt_len, and change a limit within 10 tokens of max_seq_len.
PROMPT_MARGIN_TOKENS = 10
_WITHOUT_EPOCHS = "examples × epochs / global batch: the method counts no epochs"


def data_settings(project: Project, context: RunContext, line_type: str) -> Settings:
    """Return the settings of training examples; `line_type` is the toolkit's name for their format."""
    settings = {
        "train_dataset_type": from_rule(line_type, "format of the data stage"),
        "train_dataset_path": from_rule(context.train_path, "file of the data stage"),
        "train_dataset_prob": from_rule("1.0", "one file"),
        "max_seq_len": from_project(project.training.max_seq_length, "training.max_seq_length"),
    }
    if context.train_examples is not None:
        # The default is a virtual epoch of 6,000,000 examples, which costs seconds and megabytes.
        settings["num_samples_each_epoch"] = from_rule(context.train_examples, "an epoch is every example once")
    return settings


def evaluation_settings(project: Project, context: RunContext, line_type: str) -> Settings:
    """Return the settings of evaluation during training."""
    evaluates_loss = project.eval_ratio > 0 if context.eval_examples is None else context.eval_examples > 0
    return {
        "eval_dataset_type": from_rule(line_type, "format of the data stage"),
        "eval_dataset_path": from_rule(context.eval_path, "file of the data stage"),
        "eval_dataset_prob": from_rule("1.0", "one file"),
        "do_eval": from_project(evaluates_loss, "training.val_split_ratio"),
        "evaluation_strategy": from_project("steps" if evaluates_loss else "no", "training.val_split_ratio"),
        "eval_steps": from_project(project.training.eval_steps, "training.eval_steps"),
    }


def model_settings(project: Project, context: RunContext) -> Settings:
    """Return the settings of the base model, the training method and LoRA."""
    lora = project.lora
    stage_keys = ("training.method",) if project.training.method else ("model.model_name_or_path",)
    settings = {
        "model_name_or_path": from_project(context.model_dir, "model.model_name_or_path"),
        "stage": from_project(context.method, *stage_keys),
        "fine_tuning": from_project("LoRA" if lora.enabled else "Full", "lora.enabled"),
    }
    if lora.enabled:
        settings |= {
            "lora_rank": from_project(lora.r, "lora.r"),
            "lora_alpha": from_project(lora.alpha, "lora.lora_alpha"),
            "rslora": from_project(lora.rslora, "lora.rslora"),
            "lora_plus_scale": from_project(lora.lora_plus_scale, "lora.lora_plus_scale"),
        }
    if context.initial_adapter_dir is not None:
        why = "the resumed run" if context.is_resumed else "an initial adapter carries values that have no key"
        keys = () if context.is_resumed else ("lora.target_modules", "lora.lora_dropout", "lora.lora_alpha")
        settings["lora_path"] = Setting(context.initial_adapter_dir, keys, why)
    return settings


def training_settings(project: Project, context: RunContext) -> Settings:
    """Return the settings of precision, optimizer and output."""
    training = project.training
    on_cpu = training.device == "cpu"
    return {
        "do_train": from_rule(True, "this is training"),
        "device": from_project(training.device, "training.device"),
        "seed": from_project(training.seed, "training.seed"),
        "gradient_accumulation_steps": from_project(
            training.gradient_accumulation_steps, "training.gradient_accumulation_steps"
        ),
        "compute_type": from_project(
            training.quantization or ("fp16" if training.fp16 else "bf16"),
            *(("training.quantization",) if training.quantization else ("training.fp16", "training.bf16")),
        ),
        "fp16_opt_level": Setting(
            "O1" if on_cpu else "O2", ("training.device",), "O2 on a GPU; O1, in float32, on a CPU"
        ),
        "optim": from_rule("adamw", "AdamW"),
        "weight_decay": from_project(training.weight_decay, "training.weight_decay"),
        "max_grad_norm": from_project(training.max_grad_norm, "training.max_grad_norm"),
        "dataloader_num_workers": from_rule(0, "examples are read in the process"),
        "distributed_dataloader": from_rule(False, "examples are read in the process"),
        "output_dir": from_project(context.toolkit_dir, "output_dir"),
        # This package decides if a run is resumed, not the toolkit.
        "overwrite_output_dir": from_rule(False, "the newest checkpoint is resumed"),
        "disable_tqdm": from_rule(True, "the log is followed instead"),
    }


def schedule_settings(project: Project, context: RunContext) -> Settings:
    """Return the settings of steps, learning rate, logging and checkpoints."""
    training = project.training
    board = "tensorboard" if training.use_tensorboard else "visualdl"
    settings = {
        **_length_settings(project, context),
        "learning_rate": from_project(training.learning_rate, "training.learning_rate"),
        "lr_scheduler_type": from_project(training.lr_scheduler_type, "training.lr_scheduler_type"),
        "warmup_steps": from_project(0 if context.is_resumed else training.warmup_steps, "training.warmup_steps"),
        "warmup_ratio": from_project(0.0 if context.is_resumed else training.warmup_ratio, "training.warmup_ratio"),
        "logging_steps": from_project(training.logging_steps, "training.logging_steps"),
        "logging_dir": from_project(board, "training.use_tensorboard"),
        "report_to": from_project([board], "training.use_tensorboard"),
        "run_name": from_project(project.run_name, "run_name"),
        "save_strategy": from_rule("steps", "checkpoints by steps"),
        "save_steps": from_project(training.save_steps, "training.save_steps"),
    }
    if training.save_total_limit is not None:
        settings["save_total_limit"] = from_project(training.save_total_limit, "training.save_total_limit")
    return settings


def is_counted_in_steps(project: Project, context: RunContext) -> bool:
    """Return whether the training method counts only steps, so epochs are converted to steps here."""
    return project.backend == "erniekit" and context.is_multimodal


def steps_of(project: Project, examples: int, examples_in_pack: int = 1) -> int:
    """Return the optimizer steps for the project's epochs over a number of training examples.

    Steps are examples × epochs / global batch, rounded up. The global batch is batch × accumulation × groups of GPUs
    that read different examples, in packs, times the examples in a pack.
    """
    training = project.training
    packs = training.per_device_train_batch_size * training.gradient_accumulation_steps * project.parallel.data
    return math.ceil(examples * training.num_train_epochs / (packs * examples_in_pack))


def max_steps_of(project: Project, context: RunContext) -> int | None:
    """Return the optimizer steps of a run; text lines that share a pack make fewer.

    None if it evaluates_loss neither from the project nor from the lines.
    """
    if project.training.max_steps is not None:
        return project.training.max_steps
    return (
        None
        if context.train_examples is None
        else steps_of(project, context.train_examples, _examples_in_pack(context))
    )


def dpo_settings(project: Project, context: RunContext) -> Settings:
    """Return the settings of the DPO loss, and the limit of a request."""
    dpo, longest = project.dpo, project.training.max_seq_length - PROMPT_MARGIN_TOKENS
    prompt = from_project(dpo.max_prompt_length, "dpo.max_prompt_length")
    if dpo.max_prompt_length is None:
        prompt = from_rule(longest, "as much as max_seq_len allows: a longer request would be cut")
    # These losses do not compare with the base model, and both toolkits then switch it off.
    reference_free = dpo.reference_free or dpo.loss_type in ("or", "orpo", "simpo")
    return {
        "max_prompt_len": prompt,
        "beta": from_project(dpo.beta, "dpo.beta"),
        "loss_type": from_project(dpo.loss_type, "dpo.loss_type"),
        "label_smoothing": from_project(dpo.label_smoothing, "dpo.label_smoothing"),
        "pref_loss_ratio": from_project(dpo.pref_loss_ratio, "dpo.pref_loss_ratio"),
        "sft_loss_ratio": from_project(dpo.sft_loss_ratio, "dpo.sft_loss_ratio"),
        "simpo_gamma": from_project(dpo.simpo_gamma, "dpo.simpo_gamma"),
        "reference_free": from_project(reference_free, "dpo.reference_free", "dpo.loss_type"),
    }


def _examples_in_pack(context: RunContext) -> int:
    """Return the number of examples that OCR-VL-SFT packs together if the user sets `packing_size`."""
    size = context.raw_value("packing_size")
    return size if isinstance(size, int) and size > 0 and context.raw_value("packing") is not False else 1


def _length_settings(project: Project, context: RunContext) -> Settings:
    training = project.training
    epochs = from_project(training.num_train_epochs, "training.num_train_epochs")
    if context.is_resumed:
        steps = from_rule(context.remaining_steps, "the resumed run")
    elif training.max_steps is not None:
        steps = from_project(training.max_steps, "training.max_steps")
    elif not is_counted_in_steps(project, context):
        steps = Setting(-1, ("training.max_steps",), "epochs decide")
    elif context.train_examples is None:
        return {}
    else:
        keys = ("training.num_train_epochs", "training.per_device_train_batch_size")
        steps = Setting(steps_of(project, context.train_examples, _examples_in_pack(context)), keys, _WITHOUT_EPOCHS)
    return (
        {"max_steps": steps}
        if is_counted_in_steps(project, context)
        else {"num_train_epochs": epochs, "max_steps": steps}
    )
