"""The sections that become a toolkit's settings: which model, how to train it, on how many devices."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from erniekit_adapter.project.section import FilePath, Ratio, Section, path_of

ATTENTION_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP_MODULES = ("gate_proj", "up_proj", "down_proj")
LINEAR_MODULES = ATTENTION_MODULES + MLP_MODULES

TargetModule = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Backend = Literal["erniekit", "paddleformers"]
Stage = Literal["SFT", "DPO", "VL-SFT", "OCR-VL-SFT"]
Quantization = Literal["wint8", "wint4", "wint4/8", "nf4", "fp8"]
LossType = Literal["sigmoid", "hinge", "simpo", "ipo", "dpop", "kto_pair", "sppo_hard", "nca_pair", "or", "orpo"]


class ModelSection(Section):
    """The base model: a local folder or one of the published ids."""

    model_name_or_path: str = Field(min_length=1)

    @field_validator("model_name_or_path")
    @classmethod
    def _is_a_path_that_can_be(cls, name: str) -> str:
        path_of(name)
        return name


class LoraSection(Section):
    """Low-rank adaptation; `enabled: false` trains every weight."""

    enabled: bool = True
    r: int = Field(16, ge=1, le=1024, description="LoRA rank")
    lora_alpha: int | None = Field(None, ge=1, description="scaling is alpha / r; 2 × r where it is not given")
    target_modules: Literal["all-linear"] | list[TargetModule] = "all-linear"
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    rslora: bool = Field(False, description="scale by alpha / sqrt(r)")
    lora_plus_scale: float = Field(1.0, gt=0, description="LoRA+: B learns so many times faster than A")

    @property
    def alpha(self) -> int:
        """The alpha in force."""
        return 2 * self.r if self.lora_alpha is None else self.lora_alpha

    @property
    def modules(self) -> frozenset[str]:
        """The target modules by name, `all-linear` spelt out."""
        return frozenset(LINEAR_MODULES if self.target_modules == "all-linear" else self.target_modules)


class TrainingSection(Section):
    """How to train."""

    stage: Stage | None = Field(None, description="SFT, or for a model that takes images its own; DPO has to be asked")
    num_train_epochs: float = Field(3.0, gt=0)
    max_steps: int | None = Field(None, ge=1, description="optimizer steps; wins over num_train_epochs")
    max_hours: float | None = Field(
        None, gt=0, le=100_000, description="end the run after this time; the same command continues it"
    )
    max_seq_length: int = Field(4096, ge=128, description="tokens in a pack; a longer line is rejected, never cut")
    per_device_train_batch_size: int = Field(1, ge=1, description="packs in a step on each device")
    per_device_eval_batch_size: int | None = Field(None, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    learning_rate: float = Field(2.0e-4, gt=0, lt=1)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    warmup_ratio: Ratio = Field(0.0, description="share of the run's steps, instead of warmup_steps")
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    logging_steps: int = Field(10, ge=1)
    save_steps: int = Field(500, ge=1)
    eval_steps: int = Field(500, ge=1)
    save_total_limit: int | None = Field(None, ge=1)
    val_split_ratio: Ratio | None = Field(
        None,
        description="share of documents whose loss is followed during training; 0.1, or 0 where none is followed",
    )
    fp16: bool = False
    bf16: bool | None = Field(None, description="true on a GPU where neither fp16 nor bf16 is given")
    quantization: Quantization | None = Field(None, description="of the base model's weights")
    recompute: bool | None = Field(None, description="activations anew in the backward pass; true on a GPU")
    freeze_vision: bool = Field(True, description="of a model that takes images: its vision tower stays as it is")
    use_tensorboard: bool = Field(False, description="false: VisualDL, the toolkit's own")
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
            raise ValueError("fp16 and bf16 are both true: choose one")
        if self.device == "cpu" and (self.fp16 or self.bf16):
            raise ValueError("device cpu computes in float32: leave fp16 and bf16 false")
        if self.device == "cpu" and self.quantization:
            raise ValueError("quantization has kernels for GPUs alone: leave it out on a cpu")
        if self.device == "gpu" and self.bf16 is False and not self.fp16:
            raise ValueError("fp16 and bf16 are both false: the toolkit trains in one of them on a GPU, choose one")
        if self.quantization and self.fp16:
            raise ValueError("the toolkits compute in bf16 beside quantized weights: leave fp16 false")
        return self


class ParallelSection(Section):
    """How a run is spread over GPUs: what the degrees do not take up is data parallelism."""

    gpus: int | None = Field(
        None, ge=1, le=100_000, description="of the whole run, all machines; the product of the degrees"
    )
    tensor: int = Field(1, ge=1, description="GPUs that share every layer")
    pipeline: int = Field(1, ge=1, description="GPUs that hold a part of the layers each")
    sharding: int = Field(1, ge=1, description="GPUs that share the optimizer's states")
    sharding_stage: Literal["stage1", "stage2", "stage3"] = "stage1"
    sequence: bool = Field(False, description="norms and dropout are shared among the tensor-parallel GPUs as well")

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
        """Groups of GPUs that read different lines: data parallelism and sharding together."""
        return self.world_size // self.model_parallel

    @model_validator(mode="after")
    def _degrees_fit(self) -> ParallelSection:
        degrees = self.model_parallel * self.sharding
        if self.world_size % degrees:
            raise ValueError(
                f"{self.gpus} gpus cannot be divided by tensor {self.tensor} × pipeline {self.pipeline} × sharding "
                f"{self.sharding} = {degrees}"
            )
        if self.sequence and self.tensor == 1:
            raise ValueError("sequence parallelism shares work among tensor-parallel GPUs: tensor has to be over 1")
        if self.pipeline > 1 and self.sharding > 1 and self.sharding_stage != "stage1":
            raise ValueError(f"pipelines go with sharding stage1 alone, not {self.sharding_stage}")
        return self


class DpoSection(Section):
    """The loss of stage DPO."""

    beta: float = Field(0.1, gt=0, description="how far from the base model the answers may go: less is further")
    loss_type: LossType = "sigmoid"
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="share of pairs that may be the wrong way round")
    pref_loss_ratio: float = Field(1.0, ge=0)
    sft_loss_ratio: float = Field(0.0, ge=0, description="weight of the loss of the chosen answer alone")
    simpo_gamma: float = Field(0.5, ge=0)
    reference_free: bool = Field(False, description="without the base model's own probabilities")
    max_prompt_length: int | None = Field(
        None, ge=16, description="tokens of a request; all that max_seq_length leaves where it is not given"
    )


class ErniekitSection(Section):
    """ERNIEKit, where that is the backend."""

    use_erniekit: bool | None = Field(None, description="an older way to say backend: erniekit")
    version: str | None = Field(None, description="settings are for this version; the installed one's otherwise")
    erniekit_config_path: FilePath | None = Field(None, description="a YAML with more of ERNIEKit's own keys, checked")
    extra: dict[str, Any] = Field({}, description="more of ERNIEKit's own keys, checked")


class PaddleformersSection(Section):
    """PaddleFormers, where that is the backend."""

    version: str | None = Field(None, description="settings are for this version; the installed one's otherwise")
    extra: dict[str, Any] = Field({}, description="more of PaddleFormers' own keys, checked")
