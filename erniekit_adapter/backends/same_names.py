"""The settings that both toolkits take under the same names. Pure functions."""

from __future__ import annotations

import math

from erniekit_adapter.backends.settings import RunFacts, Setting, Settings, asked, ruled
from erniekit_adapter.project.schema import Project

# A request longer than max_prompt_len is cut, and a limit within 10 tokens of max_seq_len is changed by the toolkits.
PROMPT_MARGIN_TOKENS = 10
_WITHOUT_EPOCHS = "lines × epochs / global batch: the stage counts no epochs"


def data_settings(project: Project, facts: RunFacts, line_type: str) -> Settings:
    """Which lines to read; `line_type` is the toolkit's word for their form."""
    settings = {
        "train_dataset_type": ruled(line_type, "the form of the data stage's lines"),
        "train_dataset_path": ruled(facts.train_path, "the data stage's lines"),
        "train_dataset_prob": ruled("1.0", "one file"),
        "max_seq_len": asked(project.training.max_seq_length, "training.max_seq_length"),
    }
    if facts.train_lines is not None:
        # The default is a virtual epoch of 6,000,000 lines, which costs seconds and megabytes each time.
        settings["num_samples_each_epoch"] = ruled(facts.train_lines, "an epoch is every line once")
    return settings


def evaluation_settings(project: Project, facts: RunFacts, line_type: str) -> Settings:
    """The lines whose loss is followed, and how often."""
    follows = project.eval_ratio > 0 if facts.eval_lines is None else facts.eval_lines > 0
    return {
        "eval_dataset_type": ruled(line_type, "the form of the data stage's lines"),
        "eval_dataset_path": ruled(facts.eval_path, "the data stage's lines"),
        "eval_dataset_prob": ruled("1.0", "one file"),
        "do_eval": asked(follows, "training.val_split_ratio"),
        "evaluation_strategy": asked("steps" if follows else "no", "training.val_split_ratio"),
        "eval_steps": asked(project.training.eval_steps, "training.eval_steps"),
    }


def model_settings(project: Project, facts: RunFacts) -> Settings:
    """The base model, the stage, and LoRA."""
    lora = project.lora
    stage_keys = ("training.stage",) if project.training.stage else ("model.model_name_or_path",)
    settings = {
        "model_name_or_path": asked(facts.model_dir, "model.model_name_or_path"),
        "stage": asked(facts.stage, *stage_keys),
        "fine_tuning": asked("LoRA" if lora.enabled else "Full", "lora.enabled"),
    }
    if lora.enabled:
        settings |= {
            "lora_rank": asked(lora.r, "lora.r"),
            "lora_alpha": asked(lora.alpha, "lora.lora_alpha"),
            "rslora": asked(lora.rslora, "lora.rslora"),
            "lora_plus_scale": asked(lora.lora_plus_scale, "lora.lora_plus_scale"),
        }
    if facts.initial_adapter_dir is not None:
        why = "the run that goes on" if facts.goes_on else "an adapter made beforehand says what no key can"
        keys = () if facts.goes_on else ("lora.target_modules", "lora.lora_dropout", "lora.lora_alpha")
        settings["lora_path"] = Setting(facts.initial_adapter_dir, keys, why)
    return settings


def training_settings(project: Project, facts: RunFacts) -> Settings:
    """Precision, optimizer, and where results go."""
    training = project.training
    on_cpu = training.device == "cpu"
    return {
        "do_train": ruled(True, "this is training"),
        "device": asked(training.device, "training.device"),
        "seed": asked(training.seed, "training.seed"),
        "gradient_accumulation_steps": asked(
            training.gradient_accumulation_steps, "training.gradient_accumulation_steps"
        ),
        "compute_type": asked(
            training.quantization or ("fp16" if training.fp16 else "bf16"),
            *(("training.quantization",) if training.quantization else ("training.fp16", "training.bf16")),
        ),
        "fp16_opt_level": Setting(
            "O1" if on_cpu else "O2", ("training.device",), "O2 on a GPU; O1, in float32, on a CPU"
        ),
        "optim": ruled("adamw", "AdamW"),
        "weight_decay": asked(training.weight_decay, "training.weight_decay"),
        "max_grad_norm": asked(training.max_grad_norm, "training.max_grad_norm"),
        "dataloader_num_workers": ruled(0, "the lines are read in the process"),
        "distributed_dataloader": ruled(False, "the lines are read in the process"),
        "output_dir": asked(facts.toolkit_dir, "output_dir"),
        # Whether there is something to resume from is decided here, not by the toolkit.
        "overwrite_output_dir": ruled(False, "the newest checkpoint is resumed"),
        "disable_tqdm": ruled(True, "its log is followed instead"),
    }


