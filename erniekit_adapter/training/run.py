"""Settings of a run: those of the command line, and everything that starting the toolkit needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erniekit_adapter.backends.environments.installed import Toolkit
from erniekit_adapter.backends.settings import RunContext, Settings
from erniekit_adapter.project.schema import Project
from erniekit_adapter.training.resume import Start

DEFAULT_STALL_MINUTES = 30.0


@dataclass(frozen=True)
class TrainOptions:
    """Options of the command line.

    Attributes:
        restart: delete an earlier run instead of resuming it.
        stall_minutes: end the toolkit if its log has no new line for this time.
    """

    restart: bool = False
    stall_minutes: float = DEFAULT_STALL_MINUTES


@dataclass(frozen=True)
class TrainingRun:
    """A run that is ready to start.

    Attributes:
        project: the project.
        folder: its training folder.
        toolkit: the toolkit that trains.
        gpu_variables: environment variables that choose the GPUs.
        start: step and checkpoint that the run begins with.
        context: values that the toolkit's settings are computed from.
        settings: the toolkit's settings.
        identity: content of `run.json`.
    """

    project: Project
    folder: Path
    toolkit: Toolkit
    gpu_variables: dict[str, str]
    start: Start
    context: RunContext
    settings: Settings
    identity: dict[str, Any]

    @property
    def log(self) -> Path:
        """The toolkit's log."""
        return self.folder / "train.log"

    @property
    def metrics_path(self) -> Path:
        """The file of measurements."""
        return self.folder / "metrics.jsonl"

    @property
    def earlier_steps(self) -> int:
        """Steps of earlier parts, which the toolkit does not count."""
        return self.start.done_steps if self.start.kind == "new_part" else 0
