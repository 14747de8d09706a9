"""Tables of a declared document type: columns by names of fields, rows, conventions and questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from receipt_type_examples import plain, receipt_type
from source_examples import read_source
from table_examples import source, write_csv, write_pages, write_xlsx
from type_examples import write_type

from data_tools.inspect.columns import find_mapping, table_source
from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from erniekit_adapter.cli import data_main
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.errors import AdapterError, UsageError


@pytest.fixture
def slip(tmp_path: Path) -> DocumentType:
    return receipt_type(tmp_path)


def read(folder: Path, kind: DocumentType, header: list[str], *rows: list[str], **keys: Any) -> list[RecordOrRejection]:
    write_pages(folder, "a.png", "b.png")
    path = write_csv(folder / "book.csv", [header, *rows])
    return read_source(source(path, **keys), document_type=kind)


def contents(found: list[RecordOrRejection], kind: DocumentType) -> list[Any]:
    records = [each for each in found if isinstance(each, DocumentRecord)]
    assert [each for each in found if isinstance(each, Rejection) and "no row of" not in each.reason] == []
    return [plain(kind.content_of(each.answer)) for each in records if each.answer]


HEADER = ["File", "Merchant", "Datum", "Grand total", "Cash", "VAT %", "Paid", "Währung", "Note"]


def test_reads_one_document_of_each_row(tmp_path: Path, slip: DocumentType) -> None:
    rows = [
        ["a.png", "Kiosk", "25/03/2025", "1.234,50", "-", "7", "ja", "€", "x"],
        ["b.png", "Markt", "03/04/2025", "1.234", "", "19", "no", "EUR", ""],
    ]
    columns = {"date": "Datum", "currency": "Währung"}
    found = read(tmp_path, slip, HEADER, *rows, columns=columns)
    assert contents(found, slip) == [
        {"store": {"name": "Kiosk"}, "date": "2025-03-25", "vat_rate": "7", "total": "1234.50", "paid": True,
         "currency": "EUR"},
        {"store": {"name": "Markt"}, "date": "2025-04-03", "vat_rate": "19", "total": "1234", "paid": False,
         "currency": "EUR"},
    ]  # fmt: skip
    assert [each.unused_keys for each in found if isinstance(each, DocumentRecord)] == [("column Note",), ()]


ROWS = [
    ["a.png", "Tea", "2", "2.50", "5.00", "6.00"],
    ["a.png", "Bun", "1 x", "", "1.00", "6.00"],
    ["b.png", "Pie", "1", "", "3.00", ""],
]
ROW_HEADER = ["file", "item name", "qty", "unit price", "items.sum", "Grand total"]


def test_reads_rows_of_line_items(tmp_path: Path, slip: DocumentType) -> None:
    assert contents(read(tmp_path, slip, ROW_HEADER, *ROWS), slip) == [
        {
            "items": [
                {"name": "Tea", "qty": "2", "each": "2.50", "sum": "5.00"},
                {"name": "Bun", "qty": "1", "sum": "1.00"},
            ],
            "total": "6.00",
        },
        {"items": [{"name": "Pie", "qty": "1", "sum": "3.00"}]},
    ]


def test_columns_name_fields_by_path_and_by_name(tmp_path: Path, slip: DocumentType) -> None:
    columns = {"file": "A", "store.name": "B", "Grand total": "C", "items": {"name": "D", "sum": "column 5"}}
    found = read(tmp_path, slip, list("ABCDE"), ["a.png", "Kiosk", "5,00", "Tea", "5,00"], columns=columns)
    assert contents(found, slip) == [
        {"store": {"name": "Kiosk"}, "items": [{"name": "Tea", "sum": "5.00"}], "total": "5.00"}
    ]


def test_the_number_names_the_page(tmp_path: Path, slip: DocumentType) -> None:
    found = read(tmp_path, slip, ["Receipt Number", "Total"], ["a", "5.00"], ["c", "6.00"])
    assert contents([found[0]], slip) == [{"no": "a", "total": "5.00"}]
    missing = next(each for each in found[1:] if isinstance(each, Rejection))
    assert "no file with the name 'c' (the Receipt number)" in missing.reason


def test_reads_cells_of_a_workbook(tmp_path: Path, slip: DocumentType) -> None:
    write_pages(tmp_path, "a.png")
    path = write_xlsx(tmp_path / "book.xlsx", [["file", "no", "total", "VAT %"], ["a.png", 1001, 5.5, 7]])
    (content,) = contents(read_source(source(path), document_type=slip), slip)
    assert (content["no"], float(content["total"])) == ("1001", 5.5)


@pytest.mark.parametrize(
    ("header", "question", "hint"),
    [
        (["file", "Total", "Grand Total"], "total: 2 columns have names of this field", 'columns: {total: "Total"}'),
        (["Total"], "no column with the file or the Receipt number", 'or columns: {no: "…"}'),
        (["file", "qty", "Price"], "column 'Price' can mean items.each or items.sum", 'columns: {items.each: "Price"}'),
        (["file", "qty", "sum", "Amount"], "items.sum: 2 columns have names", 'columns: {items.sum: "sum"}'),
    ],
)
def test_asks_about_unclear_columns(
    tmp_path: Path, slip: DocumentType, header: list[str], question: str, hint: str
) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path, slip, header, ["a.png"] + ["1.00"] * (len(header) - 1))
    assert question in str(raised.value)
    assert hint in str(raised.value)


def test_a_name_of_document_and_row_is_a_question(tmp_path: Path) -> None:
    row = {"name": {"type": "string"}, "total": {"type": "number", "x-kind": "amount"}}
    properties = {
        "total": {"type": "number", "x-kind": "amount"},
        "items": {"type": "array", "items": {"type": "object", "properties": row}},
    }
    kind = write_type(tmp_path / "order", properties)
    with pytest.raises(UsageError, match=r"column 'Total' can mean total or items\.total"):
        read(tmp_path, kind, ["file", "name", "Total"], ["a.png", "Tea", "5.00"])
    assert contents(read(tmp_path, kind, ["file", "Total"], ["a.png", "5.00"]), kind) == [{"total": "5.00"}]
    columns = {"items.total": "Total"}
    found = read(tmp_path, kind, ["file", "name", "Total"], ["a.png", "Tea", "5.00"], columns=columns)
    assert contents(found, kind) == [{"items": [{"name": "Tea", "total": "5.00"}]}]


@pytest.mark.parametrize(
    ("header", "rows", "reason"),
    [
        (["file", "total"], [["a.png", "1,234"]], "total: '1,234' is ambiguous.*decimal_mark"),
        (["file", "method"], [["a.png", "cheque"]], "line 2: method: 'cheque' is not one of CASH, card"),
        (["file", "VAT %"], [["a.png", "0.5"]], "vat_rate: .*is ambiguous: a fraction or a percentage"),
        (["file", "qty", "sum", "total"], [["a.png", "1", "1.00", "1.00"], ["a.png", "1", "2.00", "3.00"]],
         "total: '1.00' in line 2, '3.00' in line 3; rows of one document must agree"),
    ],
)  # fmt: skip
def test_rejects_unreadable_cells(
    tmp_path: Path, slip: DocumentType, header: list[str], rows: list[list[str]], reason: str
) -> None:
    rejected = [each for each in read(tmp_path, slip, header, *rows) if isinstance(each, Rejection)]
    with pytest.raises(ValueError, match=reason):
        raise ValueError(rejected[0].reason)


@pytest.mark.parametrize(
    ("columns", "finding"),
    [
        ({"vendor_name": "file"}, "columns.vendor_name: no such field"),
        ({"items": {"colour": "file"}}, "columns.items.colour: no such field"),
        ({"total": "Summe"}, "columns.total: no column 'Summe'"),
    ],
)
def test_unknown_columns_are_an_error(tmp_path: Path, slip: DocumentType, columns: Any, finding: str) -> None:
    with pytest.raises(AdapterError, match=finding):
        read(tmp_path, slip, ["file"], ["a.png"], columns=columns)


def test_mapping_is_shown_and_can_be_used(tmp_path: Path, slip: DocumentType) -> None:
    path = write_csv(tmp_path / "book.csv", [ROW_HEADER, *ROWS])
    found = find_mapping(table_source(path, ["store.name=file"], [], None, None, slip), slip)
    assert [use.field for use in found.matched] == ["store.name", "items.name", "items.qty", "items.each", "items.sum",
                                                    "total"]  # fmt: skip
    assert found.row_is == "a line item"
    assert 'columns:\n        store.name: "file"\n        total: "Grand total"\n        items:\n' in found.yaml


def test_command_shows_columns_of_a_type(
    tmp_path: Path, slip: DocumentType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path / "book.csv", [["file", "merchant", "total"], ["a.png", "Kiosk", "5,00"]])
    arguments = ["erniekit-adapter data", "columns", str(path), "--document-type", str(slip.folder)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit, match="0"):
        data_main()
    assert "store.name" in capsys.readouterr().out


CELLS = st.sampled_from(["", "-", "5.00", "1,234", "7%", "2024-05-01", "03/04/2024", "x", "¥", "a.png", "b.png", "1e9"])
NAMES = st.sampled_from(
    ["file", "Total", "grand total", "qty", "items.sum", "nm", "VAT %", "日期", "#", "", "currency"]
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(header=st.lists(NAMES, min_size=1, max_size=6), data=st.data())
def test_any_table_gives_records_or_reasons(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    kind = receipt_type(folder)
    cells = st.lists(CELLS, min_size=len(header), max_size=len(header))
    rows = data.draw(st.lists(cells, min_size=1, max_size=4))
    try:
        found = read(folder, kind, header, *rows)
    except AdapterError as error:
        assert error.problems[0].hint  # noqa: PT017 - either is a right answer
    else:
        assert all(isinstance(each, (DocumentRecord, Rejection)) for each in found)
