"""What to do when memory runs out, in the order that costs least, with what each step saves. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from erniekit_adapter.planning.memory import memory_use, precision, recomputes
from erniekit_adapter.planning.recommend import changed, degrees, starts_from_adapter
from erniekit_adapter.planning.shape import ModelShape, shape_of_catalogue
from erniekit_adapter.project.catalogue import MODELS, CatalogueModel
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import ATTENTION_MODULES

_SMALL_RANK = 8


@dataclass(frozen=True)
class Relief:
    """One step that saves memory.

    Attributes:
        keys: what to write in the project file.
        cost: what it costs.
        saved_bytes: on the fullest GPU, for this project, by itself.
    """

    keys: str
    cost: str
    saved_bytes: int


def reliefs(
    project: Project, shape: ModelShape, *, longest: int | None = None, model: CatalogueModel | None = None
) -> list[Relief]:
    """The steps that apply to a project and save something, cheapest first; each is counted by itself.

    Args:
        project: the project file.
        shape: its base model's.
        longest: an upper bound of the longest line's tokens, where the data stage has counted.
        model: the published model, for a smaller one of its kind.
    """
    before = memory_use(project, shape).total
    found = [
        Relief(keys, cost, before - memory_use(after, smaller or shape).total)
        for keys, cost, after, smaller in _steps(project, shape, longest, model)
    ]
    return [relief for relief in found if relief.saved_bytes > 0]


Step = tuple[str, str, Project, ModelShape | None]


def _steps(project: Project, shape: ModelShape, longest: int | None, model: CatalogueModel | None) -> Iterator[Step]:
    training = project.training
    yield from _labelled_alone(project)
    if not recomputes(project):
        cost = "a third to a half more computing"
        yield "training.recompute: true", cost, changed(project, training={"recompute": True}), None
    batch = training.per_device_train_batch_size
    if batch > 1:
        steps = batch * training.gradient_accumulation_steps
        keys = f"training.per_device_train_batch_size: 1, gradient_accumulation_steps: {steps}"
        smaller = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": steps}
        yield keys, "some speed; nearly the same steps", changed(project, training=smaller), None
    if longest is not None and longest < training.max_seq_length:
        cost = "nothing: no line is longer; packs hold less"
        shorter = changed(project, training={"max_seq_length": longest})
        yield f"training.max_seq_length: {longest}", cost, shorter, None
    yield from _shared_optimizer(project)
    yield from _optimizer_elsewhere(project)
    yield from _less_trained(project, shape)
    yield from _quantized(project, shape)
    yield from _fewer_trained(project, shape)
    yield from _more_gpus(project, shape)
    if model and (smaller_model := _smaller(model)):
        cost = "what the larger model knows"
        yield f"model.model_name_or_path: {smaller_model.id}", cost, project, shape_of_catalogue(smaller_model)


def _with_key(project: Project, key: str) -> Project:
    extra = {**getattr(project, project.backend).extra, key: True}
    return changed(project, **{project.backend: {"extra": extra}})


def _labelled_alone(project: Project) -> Iterator[Step]:
    if project.training.device == "cpu" or precision(project).labelled_alone:
        return
    key = "use_sparse_head_and_loss_fn" if project.backend == "erniekit" else "use_filtered_label_loss"
    cost = "nothing: logits of tokens without a loss are left out"
    yield f"{project.backend}.extra.{key}: true", cost, _with_key(project, key), None


def _shared_optimizer(project: Project) -> Iterator[Step]:
    parallel = project.parallel
    if parallel.data > parallel.sharding:
        shared = changed(project, parallel={"gpus": parallel.world_size, "sharding": parallel.data})
        yield f"parallel.sharding: {parallel.data}", "little: the GPUs share the optimizer's states", shared, None


def _optimizer_elsewhere(project: Project) -> Iterator[Step]:
    copies = project.parallel.data > project.parallel.sharding
    if project.training.device == "cpu" or copies or precision(project).on_host:
        return
    key = "offload_optim" if project.backend == "erniekit" else "tensorwise_offload_optimizer"
    cost = "time for copies, and host memory"
    yield f"{project.backend}.extra.{key}: true", cost, _with_key(project, key), None


def _less_trained(project: Project, shape: ModelShape) -> Iterator[Step]:
    if project.lora.enabled:
        return
    if shape.vision and not project.training.freeze_vision:
        frozen = changed(project, training={"freeze_vision": True})
        yield "training.freeze_vision: true", "pages are read as before", frozen, None
    if project.training.quantization is None and _saves_lora(project, shape):
        lora = changed(project, lora={"enabled": True})
        yield "lora.enabled: true", "every weight but the adapter's stays as it is", lora, None


def _saves_lora(project: Project, shape: ModelShape) -> bool:
    """Whether the toolkit can save an adapter of this model: ERNIEKit cannot for PaddleOCR-VL, nor without a pipeline
    for ERNIE-VL."""
    if project.backend != "erniekit" or not shape.vision:
        return True
    return shape.experts is not None and project.parallel.pipeline > 1 and project.training.freeze_vision


def _quantized(project: Project, shape: ModelShape) -> Iterator[Step]:
    training = project.training
    lora = project.lora
    if training.quantization or not lora.enabled or training.device == "cpu" or training.fp16:
        return
    if lora.rslora or lora.lora_plus_scale != 1.0 or (shape.experts is None and project.parallel.pipeline > 1):
        return
    for name, means in (("wint8", "8 bits"), ("wint4/8", "4 bits in experts, 8 elsewhere")):
        if name == "wint8" or (shape.experts and project.backend == "erniekit"):
            cost = f"some accuracy of the base model: {means}"
            yield f"training.quantization: {name}", cost, changed(project, training={"quantization": name}), None


def _fewer_trained(project: Project, shape: ModelShape) -> Iterator[Step]:
    lora = project.lora
    if not lora.enabled:
        return
    if lora.r > _SMALL_RANK:
        rank = max(_SMALL_RANK, lora.r // 2)
        yield f"lora.r: {rank}", "what the adapter can learn", changed(project, lora={"r": rank}), None
    # An adapter made beforehand, which other targets start from, is for text models on one GPU for each copy.
    if project.parallel.model_parallel > 1 or (shape.vision and project.backend == "erniekit"):
        return
    if lora.modules > set(ATTENTION_MODULES):
        fewer = changed(project, lora={"target_modules": list(ATTENTION_MODULES)})
        keys = f"lora.target_modules: [{', '.join(ATTENTION_MODULES)}]"
        yield keys, "what the adapter can learn", fewer, None


def _more_gpus(project: Project, shape: ModelShape) -> Iterator[Step]:
    parallel = project.parallel
    tensor = 2 * parallel.tensor
    if project.training.device == "cpu" or starts_from_adapter(project):
        return
    if (tensor, parallel.pipeline) in degrees(project, shape, tensor * parallel.pipeline):
        more = changed(project, parallel={"gpus": None, "tensor": tensor, "sequence": True})
        cost = f"{more.parallel.world_size} GPUs, and their talk"
        yield f"parallel.tensor: {tensor}, sequence: true", cost, more, None


def _smaller(model: CatalogueModel) -> CatalogueModel | None:
    """The next smaller published model that takes the same: text, or pages."""
    if model.parameters_billion < 1:
        return None
    pages = model.vision is not None
    smaller = [
        each
        for each in MODELS
        if (each.vision is not None) == pages and each.parameters_billion < model.parameters_billion
    ]
    return max(smaller, key=lambda each: each.parameters_billion, default=None)
