"""Building training examples from tables: counts, shards and processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from table_examples import (
    ROW,
    read_all,
    records,
    row,
    table,
    write_pages,
)

from data_tools.build_settings import BuildSettings, RunnerSettings
from data_tools.pipeline.build import build
from data_tools.pipeline.shards import cut
from data_tools.sources.source import DOCUMENTS_IN_A_SHARD
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import FiltersSection
from erniekit_adapter.project.table_source import TableSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pages(tmp_path, "r1001.png")
    return tmp_path


# The pages of these tables are blank.
UNCHECKED = FiltersSection(visible="unchecked")


def test_question_about_a_column_stops_the_build(folder: Path) -> None:
    path = table(folder, ["r1001.png", "1,00"], header=["file", "Betrag"])
    with pytest.raises(AdapterError, match=r"book.csv:1: column 'Betrag' can mean (.|\n)*in the source: columns"):
        read_all(path)


def test_cuts_a_long_table_into_shards(tmp_path: Path) -> None:
    count = DOCUMENTS_IN_A_SHARD + 1
    for number in range(count):
        (tmp_path / f"{number}.png").write_bytes(b"page")
    path = table(tmp_path, *(row(file=f"{number}.png") for number in range(count)))
    assert len(list(cut(TableSource(kind="table", path=path), role_is_test=False, document_type=INVOICE))) == 2
    assert len(records(path)) == count


def test_counts_every_row_and_file(folder: Path) -> None:
    write_pages(folder / "scans", "r1001.png", "unnamed.png", "b.png")
    path = table(folder, ROW, row(file="b.png", net="x"), ROW[:-1])
    source = TableSource(kind="table", path=path, documents=folder / "scans")
    settings = BuildSettings(eval_ratio=0, test_ratio=0, format="paddleformers", filters=UNCHECKED)
    manifest = build([source], folder / "out", settings)
    assert (manifest.read, manifest.written, manifest.rejected) == (4, 1, 3)
    assert manifest.by_filter == {"canonical": 1, "source": 2}
    assert manifest.inputs[0]["kind"] == "table"


@pytest.mark.slow
def test_several_processes_give_equal_files(tmp_path: Path) -> None:
    count = DOCUMENTS_IN_A_SHARD * 3
    write_pages(tmp_path / "scans", *(f"{number}.png" for number in range(count)))
    path = table(tmp_path, *(row(file=f"{number}.png", invoice_number=f"R-{number}") for number in range(count)))
    source = TableSource(kind="table", path=path, documents=tmp_path / "scans")
    settings = BuildSettings(eval_ratio=0, test_ratio=0, format="paddleformers", filters=UNCHECKED)
    one = build([source], tmp_path / "one", settings, runner=RunnerSettings(workers=1))
    two = build([source], tmp_path / "two", settings, runner=RunnerSettings(workers=2))
    assert one.files["train.jsonl"]["sha256"] == two.files["train.jsonl"]["sha256"]
