"""Every row of the table in docs/formats.md, read from its example."""

from __future__ import annotations

import re

import pytest
import yaml
from format_examples import EXAMPLES, FORMATS, Row, fields_of, read, read_one, rows_of_the_table, source_of

from data_tools.records import Rejection
from data_tools.sources.answers.field_names import FIELDS, LINE_ITEM_FIELDS, field_named

ROWS = rows_of_the_table()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.have)
def test_example_gives_the_documented_fields(row: Row) -> None:
    answer = read_one(row.typed).answer
    assert answer
    assert fields_of(answer) == row.fields


@pytest.mark.parametrize("row", [row for row in ROWS if "reviewed: true" in row.typed], ids=lambda row: row.have)
def test_rejection_names_the_setting_reviewed(row: Row) -> None:
    (found,) = read(source_of(row.typed.replace(", reviewed: true", "")))
    assert isinstance(found, Rejection)
    assert found.filter == "reviewed"
    assert "set reviewed: true on its source" in found.reason


def test_every_example_is_documented() -> None:
    named = {row.typed.partition("path: ")[2].strip("}").split(",")[0].split("/")[0] for row in ROWS}
    assert named | {"dates"} == {folder.name for folder in EXAMPLES.iterdir()}


def test_documented_fields_exist() -> None:
    table = FORMATS.read_text().partition("## What a ground truth file may contain")[2].partition("The same names")[0]
    first_cells = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    names = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    other = {"fault", "complete", "language", "type", "rate", "amount", "description"}
    assert names - other <= FIELDS
    assert FIELDS - {"charge", "tax_type"} <= names
    for line in table.splitlines():
        for name in re.findall(r"`([\w.]+)`", line.rpartition(" | ")[2]) if line.startswith("| `") else ():
            known = field_named(name) or name in LINE_ITEM_FIELDS | other
            assert known or name in (
                "desc",
                "qty",
                "price",
                "line_total",
                "0.19",
                "invoice",
                "receipt",
                "credit_note",
                "true",
            )


def test_documented_labels_are_accepted() -> None:
    (block,) = [text for text in re.findall(r"```yaml\n(.*?)```", FORMATS.read_text(), re.DOTALL) if "labels" in text]
    labels = yaml.safe_load(block)["data"]["sources"][0]["labels"]
    assert set(labels.values()) == {"vendor_name", "line_items.total"}
