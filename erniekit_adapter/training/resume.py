"""The start of a run: at step 0, at a checkpoint, or with the adapter of an earlier part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.files import read_json
from erniekit_adapter.project.run_records import TOOLKIT_DIR
from erniekit_adapter.training.checkpoints import checkpoints_of, discard, is_complete, step_of
from erniekit_adapter.training.log_lines import total_steps

EARLIER = "earlier-"
# Written to the log when a run is extended beyond the number of steps that the toolkit has logged.
_EXTENDED = "erniekit-adapter: the run becomes longer"
_EARLIER = re.compile(rf"{EARLIER}(\d+)")


@dataclass(frozen=True)
class Start:
    """The start of a run.

    Attributes:
        kind: `new`; `resume`, the toolkit resumes from its newest checkpoint with optimizer and schedule; `new_part`,
            a new part of the run starts with the adapter of a checkpoint.
        checkpoint: the checkpoint's folder; None for `new`.
        done_steps: optimizer steps done so far, including those of earlier parts.
        total_steps: steps planned for the whole run; None if the checkpoint does not hold them.
    """

    kind: Literal["new", "resume", "new_part"]
    checkpoint: Path | None = None
    done_steps: int = 0
    total_steps: int | None = None

    @property
    def remaining_steps(self) -> int | None:
        """Number of remaining steps; None if the total is unknown."""
        return None if self.total_steps is None else max(self.total_steps - self.done_steps, 0)


def prepare_start(training_dir: Path, *, with_initial_adapter: bool, backend: Backend = "erniekit") -> Start:
    """Return the start of a run. If it starts a new part, move the current part aside.

    When ERNIEKit resumes from a checkpoint it ignores `lora_path` and adds LoRA to every linear layer without dropout,
    so a run with other targets or with dropout would train the wrong modules. Such a run continues as a new part that
    starts with the checkpoint's adapter. PaddleFormers reads `lora_path` when it resumes, and its checkpoints hold no
    adapter, so every run is resumed there. Incomplete checkpoints are removed. If this function is killed at any point
    and called again, it returns the same result.
    """
    output = training_dir / TOOLKIT_DIR
    discard_incomplete(output, backend)
    start = find_start(training_dir, with_initial_adapter=with_initial_adapter, backend=backend)
    if start.kind == "new_part" and start.checkpoint and start.checkpoint.parent == output:
        output.rename(training_dir / f"{EARLIER}{len(earlier_parts(training_dir)) + 1}")
        return find_start(training_dir, with_initial_adapter=with_initial_adapter, backend=backend)
    return start


def discard_final_checkpoint(training_dir: Path, max_steps: int | None, backend: Backend = "paddleformers") -> None:
    """Remove a checkpoint of the last step of a run that did not finish.

    A toolkit that resumes from it trains one step too many. From the checkpoint before it, the toolkit repeats the last
    steps with the same result. Without a checkpoint before it, PaddleFormers starts again, and ERNIEKit trains the
    extra step.

    Args:
        training_dir: the run's folder.
        max_steps: steps that the project sets; None if it sets epochs, then the steps are read from the log.
        backend: the toolkit.
    """
    planned = max_steps or _steps_in_log(training_dir / "train.log")
    found = _complete_checkpoints(training_dir / TOOLKIT_DIR, backend)
    if planned and found and step_of(found[0]) >= planned and (backend == "paddleformers" or len(found) > 1):
        discard(found[0])


def discard_incomplete(output: Path, backend: Backend) -> list[str]:
    """Remove the checkpoints that are newer than the newest complete one, and return their names.

    The run ended while it wrote them. A toolkit resumes from the highest number, complete or not, so every attempt to
    resume would fail.
    """
    newest = newest_checkpoint(output, backend)
    last_step = step_of(newest) if newest else 0
    incomplete = [path for path in checkpoints_of(output) if step_of(path) > last_step]
    for path in incomplete:
        discard(path)
    return [path.name for path in incomplete]


def note_extension(log: Path) -> None:
    """Note in the log that more steps follow than it has announced, for `discard_final_checkpoint`."""
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"\n{_EXTENDED}\n")


def _steps_in_log(log: Path) -> int | None:
    """Return the number of steps that the log announces for the newest part of a run; None if it announces none."""
    if not log.is_file():
        return None
    planned = None
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            planned = None if line.startswith(_EXTENDED) else total_steps(line) or planned
    return planned


def find_start(training_dir: Path, *, with_initial_adapter: bool, backend: Backend = "erniekit") -> Start:
    """Return the start of a run, from the newest checkpoint of all its parts, without changing any file."""
    parts = [*earlier_parts(training_dir), training_dir / TOOLKIT_DIR]
    found = [checkpoint for part in parts if (checkpoint := newest_checkpoint(part, backend))]
    if not found:
        return Start("new")
    newest, planned = found[-1], _planned_steps(found[-1])
    before = sum(step_of(checkpoint) for checkpoint in found[:-1])
    kind: Literal["resume", "new_part"] = "resume"
    if (with_initial_adapter and backend == "erniekit") or newest.parent.name.startswith(EARLIER):
        kind = "new_part"
    return Start(kind, newest, before + step_of(newest), None if planned is None else before + planned)


def earlier_parts(training_dir: Path) -> list[Path]:
    """Return the folders of the earlier parts of a run, oldest first."""
    found = [path for path in training_dir.glob(f"{EARLIER}*") if _EARLIER.fullmatch(path.name)]
    return sorted(found, key=lambda folder: int(folder.name.removeprefix(EARLIER)))


def newest_checkpoint(folder: Path, backend: Backend = "erniekit") -> Path | None:
    """Return the complete checkpoint with the highest step, or None."""
    return next(iter(_complete_checkpoints(folder, backend)), None)


def _complete_checkpoints(folder: Path, backend: Backend) -> list[Path]:
    return [path for path in checkpoints_of(folder) if is_complete(path, backend)]


def _planned_steps(checkpoint: Path) -> int | None:
    # PaddleFormers writes a pickle instead, which is never opened.
    state = checkpoint / "trainer_state.json"
    steps = read_json(state).get("max_steps") if state.is_file() else None
    return steps if isinstance(steps, int) and steps > 0 else None
