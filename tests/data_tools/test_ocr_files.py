"""OCR of a page in the formats of OCR engines."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from format_examples import EXAMPLES
from hypothesis import given
from hypothesis import strategies as st

from data_tools.sources.manifests.ocr_files import MAX_HOCR_BYTES, _hocr_pages, read_ocr
from erniekit_adapter.errors import AdapterError

PAGE = '<div class="ocr_page" title="bbox 0 0 1000 1000">'


def written(folder: Path, content: str | bytes, name: str = "page.ocr") -> Any:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_ocr(path)


def test_splits_a_line_at_columns() -> None:
    for name in ("ocr-hocr/page.hocr", "ocr-tsv/page.tsv"):
        found = read_ocr(EXAMPLES / name)
        assert found["tokens"] == ["Invoice BP-2042", "119.00"]
        assert found["bboxes"] == [[100, 71, 380, 107], [780, 71, 900, 107]]


def test_joins_hyphenated_words_of_alto() -> None:
    assert read_ocr(EXAMPLES / "ocr-alto/page.xml")["tokens"] == ["Invoice BP-2042", "Schreibwaren", "119.00"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_reads_plain_text_in_both_encodings(tmp_path: Path, encoding: str) -> None:
    assert written(tmp_path, "Müller\r\nSumme 5 €\n".encode(encoding)) == "Müller\nSumme 5 €"


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ('{"tokens": ["a"]}', "page.json", {"tokens": ["a"]}),
        ('["a"]', "page.txt", ["a"]),
        ("[1] Acme GmbH", "page.txt", "[1] Acme GmbH"),
        (f"<html><body>{PAGE}</div></body></html>", "page.html", {"tokens": []}),
        ("<not hocr> 5.00", "page.txt", "<not hocr> 5.00"),
    ],
)
def test_content_decides_the_format(tmp_path: Path, content: str, name: str, expected: Any) -> None:
    assert written(tmp_path, content, name) == expected


def test_reads_entities_and_markup_in_a_word(tmp_path: Path) -> None:
    word = "<span class='ocrx_word' title='bbox 0 0 100 100'><strong>A &amp; <em>B</em></strong><br/></span>"
    assert written(tmp_path, f"<html>{PAGE}<span class='ocr_line'>{word}</span></div></html>")["tokens"] == ["A & B"]


def test_returns_a_list_for_several_pages(tmp_path: Path) -> None:
    word = "<span class='ocrx_word' title='bbox 0 0 100 100'>x</span>"
    page = f"{PAGE}{word}</div>"
    found = written(tmp_path, f"<html><!-- two pages -->{page}{page}</html>")
    assert [one["tokens"] for one in found] == [["x"], ["x"]]


def test_reads_text_of_lines_without_words(tmp_path: Path) -> None:
    line = "<span class='ocr_line' title='bbox 0 0 100 100'>Total 5.00</span>"
    assert written(tmp_path, f"<html>{PAGE}{line}</div></html>") == {"tokens": ["Total 5.00"]}


@pytest.mark.parametrize(
    ("content", "name", "finding"),
    [
        ("{", "page.json", "not JSON"),
        (b"\0\1\2", "page.txt", "NUL"),
        (b"\x81\x8d", "page.txt", "save it as UTF-8"),
        ("<alto><Layout>", "page.xml", "not well-formed XML"),
        ("<!DOCTYPE alto><alto/>", "page.xml", "DOCTYPE"),
        ("<alto/>", "page.xml", "ALTO without a page"),
        ("<html class='ocr'/>", "page.xml", "hOCR without a page"),
    ],
)
def test_rejects_other_files_with_the_reason(tmp_path: Path, content: str | bytes, name: str, finding: str) -> None:
    with pytest.raises(ValueError, match=finding):
        written(tmp_path, content, name)


def test_does_not_parse_a_file_beyond_the_limit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bytes of hOCR, more than the limit"):
        written(tmp_path, f"<html class='ocr'>{' ' * MAX_HOCR_BYTES}")
    with pytest.raises(AdapterError, match="more than the limit"):
        written(tmp_path, b" " * (17 * 1024 * 1024))


@pytest.mark.parametrize(
    "unit", ["<", "<!", "<!--", "<a ", "</", "<?", "&", "<a b='", "<b>", "<span class='ocrx_word'>"]
)
def test_hostile_markup_takes_linear_time(unit: str) -> None:
    started = time.monotonic()
    try:
        _hocr_pages(f"<html>{PAGE}{unit * (1_000_000 // len(unit))}".encode())
    except ValueError as error:
        assert "elements" in str(error)  # noqa: PT017 - either is a right answer
    assert time.monotonic() - started < 10


@given(text=st.text(max_size=200))
def test_any_markup_gives_pages_or_an_error(text: str) -> None:
    try:
        assert isinstance(_hocr_pages(f"{PAGE}{text}".encode("utf-8", "replace")), list)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is a right answer
