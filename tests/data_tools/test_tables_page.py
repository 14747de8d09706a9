"""docs/tables.md: its commands succeed, and its examples are read as documented."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from erniekit_adapter.cli import data_main as main
from erniekit_adapter.project.table_source import TableColumns

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tables.md").read_text()
EXAMPLES = "docs/examples/table"


@pytest.fixture(autouse=True)
def _in_a_folder_with_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["erniekit-adapter data", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_commands_succeed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = re.findall(r"^\$ \.venv/bin/erniekit-adapter data (.+)$", PAGE, re.MULTILINE)
    assert len(commands) == len(re.findall(r"^\$ ", PAGE, re.MULTILINE)) == 4
    for command in commands:
        assert run(monkeypatch, *shlex.split(command)) == 0, command
    manifest = json.loads((tmp_path / "runs/table/data/manifest.json").read_text())
    assert (manifest["written"], manifest["rejected"]) == (2, 0)
    assert manifest["unused_keys"] == {"column Kostenstelle": 2}


def test_columns_prints_the_mapping(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "columns", f"{EXAMPLES}/book.csv") == 0
    out = capsys.readouterr().out
    assert "CSV, UTF-8, delimiter ';'" in out
    assert "2 rows, each a document" in out
    assert re.search(r"Betrag brutto .*grand_total .*238,00 .*238\.00", out)
    assert re.search(r"Kostenstelle .*not used .*4711", out)
    assert 'grand_total: "Betrag brutto"' in out


def test_line_item_example_is_read_as_documented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = f"{{kind: table, path: {EXAMPLES}/lines.csv, documents: {EXAMPLES}/scans}}"
    project = f"{EXAMPLES}/project.yaml"
    assert run(monkeypatch, "build", project, "--set", f"data.sources=[{source}]") == 0
    answers = [
        json.loads(json.loads(line)["tgt"][0])["structured_data"]
        for line in (tmp_path / "runs/table/data/train.jsonl").read_text().splitlines()
    ]
    assert [[item["total"] for item in answer["line_items"]] for answer in answers] == [[50, 150], [168, 32]]


def test_yaml_equals_the_example() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    project = yaml.safe_load((ROOT / EXAMPLES / "project.yaml").read_text())
    assert blocks[0]["data"]["sources"] == project["data"]["sources"]
    assert TableColumns.model_validate(blocks[1]["columns"]).given()["line_items.total"] == "Gesamtpreis"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("file;Betrag\na.png;1,00\n", 2, "columns: {grand_total: \"Betrag\"}"),
        ("apples;pears\n1;2\n", 2, "no column has a usual name"),
        ("vendor;total\nNord;1,00\n", 2, "no column with the file or the invoice number of the document"),
    ],
)  # fmt: skip
def test_columns_asks_about_ambiguous_names(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    text: str,
    code: int,
    message: str,
) -> None:
    path = tmp_path / "book.csv"
    path.write_text(text)
    assert run(monkeypatch, "columns", str(path)) == code
    assert message in capsys.readouterr().err


def test_columns_accepts_a_mapping(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "book.csv"
    path.write_text("Ablage;Wert;VAT\na.png;1.234;19\n")
    mapped = ["--map", "file=Ablage", "--map", "grand_total = Wert", "--ignore", "VAT", "--decimal-mark", "comma"]
    assert run(monkeypatch, "columns", str(path), *mapped) == 0
    assert re.search(r"Wert .*grand_total .*1\.234 .*1234", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--map", "total"], "is not field=column"),
        (["--map", "sum=Wert"], "the fields are file, invoice_number"),
        (["--decimal-mark", "dot"], "comma"),
        (["--map", "subtotal=Nett"], "no column 'Nett'"),
    ],
)
def test_columns_explains_a_wrong_mapping(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(monkeypatch, "columns", f"{EXAMPLES}/book.csv", *arguments) != 0
    assert message in capsys.readouterr().err
