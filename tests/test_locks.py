"""Locks of folders: one run at a time, also on shared file systems; one process takes over an abandoned lock."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from erniekit_adapter import lock_files, locks
from erniekit_adapter.backends.processes.ended import EndedBySignal, ending_on_signals
from erniekit_adapter.errors import AdapterError, UsageError
from erniekit_adapter.locks import using
from erniekit_adapter.processes import Process, this_process

ROOT = Path(__file__).resolve().parents[1]
ENDED = replace(this_process("train"), started=1)
ELSEWHERE = replace(this_process("train"), host="gpu-3", pid=1234, place="another machine")
OLD_S = 1000.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WATCH_S", 0.3)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def leave_lock(folder: Path, process: Process | bytes, age_s: float = 0.0) -> Path:
    """Leave a lock file as another process did `age_s` seconds ago."""
    lock = folder.with_name(f".{folder.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_bytes(process if isinstance(process, bytes) else process.content())
    os.utime(lock, (time.time() - age_s,) * 2)
    return lock


@contextmanager
def other_process(
    folder: Path, mode: str = "writes", code: str = "sys.stdin.read()"
) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a folder until its input ends."""
    lines = [
        "import sys, os, time, pathlib",
        "from erniekit_adapter import locks",
        f"with locks.using('train', {mode}=[pathlib.Path({str(folder)!r})]):",
        "    print('held', flush=True)",
        f"    {code}",
    ]
    command = [sys.executable, "-c", "\n".join(lines)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_refuses_a_second_run_and_names_the_first(tmp_path: Path) -> None:
    with other_process(tmp_path / "run") as process:
        message = rf"run: is in use by `train`, pid {process.pid} on host \S+, since \d\d:\d\d"
        with pytest.raises(AdapterError, match=message) as refused, using("export", writes=[tmp_path / "run"]):
            pass
    assert refused.value.exit_code == 1
    assert "wait until it ends" in str(refused.value)


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [("reads", "reads", False), ("reads", "writes", True), ("writes", "reads", True), ("writes", "writes", True)],
)
def test_readers_share_a_folder_but_writers_do_not(tmp_path: Path, first: str, second: str, refused: bool) -> None:
    with other_process(tmp_path / "run", first):
        assert refuses(tmp_path / "run", second) is refused
    assert not refuses(tmp_path / "run", second)
    assert not refuses(tmp_path / "run", "writes")
    assert names(tmp_path) == []


def refuses(folder: Path, mode: str = "writes") -> bool:
    kinds: dict[str, Any] = {mode: [folder]}
    try:
        with using("export", **kinds, on_note=lambda note: None):
            return False
    except AdapterError as error:
        return "is in use by" in str(error)


def test_takes_over_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    with other_process(tmp_path / "run") as process:
        process.kill()
        process.wait()
    notes: list[str] = []
    with using("export", writes=[tmp_path / "run"], on_note=notes.append):
        assert names(tmp_path) == [".run.lock"]
    (note,) = notes
    assert f"taken over from `train`, pid {process.pid}" in note
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("process", "age_s", "is_refused"),
    [
        (ENDED, 0, False),
        (replace(this_process("train"), pid=1), 0, False),
        (this_process("train"), OLD_S, True),
        (ELSEWHERE, 0, True),
        (ELSEWHERE, OLD_S, False),
        (ELSEWHERE, -OLD_S, False),
        (b"", 0, True),
        (b"", OLD_S, False),
        (ENDED.content()[:40], 0, True),
        (ENDED.content()[:40], OLD_S, False),
        (bytes(100), OLD_S, False),
    ],
    ids=[
        "ended",
        "its id was reused",
        "running, with an old time",
        "another machine",
        "another machine, not refreshed",
        "another machine, clock ahead",
        "empty",
        "empty, old",
        "truncated",
        "truncated, old",
        "zeros after a crash",
    ],
)
def test_takes_over_only_abandoned_locks(
    tmp_path: Path, process: Process | bytes, age_s: float, is_refused: bool
) -> None:
    leave_lock(tmp_path / "run", process, age_s)
    for mode in ("reads", "writes"):
        assert refuses(tmp_path / "run", mode) is is_refused
    assert names(tmp_path) == ([".run.lock"] if is_refused else [])


