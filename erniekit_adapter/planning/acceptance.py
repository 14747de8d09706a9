"""Check recommendations with the rules of `check`, so that `plan` recommends nothing that `check` refuses."""

from __future__ import annotations

from collections.abc import Callable

from erniekit_adapter.architectures.families import DEFAULT_KIND
from erniekit_adapter.backends.translation import context_before_training, problems_of_project
from erniekit_adapter.errors import UsageError
from erniekit_adapter.lora.initial_adapter import initial_adapter_reasons
from erniekit_adapter.project.model_folder import model_kind
from erniekit_adapter.project.schema import Project

Acceptance = Callable[[Project], bool]


def acceptance(project: Project, version: str | None = None) -> Acceptance:
    """Return a function that decides whether `check` finds no more problems in a changed project than in this one.

    Args:
        project: the user's project, which may have problems itself.
        version: of the toolkit; by default the project's own, or the one that the setup command installs.
    """
    refused = _refused_keys(project, version)
    return lambda changed: _refused_keys(changed, version) <= refused


def accept_all(project: Project) -> bool:
    """Accept every project, for estimates without a recommendation."""
    return True


def separate_gpus_only(project: Project) -> str:
    """Return why no degrees over 1 are accepted, with the keys; empty if they are."""
    kind = model_kind(project.model.model_name_or_path) or DEFAULT_KIND
    keys = ", ".join(reason.key for reason in initial_adapter_reasons(project, kind))
    return f"{keys}: training starts from an initial adapter, which allows only tensor 1 and pipeline 1" if keys else ""


def _refused_keys(project: Project, version: str | None) -> set[str]:
    try:
        problems = problems_of_project(project, context_before_training(project, version))
    except UsageError as error:
        problems = list(error.problems)
    return {problem.location for problem in problems}
