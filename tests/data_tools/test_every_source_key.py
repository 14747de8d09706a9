"""Every key of a source changes the records; the keys come from the JSON schema."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from data_examples import ground_truth, write_json, write_page
from format_examples import EXAMPLES, read, source_of
from table_examples import HEADER, ROW, row, write_csv, write_xlsx

from data_tools.inspect.columns import find_mapping
from data_tools.records import RecordOrRejection
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.json_schema import project_schema
from erniekit_adapter.project.table_source import TableSource

FLAT = {"vendor": "Birkenhof", "invoice_number": "R-1", "date": "2025-03-01", "total": "119.00"}
Example = Callable[[Path], tuple[str, str]]


def of_manifest(folder: Path, truth: Mapping[str, Any]) -> str:
    write_page(folder / "a.png")
    write_json(folder / "truth.json", truth)
    write_json(folder / "m.json", [{"image_path": "a.png", "ground_truth_path": "truth.json"}])
    return "kind: manifest, path: m.json"


def of_annotation(folder: Path, truth: Mapping[str, Any]) -> str:
    write_page(folder / "a.png")
    write_json(folder / "a.json", truth)
    return "kind: annotations, path: ."


def moved(folder: Path, key: str, page: str, truth: str) -> tuple[str, str]:
    """Return a manifest whose page or ground truth is in a folder that only the key names."""
    write_page(folder / page)
    write_json(folder / truth, ground_truth())
    entry = {"image_path": Path(page).name, "ground_truth_path": Path(truth).name}
    write_json(folder / "m.json", [entry])
    return "kind: manifest, path: m.json", f"{key}: elsewhere"


def copied(folder: Path, name: str) -> str:
    shutil.copytree(EXAMPLES / name, folder / name)
    return name


def of_label_studio(folder: Path) -> tuple[str, str]:
    """Return a Label Studio source whose pages are in another folder than the export."""
    copied(folder, "labelstudio")
    (folder / "labelstudio" / "images").rename(folder / "images")
    return "kind: annotations, path: labelstudio/export.json", "root: ."


def of_table(folder: Path, rows: list[list[str]] | None = None) -> str:
    write_csv(folder / "book.csv", rows or [HEADER, ROW])
    write_page(folder / "r1001.png")
    return "kind: table, path: book.csv"


def of_workbook(folder: Path) -> tuple[str, str]:
    write_xlsx(folder / "book.xlsx", [HEADER, ROW], other=[HEADER, row(invoice_number="R-7")])
    write_page(folder / "r1001.png")
    return "kind: table, path: book.xlsx", "sheet: other"


def with_pages_elsewhere(folder: Path) -> tuple[str, str]:
    text = of_table(folder)
    (folder / "scans").mkdir()
    (folder / "r1001.png").rename(folder / "scans" / "r1001.png")
    return text, f"documents: {folder / 'scans'}"


# A source without the key, and the key with a second value.
EXAMPLES_OF: Mapping[str, Example] = {
    "active_learning.reviewed": lambda folder: (
        f"kind: active_learning, path: {copied(folder, 'log-reviewed')}/log.jsonl",
        "reviewed: true",
    ),
    "manifest.root": lambda folder: moved(folder, "root", "elsewhere/a.png", "elsewhere/t.json"),
    "manifest.images_dir": lambda folder: moved(folder, "images_dir", "elsewhere/a.png", "t.json"),
    "manifest.ground_truth_dir": lambda folder: moved(folder, "ground_truth_dir", "a.png", "elsewhere/t.json"),
    "manifest.reviewed": lambda folder: (
        of_manifest(folder, json.loads((EXAMPLES / "textract" / "p1.json").read_text())),
        "reviewed: true",
    ),
    "manifest.complete": lambda folder: (of_manifest(folder, FLAT), "complete: true"),
    "manifest.labels": lambda folder: (
        of_manifest(folder, FLAT | {"Absender": "A"}),
        "labels: {Absender: client_name}",
    ),
    "manifest.currency": lambda folder: (of_manifest(folder, FLAT | {"total": "33,000"}), "currency: IDR"),
    "annotations.root": of_label_studio,
    "annotations.reviewed": lambda folder: (
        f"kind: annotations, path: {copied(folder, 'textract')}",
        "reviewed: true",
    ),
    "annotations.labels": lambda folder: (
        of_annotation(folder, FLAT | {"Absender": "A"}),
        "labels: {Absender: client_name}",
    ),
    "annotations.currency": lambda folder: (of_annotation(folder, FLAT | {"total": "33,000"}), "currency: IDR"),
    "table.documents": with_pages_elsewhere,
    "table.ignore": lambda folder: (of_table(folder), "ignore: [vat]"),
    "table.sheet": of_workbook,
    "table.decimal_mark": lambda folder: (
        f"{of_table(folder, [HEADER, row(net='1.234', vat='0.000', total='1.234')])}, columns: {{tax_amount: vat}}",
        "decimal_mark: comma",
    ),
}
# Keys that every source needs.
NEEDED = ("kind", "path")


def keys(section: Mapping[str, Any], name: str) -> Iterator[str]:
    for key, part in section["properties"].items():
        if "properties" in part:
            yield from keys(part, f"{name}.{key}")
        elif key not in NEEDED:
            yield f"{name}.{key}"


def keys_of_sources() -> list[str]:
    kinds = project_schema()["properties"]["data"]["properties"]["sources"]["items"]["oneOf"]
    return [key for kind in kinds for key in keys(kind, kind["title"])]


COLUMNS = [key for key in keys_of_sources() if key.startswith("table.columns.")]


def results(typed: str, folder: Path) -> list[RecordOrRejection] | str:
    try:
        return read(source_of(f"{{{typed}}}", folder))
    except AdapterError as error:
        return str(error)


def test_every_source_key_has_an_example() -> None:
    assert set(keys_of_sources()) == {*EXAMPLES_OF, *COLUMNS}


@pytest.mark.parametrize("key", EXAMPLES_OF)
def test_another_value_changes_the_records(tmp_path: Path, key: str) -> None:
    typed, second = EXAMPLES_OF[key](tmp_path)
    assert results(typed, tmp_path) != results(f"{typed}, {second}", tmp_path)


@pytest.mark.parametrize("key", COLUMNS)
def test_uses_a_given_column(tmp_path: Path, key: str) -> None:
    field = key.removeprefix("table.columns.")
    path = write_csv(tmp_path / "book.csv", [["Spalte", "file"], ["7", "a.png"]])
    columns: dict[str, Any] = {}
    section, _, name = field.rpartition(".")
    columns[section or field] = {name: "Spalte"} if section else "Spalte"
    source = TableSource.model_validate({"kind": "table", "path": path, "columns": columns})
    assert ("Spalte", field) in {(use.column, use.field) for use in find_mapping(source).matched}
