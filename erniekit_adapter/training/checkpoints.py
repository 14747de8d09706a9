"""Whether a checkpoint of a toolkit is whole: one that was cut off by a kill or a full disk is not gone on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from erniekit_adapter.project.toolkit_sections import Backend

# The file of a checkpoint that each toolkit writes last.
_LAST_FILES: Mapping[Backend, str] = {"erniekit": "trainer_state.json", "paddleformers": "scheduler.pdparams"}
_MAX_HEADER_BYTES = 100 * 1024 * 1024


def is_whole(checkpoint: Path, backend: Backend) -> bool:
    """Whether the file that the toolkit writes last is there, and no file that can be checked was cut off."""
    last = checkpoint / _LAST_FILES[backend]
    try:
        if not last.is_file() or (last.suffix == ".json" and not isinstance(json.loads(last.read_bytes()), dict)):
            return False
        return all(map(_has_all_tensors, checkpoint.glob("*.safetensors")))
    except (OSError, ValueError, RecursionError):
        return False


def _has_all_tensors(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    with file.open("rb") as stream:
        length_bytes = int.from_bytes(stream.read(8), "little")
        if length_bytes > _MAX_HEADER_BYTES:
            return False
        header = json.loads(stream.read(length_bytes))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return bool(file.stat().st_size == 8 + length_bytes + max(ends, default=0))
