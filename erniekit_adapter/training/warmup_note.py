"""A note on a warm-up that may be longer than its run, which depends on how the toolkit packs the examples."""

from __future__ import annotations

import math
from typing import Any

from erniekit_adapter.backends.same_names import max_steps_of
from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json
from erniekit_adapter.planning.epoch import epoch_packs, example_statistics
from erniekit_adapter.project.schema import Project


def warmup_note(project: Project, context: RunContext) -> str | None:
    """Return a note if the warm-up may take all steps of the run; None if it cannot, or if that is unknown.

    ERNIEKit puts several short text examples into one pack, so an epoch has between (tokens / pack) and (examples)
    packs. A warm-up that is certainly too long is refused by `schedule_limits`.
    """
    training, most = project.training, max_steps_of(project, context)
    packed = project.backend == "erniekit" and context.method == "SFT"
    if not training.warmup_steps or most is None or training.max_steps or context.is_resumed or not packed:
        return None
    try:
        manifest: Any = read_json(project.data_dir / "manifest.json")
        packs = epoch_packs(example_statistics(manifest), training.max_seq_length)
    except (AdapterError, KeyError, TypeError, ValueError):
        return None
    if packs is None:
        return None
    per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps * project.parallel.data
    least = math.ceil(packs[0] * training.num_train_epochs / per_step)
    if training.warmup_steps < least:
        return None
    return (
        f"training.warmup_steps is {training.warmup_steps}, and the run has {least} to {most} steps, because examples "
        f"share packs: the rate may never reach {training.learning_rate:g} → set training.warmup_ratio: 0.1 instead"
    )
