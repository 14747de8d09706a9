"""Disk space for checkpoints and the merge, from the size of the base model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from erniekit_adapter.architectures.models import find_model
from erniekit_adapter.doctor.check import Check, gib, ok, shown, skipped, wrong
from erniekit_adapter.doctor.folders import existing_parent
from erniekit_adapter.doctor.weights import count_lora_parameters, count_parameters, weight_files
from erniekit_adapter.project.model_folder import local_model_dir
from erniekit_adapter.project.schema import Project

# Training examples, logs, the files beside the weights.
MIN_FREE_BYTES = 2**30
# A trained weight in a checkpoint: the weight, AdamW's two moments and a master copy, each in float32 at most.
_CHECKPOINT_BYTES = 16
_ADAPTER_BYTES = 4


@dataclass(frozen=True)
class DiskNeed:
    """Disk space that the stages need, in bytes.

    Attributes:
        checkpoint_bytes: one checkpoint.
        checkpoints: number that exist at once: one more than are kept, as a new one is written before one is removed.
        weights_bytes: the merged or fully trained model, twice: a new one is written beside the old.
        adapter_bytes: the trained adapter, and its native and PEFT formats.
    """

    checkpoint_bytes: int
    checkpoints: int
    weights_bytes: int
    adapter_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it, with a reserve for training examples and logs."""
        return self.checkpoint_bytes * self.checkpoints + self.weights_bytes + self.adapter_bytes + MIN_FREE_BYTES


def disk_need(project: Project, model_bytes: int, parameters: int, lora_parameters: int) -> DiskNeed:
    """Return the disk space that a project needs.

    Args:
        project: the project file.
        model_bytes: size of the base model's weights.
        parameters: number of weights of the base model.
        lora_parameters: number of weights of the adapter.
    """
    lora = project.lora.enabled
    trained = lora_parameters if lora else parameters
    merged = {"merged", "merged-hf"} & set(project.export.formats)
    whole_models = 2 * len(merged) if lora else 2
    return DiskNeed(
        checkpoint_bytes=trained * _CHECKPOINT_BYTES,
        checkpoints=_checkpoints_at_once(project),
        weights_bytes=whole_models * model_bytes,
        adapter_bytes=3 * trained * _ADAPTER_BYTES if lora else 0,
    )


def _checkpoints_at_once(project: Project) -> int:
    training = project.training
    made = training.max_steps // training.save_steps if training.max_steps else None
    if training.save_total_limit is None:
        return made if made is not None else 2
    return min(training.save_total_limit + 1, made) if made is not None else training.save_total_limit + 1


def disk_checks(project: Project) -> Iterator[Check]:
    """Check that there is enough free space in `output_dir`."""
    folder = existing_parent(project.output_dir)
    free = shutil.disk_usage(folder).free
    location = f"{gib(free)} free in {shown(folder)}"
    files = weight_files(local_model_dir(project))
    parameters = count_parameters(files)
    model_bytes = sum(file.size_bytes for file in files)
    if not parameters:
        known = find_model(project.model.model_name_or_path)
        if not known:
            yield skipped(f"{location}: the needed space is unknown without the model")
            return
        # Published in bfloat16 and not downloaded yet.
        parameters = int(known.parameters_billion * 1e9)
        model_bytes = 2 * parameters
    adapter = count_lora_parameters(files, project.lora.modules, project.lora.r)
    need = disk_need(project, model_bytes, parameters, adapter)
    parts = [f"{need.checkpoints} checkpoints of {gib(need.checkpoint_bytes)}"] if need.checkpoint_bytes else []
    if need.weights_bytes:
        kind = "the merged model" if project.lora.enabled else "the trained model"
        parts.append(f"{gib(need.weights_bytes)} for {kind} beside an older one")
    # Without the model's matrices the size of the adapter is unknown.
    bound = "at most" if need.checkpoint_bytes else "without checkpoints"
    finding = f"{location}, {gib(need.total_bytes)} needed {bound}: {', '.join([*parts, '1 GiB for the rest'])}"
    if free < need.total_bytes:
        less = [] if not need.weights_bytes or not project.lora.enabled else ["leave merged out of export.formats"]
        less += ["lower training.save_total_limit"] if need.checkpoints > 1 else []
        yield wrong(finding, ", ".join(["set an output_dir with more free space", *less]))
    else:
        yield ok(finding)
    if project.training.save_total_limit is None and project.training.max_steps is None:
        yield skipped("all checkpoints are kept, and their number is not known yet", "set training.save_total_limit")
