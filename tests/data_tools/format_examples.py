"""The examples of docs/formats.md, read as sources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter
from source_examples import read_source

from data_tools.records import DocumentRecord, RecordOrRejection
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.invoice.answer import Answer, as_json
from erniekit_adapter.project.schema import AnySource, SourceEntry

ROOT = Path(__file__).parents[2]
FORMATS = ROOT / "docs" / "formats.md"
EXAMPLES = Path(__file__).parent / "cases" / "formats"
_PATHS = ("path", "root", "images_dir", "ground_truth_dir")
_NAMES = {
    ("vendor_block", "name"): "vendor_name",
    ("vendor_block", "address"): "vendor_address",
    ("vendor_block", "phone"): "vendor_phone",
    ("vendor_block", "email"): "vendor_email",
    ("client_info", "name"): "client_name",
    ("client_info", "address"): "client_address",
    ("payment_terms", "notes"): "payment_terms",
}


@dataclass(frozen=True)
class Row:
    """A row of the table: a format, the source in the project file, and the fields of the answer."""

    have: str
    typed: str
    fields: frozenset[str]


def rows_of_the_table() -> list[Row]:
    """Return the rows of the first table in docs/formats.md."""
    found = []
    for line in FORMATS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 3 and "{kind:" in cells[1]:
            found.append(Row(cells[0], cells[1].strip("`"), frozenset(re.findall(r"`(\w+)`", cells[2]))))
    return found


def source_of(typed: str, folder: Path = EXAMPLES) -> AnySource:
    """Return the source of a project file, with its paths inside a folder."""
    value: dict[str, Any] = yaml.safe_load(typed)
    placed = {key: str(folder / part) if key in _PATHS else part for key, part in value.items()}
    adapter: TypeAdapter[AnySource] = TypeAdapter(SourceEntry)
    return adapter.validate_python(placed)


def read(source: AnySource, date_order: DateOrder | None = None) -> list[RecordOrRejection]:
    """Return every record and rejection of a source."""
    return read_source(source, date_order)


def read_one(typed: str, folder: Path = EXAMPLES, date_order: DateOrder | None = None) -> DocumentRecord:
    """Return the only record of a source."""
    (found,) = read(source_of(typed, folder), date_order)
    assert isinstance(found, DocumentRecord), found
    return found


def fields_of(answer: Answer) -> frozenset[str]:
    """Return the names of the fields in an answer, as in docs/formats.md."""
    data = as_json(answer)["structured_data"]
    names = {
        _NAMES.get((block, key), key)
        for block, part in data.items()
        if isinstance(part, dict)
        for key, value in part.items()
        if value
    }
    return frozenset(names | ({"line_items"} if data.get("line_items") else set()))
