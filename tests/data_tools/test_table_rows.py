from __future__ import annotations

import io
import random
import zipfile
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_examples import HEADER, ROW, csv_text, row, write_csv, write_xlsx

from data_tools.sources.tables import cells, table_file
from data_tools.sources.tables import xlsx as table_xlsx
from data_tools.sources.tables.cells import CellFault, CellTable
from data_tools.sources.tables.csv_rows import parse_rows
from data_tools.sources.tables.names import is_known
from data_tools.sources.tables.table_file import read_table
from erniekit_adapter.errors import AdapterError


def score(cells: Any) -> int:
    return sum(isinstance(cell, str) and is_known(cell) for cell in cells)


def read(path: Path, sheet: str | None = None) -> CellTable:
    return read_table(path, score, sheet)


def cells_of(found: CellTable) -> list[list[Any]]:
    return [list(each.cells) for each in found.rows]


# No zero bytes, surrogates or line ends that csv would write unchanged without quotes.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_reads_every_csv_dialect(tmp_path: Path, delimiter: str, encoding: str) -> None:
    rows = [HEADER, row(vendor="Łódź & Söhne"), row(vendor="日本")]
    found = read(write_csv(tmp_path / "book.csv", rows, delimiter, encoding))
    assert found.header == tuple(HEADER)
    assert cells_of(found) == rows[1:]


@given(st.lists(st.lists(text, min_size=3, max_size=3), max_size=5), st.sampled_from([";", ",", "\t", "|"]))
def test_reads_back_any_csv(rows: list[list[str]], delimiter: str) -> None:
    lines = list(io.StringIO(csv_text([["file", "net", "total"], *rows], delimiter), newline=""))
    assert [list(found.cells) for found in parse_rows(lines, delimiter)][1:] == rows


