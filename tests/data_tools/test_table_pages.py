"""Pages of the documents in a table: by the file column, by invoice number, and files without a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from table_examples import (
    HEADER,
    LINES,
    ROW,
    TWO_LINES,
    read_all,
    record,
    rejection,
    rejections,
    row,
    table,
    write_csv,
    write_pages,
)

from data_tools.sources.tables import pages as table_pages
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.loading import load_project
from erniekit_adapter.project.sources import missing_sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pages(tmp_path, "r1001.png")
    return tmp_path


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
def test_finds_pages_by_the_file_column(tmp_path: Path, cell: str, files: list[str], found: list[str]) -> None:
    pages = tmp_path / "scans"
    write_pages(pages, *files)
    path = table(tmp_path, row(file=cell))
    (document,) = (each for each in read_all(path, documents=pages) if each.line)
    assert [image.relative_to(pages).as_posix() for image in getattr(document, "images", ())] == found, document


@pytest.mark.parametrize(
    ("cell", "files", "reason"),
    [
        ("a", ["a.png", "a.pdf"], "matches 2 files: a.pdf, a.png"),
        ("a.png", ["x/a.png", "y/a.png"], "matches 2 files: x/a.png, y/a.png"),
        ("a.png", ["b.png"], "tried {pages}/a.png"),
        ("old/a.png", ["b.png"], "tried {pages}/old/a.png, {pages}/a.png"),
        ("a.png;b.pdf", ["a.png", "b.pdf"], "a document is one PDF, or images in their order"),
        ("a.pdf;b.pdf", ["a.pdf", "b.pdf"], "a document is one PDF"),
    ],
)
def test_rejects_ambiguous_pages(tmp_path: Path, cell: str, files: list[str], reason: str) -> None:
    pages = tmp_path / "scans"
    write_pages(pages, *files)
    (found,) = (each for each in rejections(table(tmp_path, row(file=cell)), documents=pages) if each.line)
    assert reason.format(pages=pages) in found.reason


def test_reads_a_pdf_as_document(folder: Path) -> None:
    write_pages(folder, "r1.pdf")
    (found,) = (each for each in read_all(table(folder, row(file="r1.pdf"))) if each.line)
    assert getattr(found, "pdf", None) == folder / "r1.pdf"


@pytest.mark.parametrize("number", ["r1001", "R1001", "r/1001"])
def test_finds_a_file_by_invoice_number(folder: Path, number: str) -> None:
    write_pages(folder, "r1001.png")
    path = table(folder, row(invoice_number=number)[1:], header=HEADER[1:])
    assert record(path).images == (folder / "r1001.png",)


def test_rejection_lists_tried_names(folder: Path) -> None:
    found = rejections(table(folder, row(invoice_number="2025/7")[1:], header=HEADER[1:]))[0]
    assert "tried 2025/7 and 2025-7 and 2025_7 and 20257" in found.reason


def test_rejects_files_without_a_row(folder: Path) -> None:
    write_pages(folder, "b.png", "sub/c.pdf", ".hidden.png", "notes.txt")
    found = [each for each in read_all(table(folder, ROW)) if each.line is None]
    assert [(Path(each.source).name, getattr(each, "filter", "")) for each in found] == [
        ("b.png", "source"),
        ("c.pdf", "source"),
    ]
    assert all("no row of" in getattr(each, "reason", "") for each in found)


def test_rejects_a_link_out_of_the_folder(tmp_path: Path) -> None:
    write_pages(tmp_path / "outside", "a.png")
    pages = tmp_path / "scans"
    pages.mkdir()
    (pages / "a.png").symlink_to(tmp_path / "outside" / "a.png")
    (found,) = rejections(table(tmp_path, row(file="a.png")), documents=pages)
    assert "link that leaves the folder" in found.reason


def test_names_a_missing_folder(folder: Path) -> None:
    with pytest.raises(AdapterError, match="no such folder"):
        read_all(table(folder, ROW), documents=folder / "none")


def test_limits_the_number_of_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_pages, "MAX_FILES", 0)
    with pytest.raises(AdapterError, match="more than 0 pages"):
        read_all(table(folder, ROW))


def test_missing_page_is_one_rejection(tmp_path: Path) -> None:
    found = rejection(write_csv(tmp_path / "book.csv", [LINES, *TWO_LINES]))
    assert (found.line, found.filter, found.document_id) == (2, "image", "R-1")


def test_checks_the_folder_of_pages(tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text("file")
    source = {"kind": "table", "path": str(tmp_path / "book.csv"), "documents": str(tmp_path / "none")}
    path = tmp_path / "project.yaml"
    path.write_text(
        json.dumps({"model": {"model_name_or_path": "a/b"}, "output_dir": "runs", "data": {"sources": [source]}})
    )
    (problem,) = missing_sources(load_project(path))
    assert problem.location == "data.sources[0].documents"
