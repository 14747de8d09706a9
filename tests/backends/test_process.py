"""Running a command: its output, its exit code, and the end of all its processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from erniekit_adapter.backends.processes import process
from erniekit_adapter.backends.processes.ended import EndedBySignal
from erniekit_adapter.backends.processes.process import KEPT_LINES, Outcome, run_logged
from erniekit_adapter.errors import AdapterError


def run(folder: Path, code: str, *, lines: list[str] | None = None) -> Outcome:
    """Run Python code."""
    return run_logged(
        [sys.executable, "-u", "-c", code],
        folder=folder,
        environment=os.environ,
        log=folder / "run.log",
        on_line=(lines if lines is not None else []).append,
    )


def run_shell(folder: Path, code: str, stall_s: float | None = None) -> Outcome:
    """Run a shell command, which starts at once even on a busy machine."""
    command = ["/bin/sh", "-c", code]
    return run_logged(command, folder=folder, environment=os.environ, log=folder / "run.log", stall_s=stall_s)


def is_running(process_id: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends_soon(process_id: int) -> bool:
    deadline = time.monotonic() + 2
    while is_running(process_id) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(process_id)


def test_output_is_logged_and_followed_line_by_line(tmp_path: Path) -> None:
    lines: list[str] = []
    outcome = run(tmp_path, "import sys; print('one'); print('two', file=sys.stderr); print('three')", lines=lines)
    assert (tmp_path / "run.log").read_text() == "one\ntwo\nthree\n"
    assert lines == ["one\n", "two\n", "three\n"]
    assert outcome.last_lines == ("one\n", "two\n", "three\n")


def test_second_run_appends_to_the_log(tmp_path: Path) -> None:
    run(tmp_path, "print(1)")
    run(tmp_path, "print(2)")
    assert (tmp_path / "run.log").read_text() == "1\n2\n"


@pytest.mark.parametrize(
    ("code", "exit_code"), [("", 0), ("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9)]
)
def test_exit_code_is_returned(tmp_path: Path, code: str, exit_code: int) -> None:
    outcome = run(tmp_path, code)
    assert (outcome.exit_code, outcome.stalled) == (exit_code, False)


def test_folder_environment_and_input_of_a_command(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd()); print(os.environ['NAME']); print(repr(sys.stdin.read()))"
    outcome = run_logged(
        [sys.executable, "-c", code], folder=tmp_path, environment={"NAME": "value"}, log=tmp_path / "run.log"
    )
    assert outcome.last_lines == (f"{tmp_path}\n", "value\n", "''\n")


def test_last_lines_of_a_long_output(tmp_path: Path) -> None:
    outcome = run(tmp_path, "for n in range(1000): print(n)")
    assert len(outcome.last_lines) == KEPT_LINES
    assert outcome.last_lines[-1] == "999\n"
    assert len((tmp_path / "run.log").read_text().splitlines()) == 1000


def test_output_that_is_not_utf_8(tmp_path: Path) -> None:
    outcome = run(tmp_path, "import sys; sys.stdout.buffer.write(b'caf\\xe9\\n')")
    assert outcome.last_lines == ("caf�\n",)


def test_silent_process_is_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    outcome = run_shell(tmp_path, "echo begun; sleep 60", stall_s=0.5)
    assert outcome.stalled
    assert (outcome.exit_code, outcome.last_lines) == (-15, ("begun\n",))
    assert time.monotonic() - started < 5


def test_process_that_prints_is_not_ended(tmp_path: Path) -> None:
    outcome = run_shell(tmp_path, "for n in 1 2 3 4 5; do echo $n; sleep 0.25; done", stall_s=1.0)
    assert (outcome.stalled, outcome.exit_code) == (False, 0)
    assert outcome.seconds > 1.0


def test_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.3)
    assert run_shell(tmp_path, "trap '' TERM; echo deaf; sleep 60", stall_s=0.4).exit_code == -9


def test_children_of_a_stalled_process_are_ended(tmp_path: Path) -> None:
    outcome = run_shell(tmp_path, "sleep 60 & echo $!; sleep 60", stall_s=0.5)
    assert outcome.stalled
    assert ends_soon(int(outcome.last_lines[0]))


def test_children_of_a_finished_process_are_ended(tmp_path: Path) -> None:
    outcome = run_shell(tmp_path, "sleep 60 > /dev/null 2>&1 & echo $!")
    assert outcome.exit_code == 0
    assert ends_soon(int(outcome.last_lines[0]))


def test_error_while_following_ends_the_process(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise RuntimeError(line)

    code = "import os, time; print(os.getpid()); time.sleep(60)"
    with pytest.raises(RuntimeError) as error:
        run_logged(
            [sys.executable, "-u", "-c", code],
            folder=tmp_path,
            environment=os.environ,
            log=tmp_path / "run.log",
            on_line=refuse,
        )
    assert ends_soon(int(str(error.value)))


def test_error_while_following_ends_the_supervisor(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise RuntimeError(line)

    before = threading.active_count()
    with pytest.raises(RuntimeError):
        run_logged(
            [sys.executable, "-u", "-c", "print(1)"],
            folder=tmp_path,
            environment=os.environ,
            log=tmp_path / "run.log",
            on_line=refuse,
            stall_s=2.0,
        )
    time.sleep(0.7)
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_process_like_ctrl_c(tmp_path: Path, number: signal.Signals) -> None:
    def terminate(line: str) -> None:
        os.kill(os.getpid(), number)

    code = "import os, time; print(os.getpid()); time.sleep(60)"
    with pytest.raises(EndedBySignal, match=str(int(number))):
        run_logged(
            [sys.executable, "-u", "-c", code],
            folder=tmp_path,
            environment=os.environ,
            log=tmp_path / "run.log",
            on_line=terminate,
        )
    assert ends_soon(int((tmp_path / "run.log").read_text()))


def test_error_names_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"/nowhere/python: cannot be started: No such file"):
        run_logged(["/nowhere/python"], folder=tmp_path, environment={}, log=tmp_path / "run.log")
