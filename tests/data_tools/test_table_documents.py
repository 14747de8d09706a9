from __future__ import annotations

import json
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
    ROW,
    read_all,
    record,
    records,
    rejection,
    rejections,
    row,
    taught,
    write_csv,
    write_pages,
    write_xlsx,
)

from data_tools.build_settings import BuildSettings, EngineSettings
from data_tools.sources import table_pages
from data_tools.stage.pipeline import build
from data_tools.stage.shards import DOCUMENTS_IN_A_SHARD, cut
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.schema import GatesSection
from erniekit_adapter.project.sources import missing_sources
from erniekit_adapter.project.table_source import TableSource

LINES = ["invoice no", "vendor", "date", "description", "qty", "unit price", "line total", "net", "total"]

# The pages of these tables are blank.
UNCHECKED = GatesSection(visible="unchecked")


def line(description: str, quantity: str, price: str, amount: str, /, **changes: str) -> list[str]:
    first = {"invoice no": "R-1", "vendor": "Nord", "date": "14.03.2025", "net": "200,00", "total": "238,00"}
    own = {"description": description, "qty": quantity, "unit price": price, "line total": amount}
    return [{**first, **own, **changes}[name] for name in LINES]


TWO_LINES = [line("Drill", "2", "25,00", "50,00"), line("Vise", "1", "150,00", "150,00")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pages(tmp_path, "r1001.png")
    return tmp_path


def table(folder: Path, *rows: list[str], header: list[str] | None = None) -> Path:
    return write_csv(folder / "book.csv", [header or HEADER, *rows])


def test_a_row_is_a_document(folder: Path) -> None:
    found = record(table(folder, ROW))
    assert found.images == (folder / "r1001.png",)
    assert (found.line, found.reviewed, found.pdf, found.ocr) == (2, True, None, None)
    expected: dict[str, Any] = {**ANSWER, "financial_summary": {**ANSWER["financial_summary"], "currency": "EUR"}}
    assert taught(found) == expected


def test_a_workbook_says_the_same_as_a_csv(folder: Path) -> None:
    typed = [*ROW[:3], datetime(2025, 3, 14), 200, 38.0, 238, "EUR"]
    book = record(write_xlsx(folder / "book.xlsx", [HEADER, typed]))
    assert book.answer == record(table(folder, ROW)).answer


def test_what_no_column_says_is_not_taught(folder: Path) -> None:
    found = record(table(folder, ["r1001.png", "238,00", ""], header=["file", "total", "net"]))
    assert taught(found) == {"financial_summary": {"grand_total": "238.00"}}


def test_columns_without_a_field_are_reported(folder: Path) -> None:
    found = record(table(folder, [*ROW, "4711", ""], header=[*HEADER, "Kostenstelle", "Notiz"]))
    assert found.unused_keys == ("column Kostenstelle",)


def test_an_encoding_that_was_guessed_is_reported(folder: Path) -> None:
    path = write_csv(folder / "book.csv", [HEADER, row(vendor="Süd")], encoding="cp1252")
    assert "Windows-1252" in record(path).unused_keys[0]


@pytest.mark.parametrize(
    ("changes", "gate", "reason"),
    [
        ({"net": "about 200"}, "canonical", "line 2: subtotal: 'about 200' is not an amount"),
        ({"currency": "¥"}, "canonical", "currency: '¥' is ambiguous"),
        ({"date": "03/04/2025"}, "canonical", "set data.date_order: day_first or month_first"),
        ({"file": "", "invoice_number": ""}, "source", "names no document"),
        ({"file": "r9.png"}, "image", "no such page"),
        ({"file": "../r1001.png"}, "image", "leaves the folder"),
        ({"file": "https://example.com/r1001.png"}, "image", "only local files"),
        ({"file": "book.csv"}, "image", "is no page"),
    ],
)
def test_a_row_is_rejected_with_its_line(folder: Path, changes: dict[str, str], gate: str, reason: str) -> None:
    found = next(each for each in rejections(table(folder, row(**changes))) if each.line)
    assert (found.line, found.gate) == (2, gate)
    assert reason in found.reason


def test_a_bad_row_costs_itself_alone(folder: Path) -> None:
    write_pages(folder, "b.png")
    path = table(folder, ROW[:-1], row(file="b.png", invoice_number="R-2"), row(net="x"))
    found = read_all(path)
    assert [(each.line, getattr(each, "gate", None)) for each in found] == [(2, "source"), (3, None), (4, "canonical")]


def test_a_formula_without_a_result_rejects_its_row(folder: Path) -> None:
    path = write_xlsx(folder / "book.xlsx", [HEADER, [*ROW[:6], "=E2+F2", "EUR"]])
    assert "cell G2 holds a formula without a stored result" in rejection(path).reason


@pytest.mark.parametrize(
    ("cell", "files", "found"),
    [
        ("a.png", ["a.png", "b.png"], ["a.png"]),
        ("sub/a.png", ["sub/a.png", "a.png"], ["sub/a.png"]),
        ("a.png", ["sub/a.png"], ["sub/a.png"]),
        ("A.PNG", ["a.png"], ["a.png"]),
        ("a", ["a.png"], ["a.png"]),
        ("A", ["a.png", "A.png"], ["A.png"]),
        ("scans/a.png", ["a.png"], ["a.png"]),
        (r"C:\Users\me\scans\a.png", ["a.png"], ["a.png"]),
        ("/srv/scans/a.png", ["a.png"], ["a.png"]),
        ("./a.png", ["a.png"], ["a.png"]),
        ("a.png; b.jpg", ["b.jpg", "a.png"], ["a.png", "b.jpg"]),
        ("b|a", ["b.jpg", "a.png"], ["b.jpg", "a.png"]),
        ("a;1.png", ["a;1.png"], ["a;1.png"]),
        ("a.TIF", ["a.tif"], ["a.tif"]),
        ("a.webp", ["a.webp"], ["a.webp"]),
    ],
)
def test_the_file_column_finds_pages(tmp_path: Path, cell: str, files: list[str], found: list[str]) -> None:
    pages = tmp_path / "scans"
    write_pages(pages, *files)
    path = table(tmp_path, row(file=cell))
    (document,) = (each for each in read_all(path, documents=pages) if each.line)
    assert [image.relative_to(pages).as_posix() for image in getattr(document, "images", ())] == found, document


@pytest.mark.parametrize(
    ("cell", "files", "reason"),
    [
        ("a", ["a.png", "a.pdf"], "can be 2 files: a.pdf, a.png"),
        ("a.png", ["x/a.png", "y/a.png"], "can be 2 files: x/a.png, y/a.png"),
        ("a.png", ["b.png"], "tried {pages}/a.png"),
        ("old/a.png", ["b.png"], "tried {pages}/old/a.png, {pages}/a.png"),
        ("a.png;b.pdf", ["a.png", "b.pdf"], "a document is one PDF, or images in their order"),
        ("a.pdf;b.pdf", ["a.pdf", "b.pdf"], "a document is one PDF"),
    ],
)
def test_pages_that_are_not_certain(tmp_path: Path, cell: str, files: list[str], reason: str) -> None:
    pages = tmp_path / "scans"
    write_pages(pages, *files)
    (found,) = (each for each in rejections(table(tmp_path, row(file=cell)), documents=pages) if each.line)
    assert reason.format(pages=pages) in found.reason


def test_a_pdf_is_the_document(folder: Path) -> None:
    write_pages(folder, "r1.pdf")
    (found,) = (each for each in read_all(table(folder, row(file="r1.pdf"))) if each.line)
    assert getattr(found, "pdf", None) == folder / "r1.pdf"


@pytest.mark.parametrize("number", ["r1001", "R1001", "r/1001"])
def test_the_invoice_number_finds_its_file(folder: Path, number: str) -> None:
    write_pages(folder, "r1001.png")
    path = table(folder, row(invoice_number=number)[1:], header=HEADER[1:])
    assert record(path).images == (folder / "r1001.png",)


def test_a_number_without_a_file_says_what_was_tried(folder: Path) -> None:
    found = rejections(table(folder, row(invoice_number="2025/7")[1:], header=HEADER[1:]))[0]
    assert "tried 2025/7 and 2025-7 and 2025_7 and 20257" in found.reason


def test_files_that_no_row_names_are_rejected(folder: Path) -> None:
    write_pages(folder, "b.png", "sub/c.pdf", ".hidden.png", "notes.txt")
    found = [each for each in read_all(table(folder, ROW)) if each.line is None]
    assert [(Path(each.source).name, getattr(each, "gate", "")) for each in found] == [
        ("b.png", "source"),
        ("c.pdf", "source"),
    ]
    assert all("no row of" in getattr(each, "reason", "") for each in found)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    write_pages(tmp_path / "outside", "a.png")
    pages = tmp_path / "scans"
    pages.mkdir()
    (pages / "a.png").symlink_to(tmp_path / "outside" / "a.png")
    (found,) = rejections(table(tmp_path, row(file="a.png")), documents=pages)
    assert "link that leaves the folder" in found.reason


def test_a_folder_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(AdapterError, match="no such folder"):
        read_all(table(folder, ROW), documents=folder / "none")


def test_a_folder_has_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_pages, "MAX_FILES", 0)
    with pytest.raises(AdapterError, match="more than 0 pages"):
        read_all(table(folder, ROW))


