"""Help screens, versions, choices, and the errors for wrong names and options of earlier versions."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import typer

from data_tools.pipeline.split import SPLITS
from erniekit_adapter import __version__
from erniekit_adapter.cli import arguments, data_main, main
from erniekit_adapter.cli.groups import DataGroup, DocumentTypeGroup, Program
from erniekit_adapter.project.schema import DataSection, FiltersSection, TasksSection
from erniekit_adapter.project.table_source import TableSource

COMMANDS = [(name,) for names in Program.panels.values() for name in names if name != "data"]
DATA_COMMANDS = [("data", name) for names in DataGroup.panels.values() for name in names]
TYPE_COMMANDS = [("document-type", name) for names in DocumentTypeGroup.panels.values() for name in names]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(*arguments: str, program: Callable[[], None] = main) -> int:
        monkeypatch.setattr(sys, "argv", ["erniekit-adapter", *arguments])
        monkeypatch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as ended:
            program()
        return int(ended.value.code or 0)

    return run


def test_version_names_package_and_python(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"erniekit-adapter {__version__} (Python {platform.python_version()})\n"


def test_help_lists_every_command_in_order(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    order = [name for names in Program.panels.values() for name in names]
    assert re.findall(rf"^  ({'|'.join(order)}) ", out, re.MULTILINE) == order
    assert [title for title in Program.panels if f"\n{title}:\n" not in out] == []


def test_panels_hold_every_command() -> None:
    from erniekit_adapter.cli.groups import app, data_app, document_type_app

    for group, group_app in ((Program, app), (DataGroup, data_app), (DocumentTypeGroup, document_type_app)):
        commands = typer.main.get_command(group_app).commands  # type: ignore[attr-defined]
        assert sorted(name for names in group.panels.values() for name in names) == sorted(commands)


@pytest.mark.parametrize("command", [*COMMANDS, *DATA_COMMANDS, *TYPE_COMMANDS], ids=" ".join)
def test_help_has_an_example(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert run(*command, "--help") == 0
    out = capsys.readouterr().out
    assert re.search(rf"\nExamples:\n  erniekit-adapter .*{' '.join(command)}", out, re.DOTALL)
    assert re.search(r"\bwrites?\b", out, re.IGNORECASE)


def test_data_tools_runs_the_data_group(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help", program=data_main) == 0
    ours = capsys.readouterr().out
    assert run("data", "--help") == 0
    assert capsys.readouterr().out == ours


def test_unknown_command_gets_a_suggestion(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("chek") == 2
    assert "Did you mean 'check'?" in capsys.readouterr().err
    assert run("data", "bild") == 2
    assert "Did you mean 'build'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        (("data", "preview", "x", "--split"), SPLITS),
        (("data", "preview", "x", "--task"), tuple(TasksSection.model_fields)),
        (("data", "prepare", "--ocr"), get_args(DataSection.model_fields["ocr"].annotation)),
        (("data", "prepare", "--arithmetic"), ("error", "warn")),
        (("data", "columns", "x", "--decimal-mark"), ("comma", "point")),
        (("verify", "x", "--trust"), ("signed", "unsigned")),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) and value[-1].startswith("--") else "",
)
def test_wrong_choice_lists_the_choices(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], command: tuple[str, ...], choices: tuple[str, ...]
) -> None:
    assert run(*command, "wrong") == 2
    err = capsys.readouterr().err
    assert [choice for choice in choices if f"'{choice}'" not in err] == []
    assert run(*command[:-1], "--help") == 0
    shown = capsys.readouterr().out
    assert re.search(rf"{command[-1]}\s+[<\[]({'|'.join(choices)}|\|)+[>\]]", shown)


def test_choices_are_those_of_the_project_schema() -> None:
    assert get_args(arguments.Split) == tuple(SPLITS)
    assert get_args(arguments.Task) == tuple(TasksSection.model_fields)
    assert set(get_args(arguments.OcrEngine)) == set(get_args(DataSection.model_fields["ocr"].annotation))
    for effect in get_args(arguments.Arithmetic):
        assert FiltersSection.model_validate({"arithmetic": effect}).arithmetic == effect
    for mark in get_args(arguments.DecimalMark):
        TableSource.model_validate({"kind": "table", "path": "a.csv", "decimal_mark": mark})


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("data", "build", "--project", "a.yaml"), "erniekit-adapter data build PROJECT"),
        (("data", "build", "--project=a.yaml"), "erniekit-adapter data build PROJECT"),
        (("data", "rejected", "--output-dir", "runs"), "erniekit-adapter data rejected FOLDER"),
        (("data", "preview", "--output-dir=runs"), "erniekit-adapter data preview FOLDER"),
        (("data", "report", "--output-dir", "runs", "--output", "a.html"), "erniekit-adapter data report FOLDER"),
        (("export", "a.yaml", "--allow-unproven"), "erniekit-adapter export PROJECT --allow-unchecked"),
        (("export", "a.yaml", "--no-allow-unproven"), "leave it out: erniekit-adapter export PROJECT"),
        (("train", "a.yaml", "--no-restart"), "leave it out: train resumes by default"),
        (("data", "rejected", "runs", "--gate", "dates"), "erniekit-adapter data rejected FOLDER --filter NAME"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_option_of_an_earlier_version_names_the_new_form(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], command: tuple[str, ...], hint: str
) -> None:
    assert run(*command) == 2
    err = capsys.readouterr().err
    assert "was removed\n    → " in err
    assert err.rstrip().endswith(hint)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("build", "a.yaml"), "use erniekit-adapter data build"),
        (("data", "train", "a.yaml"), "use erniekit-adapter train"),
        (("data-tools", "build", "a.yaml"), "use erniekit-adapter data"),
        (("data_tools", "build", "a.yaml"), "use erniekit-adapter data"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_command_of_the_other_group_names_it(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], command: tuple[str, ...], hint: str
) -> None:
    assert run(*command) == 2
    assert capsys.readouterr().err.rstrip().endswith(f"→ {hint}")


def test_unknown_option_is_not_called_removed(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "audit", "--project", "a.xml") == 2
    err = capsys.readouterr().err
    assert "No such option" in err
    assert "was removed" not in err


def test_sign_needs_one_key(run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for options in ((), ("--key-file", "a.pem", "--key-variable", "KEY")):
        assert run("sign", str(tmp_path), *options) == 2
        assert "needs either --key-file or --key-variable" in capsys.readouterr().err
    assert run("sign", str(tmp_path), "--key-file", str(tmp_path / "missing.pem")) in (1, 2)
    assert "missing.pem" in capsys.readouterr().err


def test_setup_lists_the_environments(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("setup") == 0
    out = capsys.readouterr().out
    assert re.search(r"erniekit .* [0-9.]+ GB", out)
    assert run("setup", "nothing") == 2
    assert "expected one of erniekit" in capsys.readouterr().err
