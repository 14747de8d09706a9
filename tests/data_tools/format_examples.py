"""The examples of docs/formats.md, and what a reader of the project's sources makes of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from data_tools.records import DocumentRecord, Reading
from data_tools.stage.shards import cut, read_shard
from erniekit_adapter.invoice.answer import Answer, as_json
from erniekit_adapter.invoice.dates import DateOrder
from erniekit_adapter.project.schema import AnySource, Source

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
    """A row of the table: what somebody has, types and gets."""

    have: str
    typed: str
    fields: frozenset[str]


def rows_of_the_table() -> list[Row]:
    """The rows of the first table in docs/formats.md."""
    found = []
    for line in FORMATS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 3 and "{kind:" in cells[1]:
            found.append(Row(cells[0], cells[1].strip("`"), frozenset(re.findall(r"`(\w+)`", cells[2]))))
    return found


def source_of(typed: str, folder: Path = EXAMPLES) -> AnySource:
    """The source that a project file would have, with its paths below a folder."""
    value: dict[str, Any] = yaml.safe_load(typed)
    placed = {key: str(folder / part) if key in _PATHS else part for key, part in value.items()}
    adapter: TypeAdapter[AnySource] = TypeAdapter(Source)
    return adapter.validate_python(placed)


def read(source: AnySource, date_order: DateOrder | None = None) -> list[Reading]:
    """Every record and rejection of a source."""
    shards = cut(source, role_is_test=False, date_order=date_order)
    return [reading for shard in shards for reading in read_shard(shard)]


def read_one(typed: str, folder: Path = EXAMPLES, date_order: DateOrder | None = None) -> DocumentRecord:
    """The only record of a source."""
    (found,) = read(source_of(typed, folder), date_order)
    assert isinstance(found, DocumentRecord), found
    return found


def fields_of(answer: Answer) -> frozenset[str]:
    """The names of the fields that an answer fills, as docs/formats.md calls them."""
    data = as_json(answer)["structured_data"]
    names = {
        _NAMES.get((block, key), key)
        for block, part in data.items()
        if isinstance(part, dict)
        for key, value in part.items()
        if value
    }
    return frozenset(names | ({"line_items"} if data.get("line_items") else set()))
