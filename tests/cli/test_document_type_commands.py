"""document-type new, list, show and check: output, files and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from type_examples import write_type

from erniekit_adapter.cli import main
from erniekit_adapter.documents.loading import load_document_type, shipped_names

ROOT = Path(__file__).resolve().parents[2]
BILLS = ROOT / "docs" / "examples" / "utility-bills"
ANSWER = {"number": "A-1", "issued": "31.01.2025", "net": 100.1, "vat": 19.02, "total": 119.12}
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, columns: int = 100) -> int:
        monkeypatch.setattr(sys, "argv", ["erniekit-adapter", "document-type", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "example.json"
    path.write_text(json.dumps(ANSWER))
    return path


def test_new_writes_a_type_that_loads(run: Run, example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("new", "delivery-note", "--from", example) == 0
    made = load_document_type("./document_types/delivery-note")
    assert (made.title, made.language, list(made.rules.by_name)) == ("delivery note", "en", ["TOTAL"])
    out = capsys.readouterr().out
    assert "Total is net plus VAT." in out
    assert "issued (31.01.2025 → 2025-01-31): not ISO 8601" in out
    written = Path("document_types/delivery-note/examples.jsonl").read_text()
    assert written == '{"number":"A-1","issued":"2025-01-31","net":100.1,"vat":19.02,"total":119.12}\n'


def test_new_prints_commands_that_work(run: Run, example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("new", "bill", "--from", example, "--output", "a/b", "--title", "Bill of A", "--language", "zh") == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [line.partition("erniekit-adapter document-type ")[2] for line in lines if "document-type " in line]
    assert [command.split()[0] for command in commands] == ["show", "check"]
    assert [run(*command.split()) for command in commands] == [0, 0]


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal(run: Run, capsys: pytest.CaptureFixture[str], columns: int) -> None:
    assert run("new", "bill", "--from", BILLS / "answers", columns=columns) == 0
    tables = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "┏┃┡│└"]
    assert max(map(len, tables)) <= columns


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (("../x", "--from", "example.json"), "cannot be the name"),
        (("x" * 61, "--from", "example.json"), "cannot be the name"),
        (("x", "--from", "none.json"), "none.json: no such file"),
        (("x", "--from", "example.json", "--output", "full"), "full: is not empty"),
        (("x", "--from", "example.json", "--output", "example.json"), "is a file"),
        (("x", "--from", "example.json", "--title", "\n"), "--title"),
        (("x",), "--from"),
    ],
)
def test_new_refuses_wrong_arguments(
    run: Run, example: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], finding: str
) -> None:
    (example.parent / "full").mkdir()
    (example.parent / "full" / "kept").touch()
    assert run("new", *arguments) == 2
    assert finding in capsys.readouterr().err
    assert sorted(path.name for path in example.parent.iterdir()) == ["example.json", "full"]


def test_list_names_every_shipped_type(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    out = capsys.readouterr().out
    assert [name for name in shipped_names() if f"│ {name} " not in out] == []


def test_show_prints_fields_rules_and_prompt(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    properties = {
        "net": {"type": "number", "x-kind": "amount", "x-aliases": ["Netto"]},
        "total": {"type": "string", "x-kind": "amount", "x-role": "total"},
    }
    rules = [{"name": "SUM", "sentence": "Net is the total.", "equation": "net = total"}]
    write_type(tmp_path / "slip", properties, {"title": "pay slip", "rules": rules})
    assert run("show", "./slip") == 0
    out = capsys.readouterr().out
    for part in (
        "Netto",
        "amount (in text)",
        "Net is the total.",
        '{"net","total"}',
        "Read this pay slip.",
        "x-role: number",
    ):
        assert part in out


@pytest.mark.parametrize("reference", ["invoice", "receipt"])
def test_show_prints_shipped_types(run: Run, reference: str) -> None:
    assert run("show", reference) == 0


@pytest.mark.parametrize("verb", ["show", "check"])
def test_unknown_type_is_an_error(run: Run, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "nothing") == 2
    assert "no type 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("reciept", "did you mean receipt?"),
        ("Receipt", "did you mean receipt?"),
        ("./types/pay-slp", "did you mean ./types/pay-slip?"),
        ("./types/other", "document-type new NAME --from EXAMPLE.json --output ./types/other"),
    ],
)
def test_wrong_type_name_gets_a_hint(
    run: Run, tmp_path: Path, reference: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_type(tmp_path / "types" / "pay-slip", {"net": {"type": "number"}})
    assert run("show", reference) == 2
    assert hint in capsys.readouterr().err


def test_folder_needs_no_slash_on_the_command_line(run: Run, tmp_path: Path) -> None:
    write_type(tmp_path / "slip", {"net": {"type": "number"}})
    assert run("check", "slip") == 0


def test_check_lists_every_problem_with_its_line(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "slip"
    folder.mkdir()
    (folder / "schema.json").write_text(
        '{"type": "object",\n "properties": {\n  "a": {"type": "number", "x-kind": "mony"},\n  "b": {}}}'
    )
    (folder / "document_type.yaml").write_text("title: slip\n")
    assert run("check", "./slip") == 2
    err = capsys.readouterr().err
    assert "schema.json:3 properties.a.x-kind" in err
    assert "schema.json:4 properties.b" in err


@pytest.mark.parametrize(
    ("answers", "code", "lines"),
    [
        ([{"net": 5, "total": 5}], 0, ["✓ answers.jsonl:1", "✓ SUM: net 5 = total 5", "✓ 1 answers match"]),
        ([{"net": 5}], 0, ["○ SUM: missing: total"]),
        ([{"net": 5, "total": 5}, {"net": 5, "total": 6}], 1, ["✗ answers.jsonl:2", "✗ SUM: net 5 ≠ total 6"]),
        ([{"net": "five", "tax": 1}], 1, ["✗ schema: net: ", "✗ schema: tax: no such field in schema.json"]),
        ([{"net": "1.005,00", "total": "1.005,00"}], 0, ["✓ answers.jsonl:1  (names or spellings differ"]),
    ],
)
def test_check_applies_schema_and_rules_to_answers(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: list[object], code: int, lines: list[str]
) -> None:
    properties = {name: {"type": "number", "x-kind": "amount"} for name in ("net", "total")}
    rules = [{"name": "SUM", "sentence": "Net is the total.", "equation": "net = total"}]
    write_type(tmp_path / "slip", properties, {"title": "slip", "rules": rules})
    Path("answers.jsonl").write_text("".join(f"{json.dumps(answer)}\n" for answer in answers))
    assert run("check", "./slip", "--answers", "answers.jsonl") == code
    output = capsys.readouterr()
    assert [line for line in lines if line not in output.out] == []
    assert ("answers are wrong" in output.err) == (code == 1)


def test_group_without_a_command_prints_help(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert [name for name in ("new", "list", "show", "check") if f"\n  {name} " not in out] == []


def test_example_bills_make_a_type_in_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "erniekit_adapter", "document-type", "new", "utility-bill"]
    command += ["--from", str(BILLS / "answers"), "--output", str(tmp_path / "utility-bill")]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    made = load_document_type(str(tmp_path / "utility-bill"))
    rules = {"NET", "TOTAL", "CURRENT-READING", "VAT", "CHARGES-AMOUNT", "PERIOD-END", "DUE-DATE"}
    assert set(made.rules.by_name) == rules
    answers = [json.loads(line) for line in (tmp_path / "utility-bill" / "examples.jsonl").read_text().splitlines()]
    assert answers == [json.loads(path.read_text()) for path in sorted((BILLS / "answers").glob("*.json"))]


def test_example_pages_show_the_numbers_of_their_answers() -> None:
    for path in sorted((BILLS / "answers").glob("*.json")):
        page = (BILLS / "pages" / f"{path.stem}.txt").read_text()
        answer = json.loads(path.read_text())
        values = [answer[key] for key in ("supplier", "bill_number", "meter_number", "currency", "consumption")]
        assert [value for value in values if str(value) not in page] == []
        assert f"{answer['total']:.2f}" in page
