"""No process of a command is left, however the command, the supervisor or the owner ends."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from erniekit_adapter.backends.processes import leftovers
from erniekit_adapter.backends.processes.ended import EndedBySignal
from erniekit_adapter.backends.processes.leftovers import VARIABLE, end_leftovers
from erniekit_adapter.backends.processes.process import run_attached, run_logged, supervised
from erniekit_adapter.backends.processes.supervisor import descendants

ROOT = Path(__file__).resolve().parents[2]
NOTE = "echo $$ >> pids; "
# A process tree like that of a toolkit: a launcher in the command's group, and below it a worker in its own session.
SLEEPER = f"{NOTE}trap '' HUP; sleep 60 & wait"
TREES = {
    "one process": SLEEPER,
    "in its own session": f"{NOTE}setsid sh -c '{NOTE}sleep 60 & wait' & wait",
    "daemon": f"{NOTE}(setsid sh -c '{NOTE}sleep 60 & wait' > /dev/null 2>&1 &); sleep 60 & wait",
    "stopped": f"{NOTE}setsid sh -c '{NOTE}kill -STOP $$; sleep 60' & wait",
    "deaf": f"{NOTE}setsid sh -c '{NOTE}trap \"\" TERM HUP INT; while :; do sleep 1; done' & wait",
}
# An owner that runs a command like the train stage.
OWNER = """
import os, sys
from pathlib import Path
from erniekit_adapter.backends.processes import process
from erniekit_adapter.backends.processes.ended import ending_on_signals
process.GRACE_S = 0.5
with ending_on_signals():
    process.run_logged(["/bin/sh", "-c", sys.argv[1]], folder=Path.cwd(), environment=os.environ, log=Path("run.log"))
