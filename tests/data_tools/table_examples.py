"""Tables as teams keep them, written by the tests that read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
from data_examples import write_page

from data_tools.records import DocumentRecord, Reading, Rejection
from data_tools.stage.shards import cut, read_shard
from erniekit_adapter.invoice.answer import as_json
from erniekit_adapter.project.table_source import TableSource

HEADER = ["file", "vendor", "invoice_number", "date", "net", "vat", "total", "currency"]
ROW = ["r1001.png", "Nordlicht Werkzeuge GmbH", "R-1001", "14.03.2025", "200,00", "38,00", "238,00", "EUR"]
# What the row says.
ANSWER = {
    "vendor_block": {"name": "Nordlicht Werkzeuge GmbH"},
    "client_info": {"invoice_number": "R-1001", "invoice_date": "2025-03-14"},
    "financial_summary": {"subtotal": "200.00", "taxes": [{"amount": "38.00"}], "grand_total": "238.00"},
}


def row(**changes: str) -> list[str]:
    """The example row with other cells, by the names of `HEADER`."""
    return [changes.get(name, cell) for name, cell in zip(HEADER, ROW, strict=True)]


def csv_text(rows: Iterable[Sequence[Any]], delimiter: str = ";") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


def write_csv(path: Path, rows: Iterable[Sequence[Any]], delimiter: str = ";", encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(csv_text(rows, delimiter).encode(encoding))
    return path


def write_xlsx(path: Path, rows: Iterable[Sequence[Any]], **sheets: Iterable[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook()
    first = book.active
    for cells in rows:
        first.append(list(cells))
    for name, others in sheets.items():
        sheet = book.create_sheet(name)
        for cells in others:
            sheet.append(list(cells))
    book.save(path)
    return path


def write_pages(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            write_page(path, name)
        else:
            path.write_bytes(b"page")


def source(path: Path, **keys: Any) -> TableSource:
    return TableSource.model_validate({"kind": "table", "path": path, **keys})


def read_all(path: Path, **keys: Any) -> list[Reading]:
    shards = cut(source(path, **keys), role_is_test=False)
    return [reading for shard in shards for reading in read_shard(shard)]


def records(path: Path, **keys: Any) -> list[DocumentRecord]:
    found = read_all(path, **keys)
    refused = [each for each in found if not isinstance(each, DocumentRecord)]
    assert not refused, refused
    return [each for each in found if isinstance(each, DocumentRecord)]


def record(path: Path, **keys: Any) -> DocumentRecord:
    (found,) = records(path, **keys)
    return found


def rejections(path: Path, **keys: Any) -> list[Rejection]:
    return [each for each in read_all(path, **keys) if isinstance(each, Rejection)]


def rejection(path: Path, **keys: Any) -> Rejection:
    (found,) = rejections(path, **keys)
    return found


def taught(found: DocumentRecord) -> dict[str, Any]:
    """What a record says, with amounts as text."""
    assert found.answer
    return texts(as_json(found.answer)["structured_data"])


def texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: texts(part) for key, part in value.items()}
    if isinstance(value, list):
        return [texts(part) for part in value]
    return str(value)