def test_refreshed_lock_of_another_machine_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WATCH_S", 5.0)
    lock = leave_lock(tmp_path / "run", ELSEWHERE, OLD_S)
    # Its clock is far behind, so that a refreshed lock still looks old.
    refresh = threading.Timer(0.5, lambda: os.utime(lock, (time.time() - OLD_S + 10,) * 2))
    refresh.start()
    assert refuses(tmp_path / "run")
    refresh.join()


def test_refreshes_a_held_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_files, "REFRESH_S", 0.05)
    with using("train", writes=[tmp_path / "run"], reads=[tmp_path / "data"]):
        for path in tmp_path.iterdir():
            os.utime(path, (0, 0))
        until = time.monotonic() + 20
        while any(path.stat().st_mtime == 0 for path in tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.02)
        assert all(path.stat().st_mtime > 0 for path in tmp_path.iterdir())
    assert locks.threads() == 0


def test_creates_a_removed_lock_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_files, "REFRESH_S", 0.05)
    with using("train", writes=[tmp_path / "run"], reads=[tmp_path / "data"]):
        before = names(tmp_path)
        for path in tmp_path.iterdir():
            path.unlink()
        until = time.monotonic() + 20
        while names(tmp_path) != before and time.monotonic() < until:
            time.sleep(0.02)
        assert names(tmp_path) == before
    assert names(tmp_path) == []


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN], ids=["", "in the background"])
def test_ends_a_run_that_lost_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any) -> None:
    monkeypatch.setattr(lock_files, "REFRESH_S", 0.05)

    def run() -> None:
        with ending_on_signals(), using("train", writes=[tmp_path / "run"]):
            leave_lock(tmp_path / "run", ELSEWHERE)
            time.sleep(20)

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(AdapterError, match="another process has taken over the folder"):
            run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert names(tmp_path) == [".run.lock"]


@pytest.mark.parametrize("error", [EndedBySignal(signal.SIGTERM), KeyboardInterrupt()], ids=["SIGTERM", "SIGINT"])
def test_signal_during_a_fork_is_delivered_again(error: BaseException) -> None:
    def interrupted() -> None:
        raise error

    step = lock_files._keeping_signals(interrupted)

    def fork() -> None:
        step()
        time.sleep(10)

    with ending_on_signals(), pytest.raises(type(error)):
        fork()


def test_forked_process_does_not_inherit_locks(tmp_path: Path) -> None:
    with using("train", writes=[tmp_path / "run"]):
        assert locks.threads() == 1
        child = os.fork()
        if not child:
            os._exit(locks.threads())
        assert os.waitpid(child, 0)[1] == 0
        assert locks.threads() == 1
        assert refuses(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("links", ["unnamed files", "links", "neither"])
def test_only_one_process_takes_over_a_lock(tmp_path: Path, links: str) -> None:
    """Ten processes take over the same lock repeatedly; creating a folder shows if two hold it at once."""
    body = [
        "import sys, os, time, pathlib, errno",
        "from dataclasses import replace",
        "from erniekit_adapter import lock_files, locks",
        "from erniekit_adapter.errors import AdapterError",
        "from erniekit_adapter.processes import this_process",
        "folder = pathlib.Path(sys.argv[1])",
        "def no_links(*a, **k): raise OSError(errno.EOPNOTSUPP, 'no links')",
        {"unnamed files": "", "links": "lock_files.open_unnamed = lambda f: None"}.get(
            links, "lock_files.open_unnamed = lambda f: None; os.link = no_links"
        ),
        "won, until = 0, time.monotonic() + 2",
        "while time.monotonic() < until:",
        "    try:",
        "        with locks.using('train', writes=[folder / 'run'], on_note=lambda n: None):",
        "            os.mkdir(folder / 'inside'); time.sleep(0.001); os.rmdir(folder / 'inside'); won += 1",
        "            ended = replace(this_process('train'), started=1).content()",
        "            lock = folder / '.run.lock'",
        "            mine = lock.with_name(f'new-{os.getpid()}'); mine.write_bytes(ended); mine.replace(lock)",
        "    except AdapterError as error:",
        "        assert 'is in use by' in str(error), error",
        "print(won)",
    ]
    command = [sys.executable, "-c", "\n".join(body), str(tmp_path)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) for _ in range(10)]
    ended = [process.communicate() for process in processes]
    assert [errors for _, errors in ended] == [""] * 10
    assert sum(int(output) for output, _ in ended) > 10
    assert [name for name in names(tmp_path) if name != ".run.lock"] == []


