"""Sections of the project file that become a toolkit's settings: model, LoRA, training, parallelism, DPO."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from erniekit_adapter.architectures.linear_layers import LINEAR_MODULES, TargetModule
from erniekit_adapter.architectures.toolkits import Method, Quantization
from erniekit_adapter.project.section import FilePath, Ratio, Section, path_of

LossType = Literal["sigmoid", "hinge", "simpo", "ipo", "dpop", "kto_pair", "sppo_hard", "nca_pair", "or", "orpo"]


class ModelSection(Section):
    """The base model: a local folder or a published id."""

    model_name_or_path: str = Field(min_length=1)

    @field_validator("model_name_or_path")
    @classmethod
    def _is_a_possible_path(cls, name: str) -> str:
        path_of(name)
        return name


class LoraSection(Section):
    """Low-rank adaptation; `enabled: false` trains every weight."""

    enabled: bool = True
    r: int = Field(16, ge=1, le=1024, description="LoRA rank")
    lora_alpha: int | None = Field(None, ge=1, description="scaling is alpha / r; default 2 × r")
    target_modules: Literal["all-linear"] | list[TargetModule] = "all-linear"
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    rslora: bool = Field(False, description="scale by alpha / sqrt(r)")
    lora_plus_scale: float = Field(1.0, gt=0, description="LoRA+: ratio of the learning rate of B to that of A")

    @property
    def alpha(self) -> int:
        """Alpha, with its default."""
        return 2 * self.r if self.lora_alpha is None else self.lora_alpha

    @property
    def modules(self) -> frozenset[str]:
        """Names of the target modules; `all-linear` is replaced by all of them."""
        return frozenset(LINEAR_MODULES if self.target_modules == "all-linear" else self.target_modules)


class TrainingSection(Section):
    """Training settings."""

    method: Method | None = Field(
        None, description="default: SFT, or the method of a model that takes images; DPO only if set"
    )
    num_train_epochs: float = Field(3.0, gt=0)
    max_steps: int | None = Field(None, ge=1, description="optimizer steps; overrides num_train_epochs")
    max_hours: float | None = Field(
        None, gt=0, le=100_000, description="end the run after this time; the same command resumes it"
    )
    max_seq_length: int = Field(
        4096, ge=128, description="tokens of a pack; a longer training example is rejected, never truncated"
    )
    per_device_train_batch_size: int = Field(1, ge=1, description="packs per forward pass on each device")
    per_device_eval_batch_size: int | None = Field(None, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    learning_rate: float = Field(2.0e-4, gt=0, lt=1)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    warmup_ratio: Ratio = Field(0.0, description="fraction of the run's steps, instead of warmup_steps")
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    logging_steps: int = Field(10, ge=1)
    save_steps: int = Field(500, ge=1)
    eval_steps: int = Field(500, ge=1)
    save_total_limit: int | None = Field(None, ge=1)
    val_split_ratio: Ratio | None = Field(
        None,
        description="fraction of documents for the evaluation loss; default 0.1, or 0 if the toolkit does not evaluate",
    )
    fp16: bool = False
    bf16: bool | None = Field(None, description="default: true on a GPU without fp16")
    quantization: Quantization | None = Field(None, description="of the base model's weights")
    recompute: bool | None = Field(
        None, description="recompute activations in the backward pass; default: true on a GPU"
    )
    freeze_vision: bool = Field(True, description="do not train the vision tower of a model that takes images")
    use_tensorboard: bool = Field(False, description="false: log to VisualDL")
    seed: int = Field(42, ge=0, lt=2**31)
    device: Literal["gpu", "cpu"] = "gpu"

    @model_validator(mode="after")
    def _one_warmup(self) -> TrainingSection:
        if self.warmup_steps and self.warmup_ratio:
            raise ValueError("warmup_steps and warmup_ratio are both over 0: set one of them to 0, or remove it")
        return self

    @model_validator(mode="after")
    def _one_precision(self) -> TrainingSection:
        if self.fp16 and self.bf16:
            raise ValueError("fp16 and bf16 are both true: set one to false")
        if self.device == "cpu" and (self.fp16 or self.bf16):
            raise ValueError("device cpu computes in float32: leave fp16 and bf16 false")
        if self.device == "cpu" and self.quantization:
            raise ValueError("quantization has kernels only for GPUs: remove it on a cpu")
        if self.device == "gpu" and self.bf16 is False and not self.fp16:
            raise ValueError(
                "fp16 and bf16 are both false: on a GPU the toolkit trains in one of them, so set one to true"
            )
        if self.quantization and self.fp16:
            raise ValueError("with quantized weights the toolkits compute in bf16: set fp16 to false")
        return self


class ParallelSection(Section):
    """Parallel degrees of a run; GPUs beyond their product are data parallelism."""

    gpus: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="GPUs of the whole run, on all machines; default: the product of the degrees",
    )
    tensor: int = Field(1, ge=1, description="GPUs that share every layer")
    pipeline: int = Field(1, ge=1, description="GPUs that hold consecutive parts of the layers")
    sharding: int = Field(1, ge=1, description="GPUs that share the optimizer states")
    sharding_stage: Literal["stage1", "stage2", "stage3"] = "stage1"
    sequence: bool = Field(False, description="tensor-parallel GPUs also share norms and dropout")

    @property
    def model_parallel(self) -> int:
        """GPUs that hold one copy of the model."""
        return self.tensor * self.pipeline

    @property
    def world_size(self) -> int:
        """All GPUs of the run."""
        return self.gpus or self.model_parallel * self.sharding

    @property
    def data(self) -> int:
        """Groups of GPUs that read different training examples: data parallelism and sharding together."""
        return self.world_size // self.model_parallel

    @model_validator(mode="after")
    def _degrees_fit(self) -> ParallelSection:
        degrees = self.model_parallel * self.sharding
        if self.world_size % degrees:
            raise ValueError(
                f"{self.gpus} gpus are not a multiple of tensor {self.tensor} × pipeline {self.pipeline} × sharding "
                f"{self.sharding} = {degrees}"
            )
        if self.sequence and self.tensor == 1:
            raise ValueError("sequence is true and tensor is 1: set tensor to 2 or more, or sequence to false")
        if self.pipeline > 1 and self.sharding > 1 and self.sharding_stage != "stage1":
            raise ValueError(f"found sharding_stage {self.sharding_stage} with a pipeline: pipelines allow only stage1")
        return self


class DpoSection(Section):
    """The loss of the training method DPO."""

    beta: float = Field(
        0.1, gt=0, description="weight of the distance to the base model; a smaller one allows more change"
    )
    loss_type: LossType = "sigmoid"
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="fraction of preference pairs assumed to be swapped")
    pref_loss_ratio: float = Field(1.0, ge=0)
    sft_loss_ratio: float = Field(0.0, ge=0, description="weight of the SFT loss of the chosen answer")
    simpo_gamma: float = Field(0.5, ge=0)
    reference_free: bool = Field(False, description="do not use the base model's probabilities")
    max_prompt_length: int | None = Field(
        None, ge=16, description="tokens of a request; default: max_seq_length less 10"
    )


class ErniekitSection(Section):
    """Settings for the backend erniekit."""

    use_erniekit: bool | None = Field(None, description="older name for `backend: erniekit`")
    version: str | None = Field(None, description="version to write settings for; default: the installed one")
    erniekit_config_path: FilePath | None = Field(None, description="YAML file with further keys of ERNIEKit, checked")
    extra: dict[str, Any] = Field({}, description="further keys of ERNIEKit, checked")


class PaddleformersSection(Section):
    """Settings for the backend paddleformers."""

    version: str | None = Field(None, description="version to write settings for; default: the installed one")
    extra: dict[str, Any] = Field({}, description="further keys of PaddleFormers, checked")
