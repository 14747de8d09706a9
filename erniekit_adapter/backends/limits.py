"""Settings of a project that its toolkit does not support, with reason and hint. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from erniekit_adapter.architectures.families import family_of
from erniekit_adapter.architectures.models import Weights, find_model, is_local, model_problems
from erniekit_adapter.architectures.toolkits import IMAGE_METHODS, TOOLKIT_NAMES
from erniekit_adapter.backends import schedule_limits, unused_keys
from erniekit_adapter.backends.erniekit import limits as erniekit_limits
from erniekit_adapter.backends.methods import data_format
from erniekit_adapter.backends.paddleformers import limits as paddleformers_limits
from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.errors import Problem
from erniekit_adapter.lora.initial_adapter import initial_adapter_problems
from erniekit_adapter.lora.modules import target_problems
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project

Limit = Callable[[Project, RunContext], Iterator[Problem]]

_BUILD = "run erniekit-adapter data build PROJECT"


def limit_problems(project: Project, context: RunContext) -> list[Problem]:
    """Return the problems of a project that this version of its toolkit does not support."""
    own = erniekit_limits.LIMITS if project.backend == "erniekit" else paddleformers_limits.LIMITS
    limits = (*_LIMITS, *schedule_limits.LIMITS, *unused_keys.LIMITS, *own)
    return [problem for limit in limits for problem in limit(project, context)]


def _model(project: Project, context: RunContext) -> Iterator[Problem]:
    weights: Weights = "paddle" if project.backend == "erniekit" else "torch"
    yield from model_problems(project.model.model_name_or_path, f"{PROJECT} model.model_name_or_path", weights)


def _backend(project: Project, context: RunContext) -> Iterator[Problem]:
    given = project.erniekit.use_erniekit
    if given is not None and given != (project.backend == "erniekit"):
        hint = "remove it, or set backend: paddleformers" if project.backend == "erniekit" else "remove it"
        finding = f"found {str(given).lower()}, and the backend is {project.backend}"
        yield Problem(f"{PROJECT} erniekit.use_erniekit", finding, hint)
    unused = project.paddleformers if project.backend == "erniekit" else project.erniekit
    name = "paddleformers" if project.backend == "erniekit" else "erniekit"
    for key in sorted(unused.model_fields_set - {"use_erniekit"}):
        if getattr(unused, key):
            finding = f"is for another toolkit than the backend, {project.backend}"
            yield Problem(f"{PROJECT} {name}.{key}", finding, f"remove it, or set backend: {name}")


def _method(project: Project, context: RunContext) -> Iterator[Problem]:
    method, key = context.method, f"{PROJECT} training.method"
    for_images = method in IMAGE_METHODS
    if for_images and not context.is_multimodal:
        yield Problem(
            key, f"{method} is for models that take images, and this is a text model", "remove it: the model decides"
        )
    elif context.is_multimodal and not for_images:
        yield Problem(key, f"{method} is for text models, and this one takes images", "remove it: the model decides")


def _format(project: Project, context: RunContext) -> Iterator[Problem]:
    expected = data_format(project.backend, context.method)
    if project.data.format != expected:
        hint = f"set it to {expected} and {_BUILD}"
        finding = f"found {project.data.format}; {context.method} of {TOOLKIT_NAMES[project.backend]} reads {expected}"
        yield Problem(f"{PROJECT} data.format", finding, hint)
    if context.method == "DPO" and not project.data.preference:
        finding = "is false, and DPO trains on pairs of a rejected and a corrected answer"
        yield Problem(f"{PROJECT} data.preference", finding, f"set it to true and {_BUILD}")


def _prompt_length(project: Project, context: RunContext) -> Iterator[Problem]:
    longest, given = project.training.max_seq_length, project.dpo.max_prompt_length
    if context.method == "DPO" and given is not None and given > longest - 10:
        finding = f"found {given}; max_seq_length is {longest}, and the toolkit needs 10 tokens more than a request"
        yield Problem(
            f"{PROJECT} dpo.max_prompt_length", finding, f"lower it to {longest - 10}, or raise max_seq_length"
        )


def _lora(project: Project, context: RunContext) -> Iterator[Problem]:
    if not project.lora.enabled:
        return
    yield from target_problems(project.lora, project.backend, context.kind)
    yield from initial_adapter_problems(project, context.kind)


def _quantization(project: Project, context: RunContext) -> Iterator[Problem]:
    quantization, lora = project.training.quantization, project.lora
    key = f"{PROJECT} training.quantization"
    if quantization is None:
        return
    if quantization != "fp8" and not lora.enabled:
        yield Problem(key, f"{quantization} weights cannot be trained", "set lora.enabled: true, or remove it")
    if quantization != "fp8" and (lora.rslora or lora.lora_plus_scale != 1.0):
        given = "rslora" if lora.rslora else "lora_plus_scale"
        finding = f"{given} is not supported with {quantization} weights: the toolkit only logs a warning"
        yield Problem(f"{PROJECT} lora.{given}", finding, "remove it, or training.quantization")


def _shape(project: Project, context: RunContext) -> Iterator[Problem]:
    """Check degrees against the shape of a published model; a folder of the user is not read."""
    name, parallel = project.model.model_name_or_path, project.parallel
    model = None if is_local(name) else find_model(name)
    if model is None:
        return
    if model.kv_heads % parallel.tensor:
        allowed = [degree for degree in range(1, model.kv_heads + 1) if model.kv_heads % degree == 0]
        finding = f"found {parallel.tensor}; {name} has {model.kv_heads} key-value heads, which it must divide"
        yield Problem(f"{PROJECT} parallel.tensor", finding, f"set it to one of {', '.join(map(str, allowed))}")
    if parallel.pipeline > model.layers:
        finding = f"found {parallel.pipeline}; {name} has {model.layers} layers"
        yield Problem(f"{PROJECT} parallel.pipeline", finding, f"lower it to {model.layers}")


def _devices(project: Project, context: RunContext) -> Iterator[Problem]:
    if project.training.device != "cpu":
        return
    name = project.model.model_name_or_path
    if family_of(context.kind).has_experts:
        finding = f"{name} is a mixture of experts, which has no CPU kernels"
        yield Problem(f"{PROJECT} training.device", finding, "set it to gpu")
    if project.parallel.world_size > 1:
        finding = f"needs {project.parallel.world_size} processes, and training.device is cpu"
        yield Problem(f"{PROJECT} parallel", finding, "remove the section: training on a CPU uses one process")


_LIMITS: tuple[Limit, ...] = (
    _backend,
    _model,
    _method,
    _format,
    _prompt_length,
    _lora,
    _quantization,
    _shape,
    _devices,
)
