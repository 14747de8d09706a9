"""From a project to the settings of its toolkit, whichever that is; what is wrong with it is said all at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from erniekit_adapter.backends import erniekit, paddleformers
from erniekit_adapter.backends.keytable import DEFAULT_VERSIONS, check_settings, table_version
from erniekit_adapter.backends.limits import limit_problems
from erniekit_adapter.backends.lora_modules import needs_initial_adapter
from erniekit_adapter.backends.lora_path import named_adapter_problems
from erniekit_adapter.backends.raw_keys import raw_key_problems
from erniekit_adapter.backends.settings import RawKey, RunFacts, Setting, Settings, values
from erniekit_adapter.backends.stages import line_files, stage_of
from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.project.loading import PROJECT, read_mapping
from erniekit_adapter.project.model_folder import model_kind
from erniekit_adapter.project.schema import Project

INITIAL_ADAPTER = "initial_adapter"


def facts_before_training(project: Project, version: str | None = None) -> RunFacts:
    """What can be known before there are lines, a model folder or a toolkit: enough to check and to show settings.

    Args:
        project: the project.
        version: the toolkit's; where it is not given, the project's own, or the one that `make setup` installs.

    Raises:
        UsageError: the file of `erniekit.erniekit_config_path` is not there, or holds no settings.
    """
    kind = model_kind(project.model.model_name_or_path) or "dense"
    stage = stage_of(project, kind)
    train_file, eval_file = line_files(stage)
    adapter = INITIAL_ADAPTER if needs_initial_adapter(project, kind) else None
    return RunFacts(
        project.model.model_name_or_path,
        version=version or project.named_version or DEFAULT_VERSIONS[project.backend],
        kind=kind,
        stage=stage,
        train_path=f"../data/{train_file}",
        eval_path=f"../data/{eval_file}",
        initial_adapter_dir=adapter,
        raw_keys=raw_keys_of(project),
    )


def raw_keys_of(project: Project) -> tuple[RawKey, ...]:
    """The toolkit's own keys that a project passes through, each with its place.

    Raises:
        UsageError: the file of `erniekit.erniekit_config_path` is not there, or holds no settings.
    """
    if project.backend == "paddleformers":
        extra = project.paddleformers.extra
        return tuple(RawKey(f"paddleformers.extra.{key}", key, value) for key, value in extra.items())
    own = [RawKey(f"erniekit.extra.{key}", key, value) for key, value in project.erniekit.extra.items()]
    path = project.erniekit.erniekit_config_path
    given = read_mapping(path) if path else {}
    return (*own, *(RawKey(f"{path} {key}", key, value) for key, value in given.items()))


def problems_of_project(project: Project, facts: RunFacts | None = None) -> list[Problem]:
    """Everything that the toolkit cannot do, does not know, or that is said twice; empty when all is well."""
    facts = facts or facts_before_training(project)
    try:
        table_version(facts.version, project.backend)
    except UsageError as error:
        key = f"{PROJECT} {project.backend}.version"
        return [replace(problem, where=key if project.named_version else problem.where) for problem in error.problems]
    replaced = erniekit.OVERWRITTEN if project.backend == "erniekit" else paddleformers.OVERWRITTEN
    own = _own_settings(project, facts)
    return [
        *limit_problems(project, facts),
        *named_adapter_problems(project, facts),
        *raw_key_problems(facts.raw_keys, own, replaced, project.backend, facts.version),
        *_references(own, facts),
    ]


def _references(own: Settings, facts: RunFacts) -> list[Problem]:
    """Texts that the toolkits' YAML reader, OmegaConf, would take for references to other keys, and may stop at."""
    texts = [(f"{PROJECT} {', '.join(setting.keys)}", setting.value) for setting in own.values() if setting.keys]
    texts += [(raw.where, raw.value) for raw in facts.raw_keys]
    what = "the toolkit reads ${…} as a reference to another key"
    return [Problem(where, f"found {text!r}; {what}", "write it without ${") for where, text in texts if _refers(text)]


def _refers(value: object) -> bool:
    if isinstance(value, list):
        return any(_refers(each) for each in value)
    return isinstance(value, str) and "${" in value


def settings_of(project: Project, facts: RunFacts) -> Settings:
    """The settings that the project's toolkit is given, the user's own keys included.

    Raises:
        UsageError: all that `problems_of_project` finds.
    """
    if problems := problems_of_project(project, facts):
        raise UsageError(problems)
    settings = _own_settings(project, facts)
    settings |= {raw.key: Setting(raw.value, (raw.where,)) for raw in facts.raw_keys}
    if problems := check_settings(values(settings), facts.version, "train", "settings", project.backend):
        raise UsageError(problems)
    return settings


def settings_left_open(project: Project, facts: RunFacts) -> set[str]:
    """Return the keys whose value, or presence, depends on how many lines the data stage writes.

    Found by trying different numbers of lines, so that no setting can be forgotten; empty if the numbers are known.
    """
    if facts.train_lines is not None:
        return set()
    few, many = 1, 1_000_003
    evaluated = (0, 7) if project.eval_ratio else (0,)
    tried = [
        _own_settings(project, replace(facts, train_lines=train, eval_lines=evaluation))
        for train in (few, many)
        for evaluation in evaluated
    ]
    shown = [_own_settings(project, facts), *tried]
    keys = {key for settings in shown for key in settings}
    return {key for key in keys if len({repr(values(settings).get(key, "absent")) for settings in shown}) > 1}


def held_by_toolkit(project: Project, facts: RunFacts, settings: Settings, world_size: int = 1) -> dict[str, Any]:
    """What the toolkit holds once it has read the settings: these, where it does not overwrite them."""
    replaced = _overwritten(project, facts, settings, world_size)
    return values(settings) | {key: value for key, (value, _) in replaced.items()}


def derived_by_toolkit(project: Project, facts: RunFacts, settings: Settings) -> list[tuple[str, str, str]]:
    """What the toolkit overwrites or works out by itself: (key, value, why)."""
    replaced = _overwritten(project, facts, settings, project.parallel.world_size)
    shown = [(key, _shown(value), why) for key, (value, why) in replaced.items()]
    own = erniekit.worked_out if project.backend == "erniekit" else paddleformers.worked_out
    return [*shown, *own(project, facts)]


def _overwritten(project: Project, facts: RunFacts, settings: Settings, world_size: int) -> dict[str, tuple[Any, str]]:
    own = erniekit.overwritten if project.backend == "erniekit" else paddleformers.overwritten
    return own(values(settings), facts.version, world_size)


def _own_settings(project: Project, facts: RunFacts) -> Settings:
    own = erniekit.train_settings if project.backend == "erniekit" else paddleformers.train_settings
    return own(project, facts)


def _shown(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