def schedule_settings(project: Project, facts: RunFacts) -> Settings:
    """Steps, learning rate, logging and checkpoints."""
    training = project.training
    board = "tensorboard" if training.use_tensorboard else "visualdl"
    settings = {
        **_length_settings(project, facts),
        "learning_rate": asked(training.learning_rate, "training.learning_rate"),
        "lr_scheduler_type": asked(training.lr_scheduler_type, "training.lr_scheduler_type"),
        "warmup_steps": asked(0 if facts.goes_on else training.warmup_steps, "training.warmup_steps"),
        "warmup_ratio": asked(0.0 if facts.goes_on else training.warmup_ratio, "training.warmup_ratio"),
        "logging_steps": asked(training.logging_steps, "training.logging_steps"),
        "logging_dir": asked(board, "training.use_tensorboard"),
        "report_to": asked([board], "training.use_tensorboard"),
        "run_name": asked(project.run_name, "run_name"),
        "save_strategy": ruled("steps", "checkpoints by steps"),
        "save_steps": asked(training.save_steps, "training.save_steps"),
    }
    if training.save_total_limit is not None:
        settings["save_total_limit"] = asked(training.save_total_limit, "training.save_total_limit")
    return settings


def counts_no_epochs(project: Project, facts: RunFacts) -> bool:
    """Whether the stage goes by steps alone, so that epochs have to be counted here."""
    return project.backend == "erniekit" and facts.sees_pages


def steps_of(project: Project, lines: int, lines_in_pack: int = 1) -> int:
    """Optimizer steps for the project's epochs over these lines.

    Steps are lines × epochs / global batch, rounded up; the global batch is batch × accumulation × the groups of GPUs
    that read different lines, and of packs, times the lines in one.
    """
    training = project.training
    packs = training.per_device_train_batch_size * training.gradient_accumulation_steps * project.parallel.data
    return math.ceil(lines * training.num_train_epochs / (packs * lines_in_pack))


def most_steps(project: Project, facts: RunFacts) -> int | None:
    """Return the optimizer steps of a run; text lines that share a pack make fewer.

    None if it follows neither from the project nor from the lines.
    """
    if project.training.max_steps is not None:
        return project.training.max_steps
    return None if facts.train_lines is None else steps_of(project, facts.train_lines, _lines_in_pack(facts))


def dpo_settings(project: Project, facts: RunFacts) -> Settings:
    """The loss of stage DPO, and how long a request may be."""
    dpo, longest = project.dpo, project.training.max_seq_length - PROMPT_MARGIN_TOKENS
    prompt = asked(dpo.max_prompt_length, "dpo.max_prompt_length")
    if dpo.max_prompt_length is None:
        prompt = ruled(longest, "all that max_seq_len leaves: a longer request would be cut")
    # What compares an answer with itself alone has no use for the base model, and both toolkits switch it off.
    alone = dpo.reference_free or dpo.loss_type in ("or", "orpo", "simpo")
    return {
        "max_prompt_len": prompt,
        "beta": asked(dpo.beta, "dpo.beta"),
        "loss_type": asked(dpo.loss_type, "dpo.loss_type"),
        "label_smoothing": asked(dpo.label_smoothing, "dpo.label_smoothing"),
        "pref_loss_ratio": asked(dpo.pref_loss_ratio, "dpo.pref_loss_ratio"),
        "sft_loss_ratio": asked(dpo.sft_loss_ratio, "dpo.sft_loss_ratio"),
        "simpo_gamma": asked(dpo.simpo_gamma, "dpo.simpo_gamma"),
        "reference_free": asked(alone, "dpo.reference_free", "dpo.loss_type"),
    }


def _lines_in_pack(facts: RunFacts) -> int:
    """Lines that stage OCR-VL-SFT puts into one pack where the user asks it to: `packing_size`."""
    size = facts.raw_value("packing_size")
    return size if isinstance(size, int) and size > 0 and facts.raw_value("packing") is not False else 1


def _length_settings(project: Project, facts: RunFacts) -> Settings:
    training = project.training
    epochs = asked(training.num_train_epochs, "training.num_train_epochs")
    if facts.goes_on:
        steps = ruled(facts.remaining_steps, "the run that goes on")
    elif training.max_steps is not None:
        steps = asked(training.max_steps, "training.max_steps")
    elif not counts_no_epochs(project, facts):
        steps = Setting(-1, ("training.max_steps",), "epochs decide")
    elif facts.train_lines is None:
        return {}
    else:
        keys = ("training.num_train_epochs", "training.per_device_train_batch_size")
        steps = Setting(steps_of(project, facts.train_lines, _lines_in_pack(facts)), keys, _WITHOUT_EPOCHS)
    return (
        {"max_steps": steps} if counts_no_epochs(project, facts) else {"num_train_epochs": epochs, "max_steps": steps}
    )
