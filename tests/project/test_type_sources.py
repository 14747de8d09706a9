"""Sources that do not fit the project's document type are refused when the project is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from type_examples import write_type

from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.loading import load_project

HEAD = "model: {model_name_or_path: x}\noutput_dir: runs/x\n"


def project(folder: Path, kind: str, source: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(f"{HEAD}document_type: {kind}\ndata:\n  sources:\n    - {source}\n")
    return path


@pytest.fixture
def kind(tmp_path: Path) -> str:
    row = {"name": {"type": "string"}}
    properties = {
        "seller": {"type": "object", "properties": {"name": {"type": "string", "x-aliases": ["Firma"]}}},
        "items": {"type": "array", "items": {"type": "object", "properties": row}},
        "notes": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}}}},
    }
    return str(write_type(tmp_path / "order", properties).folder)


@pytest.mark.parametrize(
    "source",
    [
        "{kind: table, path: a.csv, columns: {seller.name: X, items: {name: Y}, file: Z}}",
        "{kind: table, path: a.csv, columns: {firma: X, items.name: Y}}",
        "{kind: manifest, path: a.json, labels: {A: seller.name, B: items, C: items.name}}",
    ],
)
def test_accepts_sources_of_the_type(tmp_path: Path, kind: str, source: str) -> None:
    assert load_project(project(tmp_path, kind, source)).sources


@pytest.mark.parametrize(
    ("source", "finding", "hint"),
    [
        ("{kind: einvoice, path: a}", r"data.sources\[0\].kind: e-invoices are invoices, and document_type is order",
         "remove this source, or set document_type: invoice"),
        ("{kind: table, path: a.csv, columns: {vendor_name: X}}",
         r"data.sources\[0\].columns.vendor_name: no such field",
         "the fields are file, seller.name, items.name"),
        ("{kind: table, path: a.csv, columns: {items: {size: X}}}", r"columns.items.size: no such field", "items.name"),
        ("{kind: table, path: a.csv, columns: {notes.text: X}}", "can only be rows of items", "the fields are"),
        ("{kind: table, path: a.csv, columns: {name: 3}}", "expected the header of a column", ""),
        ("{kind: manifest, path: a.json, labels: {A: total}}", r"data.sources\[0\].labels: no such field: A: total",
         "the fields are seller.name"),
    ],
)  # fmt: skip
def test_refuses_other_sources(tmp_path: Path, kind: str, source: str, finding: str, hint: str) -> None:
    with pytest.raises(UsageError, match=finding) as raised:
        load_project(project(tmp_path, kind, source))
    assert "mine.yaml:" in str(raised.value)
    assert hint in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("{vendr_name: X}", r"columns.vendr_name: unknown key\n.*did you mean vendor_name"),
        ("{line_items: {totl: X}}", r"columns.line_items.totl: unknown key"),
        ("{items: {total: X}}", r"columns.items: unknown key"),
    ],
)
def test_invoices_have_their_own_columns(tmp_path: Path, columns: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_project(project(tmp_path, "invoice", f"{{kind: table, path: a.csv, columns: {columns}}}"))
