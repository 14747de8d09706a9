"""Documents of a table: rows, line items, and contradictions."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_examples import (
    ANSWER,
    HEADER,
    LINES,
    ROW,
    TWO_LINES,
    line,
    one_document,
    read_all,
    record,
    records,
    rejection,
    rejections,
    row,
    table,
    taught,
    write_csv,
    write_pages,
    write_xlsx,
)

from erniekit_adapter.errors import AdapterError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pages(tmp_path, "r1001.png")
    return tmp_path


def test_reads_a_row_as_document(folder: Path) -> None:
    found = record(table(folder, ROW))
    assert found.images == (folder / "r1001.png",)
    assert (found.line, found.reviewed, found.pdf, found.ocr) == (2, True, None, None)
    expected: dict[str, Any] = {**ANSWER, "financial_summary": {**ANSWER["financial_summary"], "currency": "EUR"}}
    assert taught(found) == expected


def test_workbook_equals_csv(folder: Path) -> None:
    typed = [*ROW[:3], datetime(2025, 3, 14), 200, 38.0, 238, "EUR"]
    book = record(write_xlsx(folder / "book.xlsx", [HEADER, typed]))
    assert book.answer == record(table(folder, ROW)).answer


def test_leaves_out_fields_without_a_column(folder: Path) -> None:
    found = record(table(folder, ["r1001.png", "238,00", ""], header=["file", "total", "net"]))
    assert taught(found) == {"financial_summary": {"grand_total": "238.00"}}


def test_reports_columns_without_a_field(folder: Path) -> None:
    found = record(table(folder, [*ROW, "4711", ""], header=[*HEADER, "Kostenstelle", "Notiz"]))
    assert found.unused_keys == ("column Kostenstelle",)


def test_reports_a_guessed_encoding(folder: Path) -> None:
    path = write_csv(folder / "book.csv", [HEADER, row(vendor="Süd")], encoding="cp1252")
    assert "Windows-1252" in record(path).unused_keys[0]


@pytest.mark.parametrize(
    ("changes", "filter_name", "reason"),
    [
        ({"net": "about 200"}, "canonical", "line 2: subtotal: 'about 200' is not an amount"),
        ({"currency": "¥"}, "canonical", "currency: '¥' is ambiguous"),
        ({"date": "03/04/2025"}, "canonical", "set data.date_order: day_first or month_first"),
        ({"file": "", "invoice_number": ""}, "source", "no file and no invoice number"),
        ({"file": "r9.png"}, "image", "no such page"),
        ({"file": "../r1001.png"}, "image", "leaves the folder"),
        ({"file": "https://example.com/r1001.png"}, "image", "only local files"),
        ({"file": "book.csv"}, "image", "is not a page"),
    ],
)
def test_rejects_a_row_with_its_line(folder: Path, changes: dict[str, str], filter_name: str, reason: str) -> None:
    found = next(each for each in rejections(table(folder, row(**changes))) if each.line)
    assert (found.line, found.filter) == (2, filter_name)
    assert reason in found.reason


def test_rejects_only_the_bad_row(folder: Path) -> None:
    write_pages(folder, "b.png")
    path = table(folder, ROW[:-1], row(file="b.png", invoice_number="R-2"), row(net="x"))
    found = read_all(path)
    assert [(each.line, getattr(each, "filter", None)) for each in found] == [
        (2, "source"),
        (3, None),
        (4, "canonical"),
    ]


def test_rejects_a_row_with_a_formula_without_result(folder: Path) -> None:
    path = write_xlsx(folder / "book.xlsx", [HEADER, [*ROW[:6], "=E2+F2", "EUR"]])
    assert "cell G2 has a formula without a stored result" in rejection(path).reason


def test_asks_for_a_column_that_names_the_document(folder: Path) -> None:
    with pytest.raises(
        AdapterError, match=r"no column with the file or the invoice number of the document(.|\n)*'vendor', 'total'"
    ):
        read_all(table(folder, ["Nord", "1,00"], header=["vendor", "total"]))


@pytest.mark.parametrize("number_column", [True, False])
def test_rows_of_one_document_become_line_items(tmp_path: Path, number_column: bool) -> None:
    write_pages(tmp_path, "R-1.png")
    header = LINES if number_column else ["file", *LINES[1:]]
    found = record(write_csv(tmp_path / "book.csv", [header, *TWO_LINES]))
    assert taught(found)["line_items"] == [
        {"description": "Drill", "quantity": "2", "unit_price": "25.00", "total": "50.00"},
        {"description": "Vise", "quantity": "1", "unit_price": "150.00", "total": "150.00"},
    ]
    assert taught(found)["financial_summary"] == {"subtotal": "200.00", "grand_total": "238.00"}


def test_reads_document_fields_of_the_first_row(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    second = line("Vise", "1", "150,00", "150,00", vendor="", date="", net="", total="")
    whole = record(write_csv(tmp_path / "book.csv", [LINES, *TWO_LINES]))
    assert record(write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0], second])).answer == whole.answer


def test_rejects_a_document_with_two_totals(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    other = line("Vise", "1", "150,00", "150,00", total="239,00")
    path = write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0], other])
    with pytest.raises(AdapterError, match=r"238,00 in line 2, 239,00 in line 3(.|\n)*or correct one of the lines"):
        read_all(path)
    rows = [cells for number in range(2, 13) for cells in one_document(tmp_path, f"R-{number}")]
    (found,) = rejections(write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0], other, *rows]))
    assert "grand_total: '238.00' in line 2, '239.00' in line 3" in found.reason


def test_rejects_rows_that_contradict_each_other(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    other = line("Vise", "1", "150,00", "150,00", vendor="Nord GmbH")
    found = rejection(write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0], other]))
    assert (found.line, found.filter) == (2, "canonical")
    assert "vendor_name: 'Nord' in line 2, 'Nord GmbH' in line 3" in found.reason


def test_compares_amounts_in_different_notations(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    rows = [TWO_LINES[0], line("Vise", "1", "150,00", "150,00", total="238", date="2025-03-14")]
    found = record(write_csv(tmp_path / "book.csv", [LINES, *rows]))
    assert taught(found)["financial_summary"]["grand_total"] == "238.00"


def test_rejects_a_document_with_a_lost_line_item(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png", "R-2.png")
    others = [[cells[0].replace("1", "2"), *cells[1:]] for cells in TWO_LINES]
    found = read_all(write_csv(tmp_path / "book.csv", [LINES, *others, TWO_LINES[0], TWO_LINES[1][:-1]]))
    assert [(each.line, getattr(each, "reason", "")[:30]) for each in found] == [
        (2, ""),
        (4, "line 5, which may be its line "),
        (5, "8 cells, and the header has 9"),
    ]


def test_rejects_the_document_above_a_row_without_key(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    nameless = line("Sum", "", "", "200,00", **{"invoice no": "", "vendor": ""})
    found = rejections(write_csv(tmp_path / "book.csv", [LINES, *TWO_LINES, nameless]))
    assert [(each.line, each.filter) for each in found] == [(2, "source"), (4, "source")]
    assert "give one of them in every row" in found[1].reason


TAXED = ["file", "description", "qty", "line total", "VAT %", "VAT amount", "total"]


@pytest.mark.parametrize(
    ("rows", "taxes", "unused"),
    [
        ([["10", "19%", "1,90"], ["20", "7%", "1,40"]], [("0.19", "1.90"), ("0.07", "1.40")], ()),
        ([["10", "19%", "1,90"], ["20", "19%", "3,80"]], [("0.19", "5.70")], ()),
        ([["10", "19%", ""], ["20", "7%", ""]], [], ("tax_rate of line items",)),
        ([["10", "19%", "5,70"], ["20", "19%", "5,70"]], [("0.19", "5.70")], ()),
        ([["10", "19%", "1,90"], ["20", "", "1,40"]], [(None, "3.30")], ("tax_rate of line items",)),
    ],
)  # fmt: skip
def test_tax_beside_line_items(
    tmp_path: Path, rows: list[list[str]], taxes: list[Any], unused: tuple[str, ...]
) -> None:
    write_pages(tmp_path, "a.png")
    cells = [["a.png", f"item {amount}", "1", amount, rate, tax, "33,30"] for amount, rate, tax in rows]
    found = record(write_csv(tmp_path / "book.csv", [TAXED, *cells]))
    summary = taught(found)["financial_summary"]
    assert [(tax.get("rate"), tax.get("amount")) for tax in summary.get("taxes", [])] == taxes
    assert found.unused_keys == unused


def test_reads_each_row_of_a_repeated_document(folder: Path) -> None:
    found = records(table(folder, ROW, ROW))
    assert [each.line for each in found] == [2, 3]
    contradicting = rejections(table(folder, ROW, row(total="239,00")))
    assert [each.line for each in contradicting] == [2, 3]
    assert "grand_total: '238.00' in line 2, '239.00' in line 3" in contradicting[0].reason


def test_reads_a_full_mapping(folder: Path) -> None:
    path = table(folder, ["r1001.png", "Nord", "200,00"], header=["Ablage", "Wer", "Wieviel"])
    columns = {"file": "Ablage", "vendor_name": "Wer", "subtotal": "column 3"}
    assert taught(record(path, columns=columns)) == {
        "vendor_block": {"name": "Nord"},
        "financial_summary": {"subtotal": "200.00"},
    }


def test_column_order_does_not_change_documents(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    expected = record(write_csv(tmp_path / "book.csv", [LINES, *TWO_LINES]))
    for seed in range(10):
        order = random.Random(seed).sample(range(len(LINES)), len(LINES))  # noqa: S311
        rows = [[cells[place] for place in order] for cells in (LINES, *TWO_LINES)]
        assert record(write_csv(tmp_path / "book.csv", rows)) == expected


@pytest.mark.parametrize(
    ("rates", "total", "rate"),
    [(("19%", "19%"), "33,30", "0.19"), (("19%", ""), "33,30", None), (("19%", ""), "", "0.19")],
)
def test_rate_of_some_rows_is_not_that_of_the_document(
    tmp_path: Path, rates: tuple[str, str], total: str, rate: str | None
) -> None:
    write_pages(tmp_path, "a.png")
    first = ["a.png", "one", "1", "10", rates[0], "33,30"]
    second = ["a.png", "two", "1", "20", rates[1], total]
    header = ["file", "description", "qty", "line total", "VAT %", "total"]
    found = record(write_csv(tmp_path / "book.csv", [header, first, second]))
    taxes = taught(found)["financial_summary"].get("taxes", [{}])
    assert taxes[0].get("rate") == rate


def test_row_entered_twice_is_not_a_line_item(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(20)]
    write_pages(tmp_path, *names)
    rows = [[name, "office chairs", "5,00"] for name in names]
    path = write_csv(tmp_path / "book.csv", [["file", "description", "total"], *rows, [names[0], "chairs", "5,00"]])
    assert all("line_items" not in taught(each) for each in records(path))


def test_invoice_of_one_row_with_price_has_a_line_item(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    found = record(write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0]]))
    assert len(taught(found)["line_items"]) == 1


cells = st.sampled_from([
    "", "a.png", "b", "R-1", "1.234", "1.234,50", "-3", "25/03/2025", "01/02/2025", "14.03.2025", "EUR", "¥", "19%",
    "../a.png", "a.png;b.png", '"', "#REF!", "9" * 30, "ü",
])  # fmt: skip


@pytest.mark.slow
@given(rows=st.lists(st.lists(cells, min_size=5, max_size=6), max_size=8), data=st.data())
def test_every_row_gives_a_record_or_a_rejection(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "rows"
    folder.mkdir(exist_ok=True)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"page")
    others = st.permutations(["invoice no", "date", "due date", "net", "VAT", "total", "vendor", "currency", "notes"])
    header = ["file", *data.draw(others)[:4]]
    try:
        found = read_all(write_csv(folder / "book.csv", [header, *rows]))
    except AdapterError:
        return
    filled = [each for each in rows if any(map(str.strip, each))]
    read = [each.line for each in found if each.line is not None]
    assert len(read) == len(set(read)) == len(filled)


def test_reports_a_discount_of_line_items(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    rows = [[*cells, discount] for cells, discount in zip(TWO_LINES, ("1,00", "2,00"), strict=True)]
    found = record(write_csv(tmp_path / "book.csv", [[*LINES, "Rabatt"], *rows]))
    assert found.unused_keys == ("column Rabatt",)
    assert "discounts" not in taught(found)["financial_summary"]


def test_reads_freight_and_rounding(folder: Path) -> None:
    cells = row(total="243,00")
    found = record(table(folder, [*cells, "5,00", "0,01"], header=[*HEADER, "Versandkosten", "Rundung"]))
    assert taught(found)["financial_summary"]["charges"] == [{"amount": "5.00"}]
    assert taught(found)["financial_summary"]["rounding"] == "0.01"


@pytest.mark.parametrize(
    ("cell", "known", "unused"),
    [
        ("Gutschrift", "credit_note", ()),
        ("Note de crédit", "credit_note", ()),
        ("Rechnung", None, ()),
        ("KR", None, ("document_type 'KR'",)),
    ],
)
def test_reads_credit_notes(folder: Path, cell: str, known: str | None, unused: tuple[str, ...]) -> None:
    found = record(table(folder, [*ROW, cell], header=[*HEADER, "Belegart"]))
    assert (taught(found).get("document_type"), found.unused_keys) == (known, unused)