def test_a_question_about_a_column_stops_the_build(folder: Path) -> None:
    path = table(folder, ["r1001.png", "1,00"], header=["file", "Betrag"])
    with pytest.raises(AdapterError, match=r"book.csv:1: column 'Betrag' can be (.|\n)*in the source: columns"):
        read_all(path)


def test_a_table_that_names_no_document(folder: Path) -> None:
    with pytest.raises(AdapterError, match=r"no column names the document(.|\n)*'vendor', 'total'"):
        read_all(table(folder, ["Nord", "1,00"], header=["vendor", "total"]))


@pytest.mark.parametrize("number_column", [True, False])
def test_rows_of_one_document_are_its_line_items(tmp_path: Path, number_column: bool) -> None:
    write_pages(tmp_path, "R-1.png")
    header = LINES if number_column else ["file", *LINES[1:]]
    found = record(write_csv(tmp_path / "book.csv", [header, *TWO_LINES]))
    assert taught(found)["line_items"] == [
        {"description": "Drill", "quantity": "2", "unit_price": "25.00", "total": "50.00"},
        {"description": "Vise", "quantity": "1", "unit_price": "150.00", "total": "150.00"},
    ]
    assert taught(found)["financial_summary"] == {"subtotal": "200.00", "grand_total": "238.00"}


