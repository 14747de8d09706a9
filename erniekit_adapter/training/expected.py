"""Settings that a new run of a project would get, for `check` and `translate`.

`train` computes them step by step; this module writes nothing and reads no training example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from erniekit_adapter.architectures.toolkits import Method
from erniekit_adapter.backends.methods import data_files
from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.backends.translation import INITIAL_ADAPTER, context_before_training, unknown_settings
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json
from erniekit_adapter.project.model_folder import local_model_dir, needs_copy
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.examples import stale_settings

MODEL_COPY = "model"


@dataclass(frozen=True)
class ExpectedRun:
    """A run that has not begun.

    Attributes:
        context: values that its settings are computed from.
        left_open: settings that are not known yet, each with its reason.
    """

    context: RunContext
    left_open: Mapping[str, str]


def expected_run(project: Project, version: str) -> ExpectedRun:
    """Return the expected settings of a new run, with the paths and numbers of examples that `train` would use.

    Raises:
        UsageError: the file of `erniekit.erniekit_config_path` is missing, or holds no settings.
    """
    context = context_before_training(project, version)
    left_open: dict[str, str] = {}
    train_examples, eval_examples = _example_counts(project, context.method)
    context = replace(context, train_examples=train_examples, eval_examples=eval_examples)
    left_open |= dict.fromkeys(
        sorted(unknown_settings(project, context)), "the training examples that data build writes"
    )
    model_dir, is_known = _model_dir(project)
    if not is_known:
        left_open["model_name_or_path"] = f"{local_model_dir(project)}/config.json, which does not exist"
    adapter = None
    if context.initial_adapter_dir is not None:
        adapter = str((project.training_dir / INITIAL_ADAPTER).resolve())
    return ExpectedRun(replace(context, model_dir=model_dir, initial_adapter_dir=adapter), left_open)


def _example_counts(project: Project, method: Method) -> tuple[int, int] | tuple[None, None]:
    """Return the numbers of examples of an earlier data build; None if it has to run, or run again."""
    try:
        manifest: Any = read_json(project.data_dir / "manifest.json")
        if stale_settings(project, manifest["settings"]):
            return None, None
        train, evaluation = (int(manifest["files"][name]["lines"]) for name in data_files(method))
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
