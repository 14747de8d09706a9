"""Why the toolkit failed, in one line, from the end of what it printed. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt)): ?(.*)")

# The first that matches wins: the text to look for, and what it means to the user.
_CAUSES: tuple[tuple[str, str], ...] = (
    (r"out of memory|ResourceExhausted|Cannot allocate|MemoryError|std::bad_alloc",
     "out of memory: lower training.per_device_train_batch_size or training.max_seq_length"),
    (r"argument --devices/--gpus.*expected one argument|is not compiled with CUDA|no CUDA-capable device",
     "no GPU card: set CUDA_VISIBLE_DEVICES and install paddlepaddle-gpu, or train with training.device: cpu"),
    (r"No module named '([\w.]+)'", "the toolkit's environment lacks the package {0}"),
    (r"(\w+) requires (\w+) to be installed", "the toolkit's environment lacks the package {1} ({0} needs it)"),
    (r"No space left on device", "the disk is full: free space and run again"),
    (r"Address already in use", "the port is taken: set MASTER_PORT to another"),
    (r"Torch weights are not compatible", "the model folder holds torch weights: use the repository ending in -Paddle"),
    (r"Invalid max_steps: 0", "bad data: no line is usable by the toolkit"),
    (r"learning rate must be float", "the settings hold a number written as text"),
)  # fmt: skip


def cause_of_failure(lines: Iterable[str]) -> str:
    """Why a run failed, in one line, from the end of its log."""
    texts = [plain(line).strip() for line in lines]
    joined = "\n".join(texts)
    for pattern, meaning in _CAUSES:
        if match := re.search(pattern, joined, re.IGNORECASE):
            return meaning.format(*match.groups())
    exceptions = [match for text in texts if (match := _EXCEPTION.match(text))]
    if exceptions:
        return f"{exceptions[-1][1]}: {exceptions[-1][2]}"[:300]
    said = [text for text in texts if text and not text.startswith("LAUNCH INFO")]
    return said[-1][:300] if said else "it ended without a word"


def plain(line: str) -> str:
    """The line without colour codes and the logger's prefix."""
    text = _COLOUR.sub("", line).rstrip()
    return text.partition("] - ")[2] if text.startswith("[2") and "] - " in text else text
