"""Causes of failures, from the ends of real logs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.backends.processes.failures import cause_of_failure, description_of_failure, ending_signal, plain
from erniekit_adapter.backends.processes.oom_kills import NO_OOM_KILLS, OomKills
from erniekit_adapter.backends.processes.process import Outcome

INFO = "\x1b[32m[2026-11-22 18:46:44,349] [    INFO]\x1b[0m - "
TRACE = [
    "Traceback (most recent call last):",
    '  File "/venv/lib/python3.11/site-packages/erniekit/launcher.py", line 42, in launch',
    "    run_tuner()",
]
# Output of Paddle's launcher if a worker of ERNIEKit 1.0.1 is killed by SIGKILL; ERNIEKit then ends with 247.
KILLED_WORKER = [
    f"{INFO}loss: 7.40954685, learning_rate: 0.0009998, global_step: 4",
    "LAUNCH INFO 2026-11-29 13:04:03,553 Pod failed",
    "LAUNCH ERROR 2026-11-29 13:04:03,554 Container failed !!!",
    "Container rank 0 status failed cmd ['python', '-u', 'launcher.py', 'train'] code -9 log dist_log/workerlog.0",
    "LAUNCH INFO 2026-11-29 13:04:03,554 ------------------------- ERROR LOG DETAIL -------------------------",
    "  warnings.warn(",
    f"{INFO}loss: 7.40954685, learning_rate: 0.0009998, global_step: 4",
    "LAUNCH INFO 2026-11-29 13:04:03,554 Exit code -9",
]


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (
            [
                "usage: __main__.py [-h] [--master MASTER] [--devices DEVICES] training_script ...",
                "__main__.py: error: argument --devices/--gpus/--npus/--xpus: expected one argument",
            ],
            "no GPU: set CUDA_VISIBLE_DEVICES",
        ),
        (
            [*TRACE, "ValueError: The device should not be 'gpu', since PaddlePaddle is not compiled with CUDA"],
            "no GPU: set CUDA_VISIBLE_DEVICES",
        ),
        (
            [
                *TRACE,
                "RuntimeError: TensorBoardCallback requires tensorboardX to be installed. Either update or run `pip …`",
            ],
            "the toolkit's environment lacks the package tensorboardX (TensorBoardCallback needs it)",
        ),
        ([*TRACE, "ModuleNotFoundError: No module named 'ernie'"], "the toolkit's environment lacks the package ernie"),
        (
            [*TRACE, "ModuleNotFoundError: No module named 'ernie.dataset.text_sft_reader'"],
            "the toolkit's environment lacks the package ernie.dataset.text_sft_reader",
        ),
        (
            [
                "ResourceExhaustedError: ",
                "",
                "Out of memory error on GPU 0. Cannot allocate 1.578125GB memory on GPU 0",
            ],
            "out of memory: lower training.per_device_train_batch_size or training.max_seq_length",
        ),
        (["terminate called after throwing an instance of 'std::bad_alloc'"], "out of memory"),
        ([*TRACE, "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 5 GiB"], "out of memory"),
        ([*TRACE, "MemoryError"], "out of memory"),
        ([*TRACE, "OSError: [Errno 28] No space left on device"], "the disk is full: free space and run again"),
        ([*TRACE, "OSError: [Errno 98] Address already in use"], "the port is in use: set MASTER_PORT to another"),
        ([*TRACE, "ValueError: Invalid max_steps: 0"], "bad data: the toolkit can use none of the training examples"),
        ([*TRACE, "TypeError: learning rate must be float"], "the settings contain a number that is written as text"),
        ([*TRACE, "KeyError: 'train_dataset_path'"], "KeyError: 'train_dataset_path'"),
        ([*TRACE, "paddle.base.core.SomeError: bad", *TRACE, "ValueError: worse"], "ValueError: worse"),
        ([f"{INFO}loading\x1b[0m", "LAUNCH INFO 2026-11-22 19:11:56,764 Exit code 1"], "loading"),
        (["LAUNCH INFO 2026-11-22 19:11:56,764 Exit code 1"], "it printed no message"),
        (["", "  \n"], "it printed no message"),
        ([], "it printed no message"),
    ],
)
def test_cause_from_the_end_of_a_log(lines: list[str], cause: str) -> None:
    assert cause_of_failure(lines).startswith(cause)


def test_lines_of_the_launcher_do_not_hide_the_traceback() -> None:
    ending = [
        *TRACE,
        "KeyError: 'x'",
        "LAUNCH INFO Pod failed",
        "LAUNCH ERROR Container failed !!!",
        "LAUNCH INFO Exit code 1",
    ]
    assert cause_of_failure(ending) == "KeyError: 'x'"


@given(lines=st.lists(st.text(max_size=400), max_size=5))
def test_any_log_has_a_short_cause(lines: list[str]) -> None:
    cause = cause_of_failure(lines)
    assert cause
    assert len(cause) <= 400


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (f"{INFO}loss: 6.27\x1b[0m\n", "loss: 6.27"),
        ("[2026-11-22 18:46:44,349] [ WARNING] - a - b", "a - b"),
        ("no prefix", "no prefix"),
    ],
)
def test_plain_line_has_no_colours_and_no_prefix(line: str, text: str) -> None:
    assert plain(line) == text


@pytest.mark.parametrize(
    ("exit_code", "lines", "number"),
    [
        (-11, [], 11),
        (247, KILLED_WORKER, 9),
        (247, [f"{line}\n" for line in KILLED_WORKER], 9),
        (247, ["LAUNCH INFO 2026-11-29 13:04:03,554 Exit code -9"], 9),
        (247, ["the launcher itself was killed"], 9),
        (137, [], 9),
        (139, [], 11),
        (241, [], 15),
        (0, KILLED_WORKER, None),
        (1, [], None),
        (126, [], None),
        (255, [], None),
        # Ranks that the launcher ends after another one has failed are not the cause.
        (1, ["Container rank 1 status failed cmd ['python'] code 1 log x", "LAUNCH INFO x Exit code -15"], None),
    ],
)
def test_signal_of_an_exit_code(exit_code: int, lines: list[str], number: int | None) -> None:
    assert ending_signal(exit_code, lines) == number


def outcome(exit_code: int, *lines: str, oom_kills: OomKills = NO_OOM_KILLS) -> Outcome:
    return Outcome(exit_code, 1.0, lines, stalled=False, oom_kills=oom_kills)


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (outcome(1, *TRACE, "KeyError: 'x'"), "exit code 1: KeyError: 'x'"),
        (outcome(247, *KILLED_WORKER), "killed by SIGKILL: by a user, a batch system, or the kernel"),
        (outcome(-9, oom_kills=OomKills(1, 1)), "killed by SIGKILL: out of memory: the memory limit of its container"),
        (outcome(-9, oom_kills=OomKills(0, 1)), "killed by SIGKILL: probably out of memory"),
        (outcome(1, *TRACE, "KeyError: 'x'", oom_kills=OomKills(0, 1)), "exit code 1: KeyError: 'x'"),
        (outcome(-15), "ended by SIGTERM, which another process sent"),
        (outcome(-11, "SIGSEGV (@0x0)"), "crashed with SIGSEGV"),
        (outcome(-6, "terminate called", "std::bad_alloc"), "crashed with SIGABRT: out of memory: lower training."),
        (outcome(-40), "ended by signal 40"),
        (Outcome(-15, 1.0, (), stalled=True), "printed nothing for too long and was ended"),
        (Outcome(-15, 1.0, (), stalled=False, out_of_time=True), "reached its time limit and was ended"),
    ],
)
def test_description_of_a_failure(ended: Outcome, text: str) -> None:
    assert description_of_failure(ended).startswith(text)