"""


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.is_file() else []


def wait_until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


# Tests that run in the background or under nohup inherit signals that are ignored.
LISTENING = ("env", "--default-signal=HUP,INT,TERM")


def started(folder: Path, tree: str, *, wrap: tuple[str, ...] = LISTENING) -> subprocess.Popen[bytes]:
    """Start an owner with its command, and wait until the whole process tree runs."""
    command = [*wrap, sys.executable, "-c", OWNER, TREES[tree]]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=variables, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_until(lambda: len(pids(folder)) == TREES[tree].count(NOTE), 30)
    return process


def all_gone(folder: Path) -> None:
    wait_until(lambda: not any(is_running(process) for process in pids(folder)), 5)


@pytest.mark.parametrize("tree", TREES)
def test_killed_owner_leaves_no_processes(tmp_path: Path, tree: str) -> None:
    with started(tmp_path, tree) as process:
        process.kill()
    all_gone(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_owner_whose_group_gets_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, "stopped") as process:
        os.killpg(process.pid, number)
    assert process.returncode != 0
    all_gone(tmp_path)


@pytest.mark.parametrize("tree", TREES)
def test_killed_supervisor_leaves_no_processes(tmp_path: Path, tree: str) -> None:
    with started(tmp_path, tree) as process:
        [supervisor] = [each for each in descendants(process.pid) if "supervisor.py" in command_of(each)]
        os.kill(supervisor, signal.SIGKILL)
    assert process.returncode == 0
    all_gone(tmp_path)


@pytest.mark.parametrize("tree", TREES)
def test_killed_command_leaves_no_processes(tmp_path: Path, tree: str) -> None:
    with started(tmp_path, tree) as process:
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
    assert process.returncode == 0
    all_gone(tmp_path)


def command_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text()


def test_nohup_run_survives_a_closed_terminal(tmp_path: Path) -> None:
    with started(tmp_path, "one process", wrap=("nohup",)) as process:
        os.killpg(process.pid, signal.SIGHUP)
        time.sleep(0.5)
        assert process.poll() is None
        assert all(map(is_running, pids(tmp_path)))
        process.terminate()
    all_gone(tmp_path)


def test_next_run_ends_leftovers_of_killed_runs(tmp_path: Path) -> None:
    with started(tmp_path, "in its own session") as process:
        supervisors = [each for each in descendants(process.pid) if "supervisor.py" in command_of(each)]
        # Both at once, so no process is left to clean up.
        for each in (*supervisors, process.pid):
            os.kill(each, signal.SIGSTOP)
        for each in (process.pid, *supervisors):
            os.kill(each, signal.SIGKILL)
    wait_until(lambda: not is_running(process.pid))
    assert any(map(is_running, pids(tmp_path)))
    run_logged(["/bin/true"], folder=tmp_path, environment=os.environ, log=tmp_path / "run.log")
    all_gone(tmp_path)


@pytest.mark.parametrize("case", ["owner runs", "other container", "other log"])
def test_processes_of_another_run_are_kept(tmp_path: Path, case: str) -> None:
    log, other_log = tmp_path / "run.log", tmp_path / "other.log"
    here, process, ticks = leftovers.owner().rsplit("/", 2)
    mark = {
        "owner runs": f"{here}/{process}/{ticks} 1 {log}",
        "other container": f"elsewhere/{process}/1 1 {log}",
        "other log": f"{here}/{process}/1 1 {other_log}",
    }
    with subprocess.Popen(["/bin/sleep", "60"], env={VARIABLE: mark[case]}) as other:
        assert end_leftovers(log) == []
        assert other.poll() is None
        other.kill()


def test_processes_of_an_ended_owner_are_ended(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    here, process, _ = leftovers.owner().rsplit("/", 2)
    with subprocess.Popen(["/bin/sleep", "60"], env={VARIABLE: f"{here}/{process}/1 1 {log}"}) as left:
        assert end_leftovers(log) == [left.pid]


def test_orphan_that_keeps_the_output_open(tmp_path: Path) -> None:
    before = time.monotonic()
    code = "(setsid sleep 60 &); kill -9 $PPID; sleep 60"  # the supervisor is killed by its own command
    outcome = run_logged(["/bin/sh", "-c", code], folder=tmp_path, environment=os.environ, log=tmp_path / "run.log")
    assert outcome.exit_code == -signal.SIGKILL
    assert time.monotonic() - before < 30


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signal_that_ended_a_command_is_returned(tmp_path: Path, number: signal.Signals) -> None:
    command = ["/bin/sh", "-c", f"kill -{int(number)} $$"]
    outcome = run_logged(command, folder=tmp_path, environment=os.environ, log=tmp_path / "run.log")
    assert outcome.exit_code == -number


def test_error_names_a_file_that_is_not_a_program(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    outcome = run_logged([str(program)], folder=tmp_path, environment=os.environ, log=tmp_path / "run.log")
    assert outcome.exit_code == 126
    assert outcome.last_lines == (f"{program}: cannot be started: Exec format error\n",)


def test_run_at_its_time_limit_is_ended(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "while :; do echo .; sleep 0.1; done"]
    log = tmp_path / "run.log"
    outcome = run_logged(command, folder=tmp_path, environment=os.environ, log=log, limit_s=0.5)
    assert (outcome.out_of_time, outcome.stalled, outcome.exit_code) == (True, False, -15)


def test_output_without_line_ends_is_split(tmp_path: Path) -> None:
    lines: list[str] = []
    command = [sys.executable, "-c", "print('x' * 3_000_000, end='')"]
    run_logged(command, folder=tmp_path, environment=os.environ, log=tmp_path / "run.log", on_line=lines.append)
    assert len(lines) > 1
    assert "".join(lines).replace("\n", "") == "x" * 3_000_000


def test_carriage_returns_end_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('1\\r2\\r\\n3', end='')"]
    outcome = run_logged(command, folder=tmp_path, environment=os.environ, log=tmp_path / "run.log")
    assert outcome.last_lines == ("1\n", "2\n", "3")


def test_exit_code_of_an_attached_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_attached(["/bin/sh", "-c", "echo here; exit 7"]) == 7
    assert capfd.readouterr().out == "here\n"


def test_signal_ends_an_attached_command(tmp_path: Path) -> None:
    code = f"echo $$ > {tmp_path}/pids; kill -TERM {os.getpid()}; sleep 60 & wait"
    with pytest.raises(EndedBySignal):
        run_attached(["/bin/sh", "-c", code])
    all_gone(tmp_path)


def test_supervisor_of_an_ended_owner_ends(tmp_path: Path) -> None:
    command = supervised(["/bin/sleep", "60"], 1.0)
    command[4] = "1" if os.getpid() != 1 else "2"
    assert subprocess.run(command, timeout=20, check=False).returncode == -signal.SIGTERM


def test_command_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The kernel reports the end of a parent per thread, and services start workers from threads that may end."""
    begun: list[subprocess.Popen[bytes]] = []
    command = supervised(["/bin/sh", "-c", f"cd {tmp_path}; {SLEEPER}"], 1.0)
    thread = threading.Thread(target=lambda: begun.append(subprocess.Popen(command, start_new_session=True)))
    thread.start()
    thread.join()
    with begun[0] as process:
        wait_until(lambda: len(pids(tmp_path)) == 1)
        time.sleep(0.7)
        assert all(map(is_running, pids(tmp_path)))
        process.terminate()
    all_gone(tmp_path)


def test_command_with_closed_standard_files(tmp_path: Path) -> None:
    command = supervised(["/bin/sh", "-c", f"touch {tmp_path}/done; exit 7"], 1.0)
    command[4] = "$$"  # the shell is its owner
    words = " ".join(part if part == "$$" else shlex.quote(part) for part in command)
    shell = f"{words} <&- >&- 2>&-; echo $? > {tmp_path}/code"
    subprocess.run(["/bin/sh", "-c", shell], check=True, timeout=30)
    assert (tmp_path / "done").exists()
    assert (tmp_path / "code").read_text() == "7\n"
