"""Where a run begins: from nothing, from a checkpoint, from an earlier part's adapter, or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from erniekit_adapter.files import read_json
from erniekit_adapter.project.run_records import TOOLKIT_DIR
from erniekit_adapter.project.toolkit_sections import Backend
from erniekit_adapter.training.checkpoints import checkpoints_of, discard, is_whole, step_of
from erniekit_adapter.training.loglines import total_steps

EARLIER = "earlier-"
# Written into the log when a run becomes longer than the number of steps that the toolkit has printed there.
_LONGER = "erniekit-adapter: the run becomes longer"
_EARLIER = re.compile(rf"{EARLIER}(\d+)")


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        kind: `new`; `resume` lets ERNIEKit go on from its newest checkpoint, optimizer and schedule included; `go_on`
            starts a new part from the checkpoint's adapter.
        checkpoint: the checkpoint's folder; None for `new`.
        done_steps: optimizer steps done so far, earlier parts included.
        total_steps: what the run was to do in all, when a checkpoint tells.
    """

    kind: Literal["new", "resume", "go_on"]
    checkpoint: Path | None = None
    done_steps: int = 0
    total_steps: int | None = None

    @property
    def remaining_steps(self) -> int | None:
        """Steps that are left, when the total is known."""
        return None if self.total_steps is None else max(self.total_steps - self.done_steps, 0)


def begin(training_dir: Path, *, with_initial_adapter: bool, backend: Backend = "erniekit") -> Start:
    """Find where a run begins and, when it goes on in a new part, set the current part aside.

    When ERNIEKit resumes from a checkpoint it ignores `lora_path` and wraps all linear layers again without dropout, so
    a run with targets of its own would silently train more. Such a run goes on from the checkpoint's adapter instead.
    PaddleFormers does not ignore it, and its checkpoints hold no adapter: there every run is resumed.
    Checkpoints that were cut off are removed. Killed at any point and called again, this gives the same answer.
    """
    output = training_dir / TOOLKIT_DIR
    discard_cut_off(output, backend)
    start = find_start(training_dir, with_initial_adapter=with_initial_adapter, backend=backend)
    if start.kind == "go_on" and start.checkpoint and start.checkpoint.parent == output:
        output.rename(training_dir / f"{EARLIER}{len(earlier_parts(training_dir)) + 1}")
        return find_start(training_dir, with_initial_adapter=with_initial_adapter, backend=backend)
    return start


def drop_last_of_all(training_dir: Path, max_steps: int | None, backend: Backend = "paddleformers") -> None:
    """Remove a checkpoint that was written at the very end of a run whose end is missing.

    Resumed from it a toolkit takes a step too many; from the one before it takes the last steps again, to the same end.
    Where there is none before, PaddleFormers starts again, and ERNIEKit takes that step.

    Args:
        training_dir: the run's folder.
        max_steps: of the project; where epochs decide, the log has said how many steps they are.
        backend: the toolkit.
    """
    planned = max_steps or _steps_in_log(training_dir / "train.log")
    found = _whole_checkpoints(training_dir / TOOLKIT_DIR, backend)
    if planned and found and step_of(found[0]) >= planned and (backend == "paddleformers" or len(found) > 1):
        discard(found[0])


def discard_cut_off(output: Path, backend: Backend) -> list[str]:
    """Remove checkpoints that are newer than the newest whole one; returns their names.

    A run was ended while it wrote them. A toolkit resumes from the one with the highest number, whole or not, so that
    each attempt to resume would fail.
    """
    newest = newest_checkpoint(output, backend)
    last_step = step_of(newest) if newest else 0
    cut_off = [path for path in checkpoints_of(output) if step_of(path) > last_step]
    for path in cut_off:
        discard(path)
    return [path.name for path in cut_off]


def note_longer(log: Path) -> None:
    """Note in the log that the steps planned so far are no longer all, so that `drop_last_of_all` ignores them."""
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"\n{_LONGER}\n")


def _steps_in_log(log: Path) -> int | None:
    """Return the steps that the log of a run's newest part plans."""
    if not log.is_file():
        return None
    planned = None
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            planned = None if line.startswith(_LONGER) else total_steps(line) or planned
    return planned


def find_start(training_dir: Path, *, with_initial_adapter: bool, backend: Backend = "erniekit") -> Start:
    """Look for an unfinished run's newest checkpoint; changes nothing."""
    parts = [*earlier_parts(training_dir), training_dir / TOOLKIT_DIR]
    found = [checkpoint for part in parts if (checkpoint := newest_checkpoint(part, backend))]
    if not found:
        return Start("new")
    newest, planned = found[-1], _planned_steps(found[-1])
    before = sum(step_of(checkpoint) for checkpoint in found[:-1])
    kind: Literal["resume", "go_on"] = "resume"
    if (with_initial_adapter and backend == "erniekit") or newest.parent.name.startswith(EARLIER):
        kind = "go_on"
    return Start(kind, newest, before + step_of(newest), None if planned is None else before + planned)


def earlier_parts(training_dir: Path) -> list[Path]:
    """The folders of earlier parts of a run that went on, oldest first."""
    found = [path for path in training_dir.glob(f"{EARLIER}*") if _EARLIER.fullmatch(path.name)]
    return sorted(found, key=lambda folder: int(folder.name.removeprefix(EARLIER)))


def newest_checkpoint(folder: Path, backend: Backend = "erniekit") -> Path | None:
    """The whole checkpoint with the highest step; one that was cut off while it was written does not count."""
    return next(iter(_whole_checkpoints(folder, backend)), None)


def _whole_checkpoints(folder: Path, backend: Backend) -> list[Path]:
    return [path for path in checkpoints_of(folder) if is_whole(path, backend)]


def _planned_steps(checkpoint: Path) -> int | None:
    # PaddleFormers writes a pickle instead, which is not opened.
    state = checkpoint / "trainer_state.json"
    steps = read_json(state).get("max_steps") if state.is_file() else None
    return steps if isinstance(steps, int) and steps > 0 else None
