"""Following a run: every measurement in metrics.jsonl, and what a resumed run takes again not twice."""

from __future__ import annotations

import io
import math
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from erniekit_adapter.training.following import Follower, keep_until, load_metrics, read_metrics, told

INFO = "\x1b[32m[2026-11-22 18:46:44,349] [    INFO]\x1b[0m - "


def training_line(step: int, loss: str = "6.5") -> str:
    return f"{INFO}loss: {loss}, learning_rate: 0.0004, global_step: {step}, interval_steps_per_second: 0.5\x1b[0m\n"


def follow(path: Path, lines: list[str], done_steps: int = 0, *, terminal: bool = False) -> tuple[Follower, str]:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    with Follower(path, done_steps, console) as follower:
        for line in lines:
            follower.take(line)
    assert isinstance(console.file, io.StringIO)
    return follower, console.file.getvalue()


def test_each_measurement_becomes_a_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follow(path, ["loading\n", training_line(2), f"{INFO}eval_loss: 6.2, progress_or_epoch: 0.5\x1b[0m\n", "done\n"])
    assert read_metrics(path) == [
        {"loss": 6.5, "learning_rate": 0.0004, "step": 2, "steps_per_second": 0.5},
        {"eval_loss": 6.2, "progress": 0.5},
    ]


def test_a_measurement_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Follower(path, 0, console=Console(file=io.StringIO())) as follower:
        follower.take(training_line(2))
        assert len(read_metrics(path)) == 1


def test_a_run_that_goes_on_counts_its_steps_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follow(path, [training_line(4)])
    follow(path, [training_line(2)], done_steps=4)
    assert [found["step"] for found in read_metrics(path)] == [4, 6]


def test_the_trainable_parameters_are_remembered(tmp_path: Path) -> None:
    line = f"{INFO}  Number of trainable parameters = 720,896 (per device)\x1b[0m\n"
    follower, _ = follow(tmp_path / "metrics.jsonl", [line, training_line(2)])
    assert follower.trainable == 720_896


@pytest.mark.parametrize("terminal", [False, True])
def test_a_console_is_told_step_loss_rate_and_time_left(tmp_path: Path, terminal: bool) -> None:
    lines = [f"{INFO}  Total optimization steps = 10\x1b[0m\n", training_line(2)]
    _, said = follow(tmp_path / "metrics.jsonl", lines, done_steps=4, terminal=terminal)
    assert "step 6 of 14, loss 6.5, rate 0.0004, 2.0 s a step, 0:16 left" in said


@pytest.mark.parametrize(
    ("found", "total", "said"),
    [
        ({}, None, "step 3, loss 1.235"),
        ({}, 9, "step 3 of 9, loss 1.235"),
        ({"learning_rate": 2e-4}, None, "step 3, loss 1.235, rate 0.0002"),
        ({"steps_per_second": 0.0}, 9, "step 3 of 9, loss 1.235"),
        ({"steps_per_second": 0.02}, 9, "step 3 of 9, loss 1.235, 50.0 s a step, 5:00 left"),
        ({"steps_per_second": 4.0}, None, "step 3, loss 1.235, 0.25 s a step"),
    ],
)
def test_only_what_is_known_is_told(found: dict[str, float], total: int | None, said: str) -> None:
    assert told({"loss": 1.23456, "step": 3.0, **found}, total) == said


def test_a_loss_that_became_nan_is_read_back_as_nan(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follow(path, [training_line(2, loss="nan")])
    assert isinstance(read_metrics(path)[0]["loss"], float)


def test_without_a_file_nothing_was_measured(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    keep_until(tmp_path / "metrics.jsonl", 5)
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_what_comes_after_the_checkpoint_is_dropped_with_its_evaluations(tmp_path: Path) -> None:
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


def test_a_run_from_the_start_keeps_nothing_of_the_last_attempt(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(orjson.dumps({"eval_loss": 7.0, "progress": 0.1}) + b"\n" + orjson.dumps({"loss": 6, "step": 10}))
    keep_until(path, 0)
    assert read_metrics(path) == []


@settings(max_examples=25)
@given(losses=st.lists(st.integers(1, 9), max_size=8), step=st.integers(0, 9))
def test_keeping_is_by_step_and_repeatable(
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
def test_a_damaged_line_costs_no_resume(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = ['{"loss": 3, "step": 1}', damage, '{"loss": 2, "step": 2}', '{"loss": 1, "st']
    path.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    assert read_metrics(path) == [{"loss": 3, "step": 1}, {"loss": 2, "step": 2}]
    assert keep_until(path, 2) == ([4] if damage == "" else [2, 4])
    assert load_metrics(path).unreadable == []
    follow(path, [training_line(3)])
    assert [found["step"] for found in read_metrics(path)] == [1, 2, 3]


def test_nan_as_other_programs_write_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": NaN, "step": 1}\n{"loss": -Infinity, "step": 2}\n{"loss": null, "step": 3}\n')
    assert [found["step"] for found in read_metrics(path)] == [1, 2, 3]
    assert not any(math.isfinite(found["loss"]) for found in read_metrics(path))
    assert keep_until(path, 3) == []


def test_steps_that_were_measured_twice_are_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"loss": 1, "step": {step}}}\n' for step in (1, 2, 1, 2, 3)))
    keep_until(path, 3)
    assert [found["step"] for found in read_metrics(path)] == [1, 2, 3]


def test_measurements_that_the_launcher_repeats_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    evaluated = f"{INFO}eval_loss: 6.2, progress_or_epoch: 0.5\x1b[0m\n"
    detail = "LAUNCH INFO 2026-11-29 13:04:03,554 ----------- ERROR LOG DETAIL -----------\n"
    follow(path, [training_line(1), training_line(2), evaluated, detail, training_line(2), evaluated])
    assert [found.get("step") for found in read_metrics(path)] == [1, 2, None]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_closed_terminal_does_not_end_a_run(tmp_path: Path, terminal: bool) -> None:
    class Closed(io.StringIO):
        is_closed = False

        def write(self, text: str) -> int:
            if self.is_closed:
                raise OSError(5, "Input/output error")
            return super().write(text)

    path, file = tmp_path / "metrics.jsonl", Closed()
    with Follower(path, 0, Console(file=file, force_terminal=terminal, width=120)) as follower:
        file.is_closed = True
        follower.take(training_line(1))
    assert len(read_metrics(path)) == 1
