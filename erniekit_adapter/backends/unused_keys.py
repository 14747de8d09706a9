"""Keys that a project gives although nothing reads them: each is refused by name, with what makes it idle. Pure
functions.

A default value is not such a key: only what the project file, its preset or `--set` gives counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from erniekit_adapter.backends.settings import RunFacts
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project, evaluates

# The toolkits' own keys that do nothing, or stop the run, where a stage does not evaluate.
_EVALUATION_KEYS = (
    *("do_eval", "evaluation_strategy", "eval_steps", "eval_iters", "eval_accumulation_steps", "max_evaluate_steps"),
    *("eval_dataset_path", "eval_dataset_prob", "eval_dataset_type"),
)
# Keys of the DPO loss, and the types of loss that read them.
_READ_BY_LOSSES: Mapping[str, tuple[str, ...]] = {"label_smoothing": ("sigmoid", "simpo"), "simpo_gamma": ("simpo",)}


def _lora(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if project.lora.enabled:
        return
    for key in sorted(project.lora.model_fields_set - {"enabled"}):
        what = "is not used: lora.enabled is false, and every weight is trained"
        yield Problem(f"{PROJECT} lora.{key}", what, "remove it, or set lora.enabled: true")


def _dpo(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if facts.stage != "DPO" and project.dpo.model_fields_set:
        given = ", ".join(sorted(project.dpo.model_fields_set))
        what = f"{given}: not used in stage {facts.stage}"
        yield Problem(f"{PROJECT} dpo", what, "remove it, or set training.stage: DPO")


def _dpo_loss(project: Project, facts: RunFacts) -> Iterator[Problem]:
    """Keys of the loss that its type does not read, or that the toolkits replace (read in both)."""
    dpo, given = project.dpo, project.dpo.model_fields_set
    if facts.stage != "DPO":
        return
    for key, types in _READ_BY_LOSSES.items():
        if key in given and getattr(dpo, key) and dpo.loss_type not in types:
            what = f"is not used by loss_type {dpo.loss_type}, but by {', '.join(types)} alone"
            yield Problem(f"{PROJECT} dpo.{key}", what, "remove it, or take another loss_type")
    if "beta" in given and dpo.loss_type in ("or", "orpo"):
        yield Problem(f"{PROJECT} dpo.beta", f"is not used by loss_type {dpo.loss_type}", "remove it")
    if "sft_loss_ratio" in given and dpo.loss_type == "orpo" and dpo.sft_loss_ratio != 1:
        what = f"found {dpo.sft_loss_ratio:g}; the toolkit sets it to 1 with loss_type orpo"
        yield Problem(f"{PROJECT} dpo.sft_loss_ratio", what, "remove it, or take loss_type or")
    if "reference_free" in given and not dpo.reference_free and dpo.loss_type in ("or", "orpo", "simpo"):
        what = f"is false, and loss_type {dpo.loss_type} goes without the base model's probabilities alone"
        yield Problem(f"{PROJECT} dpo.reference_free", what, "remove it, or take another loss_type")


def _vision(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if not facts.sees_pages and "freeze_vision" in project.training.model_fields_set:
        yield Problem(f"{PROJECT} training.freeze_vision", "a text model has no vision tower", "remove it")


def _sharding(project: Project, facts: RunFacts) -> Iterator[Problem]:
    parallel = project.parallel
    if parallel.sharding == 1 and "sharding_stage" in parallel.model_fields_set:
        what = f"found {parallel.sharding_stage}; parallel.sharding is 1, so nothing is shared"
        yield Problem(f"{PROJECT} parallel.sharding_stage", what, "remove it, or set parallel.sharding to 2 or more")


def _evaluation(project: Project, facts: RunFacts) -> Iterator[Problem]:
    """Keys of an evaluation that does not take place, because of the method or of a share of 0."""
    training = project.training
    why = _why_not_evaluated(project, facts)
    if why is None:
        return
    share = training.val_split_ratio
    if share:
        what = f"found {share:g}; {why}: these documents would be withheld, and nothing would read them"
        remedy = "remove it; documents to test on are data.test_split_ratio or data.test_sources"
        yield Problem(f"{PROJECT} training.val_split_ratio", what, remedy)
    for key in ("eval_steps", "per_device_eval_batch_size"):
        if key in training.model_fields_set and getattr(training, key) is not None:
            yield Problem(f"{PROJECT} training.{key}", f"is not used: {why}", "remove it")
    for raw in facts.raw_keys:
        if raw.key in _EVALUATION_KEYS:
            yield Problem(raw.where, f"is not used: {why}", "remove it")


def _why_not_evaluated(project: Project, facts: RunFacts) -> str | None:
    """Return why a run is not evaluated during training; None if it is."""
    if evaluates(project, takes_images=facts.sees_pages):
        return "training.val_split_ratio is 0" if project.training.val_split_ratio == 0 else None
    if project.backend == "erniekit":
        return f"ERNIEKit fails when it evaluates in stage {facts.stage}"
    method = "DPO" if facts.stage == "DPO" else "LoRA"
    return f"PaddleFormers evaluates {method} with the package paddlefleet alone, which is not published"


LIMITS = (_lora, _dpo, _dpo_loss, _vision, _sharding, _evaluation)
