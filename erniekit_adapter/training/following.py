"""Following a run: its log lines become metrics.jsonl and a live line with step, loss, rate and time left."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from erniekit_adapter.files import read_lines, write_bytes
from erniekit_adapter.training.loglines import measurement, total_steps, trainable_parameters

PLAIN_INTERVAL_S = 15.0


@dataclass
class Follower:
    """Takes a run's log lines, one at a time.

    Attributes:
        metrics_path: where measurements are appended, one JSON object a line.
        done_steps: steps of earlier parts, added to those of this one.
        trainable: trainable parameters, when the log has said so.
    """

    metrics_path: Path
    done_steps: int
    console: Console
    trainable: int | None = None
    _stream: IO[bytes] | None = None
    _progress: Progress | None = None
    _task: TaskID | None = None
    _total: int | None = None
    _said_s: float = 0.0

    def __enter__(self) -> Follower:
        self._stream = self.metrics_path.open("ab")
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
            self._progress = Progress(*columns, console=self.console, transient=True)
            self._task = self._progress.add_task("starting the toolkit", total=None, told="")
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._progress:
            self._progress.stop()
        if self._stream:
            self._stream.close()

    def take(self, line: str) -> dict[str, float] | None:
        """Take one line of the log and return its measurement, if it has one."""
        self.trainable = trainable_parameters(line) or self.trainable
        if (steps := total_steps(line)) is not None:
            self._total = steps
            self._show("training", 0, "")
        found = measurement(line)
        if found is None:
            return None
        if "step" in found:
            found["step"] += self.done_steps
        if self._stream:
            self._stream.write(orjson.dumps(found) + b"\n")
            self._stream.flush()
        if "loss" in found and "step" in found:
            total = None if self._total is None else self._total + self.done_steps
            self._show("training", int(found["step"]) - self.done_steps, told(found, total))
        return found

    def _show(self, description: str, step: int, text: str) -> None:
        if self._progress and self._task is not None:
            self._progress.update(self._task, description=description, total=self._total, completed=step, told=text)
        elif text and time.monotonic() - self._said_s > PLAIN_INTERVAL_S:
            self._said_s = time.monotonic()
            self.console.print(f"  {text}")


def told(found: dict[str, float], total: int | None) -> str:
    """A measurement as the live line says it: `step 140 of 500, loss 0.312, rate 0.0002, 1.2 s a step, 7:12 left`."""
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


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The measurements of a run, in order; none where nothing was measured yet."""
    found = [orjson.loads(line) for _, line in read_lines(path) if line] if path.is_file() else []
    # JSON has no nan: a loss that became one is written as null.
    return [{name: math.nan if value is None else value for name, value in each.items()} for each in found]


def keep_until(path: Path, step: int) -> None:
    """Drop the measurements after a step: a run that goes on from its checkpoint takes those steps again."""
    kept: list[dict[str, float]] = []
    for found in read_metrics(path) if step else []:
        if found.get("step", 0) > step:
            break
        kept.append(found)
    write_bytes(path, b"".join(orjson.dumps(found) + b"\n" for found in kept))
