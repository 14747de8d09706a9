"""Settings that save memory, cheapest first, with the bytes that each saves. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from erniekit_adapter.architectures.linear_layers import ATTENTION_MODULES
from erniekit_adapter.architectures.models import MODELS, CatalogueModel
from erniekit_adapter.planning.acceptance import acceptance
from erniekit_adapter.planning.memory import memory_use, precision, recomputes
from erniekit_adapter.planning.recommend import changed, degrees
from erniekit_adapter.planning.shape import ModelSizes, shape_of_catalogue
from erniekit_adapter.project.schema import Project

_SMALL_RANK = 8


@dataclass(frozen=True)
class Relief:
    """A change of the project that saves memory.

    Attributes:
        keys: keys and values for the project file.
        cost: its disadvantage.
        saved_bytes: on the fullest GPU, for this change alone.
    """

    keys: str
    cost: str
    saved_bytes: int


def reliefs(
    project: Project,
    shape: ModelSizes,
    *,
    longest: int | None = None,
    model: CatalogueModel | None = None,
    version: str | None = None,
) -> list[Relief]:
    """Return the changes that save memory and that `check` accepts, cheapest first; each is counted by itself.

    Args:
        project: the project file.
        shape: of its base model.
        longest: upper bound of the longest training example, in tokens; None if unknown.
        model: the published model, to find a smaller one.
        version: of the toolkit, see `acceptance`.
    """
    before, accept = memory_use(project, shape).total, acceptance(project, version)
    found = [
        Relief(keys, cost, before - memory_use(after, smaller or shape).total)
        for keys, cost, after, smaller in _steps(project, shape, longest, model)
        if accept(after)
    ]
    return [relief for relief in found if relief.saved_bytes > 0]


Step = tuple[str, str, Project, ModelSizes | None]


def _steps(project: Project, shape: ModelSizes, longest: int | None, model: CatalogueModel | None) -> Iterator[Step]:
    training = project.training
    yield from _labelled_only(project)
    if not recomputes(project):
        cost = "a third to a half more computing"
        yield "training.recompute: true", cost, changed(project, training={"recompute": True}), None
    batch = training.per_device_train_batch_size
    if batch > 1:
        steps = batch * training.gradient_accumulation_steps
        keys = f"training.per_device_train_batch_size: 1, gradient_accumulation_steps: {steps}"
        smaller = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": steps}
        yield keys, "some speed; the steps are nearly the same", changed(project, training=smaller), None
    if longest is not None and longest < training.max_seq_length:
        cost = "nothing: no example is longer; packs have fewer tokens"
        shorter = changed(project, training={"max_seq_length": longest})
        yield f"training.max_seq_length: {longest}", cost, shorter, None
    yield from _shared_optimizer(project)
    yield from _optimizer_elsewhere(project)
    yield from _less_trained(project, shape)
    yield from _quantized(project, shape)
    yield from _fewer_trained(project, shape)
    yield from _more_gpus(project, shape)
    if model and (smaller_model := _smaller(model)):
        name = smaller_model.id if project.backend == "erniekit" else smaller_model.torch_id
        cost, after = "quality of the larger model", changed(project, model={"model_name_or_path": name})
        yield f"model.model_name_or_path: {name}", cost, after, shape_of_catalogue(smaller_model)


def _with_key(project: Project, key: str) -> Project:
    extra = {**getattr(project, project.backend).extra, key: True}
    return changed(project, **{project.backend: {"extra": extra}})


def _labelled_only(project: Project) -> Iterator[Step]:
    if project.training.device == "cpu" or precision(project).labelled_only:
        return
    key = "use_sparse_head_and_loss_fn" if project.backend == "erniekit" else "use_filtered_label_loss"
    cost = "nothing: logits only of tokens with a loss"
    yield f"{project.backend}.extra.{key}: true", cost, _with_key(project, key), None


def _shared_optimizer(project: Project) -> Iterator[Step]:
    parallel = project.parallel
    if parallel.data > parallel.sharding:
        shared = changed(project, parallel={"gpus": parallel.world_size, "sharding": parallel.data})
        yield f"parallel.sharding: {parallel.data}", "little: the GPUs share the optimizer states", shared, None


def _optimizer_elsewhere(project: Project) -> Iterator[Step]:
    copies = project.parallel.data > project.parallel.sharding
    if project.training.device == "cpu" or copies or precision(project).on_host:
        return
    key = "offload_optim" if project.backend == "erniekit" else "tensorwise_offload_optimizer"
    cost = "time for copies, host memory"
    yield f"{project.backend}.extra.{key}: true", cost, _with_key(project, key), None


def _less_trained(project: Project, shape: ModelSizes) -> Iterator[Step]:
    if project.lora.enabled:
        return
    if shape.vision and not project.training.freeze_vision:
        frozen = changed(project, training={"freeze_vision": True})
        yield "training.freeze_vision: true", "the vision tower does not learn", frozen, None
    if project.training.quantization is None:
        lora = changed(project, lora={"enabled": True})
        yield "lora.enabled: true", "only the adapter learns", lora, None


def _quantized(project: Project, shape: ModelSizes) -> Iterator[Step]:
    training = project.training
    if training.quantization or not project.lora.enabled or training.device == "cpu" or training.fp16:
        return
    for name, means in (("wint8", "8 bits"), ("wint4/8", "4 bits in experts, 8 elsewhere")):
        if name == "wint8" or (shape.experts and project.backend == "erniekit"):
            cost = f"some accuracy of the base model: {means}"
            yield f"training.quantization: {name}", cost, changed(project, training={"quantization": name}), None


def _fewer_trained(project: Project, shape: ModelSizes) -> Iterator[Step]:
    lora = project.lora
    if not lora.enabled:
        return
    if lora.r > _SMALL_RANK:
        rank = max(_SMALL_RANK, lora.r // 2)
        yield f"lora.r: {rank}", "capacity of the adapter", changed(project, lora={"r": rank}), None
    if lora.modules > set(ATTENTION_MODULES):
        fewer = changed(project, lora={"target_modules": list(ATTENTION_MODULES)})
        keys = f"lora.target_modules: [{', '.join(ATTENTION_MODULES)}]"
        yield keys, "capacity of the adapter", fewer, None


def _more_gpus(project: Project, shape: ModelSizes) -> Iterator[Step]:
    parallel = project.parallel
    tensor = 2 * parallel.tensor
    if project.training.device == "cpu":
        return
    if (tensor, parallel.pipeline) in degrees(project, shape, tensor * parallel.pipeline):
        more = changed(project, parallel={"gpus": None, "tensor": tensor, "sequence": True})
        cost = f"{more.parallel.world_size} GPUs, communication"
        yield f"parallel.tensor: {tensor}, sequence: true", cost, more, None


def _smaller(model: CatalogueModel) -> CatalogueModel | None:
    """Return the next smaller published model with the same input, text or images; None without one."""
    if model.parameters_billion < 1:
        return None
    with_images = model.vision is not None
    smaller = [
        each
        for each in MODELS
        if (each.vision is not None) == with_images and each.parameters_billion < model.parameters_billion
    ]
    return max(smaller, key=lambda each: each.parameters_billion, default=None)
