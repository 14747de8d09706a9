"""Translation of a project into the settings of its toolkit; all problems of a project are reported together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from erniekit_adapter.architectures.families import DEFAULT_KIND
from erniekit_adapter.architectures.toolkits import DEFAULT_VERSIONS
from erniekit_adapter.backends.erniekit import settings as erniekit
from erniekit_adapter.backends.key_tables import check_settings, table_version
from erniekit_adapter.backends.limits import limit_problems
from erniekit_adapter.backends.lora_path import named_adapter_problems
from erniekit_adapter.backends.methods import data_files, method_of
from erniekit_adapter.backends.paddleformers import settings as paddleformers
from erniekit_adapter.backends.raw_keys import raw_key_problems
from erniekit_adapter.backends.settings import RawKey, RunContext, Setting, Settings, values
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.lora.initial_adapter import needs_initial_adapter
from erniekit_adapter.project.loading import PROJECT, read_mapping
from erniekit_adapter.project.model_folder import model_kind
from erniekit_adapter.project.schema import Project

INITIAL_ADAPTER = "initial_adapter"


def context_before_training(project: Project, version: str | None = None) -> RunContext:
    """Return the context that is known without training examples, model folder and toolkit, to check and show settings.

    Args:
        project: the project.
        version: version of the toolkit; by default the project's, or the one that `erniekit-adapter setup` installs.

    Raises:
        UsageError: the file of `erniekit.erniekit_config_path` does not exist or contains no settings.
    """
    kind = model_kind(project.model.model_name_or_path) or DEFAULT_KIND
    stage = method_of(project, kind)
    train_file, eval_file = data_files(stage)
    adapter = INITIAL_ADAPTER if needs_initial_adapter(project, kind) else None
    return RunContext(
        project.model.model_name_or_path,
        version=version or project.named_version or DEFAULT_VERSIONS[project.backend],
        kind=kind,
        method=stage,
        train_path=f"../data/{train_file}",
        eval_path=f"../data/{eval_file}",
        initial_adapter_dir=adapter,
        raw_keys=raw_keys_of(project),
    )


def raw_keys_of(project: Project) -> tuple[RawKey, ...]:
    """Return the toolkit's keys that a project passes through, each with its location.

    Raises:
        UsageError: the file of `erniekit.erniekit_config_path` does not exist or contains no settings.
    """
    if project.backend == "paddleformers":
        extra = project.paddleformers.extra
        return tuple(RawKey(f"paddleformers.extra.{key}", key, value) for key, value in extra.items())
    own = [RawKey(f"erniekit.extra.{key}", key, value) for key, value in project.erniekit.extra.items()]
    path = project.erniekit.erniekit_config_path
    given = read_mapping(path) if path else {}
    return (*own, *(RawKey(f"{path} {key}", key, value) for key, value in given.items()))


def problems_of_project(project: Project, context: RunContext | None = None) -> list[Problem]:
    """Return the problems of a project: limits of the toolkit, unknown keys, and values that are given twice."""
    context = context or context_before_training(project)
    try:
        table_version(context.version, project.backend)
    except UsageError as error:
        key = f"{PROJECT} {project.backend}.version"
        return [
            replace(problem, location=key if project.named_version else problem.location) for problem in error.problems
        ]
    replaced = erniekit.OVERWRITTEN if project.backend == "erniekit" else paddleformers.OVERWRITTEN
    own = _own_settings(project, context)
    return [
        *limit_problems(project, context),
        *named_adapter_problems(project, context),
        *raw_key_problems(context.raw_keys, own, replaced, project.backend, context.version),
        *_references(own, context),
    ]


def _references(own: Settings, context: RunContext) -> list[Problem]:
    """Return texts that OmegaConf, the toolkits' YAML reader, would read as references to other keys."""
    texts = [(f"{PROJECT} {', '.join(setting.keys)}", setting.value) for setting in own.values() if setting.keys]
    texts += [(raw.location, raw.value) for raw in context.raw_keys]
    finding = "the toolkit reads ${…} as a reference to another key"
    return [
        Problem(location, f"found {text!r}; {finding}", "write it without ${")
        for location, text in texts
        if _has_reference(text)
    ]


def _has_reference(value: object) -> bool:
    if isinstance(value, list):
        return any(_has_reference(each) for each in value)
    return isinstance(value, str) and "${" in value


def settings_of(project: Project, context: RunContext) -> Settings:
    """Return the settings for the project's toolkit, with the user's own keys.

    Raises:
        UsageError: `problems_of_project` finds problems.
    """
    if problems := problems_of_project(project, context):
        raise UsageError(problems)
    settings = _own_settings(project, context)
    settings |= {raw.key: Setting(raw.value, (raw.location,)) for raw in context.raw_keys}
    if problems := check_settings(values(settings), context.version, "train", "settings", project.backend):
        raise UsageError(problems)
    return settings


def unknown_settings(project: Project, context: RunContext) -> set[str]:
    """Return the keys whose value or presence depends on the number of training examples; empty if that is known.

    They are found by comparing the settings for different numbers of examples, so no setting can be left out.
    """
    if context.train_examples is not None:
        return set()
    few, many = 1, 1_000_003
    evaluated = (0, 7) if project.eval_ratio else (0,)
    tried = [
        _own_settings(project, replace(context, train_examples=train, eval_examples=evaluation))
        for train in (few, many)
        for evaluation in evaluated
    ]
    shown = [_own_settings(project, context), *tried]
    keys = {key for settings in shown for key in settings}
    return {key for key in keys if len({repr(values(settings).get(key, "absent")) for settings in shown}) > 1}


def computed_settings(project: Project, context: RunContext, settings: Settings, world_size: int = 1) -> dict[str, Any]:
    """Return the values in the toolkit after it has read the settings and overwritten some of them."""
    replaced = _overwritten(project, context, settings, world_size)
    return values(settings) | {key: value for key, (value, _) in replaced.items()}


def derived_by_toolkit(project: Project, context: RunContext, settings: Settings) -> list[tuple[str, str, str]]:
    """Return the settings that the toolkit overwrites or derives: (key, value, reason)."""
    replaced = _overwritten(project, context, settings, project.parallel.world_size)
    shown = [(key, _shown(value), reason) for key, (value, reason) in replaced.items()]
    own = erniekit.derived if project.backend == "erniekit" else paddleformers.derived
    return [*shown, *own(project, context)]


def _overwritten(
    project: Project, context: RunContext, settings: Settings, world_size: int
) -> dict[str, tuple[Any, str]]:
    own = erniekit.overwritten if project.backend == "erniekit" else paddleformers.overwritten
    return own(values(settings), context.version, world_size)


def _own_settings(project: Project, context: RunContext) -> Settings:
    own = erniekit.train_settings if project.backend == "erniekit" else paddleformers.train_settings
    return own(project, context)


def _shown(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
