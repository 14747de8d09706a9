"""Names of other trainers for the keys of a project file; they have priority over similar spellings.

Names of transformers' TrainingArguments, PEFT, TRL, LLaMA-Factory, Axolotl and the two toolkits themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

# Keys of earlier versions of this package.
RENAMED_KEYS: Mapping[str, str] = {
    "training.stage": "training.method",
    "data.gates": "data.filters",
    "data.engine": "data.runner",
    "data.wordings": "data.prompt_templates",
    "export.forms": "export.formats",
}

PROJECT_KEY_OF: Mapping[str, str] = {
    # the model
    "base_model": "model.model_name_or_path",
    "model": "model.model_name_or_path",
    "model_name": "model.model_name_or_path",
    "model_path": "model.model_name_or_path",
    "model_name_or_path": "model.model_name_or_path",
    "pretrained_model_name_or_path": "model.model_name_or_path",
    # LoRA
    "alpha": "lora.lora_alpha",
    "lora_alpha": "lora.lora_alpha",
    "dropout": "lora.lora_dropout",
    "lora_dropout": "lora.lora_dropout",
    "lora": "lora.enabled",
    "use_lora": "lora.enabled",
    "use_peft": "lora.enabled",
    "fine_tuning": "lora.enabled",
    "finetuning_type": "lora.enabled",
    "lora_r": "lora.r",
    "lora_rank": "lora.r",
    "rank": "lora.r",
    "r": "lora.r",
    "lora_target": "lora.target_modules",
    "lora_target_modules": "lora.target_modules",
    "target_modules": "lora.target_modules",
    "lora_plus": "lora.lora_plus_scale",
    "loraplus_lr_ratio": "lora.lora_plus_scale",
    "lora_plus_scale": "lora.lora_plus_scale",
    "rslora": "lora.rslora",
    "use_rslora": "lora.rslora",
    # steps, batches, lengths
    "batch_size": "training.per_device_train_batch_size",
    "micro_batch_size": "training.per_device_train_batch_size",
    "train_batch_size": "training.per_device_train_batch_size",
    "per_device_train_batch_size": "training.per_device_train_batch_size",
    "eval_batch_size": "training.per_device_eval_batch_size",
    "per_device_eval_batch_size": "training.per_device_eval_batch_size",
    "gradient_accumulation": "training.gradient_accumulation_steps",
    "gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "epochs": "training.num_train_epochs",
    "num_epochs": "training.num_train_epochs",
    "num_train_epochs": "training.num_train_epochs",
    "max_steps": "training.max_steps",
    "cutoff_len": "training.max_seq_length",
    "max_length": "training.max_seq_length",
    "max_seq_len": "training.max_seq_length",
    "max_seq_length": "training.max_seq_length",
    "model_max_length": "training.max_seq_length",
    "sequence_len": "training.max_seq_length",
    # optimizer and schedule
    "lr": "training.learning_rate",
    "learning_rate": "training.learning_rate",
    "lr_scheduler": "training.lr_scheduler_type",
    "lr_scheduler_type": "training.lr_scheduler_type",
    "warmup": "training.warmup_steps",
    "warmup_steps": "training.warmup_steps",
    "warmup_ratio": "training.warmup_ratio",
    "gradient_clipping": "training.max_grad_norm",
    "max_grad_norm": "training.max_grad_norm",
    "weight_decay": "training.weight_decay",
    "seed": "training.seed",
    # logging, evaluation, checkpoints
    "log_interval": "training.logging_steps",
    "logging_steps": "training.logging_steps",
    "report_to": "training.use_tensorboard",
    "tensorboard": "training.use_tensorboard",
    "eval_ratio": "training.val_split_ratio",
    "val_size": "training.val_split_ratio",
    "val_set_size": "training.val_split_ratio",
    "eval_steps": "training.eval_steps",
    "save_steps": "training.save_steps",
    "save_total_limit": "training.save_total_limit",
    # memory and precision
    "gradient_checkpointing": "training.recompute",
    "use_gradient_checkpointing": "training.recompute",
    "recompute": "training.recompute",
    "compute_type": "training.bf16",
    "bf16": "training.bf16",
    "fp16": "training.fp16",
    "load_in_4bit": "training.quantization",
    "load_in_8bit": "training.quantization",
    "quantization_bit": "training.quantization",
    "weight_quantize_algo": "training.quantization",
    "freeze_config": "training.freeze_vision",
    "freeze_vision_tower": "training.freeze_vision",
    "device": "training.device",
    "stage": "training.method",
    # parallelism
    "tp": "parallel.tensor",
    "tensor_parallel_degree": "parallel.tensor",
    "tensor_parallel_size": "parallel.tensor",
    "tensor_model_parallel_size": "parallel.tensor",
    "pp": "parallel.pipeline",
    "pipeline_parallel_degree": "parallel.pipeline",
    "pipeline_parallel_size": "parallel.pipeline",
    "pipeline_model_parallel_size": "parallel.pipeline",
    "fsdp": "parallel.sharding",
    "deepspeed": "parallel.sharding",
    "sharding": "parallel.sharding_stage",
    "sharding_degree": "parallel.sharding",
    "sharding_parallel_degree": "parallel.sharding",
    "sharding_parallel_size": "parallel.sharding",
    "sequence_parallel": "parallel.sequence",
    "num_gpus": "parallel.gpus",
    "world_size": "parallel.gpus",
    # DPO
    "beta": "dpo.beta",
    "dpo_beta": "dpo.beta",
    "pref_beta": "dpo.beta",
    "loss_type": "dpo.loss_type",
    "pref_loss": "dpo.loss_type",
    "max_prompt_len": "dpo.max_prompt_length",
    "max_prompt_length": "dpo.max_prompt_length",
    "pref_ftx": "dpo.sft_loss_ratio",
    # data and output
    "train_dataset_path": "dataset.path",
    "dataset_path": "dataset.path",
    "max_samples": "dataset.max_samples",
    "output": "output_dir",
    "output_path": "output_dir",
    "output_dir": "output_dir",
    "experiment_name": "run_name",
    "run_name": "run_name",
}

# Former values of `kind` in a source, and the current ones.
FORMER_SOURCE_KINDS: Mapping[str, str] = {"lines": "training_examples"}


def project_key_of(name: str) -> str | None:
    """Return the project key for another trainer's name, in any section; None if unknown."""
    return PROJECT_KEY_OF.get(name.rpartition(".")[2].replace("-", "_").lower())
