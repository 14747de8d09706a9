"""A warm-up that may be longer than its run: known for certain only when the toolkit has packed the lines."""

from __future__ import annotations

import math
from typing import Any

from erniekit_adapter.backends.same_names import most_steps
from erniekit_adapter.backends.settings import RunFacts
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_json
from erniekit_adapter.planning.epoch import epoch_packs, lines_read
from erniekit_adapter.project.schema import Project


def warmup_note(project: Project, facts: RunFacts) -> str | None:
    """Return a sentence for a user whose warm-up may take all steps of the run; None if it cannot, or if nothing is
    known of the lines.

    ERNIEKit puts short text lines into one pack, so a run has between (tokens / pack) and (lines) packs an epoch. What
    is certainly too long is refused instead, by `schedule_limits`.
    """
    training, most = project.training, most_steps(project, facts)
    packed = project.backend == "erniekit" and facts.stage == "SFT"
    if not training.warmup_steps or most is None or training.max_steps or facts.goes_on or not packed:
        return None
    try:
        manifest: Any = read_json(project.data_dir / "manifest.json")
        packs = epoch_packs(lines_read(manifest), training.max_seq_length)
    except (AdapterError, KeyError, TypeError, ValueError):
        return None
    if packs is None:
        return None
    per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps * project.parallel.data
    least = math.ceil(packs[0] * training.num_train_epochs / per_step)
    if training.warmup_steps < least:
        return None
    return (
        f"training.warmup_steps: {training.warmup_steps}, and the run has {least} to {most} steps, as lines share "
        f"packs: the rate may never reach {training.learning_rate:g} → replace it by training.warmup_ratio: 0.1"
    )