def test_header_fields_may_stand_in_the_first_row_alone(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    second = line("Vise", "1", "150,00", "150,00", vendor="", date="", net="", total="")
    whole = record(write_csv(tmp_path / "book.csv", [LINES, *TWO_LINES]))
    assert record(write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0], second])).answer == whole.answer


def test_a_total_that_one_document_contradicts(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    other = line("Vise", "1", "150,00", "150,00", total="239,00")
    path = write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0], other])
    with pytest.raises(AdapterError, match=r"238,00 in line 2, 239,00 in line 3(.|\n)*or correct one of the lines"):
        read_all(path)
    rows = [cells for number in range(2, 13) for cells in one_document(tmp_path, f"R-{number}")]
    (found,) = rejections(write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0], other, *rows]))
    assert "grand_total: '238.00' in line 2, '239.00' in line 3" in found.reason


def one_document(folder: Path, name: str) -> list[list[str]]:
    write_pages(folder, f"{name}.png")
    return [line(text, "1", "1,00", "1,00", **{"invoice no": name}) for text in ("a", "b")]


def test_rows_of_one_document_must_agree(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    other = line("Vise", "1", "150,00", "150,00", vendor="Nord GmbH")
    found = rejection(write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0], other]))
    assert (found.line, found.gate) == (2, "canonical")
    assert "vendor_name: 'Nord' in line 2, 'Nord GmbH' in line 3" in found.reason


