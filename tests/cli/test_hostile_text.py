"""Control characters in names, keys, values and documents: none of them reaches the terminal, from any command."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from erniekit_adapter.cli import main
from erniekit_adapter.cli.groups import DataGroup, DocumentTypeGroup, Program

ROOT = Path(__file__).resolve().parents[2]
# A style, a cursor movement as C1, a window title, a carriage return, marks that reverse text.
HOSTILE = "\x1b[31m\x9b2J\x1b]0;owned\x07\r\u202e\u2066"
YAML = r"\e[31m\x9b2J\e]0;owned\a\r\u202e\u2066"
FOLDER, PROJECT = Path(f"f-{HOSTILE}-\udcfc"), "p-\x1b[2J.yaml"
# Arguments of each command.
COMMANDS = {
    "check": [PROJECT],
    "check no such option": [PROJECT, f"--{HOSTILE}"],
    "plan a wrong number": [PROJECT, "--gpus", HOSTILE],
    "verify a wrong choice": [PROJECT, "--trust", HOSTILE],
    "data preview too many arguments": [PROJECT, HOSTILE, HOSTILE],
    "data biuld": [HOSTILE],
    "check an unknown key": [PROJECT, "--set", f"training.{HOSTILE}=1"],
    "translate": [PROJECT],
    "translate another": [PROJECT, "--diff", "missing-\x1b[2J.yaml"],
    "plan": [PROJECT],
    "doctor": [PROJECT],
    "setup": [HOSTILE],
    "data build": [PROJECT],
    "data build a missing source": [PROJECT, "--set", f"dataset.path={HOSTILE}"],
    "data preview": [str(FOLDER)],
    "data report": [str(FOLDER), "--output", f"{FOLDER}/report.html"],
    "data rejected": [str(FOLDER)],
    "data rejected a filter": [str(FOLDER), "--filter", HOSTILE],
    "data audit": [str(FOLDER / "invoice.json"), str(FOLDER / "missing.xml")],
    "data columns": [str(FOLDER / "table.csv")],
    "data prepare": ["--active-learning-file", str(FOLDER / "log.jsonl"), "--output", str(FOLDER / "out.jsonl")],
    "data synthesize": ["--output", str(FOLDER / "documents"), "--count", "1", "--seed", "1"],
    "data corpus": ["--output", str(FOLDER / "corpus.txt"), "--count", "1", "--seed", "1"],
    "document-type list": [],
    "document-type new": [HOSTILE, "--from", str(FOLDER / "invoice.json")],
    "document-type show": [str(FOLDER)],
    "document-type check": [str(FOLDER)],
    "train": [PROJECT],
    "export": [PROJECT],
    "evaluate": [PROJECT],
    "summary": [PROJECT],
    "verify": [str(FOLDER / "bundle"), "--trust", "unsigned"],
    "sign": [str(FOLDER / "bundle"), "--key-file", HOSTILE],
    "import": [PROJECT, str(FOLDER / "peft"), "--output", str(FOLDER / "imported")],
    "sweep": ["sweep.yaml"],
    "tiny-model": ["--corpus", HOSTILE, "--output", str(FOLDER / "tiny")],
}


@pytest.fixture(autouse=True)
def hostile_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write files with hostile names and content, and work in their folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / FOLDER
    (folder / "bundle").mkdir(parents=True)
    (tmp_path / PROJECT).write_text(
        f'run_name: "{YAML}"\noutput_dir: "run-{YAML}"\nmodel: {{model_name_or_path: "model-{YAML}"}}\n'
        f"training: {{device: cpu, max_steps: 5}}\ndata: {{sources: [{{kind: active_learning, path: log.jsonl}}]}}\n"
    )
    (tmp_path / "sweep.yaml").write_text(f'"{YAML}": 1\n')
    rejection = dict.fromkeys(("source", "document_id", "filter", "reason"), HOSTILE) | {"line": 1}
    (folder / "rejected.jsonl").write_text(f"{json.dumps(rejection)}\n")
    (folder / "manifest.json").write_text(json.dumps({HOSTILE: 1}))
    (folder / "bundle" / "manifest.json").write_text(json.dumps({HOSTILE: HOSTILE}))
    (folder / "invoice.json").write_text(
        json.dumps({"structured_data": {"client_info": {"invoice_number": f"1{HOSTILE}"}}})
    )
    (folder / "table.csv").write_text(f"file;total;{HOSTILE}\na.png;1,00;x{HOSTILE}\n", encoding="utf-8")
    for log in (tmp_path / "log.jsonl", folder / "log.jsonl"):
        log.write_text(f"{json.dumps({HOSTILE: HOSTILE, 'invoice_id': HOSTILE})}\n")


def test_every_command_has_a_case() -> None:
    names = {name for names in Program.panels.values() for name in names} - {"data", "document-type"}
    names |= {f"data {name}" for names in DataGroup.panels.values() for name in names}
    names |= {f"document-type {name}" for names in DocumentTypeGroup.panels.values() for name in names}
    assert [name for name in names if name not in COMMANDS] == []


@pytest.mark.parametrize("case", COMMANDS)
def test_no_control_character_reaches_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    words = case.split()
    command = words[:2] if words[0] in ("data", "document-type") else words[:1]
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter", *command, *COMMANDS[case]])
    with pytest.raises(SystemExit):
        main()
    out, err = capsys.readouterr()
    assert out + err
    assert {character for character in out + err if not character.isprintable()} == {"\n"}
    assert "erniekit-adapter: unexpected" not in err


def test_product_code_prints_through_the_terminal_module() -> None:
    allowed = ("erniekit_adapter/workers/", "erniekit_adapter/terminal.py", "erniekit_adapter/cli/__init__.py")
    found = []
    for path in (*(ROOT / "erniekit_adapter").rglob("*.py"), *(ROOT / "data_tools").rglob("*.py")):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if name.startswith(allowed) or '__name__ == "__main__"' in text:
            continue
        calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
        found += [name for call in calls if ast.unparse(call) in ("print", "typer.echo", "sys.stdout.write", "Console")]
    # These consoles write to a picture, and the preview gets its console from the command.
    assert set(found) <= {"erniekit_adapter/evaluation/summary.py", "data_tools/inspect/print_preview.py"}
