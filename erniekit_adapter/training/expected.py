"""Settings that a new run of a project would get, as far as files show: for `check` and `translate`.

`train` finds the same out step by step; here nothing is written and no line is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from erniekit_adapter.backends.settings import RunFacts
from erniekit_adapter.backends.stages import line_files
from erniekit_adapter.backends.translation import INITIAL_ADAPTER, facts_before_training, settings_left_open
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json
from erniekit_adapter.project.model_folder import local_model_dir, needs_copy
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.lines import stale_settings

MODEL_COPY = "model"


@dataclass(frozen=True)
class ExpectedRun:
    """A run that has not begun.

    Attributes:
        facts: what its settings are made from.
        left_open: keys of its settings that are not known yet, each with what they depend on.
    """

    facts: RunFacts
    left_open: Mapping[str, str]


def expected_run(project: Project, version: str) -> ExpectedRun:
    """Return what is known of a new run, with the paths and the numbers of lines that `train` would use.

    Raises:
        UsageError: the file of `erniekit.erniekit_config_path` is missing, or holds no settings.
    """
    facts = facts_before_training(project, version)
    left_open: dict[str, str] = {}
    train_lines, eval_lines = _lines(project, facts)
    facts = replace(facts, train_lines=train_lines, eval_lines=eval_lines)
    left_open |= dict.fromkeys(sorted(settings_left_open(project, facts)), "the lines that make data writes")
    model_dir, is_known = _model_dir(project)
    if not is_known:
        left_open["model_name_or_path"] = f"{local_model_dir(project)}/config.json, which is not there"
    adapter = None
    if facts.initial_adapter_dir is not None:
        adapter = str((project.training_dir / INITIAL_ADAPTER).resolve())
    return ExpectedRun(replace(facts, model_dir=model_dir, initial_adapter_dir=adapter), left_open)


def _lines(project: Project, facts: RunFacts) -> tuple[int, int] | tuple[None, None]:
    """Return the numbers of lines of an earlier `make data`; None if it has to be run, or run again."""
    try:
        manifest: Any = read_json(project.data_dir / "manifest.json")
        if stale_settings(project, manifest["settings"]):
            return None, None
        train, evaluation = (int(manifest["files"][name]["lines"]) for name in line_files(facts.stage))
    except (AdapterError, KeyError, TypeError, ValueError):
        return None, None
    return train, evaluation


def _model_dir(project: Project) -> tuple[str, bool]:
    """Return the model folder that the toolkit would open, and whether that is certain."""
    folder, training = local_model_dir(project), project.training
    copy = str((project.training_dir / MODEL_COPY).resolve())
    if project.backend == "paddleformers":
        return copy, True
    if training.device == "gpu":
        return str(folder.resolve()), True
    try:
        config = read_json(folder / "config.json")
    except AdapterError:
        return project.model.model_name_or_path, False
    if not isinstance(config, dict):
        return project.model.model_name_or_path, False
    return (copy if needs_copy(config, training.device, project.backend) else str(folder.resolve())), True
