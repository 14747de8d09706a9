"""Tables as companies keep them, and functions that read their records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
from data_examples import write_page
from source_examples import read_source

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from erniekit_adapter.documents.invoice.answer import as_json
from erniekit_adapter.project.table_source import TableSource

HEADER = ["file", "vendor", "invoice_number", "date", "net", "vat", "total", "currency"]
ROW = ["r1001.png", "Nordlicht Werkzeuge GmbH", "R-1001", "14.03.2025", "200,00", "38,00", "238,00", "EUR"]
# The answer of the row.
ANSWER = {
    "vendor_block": {"name": "Nordlicht Werkzeuge GmbH"},
    "client_info": {"invoice_number": "R-1001", "invoice_date": "2025-03-14"},
    "financial_summary": {"subtotal": "200.00", "taxes": [{"amount": "38.00"}], "grand_total": "238.00"},
}


def row(**changes: str) -> list[str]:
    """Return the example row with other cells, by the names of `HEADER`."""
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


def read_all(path: Path, **keys: Any) -> list[RecordOrRejection]:
    return read_source(source(path, **keys))


def records(path: Path, **keys: Any) -> list[DocumentRecord]:
    found = read_all(path, **keys)
    rejected = [each for each in found if not isinstance(each, DocumentRecord)]
    assert not rejected, rejected
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
    """Return the answer of a record, with amounts as text."""
    assert found.answer
    return texts(as_json(found.answer)["structured_data"])


def texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: texts(part) for key, part in value.items()}
    if isinstance(value, list):
        return [texts(part) for part in value]
    return str(value)


LINES = ["invoice no", "vendor", "date", "description", "qty", "unit price", "line total", "net", "total"]


def line(description: str, quantity: str, price: str, amount: str, /, **changes: str) -> list[str]:
    first = {"invoice no": "R-1", "vendor": "Nord", "date": "14.03.2025", "net": "200,00", "total": "238,00"}
    own = {"description": description, "qty": quantity, "unit price": price, "line total": amount}
    return [{**first, **own, **changes}[name] for name in LINES]


TWO_LINES = [line("Drill", "2", "25,00", "50,00"), line("Vise", "1", "150,00", "150,00")]


def table(folder: Path, *rows: list[str], header: list[str] | None = None) -> Path:
    return write_csv(folder / "book.csv", [header or HEADER, *rows])


def one_document(folder: Path, name: str) -> list[list[str]]:
    write_pages(folder, f"{name}.png")
    return [line(text, "1", "1,00", "1,00", **{"invoice no": name}) for text in ("a", "b")]
