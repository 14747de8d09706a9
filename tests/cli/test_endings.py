"""Exit codes and messages of commands that end early: Ctrl-C, signals, a closed pipe, an unexpected exception."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from erniekit_adapter.cli import data_main, main
from erniekit_adapter.cli.program import DEBUG_VARIABLE
from erniekit_adapter.errors import AdapterError, Problem, UncheckedError, UsageError

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "erniekit_adapter"]


def run(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Run `check` with an exception inside, and return the exit code."""

    def raise_error(*_: object) -> None:
        raise error

    monkeypatch.setattr("erniekit_adapter.cli.projects._translated", raise_error)
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter", "translate", "project.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("kind", "code"), [(AdapterError, 1), (UsageError, 2), (UncheckedError, 3)])
def test_error_gives_its_exit_code_and_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[AdapterError], code: int
) -> None:
    assert run(monkeypatch, kind([Problem("a.yaml:1", "wrong", "correct it"), Problem("b.yaml", "wrong")])) == code
    assert capsys.readouterr().err == "a.yaml:1: wrong\n    → correct it\nb.yaml: wrong\n"


def test_unexpected_exception_is_reported_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    assert run(monkeypatch, KeyError("\x1b[31m")) == 1
    err = capsys.readouterr().err
    assert err.startswith("erniekit-adapter: unexpected KeyError: '\\x1b[31m'\n    → report this fault")
    assert DEBUG_VARIABLE in err
    assert "Traceback" not in err


def test_traceback_is_printed_for_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    assert run(monkeypatch, ValueError("\x1b[31m")) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last):" in err
    assert "\x1b" not in err


def test_system_error_names_its_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, OSError(28, "No space left on device", "runs/a")) == 1
    assert capsys.readouterr().err.startswith("runs/a: No space left on device\n")


@pytest.mark.parametrize(
    "command",
    [
        ("data", "preview", "{}"),
        ("data", "report", "{}", "--output", "a.html"),
        ("data", "rejected", "{}"),
        ("data", "prepare", "--active-learning-file", "{}", "--output", "a.jsonl"),
        ("data", "prepare", "--manifest", "{}", "--output", "a.jsonl"),
        ("tiny-model", "--corpus", "{}", "--output", "tiny"),
        ("verify", "{}", "--trust", "unsigned"),
    ],
    ids=" ".join,
)
def test_path_that_is_too_long_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter", *(word.format("a" * 300) for word in command)])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert ended.value.code in (1, 2)
    assert "too long" in err
    assert DEBUG_VARIABLE not in err


def test_ctrl_c_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c_in_the_data_group_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("erniekit_adapter.project.loading.load_project", interrupt)
    monkeypatch.setattr(sys, "argv", ["data", "build", "project.yaml"])
    with pytest.raises(SystemExit) as ended:
        data_main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("records", [1, 5000])
def test_closed_pipe_ends_quietly(tmp_path: Path, records: int) -> None:
    line = json.dumps({"source": "log.jsonl", "line": 1, "document_id": "x", "filter": "image", "reason": "r" * 200})
    (tmp_path / "rejected.jsonl").write_text(f"{line}\n" * records)
    command = [*PROGRAM, "data", "rejected", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"image  log.jsonl:1  x\n"
        process.stdout.close()
        _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode in (0, 141)
