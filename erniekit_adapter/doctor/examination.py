"""The doctor's round: the environment first, then what the project file asks of it, the folders, and the machine."""

from __future__ import annotations

from collections.abc import Iterator

from erniekit_adapter.backends.installed import looked_at
from erniekit_adapter.doctor.cards import card_checks, count_visible, list_cards, paddle_build
from erniekit_adapter.doctor.check import Check, skipped
from erniekit_adapter.doctor.disk import disk_checks
from erniekit_adapter.doctor.environment import environment_checks, our_python, toolkit_checks
from erniekit_adapter.doctor.folders import data_checks, folder_checks, project_checks
from erniekit_adapter.doctor.machines import count_machines, machine_checks
from erniekit_adapter.doctor.model import model_checks
from erniekit_adapter.project.schema import Project


def examine(project: Project) -> Iterator[Check]:
    """Look at everything that training needs, without loading any of it: no paddle, no weights."""
    yield our_python()
    tried = looked_at(project.backend)
    yield from toolkit_checks(project, tried)
    # Where no toolkit is usable, the first environment that answered is looked into: it may be the one to mend.
    environment = tried[-1] if tried[-1].toolkit else next((each for each in tried if each.installed), None)
    if environment and environment.installed:
        yield from environment_checks(project, environment, environment.installed)
        yield from paddle_build(project, environment.installed)
    else:
        yield skipped("paddle build and pinned versions: there is no environment to look into")
    cards = list_cards() if project.training.device == "gpu" else []
    visible = count_visible(cards)
    machines = count_machines(project, visible)
    yield from card_checks(project, cards, machines.launched)
    yield from project_checks(project, tried[-1].toolkit)
    yield from model_checks(project)
    yield from data_checks(project)
    yield from folder_checks(project)
    yield from disk_checks(project)
    yield from machine_checks(project, machines, visible, environment.installed if environment else None)
