"""What a project asks and its toolkit cannot do, each with the reason and the remedy. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from erniekit_adapter.backends import erniekit_limits, paddleformers_limits, schedule_limits, unused_keys
from erniekit_adapter.backends.keytable import TOOLKIT_NAMES
from erniekit_adapter.backends.lora_modules import needs_initial_adapter, target_problems
from erniekit_adapter.backends.settings import RunFacts
from erniekit_adapter.backends.stages import line_format
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.catalogue import Weights, find_model, is_local, model_problems
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project

Limit = Callable[[Project, RunFacts], Iterator[Problem]]


def limit_problems(project: Project, facts: RunFacts) -> list[Problem]:
    """Everything in the project that its toolkit cannot do, at this version; empty when it can do all of it."""
    own = erniekit_limits.LIMITS if project.backend == "erniekit" else paddleformers_limits.LIMITS
    limits = (*_LIMITS, *schedule_limits.LIMITS, *unused_keys.LIMITS, *own)
    return [problem for limit in limits for problem in limit(project, facts)]


def _model(project: Project, facts: RunFacts) -> Iterator[Problem]:
    weights: Weights = "paddle" if project.backend == "erniekit" else "torch"
    yield from model_problems(project.model.model_name_or_path, f"{PROJECT} model.model_name_or_path", weights)


def _backend(project: Project, facts: RunFacts) -> Iterator[Problem]:
    says = project.erniekit.use_erniekit
    if says is not None and says != (project.backend == "erniekit"):
        remedy = "remove it, or set backend: paddleformers" if project.backend == "erniekit" else "remove it"
        what = f"found {str(says).lower()}, and the backend is {project.backend}"
        yield Problem(f"{PROJECT} erniekit.use_erniekit", what, remedy)
    idle = project.paddleformers if project.backend == "erniekit" else project.erniekit
    name = "paddleformers" if project.backend == "erniekit" else "erniekit"
    for key in sorted(idle.model_fields_set - {"use_erniekit"}):
        if getattr(idle, key):
            what = f"is for another toolkit than the backend, {project.backend}"
            yield Problem(f"{PROJECT} {name}.{key}", what, f"remove it, or set backend: {name}")


def _stage(project: Project, facts: RunFacts) -> Iterator[Problem]:
    stage, key = facts.stage, f"{PROJECT} training.stage"
    for_pages = stage in ("VL-SFT", "OCR-VL-SFT")
    if for_pages and not facts.sees_pages:
        yield Problem(key, f"{stage} is for models that take images, and {facts.kind} is none", "leave it out, for SFT")
    elif facts.sees_pages and not for_pages:
        yield Problem(key, f"{stage} is for text models, and this one takes images", "leave it out: the model decides")


def _lines(project: Project, facts: RunFacts) -> Iterator[Problem]:
    wanted = line_format(project.backend, facts.stage)
    if project.data.format != wanted:
        what = f"found {project.data.format}; stage {facts.stage} of {TOOLKIT_NAMES[project.backend]} reads {wanted}"
        yield Problem(f"{PROJECT} data.format", what, f"set it to {wanted} and run make data")
    if facts.stage == "DPO" and not project.data.preference:
        what = "is false, and DPO trains on what models said and what it became"
        yield Problem(f"{PROJECT} data.preference", what, "set it true and run make data")


def _prompt_length(project: Project, facts: RunFacts) -> Iterator[Problem]:
    longest, asked = project.training.max_seq_length, project.dpo.max_prompt_length
    if facts.stage == "DPO" and asked is not None and asked > longest - 10:
        what = f"found {asked}; max_seq_length is {longest}, and the toolkit wants 10 more than a request"
        yield Problem(f"{PROJECT} dpo.max_prompt_length", what, f"at most {longest - 10}, or a longer max_seq_length")


def _lora(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if not project.lora.enabled:
        return
    yield from target_problems(project.lora, project.backend, facts.kind)
    if needs_initial_adapter(project, facts.kind) and project.parallel.model_parallel > 1:
        what = (
            "targets, dropout or an alpha that the toolkit has no key for start from an adapter made beforehand, which "
            f"is not proven with tensor {project.parallel.tensor}, pipeline {project.parallel.pipeline}"
        )
        yield Problem(f"{PROJECT} lora", what, "target all-linear without dropout, or set both degrees to 1")


def _quantization(project: Project, facts: RunFacts) -> Iterator[Problem]:
    quantization, lora = project.training.quantization, project.lora
    key = f"{PROJECT} training.quantization"
    if quantization is None:
        return
    if quantization != "fp8" and not lora.enabled:
        yield Problem(key, f"{quantization} weights cannot be trained", "set lora.enabled: true, or leave it out")
    if quantization != "fp8" and (lora.rslora or lora.lora_plus_scale != 1.0):
        given = "rslora" if lora.rslora else "lora_plus_scale"
        what = f"{given} is not supported beside {quantization} weights: the toolkit says so in its log alone"
        yield Problem(f"{PROJECT} lora.{given}", what, "remove it, or training.quantization")


def _shape(project: Project, facts: RunFacts) -> Iterator[Problem]:
    """Degrees that a published model's shape does not allow; a folder of the user's own is not looked into."""
    name, parallel = project.model.model_name_or_path, project.parallel
    model = None if is_local(name) else find_model(name)
    if model is None:
        return
    if model.kv_heads % parallel.tensor:
        allowed = [degree for degree in range(1, model.kv_heads + 1) if model.kv_heads % degree == 0]
        what = f"found {parallel.tensor}; {name} has {model.kv_heads} key-value heads to divide"
        yield Problem(f"{PROJECT} parallel.tensor", what, f"one of {', '.join(map(str, allowed))}")
    if parallel.pipeline > model.layers:
        what = f"found {parallel.pipeline}; {name} has {model.layers} layers"
        yield Problem(f"{PROJECT} parallel.pipeline", what, f"at most {model.layers}")


def _devices(project: Project, facts: RunFacts) -> Iterator[Problem]:
    if project.training.device != "cpu":
        return
    name = project.model.model_name_or_path
    if facts.kind in ("moe", "vl-moe"):
        what = f"{name} is a mixture of experts, which has no CPU kernels"
        yield Problem(f"{PROJECT} training.device", what, "use gpu")
    if project.parallel.world_size > 1:
        what = f"asks for {project.parallel.world_size} processes, and training.device is cpu"
        yield Problem(f"{PROJECT} parallel", what, "one process trains on a CPU: remove the section")


_LIMITS: tuple[Limit, ...] = (
    _backend,
    _model,
    _stage,
    _lines,
    _prompt_length,
    _lora,
    _quantization,
    _shape,
    _devices,
)
