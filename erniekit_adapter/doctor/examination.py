"""All checks in order: the environment, the project file, the folders, the machine."""

from __future__ import annotations

from collections.abc import Iterator

from erniekit_adapter.backends.environments.installed import try_candidates
from erniekit_adapter.doctor.check import Check, skipped
from erniekit_adapter.doctor.disk import disk_checks
from erniekit_adapter.doctor.environment import environment_checks, our_python, toolkit_checks
from erniekit_adapter.doctor.folders import data_checks, folder_checks, project_checks
from erniekit_adapter.doctor.gpus import count_visible, gpu_checks, list_gpus, paddle_build
from erniekit_adapter.doctor.machines import count_machines, machine_checks
from erniekit_adapter.doctor.model import model_checks
from erniekit_adapter.project.schema import Project


def examine(project: Project) -> Iterator[Check]:
    """Yield a check for each thing that training needs, without importing paddle or reading weights."""
    yield our_python()
    tried = try_candidates(project.backend, with_requirements=True)
    yield from toolkit_checks(project, tried)
    # If no toolkit is usable, check the first environment whose interpreter runs: it may be the one to repair.
    environment = tried[-1] if tried[-1].toolkit else next((each for each in tried if each.installed), None)
    if environment and environment.installed:
        yield from environment_checks(project, environment, environment.installed)
        yield from paddle_build(project, environment.installed)
    else:
        yield skipped("paddle build and pinned versions: no environment to check")
    gpus = list_gpus() if project.training.device == "gpu" else []
    visible = count_visible(gpus)
    machines = count_machines(project, visible)
    yield from gpu_checks(project, gpus, machines.launched)
    yield from project_checks(project, tried[-1].toolkit)
    yield from model_checks(project)
    yield from data_checks(project)
    yield from folder_checks(project)
    yield from disk_checks(project)
    yield from machine_checks(project, machines, visible, environment.installed if environment else None)
