"""A run made ready, and what the command line adds to its project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erniekit_adapter.backends.installed import Toolkit
from erniekit_adapter.backends.settings import RunFacts, Settings
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.resume import Start

DEFAULT_STALL_MINUTES = 30.0


@dataclass(frozen=True)
class TrainOptions:
    """What the command line adds to a project.

    Attributes:
        restart: throw away an earlier run instead of going on with it.
        stall_minutes: end the toolkit when its log is silent for so long.
    """

    restart: bool = False
    stall_minutes: float = DEFAULT_STALL_MINUTES


@dataclass(frozen=True)
class Run:
    """A run made ready: everything that starting the toolkit needs.

    Attributes:
        project: the project.
        folder: its training folder.
        toolkit: what trains.
        cards: variables that choose GPUs.
        start: where the run begins.
        facts, settings: what the toolkit's settings are made from, and they themselves.
        identity: what `run.json` records.
    """

    project: Project
    folder: Path
    toolkit: Toolkit
    cards: dict[str, str]
    start: Start
    facts: RunFacts
    settings: Settings
    identity: dict[str, Any]