def test_amounts_agree_however_they_are_written(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    rows = [TWO_LINES[0], line("Vise", "1", "150,00", "150,00", total="238", date="2025-03-14")]
    found = record(write_csv(tmp_path / "book.csv", [LINES, *rows]))
    assert taught(found)["financial_summary"]["grand_total"] == "238.00"


def test_a_lost_line_item_rejects_its_document(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png", "R-2.png")
    others = [[cells[0].replace("1", "2"), *cells[1:]] for cells in TWO_LINES]
    found = read_all(write_csv(tmp_path / "book.csv", [LINES, *others, TWO_LINES[0], TWO_LINES[1][:-1]]))
    assert [(each.line, getattr(each, "reason", "")[:30]) for each in found] == [
        (2, ""),
        (4, "line 5, which may be its line "),
        (5, "8 cells, and the header has 9"),
    ]


def test_a_row_without_a_key_rejects_the_document_above(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    nameless = line("Sum", "", "", "200,00", **{"invoice no": "", "vendor": ""})
    found = rejections(write_csv(tmp_path / "book.csv", [LINES, *TWO_LINES, nameless]))
    assert [(each.line, each.gate) for each in found] == [(2, "source"), (4, "source")]
    assert "fill in its file or its invoice number, in every row" in found[1].reason


def test_a_missing_page_is_one_rejection_for_a_document(tmp_path: Path) -> None:
    found = rejection(write_csv(tmp_path / "book.csv", [LINES, *TWO_LINES]))
    assert (found.line, found.gate, found.document_id) == (2, "image", "R-1")


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


def test_rows_that_repeat_a_document_are_read_each(folder: Path) -> None:
    found = records(table(folder, ROW, ROW))
    assert [each.line for each in found] == [2, 3]
    contradicting = rejections(table(folder, ROW, row(total="239,00")))
    assert [each.line for each in contradicting] == [2, 3]
    assert "grand_total: '238.00' in line 2, '239.00' in line 3" in contradicting[0].reason


def test_a_mapping_may_name_everything(folder: Path) -> None:
    path = table(folder, ["r1001.png", "Nord", "200,00"], header=["Ablage", "Wer", "Wieviel"])
    columns = {"file": "Ablage", "vendor_name": "Wer", "subtotal": "column 3"}
    assert taught(record(path, columns=columns)) == {
        "vendor_block": {"name": "Nord"},
        "financial_summary": {"subtotal": "200.00"},
    }


def test_the_order_of_columns_changes_no_document(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    expected = record(write_csv(tmp_path / "book.csv", [LINES, *TWO_LINES]))
    for seed in range(10):
        order = random.Random(seed).sample(range(len(LINES)), len(LINES))  # noqa: S311
        rows = [[cells[place] for place in order] for cells in (LINES, *TWO_LINES)]
        assert record(write_csv(tmp_path / "book.csv", rows)) == expected


def test_a_long_table_is_cut_into_shards(tmp_path: Path) -> None:
    count = DOCUMENTS_IN_A_SHARD + 1
    for number in range(count):
        (tmp_path / f"{number}.png").write_bytes(b"page")
    path = table(tmp_path, *(row(file=f"{number}.png") for number in range(count)))
    assert len(list(cut(TableSource(kind="table", path=path), role_is_test=False))) == 2
    assert len(records(path)) == count


def test_build_counts_every_row_and_file(folder: Path) -> None:
    write_pages(folder / "scans", "r1001.png", "unnamed.png", "b.png")
    path = table(folder, ROW, row(file="b.png", net="x"), ROW[:-1])
    source = TableSource(kind="table", path=path, documents=folder / "scans")
    settings = BuildSettings(eval_ratio=0, test_ratio=0, form="paddleformers", gates=UNCHECKED)
    manifest = build([source], folder / "out", settings)
    assert (manifest.read, manifest.written, manifest.rejected) == (4, 1, 3)
    assert manifest.by_gate == {"canonical": 1, "source": 2}
    assert manifest.inputs[0]["kind"] == "table"


def test_processes_give_the_same_as_one(tmp_path: Path) -> None:
    count = DOCUMENTS_IN_A_SHARD * 3
    write_pages(tmp_path / "scans", *(f"{number}.png" for number in range(count)))
    path = table(tmp_path, *(row(file=f"{number}.png", invoice_number=f"R-{number}") for number in range(count)))
    source = TableSource(kind="table", path=path, documents=tmp_path / "scans")
    settings = BuildSettings(eval_ratio=0, test_ratio=0, form="paddleformers", gates=UNCHECKED)
    one = build([source], tmp_path / "one", settings, engine=EngineSettings(workers=1))
    two = build([source], tmp_path / "two", settings, engine=EngineSettings(workers=2))
    assert one.files["train.jsonl"]["sha256"] == two.files["train.jsonl"]["sha256"]


@pytest.mark.parametrize(
    ("rates", "total", "rate"),
    [(("19%", "19%"), "33,30", "0.19"), (("19%", ""), "33,30", None), (("19%", ""), "", "0.19")],
)
def test_a_rate_beside_some_rows_is_not_the_document_s(
    tmp_path: Path, rates: tuple[str, str], total: str, rate: str | None
) -> None:
    write_pages(tmp_path, "a.png")
    first = ["a.png", "one", "1", "10", rates[0], "33,30"]
    second = ["a.png", "two", "1", "20", rates[1], total]
    header = ["file", "description", "qty", "line total", "VAT %", "total"]
    found = record(write_csv(tmp_path / "book.csv", [header, first, second]))
    taxes = taught(found)["financial_summary"].get("taxes", [{}])
    assert taxes[0].get("rate") == rate


def test_a_row_entered_twice_makes_no_line_items(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(20)]
    write_pages(tmp_path, *names)
    rows = [[name, "office chairs", "5,00"] for name in names]
    path = write_csv(tmp_path / "book.csv", [["file", "description", "total"], *rows, [names[0], "chairs", "5,00"]])
    assert all("line_items" not in taught(each) for each in records(path))


def test_one_row_invoices_with_prices_have_a_line_item(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    found = record(write_csv(tmp_path / "book.csv", [LINES, TWO_LINES[0]]))
    assert len(taught(found)["line_items"]) == 1


cells = st.sampled_from([
    "", "a.png", "b", "R-1", "1.234", "1.234,50", "-3", "25/03/2025", "01/02/2025", "14.03.2025", "EUR", "¥", "19%",
    "../a.png", "a.png;b.png", '"', "#REF!", "9" * 30, "ü",
])  # fmt: skip


@given(rows=st.lists(st.lists(cells, min_size=5, max_size=6), max_size=8), data=st.data())
def test_every_row_becomes_a_record_or_a_rejection(
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


def test_a_discount_beside_line_items_has_no_place(tmp_path: Path) -> None:
    write_pages(tmp_path, "R-1.png")
    rows = [[*cells, discount] for cells, discount in zip(TWO_LINES, ("1,00", "2,00"), strict=True)]
    found = record(write_csv(tmp_path / "book.csv", [[*LINES, "Rabatt"], *rows]))
    assert found.unused_keys == ("column Rabatt",)
    assert "discounts" not in taught(found)["financial_summary"]


def test_a_project_s_folder_of_pages_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text("file")
    source = {"kind": "table", "path": str(tmp_path / "book.csv"), "documents": str(tmp_path / "none")}
    path = tmp_path / "project.yaml"
    path.write_text(
        json.dumps({"model": {"model_name_or_path": "a/b"}, "output_dir": "runs", "data": {"sources": [source]}})
    )
    (problem,) = missing_sources(load_project(path))
    assert problem.where == "data.sources[0].documents"


def test_freight_and_rounding_of_a_document_are_columns(folder: Path) -> None:
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
def test_a_column_may_name_credit_notes(folder: Path, cell: str, known: str | None, unused: tuple[str, ...]) -> None:
    found = record(table(folder, [*ROW, cell], header=[*HEADER, "Belegart"]))
    assert (taught(found).get("document_type"), found.unused_keys) == (known, unused)
