"""Keys of a project that would have no effect: each is refused with the reason. Pure functions.

Only keys in the project file, its preset or `--set` count, not defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project, evaluates

# Keys of the toolkits that have no effect, or stop the run, without an evaluation.
_EVALUATION_KEYS = (
    *("do_eval", "evaluation_strategy", "eval_steps", "eval_iters", "eval_accumulation_steps", "max_evaluate_steps"),
    *("eval_dataset_path", "eval_dataset_prob", "eval_dataset_type"),
)
# Keys of the DPO loss, with the types of loss that read them.
_READ_BY_LOSSES: Mapping[str, tuple[str, ...]] = {"label_smoothing": ("sigmoid", "simpo"), "simpo_gamma": ("simpo",)}


def _lora(project: Project, context: RunContext) -> Iterator[Problem]:
    if project.lora.enabled:
        return
    for key in sorted(project.lora.model_fields_set - {"enabled"}):
        finding = "is not used: lora.enabled is false, and every weight is trained"
        yield Problem(f"{PROJECT} lora.{key}", finding, "remove it, or set lora.enabled: true")


def _dpo(project: Project, context: RunContext) -> Iterator[Problem]:
    if context.method != "DPO" and project.dpo.model_fields_set:
        given = ", ".join(sorted(project.dpo.model_fields_set))
        finding = f"{given}: not used in {context.method}"
        yield Problem(f"{PROJECT} dpo", finding, "remove it, or set training.method: DPO")


def _dpo_loss(project: Project, context: RunContext) -> Iterator[Problem]:
    """Check keys that the type of the loss does not read, or that the toolkits replace (read in the source of both)."""
    dpo, given = project.dpo, project.dpo.model_fields_set
    if context.method != "DPO":
        return
    for key, types in _READ_BY_LOSSES.items():
        if key in given and getattr(dpo, key) and dpo.loss_type not in types:
            finding = f"is not used by loss_type {dpo.loss_type}, only by {', '.join(types)}"
            yield Problem(f"{PROJECT} dpo.{key}", finding, "remove it, or set another loss_type")
    if "beta" in given and dpo.loss_type in ("or", "orpo"):
        yield Problem(f"{PROJECT} dpo.beta", f"is not used by loss_type {dpo.loss_type}", "remove it")
    if "sft_loss_ratio" in given and dpo.loss_type == "orpo" and dpo.sft_loss_ratio != 1:
        finding = f"found {dpo.sft_loss_ratio:g}; the toolkit sets it to 1 with loss_type orpo"
        yield Problem(f"{PROJECT} dpo.sft_loss_ratio", finding, "remove it, or set loss_type: or")
    if "reference_free" in given and not dpo.reference_free and dpo.loss_type in ("or", "orpo", "simpo"):
        finding = f"is false, and loss_type {dpo.loss_type} never uses the base model's probabilities"
        yield Problem(f"{PROJECT} dpo.reference_free", finding, "remove it, or set another loss_type")


def _vision(project: Project, context: RunContext) -> Iterator[Problem]:
    if not context.is_multimodal and "freeze_vision" in project.training.model_fields_set:
        yield Problem(f"{PROJECT} training.freeze_vision", "a text model has no vision tower", "remove it")


def _sharding(project: Project, context: RunContext) -> Iterator[Problem]:
    parallel = project.parallel
    if parallel.sharding == 1 and "sharding_stage" in parallel.model_fields_set:
        finding = f"found {parallel.sharding_stage}; parallel.sharding is 1, so nothing is sharded"
        yield Problem(f"{PROJECT} parallel.sharding_stage", finding, "remove it, or set parallel.sharding to 2 or more")


def _evaluation(project: Project, context: RunContext) -> Iterator[Problem]:
    """Check keys of an evaluation that does not take place, because of the training method or a share of 0."""
    training = project.training
    reason = _reason_without_evaluation(project, context)
    if reason is None:
        return
    share = training.val_split_ratio
    if share:
        finding = f"found {share:g}; {reason}: these documents would be held out and not used"
        hint = "remove it; for test documents set data.test_split_ratio or data.test_sources"
        yield Problem(f"{PROJECT} training.val_split_ratio", finding, hint)
    for key in ("eval_steps", "per_device_eval_batch_size"):
        if key in training.model_fields_set and getattr(training, key) is not None:
            yield Problem(f"{PROJECT} training.{key}", f"is not used: {reason}", "remove it")
    for raw in context.raw_keys:
        if raw.key in _EVALUATION_KEYS:
            yield Problem(raw.location, f"is not used: {reason}", "remove it")


def _reason_without_evaluation(project: Project, context: RunContext) -> str | None:
    """Return the reason why a run does not evaluate during training; None if it does."""
    if evaluates(project, takes_images=context.is_multimodal):
        return "training.val_split_ratio is 0" if project.training.val_split_ratio == 0 else None
    if project.backend == "erniekit":
        return f"ERNIEKit fails when it evaluates in {context.method}"
    method = "DPO" if context.method == "DPO" else "LoRA"
    return f"PaddleFormers evaluates {method} only with the package paddlefleet, which is not published"


LIMITS = (_lora, _dpo, _dpo_loss, _vision, _sharding, _evaluation)