@given(
    rows=st.lists(st.lists(text, min_size=3, max_size=3).filter(lambda cells: any(map(str.strip, cells))), max_size=5)
)
def test_reads_back_a_file(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = write_csv(tmp_path_factory.getbasetemp() / "law.csv", [["file", "net", "total"], *rows])
    assert cells_of(read(path)) == rows


def test_notes_windows_1252(tmp_path: Path) -> None:
    found = read(write_csv(tmp_path / "book.csv", [HEADER, row(vendor="Süd €")], encoding="cp1252"))
    assert found.rows[0].cells[1] == "Süd €"
    assert "Windows-1252" in found.notes[0]


def test_uses_the_separator_line_of_excel(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text("sep=,\n" + csv_text([["file", "total"], ["a;b.png", "1"]], ","))
    assert cells_of(read(path)) == [["a;b.png", "1"]]


def test_reads_line_breaks_in_a_cell(tmp_path: Path) -> None:
    found = read(write_csv(tmp_path / "book.csv", [HEADER, row(vendor="A\nB\r\nC"), ROW]))
    assert found.rows[0].cells[1] == "A\nB\r\nC"
    assert [each.line for each in found.rows] == [2, 5]


def test_notes_rows_above_the_header(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text("Export of 2025;;\nby;somebody;\n" + csv_text([HEADER, ROW]))
    found = read(path)
    assert (found.header_line, cells_of(found)) == (3, [ROW])
    assert found.notes == ("above the header in line 3: 2 rows, not read",)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (ROW[:-1], "7 cells, and the header has 8"),
        ([*ROW, "more"], "9 cells, and the header has 8"),
        ([*ROW, "", ""], None),
    ],
)
def test_rows_with_other_lengths(tmp_path: Path, cells: list[str], reason: str | None) -> None:
    found = read(write_csv(tmp_path / "book.csv", [HEADER, ROW, cells, ROW]))
    assert [each.fault for each in found.rows] == [None, reason, None]


def test_open_quote_makes_only_its_line_faulty(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    broken = ";".join(row(vendor='"Nord'))
    path.write_text("\n".join([";".join(HEADER), broken, ";".join(ROW), ";".join(row(file="b.png"))]))
    found = read(path)
    assert [(each.line, bool(each.fault)) for each in found.rows] == [(2, True), (3, False), (4, False)]


def test_broken_quote_before_a_valid_one(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text('file;vendor;total\na.png;"A;1,00\nb.png;"B";2,00\nc.png;"C "x" D";3,00\nd.png;D;4,00\n')
    assert [(each.line, bool(each.fault)) for each in read(path).rows] == [(2, True), (3, False), (4, True), (5, False)]


def test_unclosed_quote_makes_its_line_faulty(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text('file;total\na.png;"1\n' + "b.png;2\n" * 20_000)
    faults = [each.line for each in read(path).rows if each.fault]
    assert faults == [2]


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"\xd0\xcf\x11\xe0old", "old Excel file"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not text"),
        (b"", "no row"),
        (b"\n\n;;\n", "no row"),
        (b"PK\x03\x04 broken", "damaged XLSX"),
    ],
)
def test_names_other_file_types(tmp_path: Path, content: bytes, finding: str) -> None:
    path = tmp_path / "book.csv"
    path.write_bytes(content)
    with pytest.raises(AdapterError, match=finding):
        read(path)


def test_limits_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "book.csv", [HEADER, *[ROW] * 20])
    monkeypatch.setattr(cells, "MAX_ROWS", 10)
    with pytest.raises(AdapterError, match="more than 10 rows"):
        read(path)
    monkeypatch.setattr(table_file, "MAX_TABLE_BYTES", 100)
    with pytest.raises(AdapterError, match="more than the limit"):
        read(path)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_rejected(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    with suppress(AdapterError):
        read(path)


def test_keeps_types_of_cells(tmp_path: Path) -> None:
    typed = ["a.png", 238.0, 0.1 + 0.2, 7, datetime(2025, 3, 14), date(2025, 3, 14), None, " ", True]
    found = read(write_xlsx(tmp_path / "book.xlsx", [["file", "total", "net", *"cdefgh"], typed]))
    day = date(2025, 3, 14)
    assert cells_of(found) == [["a.png", Decimal(238), Decimal("0.3"), Decimal(7), day, day, None, None, "TRUE"]]


def test_keeps_leading_zeros_of_a_number_format(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["file", "total", "invoice_number"])
    book.active.append(["a.png", 5, 42])
    book.active["C2"].number_format = "00000"
    book.save(tmp_path / "book.xlsx")
    assert cells_of(read(tmp_path / "book.xlsx")) == [["a.png", Decimal(5), "00042"]]


def test_names_the_cell_of_a_formula_without_result(tmp_path: Path) -> None:
    found = read(write_xlsx(tmp_path / "book.xlsx", [["file", "net", "total"], ["a.png", 1, "=B2*2"]]))
    fault = found.rows[0].cells[2]
    assert isinstance(fault, CellFault)
    assert fault.cell_name == "C2"
    assert "save it" in fault.reason


def test_reads_the_result_of_a_formula(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "book.xlsx", [["file", "net", "total"], ["a.png", 1, "=B2*2"]])
    stored = {
        "xl/worksheets/sheet1.xml": lambda xml: xml.replace(b"<v />", b"<v>2</v>").replace(b"<v></v>", b"<v>2</v>")
    }
    assert cells_of(read(rewritten(path, stored))) == [["a.png", Decimal(1), Decimal(2)]]


def test_rounds_a_result_to_the_shown_decimals(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["file", "net", "total"])
    book.active.append(["a.png", 1.005, "=B2*1.19"])
    for cell in book.active[2]:
        cell.number_format = '#,##0.00 "€"'
    book.save(tmp_path / "book.xlsx")
    stored = {"xl/worksheets/sheet1.xml": lambda xml: xml.replace(b"<v />", b"<v>1.19595</v>")}
    assert cells_of(read(rewritten(tmp_path / "book.xlsx", stored))) == [["a.png", Decimal("1.005"), Decimal("1.20")]]


@pytest.mark.parametrize(("value", "reason"), [("#REF!", "the error"), (time(12, 30), "a time")])
def test_rejects_errors_and_times(tmp_path: Path, value: Any, reason: str) -> None:
    fault = read(write_xlsx(tmp_path / "book.xlsx", [["file", "total"], ["a.png", value]])).rows[0].cells[1]
    assert isinstance(fault, CellFault)
    assert reason in fault.reason


def test_chooses_the_sheet_with_a_table(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "book.xlsx", [["Notes"], ["see the other sheet"]], Book=[HEADER, ROW])
    found = read(path)
    assert cells_of(found) == [ROW]
    assert found.notes == ("sheet Sheet is not read",)


def test_asks_which_of_two_sheets(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "book.xlsx", [HEADER, ROW], Second=[HEADER, row(file="b.png")])
    with pytest.raises(AdapterError, match="several sheets have a table: 'Sheet', 'Second'"):
        read(path)
    assert cells_of(read(path, "Second")) == [row(file="b.png")]
    with pytest.raises(AdapterError, match="has no sheet 'Third', but 'Sheet', 'Second'"):
        read(path, "Third")


def rewritten(path: Path, changes: Any = (), added: Any = ()) -> Path:
    """Return a workbook with some of its entries changed, and others added."""
    target = path.with_name("changed.xlsx")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, dict(changes).get(name, lambda content: content)(before.read(name)))
        for name, content in dict(added).items():
            after.writestr(name, content)
    return target


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return write_xlsx(tmp_path / "book.xlsx", [HEADER, ROW])


def test_rejects_a_zip_bomb(book: Path) -> None:
    bomb = rewritten(book, added={"xl/worksheets/sheet2.xml": b" " * (table_xlsx.MAX_UNPACKED_BYTES + 1)})
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(AdapterError, match="unpacks to"):
        read(bomb)


def test_rejects_a_zip_with_many_entries(book: Path) -> None:
    with pytest.raises(AdapterError, match="entries"):
        read(rewritten(book, added={f"x{number}": b"" for number in range(table_xlsx.MAX_ENTRIES)}))


def test_rejects_huge_styles(book: Path) -> None:
    big = b"<!-- " + b"x" * table_xlsx.MAX_PART_BYTES + b" -->"
    with pytest.raises(AdapterError, match="styles"):
        read(rewritten(book, {"xl/styles.xml": lambda content: content + big}))


def test_rejects_entities(book: Path) -> None:
    declared = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>'
    with pytest.raises(AdapterError, match="document type"):
        read(rewritten(book, {"xl/worksheets/sheet1.xml": lambda content: declared + content}))


@pytest.mark.parametrize("place", ['r="2"', 'r="A2"'])
def test_rejects_absurd_cell_references(book: Path, place: str) -> None:
    far = {'r="2"': b'r="999999999"', 'r="A2"': b'r="ZZZZZZZ2"'}[place]
    changed = rewritten(book, {"xl/worksheets/sheet1.xml": lambda content: content.replace(place.encode(), far)})
    with pytest.raises(AdapterError):
        read(changed)


def test_names_other_zip_files(tmp_path: Path) -> None:
    path = tmp_path / "book.ods"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    with pytest.raises(AdapterError, match="not XLSX"):
        read(path)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_workbook_is_read_or_rejected(book: Path, seed: int) -> None:
    random.seed(seed)
    content = bytearray(book.read_bytes())
    for _ in range(random.randint(1, 20)):  # noqa: S311
        content[random.randrange(len(content))] = random.randrange(256)  # noqa: S311
    damaged = book.with_name("damaged.xlsx")
    damaged.write_bytes(bytes(content))
    with suppress(AdapterError):
        read(damaged)
