"""Follow the log of a run: write its measurements to metrics.jsonl, and show step, loss, rate and time left."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from erniekit_adapter.training.log_lines import measurement, total_steps, trainable_parameters

PLAIN_INTERVAL_S = 15.0
# Paddle's launcher prints the end of a failed worker's log a second time, with its measurements.
_REPEATED_LOG = "ERROR LOG DETAIL"


@dataclass
class LogMonitor:
    """Processes the lines of a run's log, one at a time.

    Attributes:
        metrics_path: file that measurements are appended to, one JSON object a line.
        done_steps: steps of earlier parts of the run; they are added to the steps of the log.
        console: where the progress is shown.
        trainable: number of trainable parameters; None until the log has it.
    """

    metrics_path: Path
    done_steps: int
    console: Console
    trainable: int | None = None
    _stream: IO[bytes] | None = None
    _progress: Progress | None = None
    _task: TaskID | None = None
    _total: int | None = None
    _printed_s: float = 0.0
    _last_step: float = 0.0
    _is_repeated: bool = False

    def __enter__(self) -> LogMonitor:
        self._stream = self.metrics_path.open("ab")
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._task = self._progress.add_task("starting the toolkit", total=None, text="")
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._progress:
            with suppress(OSError):  # the terminal may be closed
                self._progress.stop()
        if self._stream:
            self._stream.close()

    def process(self, line: str) -> dict[str, float] | None:
        """Process a line of the log, and return its measurement; None if it has none or repeats one."""
        self.trainable = trainable_parameters(line) or self.trainable
        if (steps := total_steps(line)) is not None:
            self._total = steps
            self._show("training", 0, "")
        self._is_repeated = self._is_repeated or _REPEATED_LOG in line
        found = measurement(line)
        if found is None or self._is_repeated:
            return None
        if "step" in found:
            found["step"] += self.done_steps
            if found["step"] <= self._last_step:
                return None
            self._last_step = found["step"]
        if self._stream:
            self._stream.write(orjson.dumps(found) + b"\n")
            self._stream.flush()
        if "loss" in found and "step" in found:
            total = None if self._total is None else self._total + self.done_steps
            self._show("training", int(found["step"]) - self.done_steps, progress_text(found, total))
        return found

    def _show(self, description: str, step: int, text: str) -> None:
        # A closed terminal, as under nohup, must not end the run.
        with suppress(OSError):
            self._print(description, step, text)

    def _print(self, description: str, step: int, text: str) -> None:
        if self._progress and self._task is not None:
            self._progress.update(self._task, description=description, total=self._total, completed=step, text=text)
        elif text and time.monotonic() - self._printed_s > PLAIN_INTERVAL_S:
            self._printed_s = time.monotonic()
            self.console.print(f"  {text}")


def progress_text(found: dict[str, float], total: int | None) -> str:
    """Return a measurement as text: `step 140 of 500, loss 0.312, rate 0.0002, 1.2 s a step, 7:12 left`."""
    step, speed = int(found["step"]), found.get("steps_per_second", 0.0)
    parts = [f"step {step}" + (f" of {total}" if total else ""), f"loss {found['loss']:.4g}"]
    if "learning_rate" in found:
        parts.append(f"rate {found['learning_rate']:.3g}")
    if speed > 0:
        parts.append(f"{1 / speed:.{1 if speed < 1 else 2}f} s a step")
        if total:
            minutes, seconds = divmod(round(max(total - step, 0) / speed), 60)
            parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)
