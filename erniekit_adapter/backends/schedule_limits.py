"""Warm-ups that would have no effect or never end. Pure functions.

Both toolkits raise the rate from 0 to `learning_rate` in `warmup_steps` steps (or `warmup_ratio` of all steps, rounded
down) with every schedule but `constant`, which starts at the full rate.
"""

from __future__ import annotations

from collections.abc import Iterator

from erniekit_adapter.backends.same_names import max_steps_of
from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.errors import Problem
from erniekit_adapter.project.loading import PROJECT
from erniekit_adapter.project.schema import Project


def _constant(project: Project, context: RunContext) -> Iterator[Problem]:
    training = project.training
    if training.lr_scheduler_type != "constant" or not (training.warmup_steps or training.warmup_ratio):
        return
    key = "warmup_steps" if training.warmup_steps else "warmup_ratio"
    finding = f"found constant, which starts at the full rate: training.{key} would have no effect"
    yield Problem(
        f"{PROJECT} training.lr_scheduler_type", finding, f"set it to constant_with_warmup, or remove training.{key}"
    )


def _longer_than_the_run(project: Project, context: RunContext) -> Iterator[Problem]:
    training, steps = project.training, max_steps_of(project, context)
    # A run that continues from an earlier part has had its warm-up.
    if not steps or context.is_resumed or training.warmup_steps < steps:
        return
    length = f"the run has {steps} steps" if training.max_steps else f"the run has {steps} steps at most"
    finding = f"found {training.warmup_steps}; {length}, so the rate never reaches {training.learning_rate:g}"
    yield Problem(f"{PROJECT} training.warmup_steps", finding, "lower it, or set training.warmup_ratio: 0.1 instead")


LIMITS = (_constant, _longer_than_the_run)
