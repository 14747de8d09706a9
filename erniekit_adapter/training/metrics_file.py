"""metrics.jsonl: the measurements of a run, one JSON object a line."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from erniekit_adapter.files import read_lines, write_bytes


@dataclass(frozen=True)
class MetricsFile:
    """Content of metrics.jsonl.

    Attributes:
        measurements: measurements by name, in the order of the file.
        unreadable: numbers of the lines that hold no measurement: cut off by a kill, or damaged.
    """

    measurements: list[dict[str, float]]
    unreadable: list[int]


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the measurements of a run without the unreadable lines; an empty list without the file."""
    return load_metrics(path).measurements


def load_metrics(path: Path) -> MetricsFile:
    """Read the measurements of a run and the numbers of the lines that cannot be read."""
    found = MetricsFile([], [])
    for number, line in read_lines(path) if path.is_file() else ():
        measurement = _parsed(line)
        if measurement is None:
            found.unreadable.append(number)
        else:
            found.measurements.append(measurement)
    return found


def _parsed(line: bytes | None) -> dict[str, float] | None:
    """Return the numbers of a line by name; None if the line is not a JSON object of numbers."""
    try:
        # Python's own parser, because other programs write NaN and Infinity, which are not JSON.
        value: Any = json.loads(line or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not all(_is_number(each) for each in value.values()):
        return None
    # JSON has no NaN: a loss of NaN is written as null.
    return {name: math.nan if each is None else each for name, each in value.items()}


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def keep_until(path: Path, step: int) -> list[int]:
    """Remove the measurements after a step, because a run that is resumed there repeats those steps.

    Unreadable lines and repeated steps are removed too.

    Returns:
        The numbers of the unreadable lines; none for step 0, which keeps nothing.
    """
    found = load_metrics(path) if step else MetricsFile([], [])
    kept: list[dict[str, float]] = []
    last_step = 0.0
    for measurement in found.measurements:
        if (measured_step := measurement.get("step")) is not None:
            if measured_step > step:
                break
            if not measured_step > last_step:
                continue
            last_step = measured_step
        kept.append(measurement)
    write_bytes(path, b"".join(orjson.dumps(each) + b"\n" for each in kept))
    return found.unreadable
