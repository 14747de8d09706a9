"""Following the log of a run: every measurement is in metrics.jsonl once, also after the run was resumed."""

from __future__ import annotations

import io
import math
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from erniekit_adapter.training.log_monitor import LogMonitor, progress_text
from erniekit_adapter.training.metrics_file import keep_until, load_metrics, read_metrics

INFO = "\x1b[32m[2026-11-22 18:46:44,349] [    INFO]\x1b[0m - "


def training_line(step: int, loss: str = "6.5") -> str:
    return f"{INFO}loss: {loss}, learning_rate: 0.0004, global_step: {step}, interval_steps_per_second: 0.5\x1b[0m\n"


def follow(path: Path, lines: list[str], done_steps: int = 0, *, terminal: bool = False) -> tuple[LogMonitor, str]:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    with LogMonitor(path, done_steps, console) as monitor:
        for line in lines:
            monitor.process(line)
    assert isinstance(console.file, io.StringIO)
    return monitor, console.file.getvalue()


def test_writes_each_measurement_as_a_json_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follow(path, ["loading\n", training_line(2), f"{INFO}eval_loss: 6.2, progress_or_epoch: 0.5\x1b[0m\n", "done\n"])
    assert read_metrics(path) == [
        {"loss": 6.5, "learning_rate": 0.0004, "step": 2, "steps_per_second": 0.5},
        {"eval_loss": 6.2, "progress": 0.5},
    ]


def test_writes_measurements_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with LogMonitor(path, 0, console=Console(file=io.StringIO())) as monitor:
        monitor.process(training_line(2))
        assert len(read_metrics(path)) == 1


def test_adds_the_steps_of_earlier_parts(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follow(path, [training_line(4)])
    follow(path, [training_line(2)], done_steps=4)
    assert [found["step"] for found in read_metrics(path)] == [4, 6]


def test_keeps_the_number_of_trainable_parameters(tmp_path: Path) -> None:
    line = f"{INFO}  Number of trainable parameters = 720,896 (per device)\x1b[0m\n"
    monitor, _ = follow(tmp_path / "metrics.jsonl", [line, training_line(2)])
    assert monitor.trainable == 720_896


@pytest.mark.parametrize("terminal", [False, True])
def test_shows_step_loss_rate_and_time_left(tmp_path: Path, terminal: bool) -> None:
    lines = [f"{INFO}  Total optimization steps = 10\x1b[0m\n", training_line(2)]
    _, text = follow(tmp_path / "metrics.jsonl", lines, done_steps=4, terminal=terminal)
    assert "step 6 of 14, loss 6.5, rate 0.0004, 2.0 s a step, 0:16 left" in text


@pytest.mark.parametrize(
    ("found", "total", "text"),
    [
        ({}, None, "step 3, loss 1.235"),
        ({}, 9, "step 3 of 9, loss 1.235"),
        ({"learning_rate": 2e-4}, None, "step 3, loss 1.235, rate 0.0002"),
        ({"steps_per_second": 0.0}, 9, "step 3 of 9, loss 1.235"),
        ({"steps_per_second": 0.02}, 9, "step 3 of 9, loss 1.235, 50.0 s a step, 5:00 left"),
        ({"steps_per_second": 4.0}, None, "step 3, loss 1.235, 0.25 s a step"),
    ],
)
def test_progress_text_holds_only_known_values(found: dict[str, float], total: int | None, text: str) -> None:
    assert progress_text({"loss": 1.23456, "step": 3.0, **found}, total) == text


def test_reads_back_a_nan_loss(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follow(path, [training_line(2, loss="nan")])
    assert isinstance(read_metrics(path)[0]["loss"], float)


def test_missing_metrics_file_is_empty(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    keep_until(tmp_path / "metrics.jsonl", 5)
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_removes_measurements_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    measured = [
        {"loss": 3, "step": 5},
        {"loss": 2, "step": 10},
        {"eval_loss": 2},
        {"loss": 1, "step": 15},
        {"eval_loss": 1},
    ]
    path.write_bytes(b"".join(orjson.dumps(found) + b"\n" for found in measured))
    keep_until(path, 10)
    assert read_metrics(path) == measured[:3]


def test_new_run_keeps_no_measurements(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(orjson.dumps({"eval_loss": 7.0, "progress": 0.1}) + b"\n" + orjson.dumps({"loss": 6, "step": 10}))
    keep_until(path, 0)
    assert read_metrics(path) == []


@settings(max_examples=25)
@given(losses=st.lists(st.integers(1, 9), max_size=8), step=st.integers(0, 9))
def test_keep_until_is_by_step_and_idempotent(
    tmp_path_factory: pytest.TempPathFactory, losses: list[int], step: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "metrics.jsonl"
    measured = [{"loss": 1.0, "step": number} for number in range(1, len(losses) + 1)]
    path.write_bytes(b"".join(orjson.dumps(found) + b"\n" for found in measured))
    keep_until(path, step)
    assert read_metrics(path) == measured[:step]
    keep_until(path, step)
    assert read_metrics(path) == measured[:step]


@pytest.mark.parametrize(
    "damage",
    ['{"loss": 2, "st', "", "\0\0\0\0", "[1, 2]", '"text"', '{"loss": "low"}', "\udcff", "[" * 100_000],
    ids=["cut off", "empty", "zeros", "list", "text", "value", "bytes", "nested"],
)
def test_resumes_with_a_damaged_metrics_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = ['{"loss": 3, "step": 1}', damage, '{"loss": 2, "step": 2}', '{"loss": 1, "st']
    path.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    assert read_metrics(path) == [{"loss": 3, "step": 1}, {"loss": 2, "step": 2}]
    assert keep_until(path, 2) == ([4] if damage == "" else [2, 4])
    assert load_metrics(path).unreadable == []
    follow(path, [training_line(3)])
    assert [found["step"] for found in read_metrics(path)] == [1, 2, 3]


def test_reads_nan_written_by_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": NaN, "step": 1}\n{"loss": -Infinity, "step": 2}\n{"loss": null, "step": 3}\n')
    assert [found["step"] for found in read_metrics(path)] == [1, 2, 3]
    assert not any(math.isfinite(found["loss"]) for found in read_metrics(path))
    assert keep_until(path, 3) == []


def test_keeps_repeated_steps_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"loss": 1, "step": {step}}}\n' for step in (1, 2, 1, 2, 3)))
    keep_until(path, 3)
    assert [found["step"] for found in read_metrics(path)] == [1, 2, 3]


def test_ignores_measurements_repeated_by_the_launcher(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    evaluated = f"{INFO}eval_loss: 6.2, progress_or_epoch: 0.5\x1b[0m\n"
    detail = "LAUNCH INFO 2026-11-29 13:04:03,554 ----------- ERROR LOG DETAIL -----------\n"
    follow(path, [training_line(1), training_line(2), evaluated, detail, training_line(2), evaluated])
    assert [found.get("step") for found in read_metrics(path)] == [1, 2, None]


@pytest.mark.parametrize("terminal", [False, True])
def test_closed_terminal_does_not_end_a_run(tmp_path: Path, terminal: bool) -> None:
    class Closed(io.StringIO):
        is_closed = False

        def write(self, text: str) -> int:
            if self.is_closed:
                raise OSError(5, "Input/output error")
            return super().write(text)

    path, file = tmp_path / "metrics.jsonl", Closed()
    with LogMonitor(path, 0, Console(file=file, force_terminal=terminal, width=120)) as monitor:
        file.is_closed = True
        monitor.process(training_line(1))
    assert len(read_metrics(path)) == 1