def test_takes_over_after_a_killed_takeover(tmp_path: Path) -> None:
    leave_lock(tmp_path / "run", ENDED)
    taker = replace(this_process("export"), started=1)
    (tmp_path / f".{ENDED.token}.taking").write_bytes(taker.content())
    assert not refuses(tmp_path / "run")
    assert [name for name in names(tmp_path) if not name.endswith(".taking")] == []


def foreign_file(path: Path) -> None:
    path.write_text("notes")


def link(path: Path) -> None:
    path.with_name("precious").write_text("x")
    path.symlink_to("precious")


@pytest.mark.parametrize("make", [foreign_file, link, Path.mkdir, os.mkfifo])
def test_keeps_a_foreign_file_with_the_lock_name(tmp_path: Path, make: Callable[[Path], None]) -> None:
    lock = tmp_path / ".run.lock"
    make(lock)
    if not lock.is_symlink():
        os.utime(lock, (0, 0))
    before = names(tmp_path)
    for mode in ("reads", "writes"):
        kinds: dict[str, Any] = {mode: [tmp_path / "run"]}
        with pytest.raises(AdapterError, match=r"\.run\.lock: has the name of a lock file"), using("train", **kinds):
            pass
    assert names(tmp_path) == before


def test_hostile_lock_file_prints_no_control_characters(tmp_path: Path) -> None:
    value = json.loads(ELSEWHERE.content()) | {"command": "\x1b[2J\n" * 1000, "host": "\u202e" * 9}
    leave_lock(tmp_path / "run", json.dumps(value).encode())
    with pytest.raises(AdapterError) as refused, using("train", writes=[tmp_path / "run"]):
        pass
    assert all(line.isprintable() for line in str(refused.value).splitlines())
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("token", ["../../precious", "x" * 999, "", 7])
def test_hostile_token_writes_no_other_file(tmp_path: Path, token: object) -> None:
    value = json.loads(ENDED.content()) | {"token": token}
    leave_lock(tmp_path / "a" / "run", json.dumps(value).encode(), OLD_S)
    assert not refuses(tmp_path / "a" / "run")
    assert names(tmp_path) == ["a"]


def read_only(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock_files, "open_unnamed", refuse)


def test_reads_a_read_only_folder_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_only(monkeypatch, errno.EROFS)
    with using("train", reads=[tmp_path / "run"]):
        pass
    message = "Read-only file system\n    → make the folder writable"
    with pytest.raises(AdapterError, match=message), using("train", writes=[tmp_path / "run"]):
        pass


def test_errors_of_the_stage_are_unchanged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the stage"), using("train", writes=[tmp_path / "a" / "run"]):
        raise OSError(errno.ENOSPC, "of the stage")
    assert names(tmp_path) == []


def test_link_and_target_share_a_lock(tmp_path: Path) -> None:
    (tmp_path / "disk" / "run").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/run")
    with using("train", writes=[tmp_path / "link"]):
        assert refuses(tmp_path / "disk" / "run")
    (tmp_path / "lost").symlink_to("nowhere")
    message = "is a link to nowhere, which does not exist"
    with pytest.raises(UsageError, match=message), using("train", writes=[tmp_path / "lost"]):
        pass


def test_stopped_process_keeps_its_lock(tmp_path: Path) -> None:
    with other_process(tmp_path / "run") as process:
        process.send_signal(signal.SIGSTOP)
        os.utime(tmp_path / ".run.lock", (0, 0))
        assert refuses(tmp_path / "run")


def test_shows_the_date_of_an_older_lock() -> None:
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d$", str(replace(ENDED, since=0.0)))
