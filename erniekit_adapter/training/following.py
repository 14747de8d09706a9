"""Following a run: its log lines become metrics.jsonl and a live line with step, loss, rate and time left."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from erniekit_adapter.files import read_lines, write_bytes
from erniekit_adapter.training.loglines import measurement, total_steps, trainable_parameters

PLAIN_INTERVAL_S = 15.0
# Paddle's launcher prints the end of a failed worker's log again, measurements included.
_REPEATED_LOG = "ERROR LOG DETAIL"


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
    _last_step: float = 0.0
    _is_repeated: bool = False

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
            with suppress(OSError):  # the terminal may be gone
                self._progress.stop()
        if self._stream:
            self._stream.close()

    def take(self, line: str) -> dict[str, float] | None:
        """Take one line of the log and return its measurement, if it has one."""
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
            self._show("training", int(found["step"]) - self.done_steps, told(found, total))
        return found

    def _show(self, description: str, step: int, text: str) -> None:
        # A terminal that was closed while the run goes on, as under nohup, must not end the run.
        with suppress(OSError):
            self._print(description, step, text)

    def _print(self, description: str, step: int, text: str) -> None:
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


@dataclass(frozen=True)
class Metrics:
    """Content of metrics.jsonl.

    Attributes:
        measured: the measurements, in order.
        unreadable: numbers of the lines that are not measurements: cut off when a run was killed, or damaged.
    """

    measured: list[dict[str, float]]
    unreadable: list[int]


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The measurements of a run, in order; none where nothing was measured yet, and unreadable lines left out."""
    return load_metrics(path).measured


def load_metrics(path: Path) -> Metrics:
    """Read the measurements of a run, and note the lines that cannot be read."""
    found = Metrics([], [])
    for number, line in read_lines(path) if path.is_file() else ():
        measurements = _measurements(line)
        if measurements is None:
            found.unreadable.append(number)
        else:
            found.measured.append(measurements)
    return found


def _measurements(line: bytes | None) -> dict[str, float] | None:
    """One line's measurements by name; None for a line that is not an object of numbers."""
    try:
        # Python's own reader, since other programs write NaN and Infinity, which JSON does not have.
        value: Any = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not all(_is_number(each) for each in value.values()):
        return None
    # JSON has no nan: a loss that became one is written as null.
    return {name: math.nan if each is None else each for name, each in value.items()}


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def keep_until(path: Path, step: int) -> list[int]:
    """Drop the measurements after a step, because a run that continues from its checkpoint takes those steps again.

    Unreadable lines and repeated steps are dropped too.

    Returns:
        The numbers of the unreadable lines; none for step 0, which keeps nothing.
    """
    found = load_metrics(path) if step else Metrics([], [])
    kept: list[dict[str, float]] = []
    last_step = 0.0
    for measurements in found.measured:
        if (taken := measurements.get("step")) is not None:
            if taken > step:
                break
            if not taken > last_step:
                continue
            last_step = taken
        kept.append(measurements)
    write_bytes(path, b"".join(orjson.dumps(each) + b"\n" for each in kept))
    return found.unreadable
