"""Find, check and remove a toolkit's checkpoints. Those that a kill or a full disk cut off are not used."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.errors import AdapterError, failure
from erniekit_adapter.tensor_files import read_header

# The file of a checkpoint that each toolkit writes last.
_LAST_FILES: Mapping[Backend, str] = {"erniekit": "trainer_state.json", "paddleformers": "scheduler.pdparams"}
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoints_of(folder: Path) -> list[Path]:
    """Return the folders of all checkpoints, complete or not, newest first."""
    named = [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(named, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Return the step in a checkpoint folder's name."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def is_complete(checkpoint: Path, backend: Backend) -> bool:
    """Return whether the toolkit's last file exists and belongs to this step, and no weights are cut off.

    Raises:
        AdapterError: a file cannot be read now. The checkpoint may be complete, so it must not be removed.
    """
    last = checkpoint / _LAST_FILES[backend]
    try:
        if not last.is_file() or (
            last.suffix == ".json" and not _is_state_of(checkpoint, json.loads(last.read_bytes()))
        ):
            return False
        return all(map(_has_all_tensors, checkpoint.glob("*.safetensors")))
    except OSError as error:
        raise failure(error.filename or checkpoint, f"cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        return False


def _is_state_of(checkpoint: Path, state: object) -> bool:
    """Return whether a trainer's state has the folder's step: a renamed copy would count as the newest."""
    return isinstance(state, dict) and checkpoint.name == f"checkpoint-{state.get('global_step')}"


def _has_all_tensors(file: Path) -> bool:
    """Return whether a safetensors file is as long as its header requires, for tensors of any type."""
    size_bytes = file.stat().st_size
    with file.open("rb") as stream:
        try:
            header = read_header(file, stream, size_bytes)
            tensors = [tensor for name, tensor in json.loads(header).items() if name != "__metadata__"]
            end = max((tensor["data_offsets"][1] for tensor in tensors), default=0)
            return bool(size_bytes >= 8 + len(header) + end)
        except (AdapterError, LookupError, TypeError, AttributeError):
            return False


def discard(checkpoint: Path) -> None:
    """Remove a checkpoint in one step: one that is removed in part could look complete."""
    if checkpoint.is_symlink():
        checkpoint.unlink()
        return
    discarded = checkpoint.with_name(f".discarded-{checkpoint.name}")
    shutil.rmtree(discarded, ignore_errors=True)
    try:
        checkpoint.rename(discarded)
    except OSError as error:
        raise failure(checkpoint, f"cannot be removed: {error.strerror or error}", "remove it by hand") from error
    shutil.rmtree(discarded, ignore_errors=True)
